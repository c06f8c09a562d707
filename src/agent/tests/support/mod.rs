//! What the tests of this folder share: manifests, and events as short lines.

#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part; this is test code as a whole")]

use std::path::Path;

use portolan::manifest::{Event, Source};

/// A Service in YAML.
pub(crate) fn service(name: &str, cluster_ip: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {cluster_ip}, ports: \
         [{{port: 80}}]}}\n"
    )
}

/// `+` applied, `-` deleted, `!` refused; what was scanned is left out when it was complete.
pub(crate) fn line(event: &Event) -> Option<String> {
    match event {
        Event::Applied(object) => Some(format!("+{}", object.reference())),
        Event::Deleted(object) => Some(format!("-{object}")),
        Event::Refused(refused) => Some(format!("!{refused}")),
        Event::Scanned { complete: true } => None,
        Event::Scanned { complete: false } => Some("incomplete".to_owned()),
    }
}

/// Scans, and gives what it told.
pub(crate) fn scan(source: &mut Source) -> Vec<String> {
    let mut lines = Vec::new();
    source.scan(&mut |_| false, &mut |event| lines.extend(line(&event)));
    lines
}

pub(crate) fn write(folder: &Path, name: &str, content: &str) {
    std::fs::write(folder.join(name), content).unwrap();
}
