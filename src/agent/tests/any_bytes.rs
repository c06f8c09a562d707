//! Whatever a manifest holds: objects or refusals, never a panic, and every message on one line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code as a whole")]

mod support;

use std::path::Path;

use portolan::{
    load::load,
    manifest::{Event, Source},
};
use portolan_core::{
    model::NodeConfig,
    text::{excerpt, printable},
};
use proptest::prelude::*;

fn read(path: &Path) -> Result<(), TestCaseError> {
    let mut source = Source::open(path).unwrap();
    let mut lines = Vec::new();
    source.scan(&mut |_| false, &mut |event| {
        if let Event::Refused(refused) = event {
            lines.push(refused.to_string());
        }
    });
    let mut loaded = load(path, NodeConfig::of("node-a")).unwrap();
    drop(loaded.cluster.take_changes());
    let problems = loaded.problems();
    lines.extend(problems.iter().map(ToString::to_string));
    serde_json::to_string(&problems).unwrap();
    for line in lines {
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        prop_assert!(line.len() < 2_000, "{line}");
    }
    Ok(())
}

fn read_as_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    for name in ["m.yaml", "m.json", "m"] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        read(&path)?;
    }
    Ok(())
}

const GOOD: &str = r#"{"kind": "List", "apiVersion": "v1", "items": [
    {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "team-a", "labels": {"a": "b"}},
     "spec": {"type": "NodePort", "clusterIPs": ["172.30.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
              "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}]}},
    {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
     "metadata": {"name": "web-1", "namespace": "team-a", "labels": {"kubernetes.io/service-name": "web"}},
     "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "node-a", "conditions": {"ready": true}}],
     "ports": [{"name": "http", "port": 8080}]},
    {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-a"},
     "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.2"}]}}]}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_as_all(&bytes)?;
    }

    #[test]
    fn noise_of_yaml(text in "[-:\\[\\]{}&*!|>'\"%@`#,?<.~0-9a-z \n\t]{0,200}") {
        read_as_all(text.as_bytes())?;
    }

    /// A manifest with some bytes overwritten, taken out or put in.
    #[test]
    fn mutations(edits in proptest::collection::vec((0..GOOD.len(), 0..3_u8, any::<u8>()), 1..6)) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, how, byte) in edits {
            let at = at % bytes.len();
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        read_as_all(&bytes)?;
    }

    #[test]
    fn printed_text_is_on_one_line(text in any::<String>()) {
        prop_assert!(!printable(&text).chars().any(char::is_control));
        prop_assert!(excerpt(&text).len() < 120);
    }
}

#[test]
fn the_mutated_manifest_is_good_itself() {
    let folder = tempfile::tempdir().unwrap();
    support::write(folder.path(), "m.json", GOOD);
    let mut source = Source::open(folder.path()).unwrap();
    assert_eq!(support::scan(&mut source), ["+Service team-a/web", "+EndpointSlice team-a/web-1", "+Node node-a"]);
}
