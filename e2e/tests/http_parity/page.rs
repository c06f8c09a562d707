//! Two pages of metrics: every family of kube-proxy's must be there, with the same type, help, labels and buckets.

use std::collections::{BTreeMap, BTreeSet};

use portolan_e2e::Mode;

/// Families that Portolan does not have, by the beginning of their names.
const NOT_OURS: [(&str, &str); 7] = [
    ("go_", "Go's runtime"),
    ("cardinality_enforcement_", "the allow-list of labels of Kubernetes' library"),
    ("aggregator_", "kube-apiserver, which is in the same program here"),
    ("apiserver_", "kube-apiserver and its libraries"),
    ("apiextensions_", "kube-apiserver"),
    (
        "kubeproxy_iptables_localhost_nodeports_accepted_packets_total",
        "no rule of ours tells loopback addresses from others",
    ),
    ("node_collector_", "kube-controller-manager, which is in the same program here"),
];

/// Words of families that are there in ipvs mode, too: kube-proxy runs iptables-restore there, and Portolan listens at loopback
/// addresses.
const IN_IPVS_MODE: [&str; 2] = ["_iptables_restore_failures_", "_nftables_localhost_nodeport_"];

/// What is comparable about a family.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    help: String,
    kind: String,
    /// The names of the labels, of each sample.
    labels: BTreeSet<BTreeSet<String>>,
    /// The bounds of a histogram's buckets.
    buckets: BTreeSet<String>,
}

/// The differences, in words.
pub(crate) fn compare(mode: Mode, real: &str, ours: &str) -> Vec<String> {
    let (real, ours) = (families(real), families(ours));
    let mut differences = Vec::new();
    let mut compared = 0;
    for (name, family) in real.iter().filter(|(name, _)| !NOT_OURS.iter().any(|(start, _)| name.starts_with(start))) {
        compared += 1;
        match ours.get(name) {
            None => differences.push(format!("{name} is missing")),
            Some(other) if other != family => {
                differences.push(format!("{name}\nkube-proxy: {family:?}\nPortolan: {other:?}"));
            }
            Some(_) => {}
        }
    }
    println!("{compared} families of the real kube-proxy compared");
    let alone: Vec<_> =
        ours.keys().filter(|name| !name.starts_with("portolan_") && !real.contains_key(*name)).cloned().collect();
    let others = [("iptables", Mode::Iptables), ("nftables", Mode::Nftables)].into_iter().filter(|(_, of)| *of != mode);
    for (word, _) in others {
        let of_another = ours.keys().filter(|name| name.starts_with("kubeproxy_") && name.contains(word));
        let of_another =
            of_another.filter(|name| mode != Mode::Ipvs || !IN_IPVS_MODE.iter().any(|in_it| name.contains(in_it)));
        differences.extend(of_another.map(|name| format!("{name} is of another mode")));
    }
    println!("of kube-proxy's, it had no sample of {}", alone.join(", "));
    if compared < 30 {
        differences.push(format!("only {compared} families of kube-proxy's"));
    }
    differences
}

fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut name = String::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (family, help) = help.split_once(' ').unwrap_or((help, ""));
            family.clone_into(&mut name);
            families.entry(name.clone()).or_default().help = help.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            families.entry(name.clone()).or_default().kind = kind.rsplit(' ').next().unwrap_or_default().to_owned();
        } else {
            let family = families.entry(name.clone()).or_default();
            let mut labels = labels(line);
            family.buckets.extend(labels.remove("le"));
            family.labels.insert(labels.into_keys().collect());
        }
    }
    families
}

/// The labels of a sample. No value has a comma in what is compared here but those of the build.
fn labels(line: &str) -> BTreeMap<String, String> {
    let inside = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inside, _)| inside);
    let pairs = inside.split("\",").filter_map(|pair| pair.split_once("=\""));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect()
}
