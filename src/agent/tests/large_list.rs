//! A List of the size of a large cluster is read without being in memory. A program of its own: its peak is measured.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code as a whole")]

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
};

use portolan::manifest::{Event, Source};

const SERVICES: usize = 10_000;

/// As `kubectl get services,endpointslices -o json` writes it: `kind` comes behind the items.
fn write_list(file: File) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    let padding = "x".repeat(600);
    write!(out, "{{\"apiVersion\":\"v1\",\"items\":[")?;
    for index in 0..SERVICES {
        let (a, b) = (index / 250, index % 250);
        let comma = if index == 0 { "" } else { "," };
        write!(
            out,
            r#"{comma}{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s{index}","annotations":{{"a":"{padding}"}}}},
            "spec":{{"clusterIP":"172.30.{a}.{b}","ports":[{{"port":80}}]}}}},
            {{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4","metadata":{{"name":"s{index}-1",
            "annotations":{{"a":"{padding}"}},"labels":{{"kubernetes.io/service-name":"s{index}"}}}},
            "endpoints":[{{"addresses":["10.0.{a}.{b}"]}},{{"addresses":["10.1.{a}.{b}"]}}],"ports":[{{"port":8080}}]}}"#
        )?;
    }
    write!(out, "],\"kind\":\"List\"}}")?;
    out.flush()
}

fn peak_mib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

#[test]
fn read_item_by_item() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.json");
    write_list(File::create(&path).unwrap()).unwrap();
    let size = fs::metadata(&path).unwrap().len() / (1 << 20);
    let mut source = Source::open(&path).unwrap();
    let before = peak_mib();

    let mut applied = 0;
    source.scan(&mut |_| false, &mut |event| applied += usize::from(matches!(event, Event::Applied(_))));

    let grown = peak_mib() - before;
    assert_eq!(applied, 2 * SERVICES);
    assert!(source.refused().next().is_none());
    assert!(size >= 15, "a file of {size} MiB");
    assert!(grown <= 8, "reading {size} MiB took {grown} MiB");
}
