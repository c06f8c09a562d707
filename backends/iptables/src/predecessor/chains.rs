//! Which chains of iptables are a service proxy's, and how they are taken out without touching anybody else's.
//!
//! ```text
//!   PREROUTING ---jump---> KUBE-SERVICES ---> KUBE-SVC-... ---> KUBE-SEP-...
//!              1 unlinked                2 emptied, all of them; 3 deleted
//!   CNI-HOSTPORT-SETMARK ---jump---> KUBE-MARK-MASQ        another program's: the chain stays, and is told
//! ```

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::addr::Family;

use crate::names::ChainName;

/// The tables that kube-proxy uses.
pub(super) const TABLES: [&str; 3] = ["nat", "filter", "mangle"];

/// There whenever a proxy in iptables or ipvs mode has written its rules, and nobody else's: the chain of nat that all its
/// Services are in.
pub(super) const SERVICES: &str = "KUBE-SERVICES";

/// Where a proxy in iptables mode refuses connections to external addresses.
const EXTERNAL_SERVICES: &str = "KUBE-EXTERNAL-SERVICES";

/// Chains that every such table has; the kernel sends packets there.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// kube-proxy's chains that built-in ones lead to (pkg/proxy/iptables/proxier.go, iptablesJumpChains;
/// pkg/proxy/ipvs/proxier.go, iptablesJumpChain).
const ENTRIES: [&str; 9] = [
    SERVICES,
    EXTERNAL_SERVICES,
    "KUBE-NODEPORTS",
    "KUBE-FORWARD",
    "KUBE-PROXY-FIREWALL",
    "KUBE-POSTROUTING",
    "KUBE-NODE-PORT",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
];

/// There whenever a kube-proxy in iptables or ipvs mode runs, and never Portolan's: it notices by this chain that others have
/// flushed tables.
pub(super) const CANARY: &str = "KUBE-PROXY-CANARY";

/// Its other chains with fixed names. Not among them, since they are kubelet's: KUBE-FIREWALL, KUBE-KUBELET-CANARY,
/// KUBE-IPTABLES-HINT, KUBE-MARK-DROP.
const OTHERS: [&str; 4] = ["KUBE-MARK-MASQ", CANARY, "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL"];

/// What the names of its chains for a Service or an endpoint begin with; KUBE-XLB- until 1.24.
const PREFIXES: [&str; 6] = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-", "KUBE-XLB-"];

/// Whether a chain is kube-proxy's, or that of a Portolan in iptables mode, which has kube-proxy's names and some more. Not
/// KUBE-FIREWALL, which the kubelet has too.
pub(super) fn is_a_proxys(chain: &str) -> bool {
    let is_kube_proxys =
        ENTRIES.contains(&chain) || OTHERS.contains(&chain) || PREFIXES.iter().any(|prefix| chain.starts_with(prefix));
    is_kube_proxys || is_portolans(chain)
}

/// Whether a Portolan in iptables mode adopts a chain.
pub(super) fn is_portolans(chain: &str) -> bool {
    ChainName::parse(chain).is_some_and(|chain| chain != ChainName::Firewall)
}

/// Whether it is Portolan's and none that a kube-proxy has: one that takes Portolan's place does not remove it either, but
/// where it has a Service's name in nat.
fn is_portolans_alone(chain: &str) -> bool {
    let parsed = ChainName::parse(chain);
    matches!(parsed, Some(ChainName::ExternalNodePorts | ChainName::NoSuchPort | ChainName::Level(..)))
}

/// Which chains are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those of every service proxy.
    All,
    /// Those that a Portolan in iptables mode does not adopt.
    NotAdopted,
    /// Those that no other proxy has.
    PortolansAlone,
}

impl Which {
    fn takes(self, chain: &str) -> bool {
        is_a_proxys(chain)
            && match self {
                Self::All => true,
                Self::NotAdopted => !is_portolans(chain),
                Self::PortolansAlone => is_portolans_alone(chain),
            }
    }
}

/// A table as it is in the kernel.
#[derive(Debug)]
pub(super) struct Read<I> {
    pub(super) family: Family,
    pub(super) name: &'static str,
    pub(super) chains: Vec<String>,
    /// Those that lead to a proxy's chains.
    pub(super) links: Vec<Link<I>>,
}

impl<I> Read<I> {
    /// Whether it has the rule by which Portolan's chains are told from kube-proxy's of the same names: kube-proxy goes to this
    /// chain from chains of the kernel's only, and one that takes Portolan's place empties the other in its first sync.
    pub(super) fn is_portolans(&self) -> bool {
        let is_it = |link: &Link<I>| link.from == SERVICES && link.to == EXTERNAL_SERVICES;
        self.name == "filter" && self.links.iter().any(is_it)
    }
}

/// A rule that leads to another chain; `id` is how it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link<I> {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) id: I,
}

/// What is to be done in one table.
#[derive(Debug)]
pub(super) struct Plan<I> {
    /// The table, as it is told to people.
    title: String,
    /// Rules of built-in chains.
    pub(super) unlink: Vec<Link<I>>,
    /// Chains to be emptied, all of them before the first is deleted.
    pub(super) remove: Vec<String>,
    /// Chains that another program's rule leads to, with the chain that the rule is in; and what these lead to.
    kept: BTreeMap<String, String>,
}

impl<I> Plan<I> {
    /// Of a table with these chains and links. Links to chains that are no proxy's do not matter, and chains that are not to go
    /// are as another program's.
    pub(super) fn new(
        title: String,
        which: Which,
        chains: impl IntoIterator<Item = String>,
        links: Vec<Link<I>>,
    ) -> Self {
        let ours: BTreeSet<_> = chains.into_iter().filter(|chain| which.takes(chain)).collect();
        let (mut unlink, mut inner, mut kept) = (Vec::new(), BTreeMap::<_, Vec<_>>::new(), BTreeMap::new());
        for link in links.into_iter().filter(|link| ours.contains(&link.to)) {
            if ours.contains(&link.from) {
                inner.entry(link.from).or_default().push(link.to);
            } else if BUILT_IN.contains(&link.from.as_str()) && ENTRIES.contains(&link.to.as_str()) {
                unlink.push(link);
            } else {
                kept.insert(link.to, link.from);
            }
        }
        let mut next: Vec<_> = kept.keys().cloned().collect();
        while let Some(chain) = next.pop() {
            for to in inner.remove(&chain).unwrap_or_default() {
                if !kept.contains_key(&to) {
                    kept.insert(to.clone(), chain.clone());
                    next.push(to);
                }
            }
        }
        let remove = ours.into_iter().filter(|chain| !kept.contains_key(chain)).collect();
        Self { title, unlink, remove, kept }
    }

    /// What is removed, in words, if anything is.
    pub(super) fn words(&self) -> Option<String> {
        let what = match self.remove.as_slice() {
            [] if self.unlink.is_empty() => return None,
            [] => "rules that lead to KUBE-*".to_owned(),
            [one] => format!("chain {one}"),
            several => format!("{} chains KUBE-*", several.len()),
        };
        Some(format!("{what} in {}, of iptables mode", self.title))
    }

    /// What stays, in words.
    pub(super) fn kept(&self) -> impl Iterator<Item = String> {
        let say = |(chain, by): (&String, &String)| {
            format!("chain {chain} in {} stays, with what it leads to: a rule of chain {by} leads to it", self.title)
        };
        self.kept.iter().map(say)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Planned = (Vec<String>, Vec<String>, Vec<String>);

    fn plan(chains: &[&str], links: &[(&str, &str)]) -> Planned {
        planned(Which::All, chains, links)
    }

    fn planned(which: Which, chains: &[&str], links: &[(&str, &str)]) -> Planned {
        let link = |&(from, to): &(&str, &str)| Link { from: from.into(), to: to.into(), id: () };
        let chains = chains.iter().map(ToString::to_string);
        let plan = Plan::new("table ip nat".into(), which, chains, links.iter().map(link).collect());
        let unlink = plan.unlink.iter().map(|link| format!("{} {}", link.from, link.to)).collect();
        (unlink, plan.remove.clone(), plan.kept().collect())
    }

    #[test]
    fn only_chains_of_proxies_go() {
        let theirs =
            ["KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT", "KUBE-MARK-DROP", "KUBE-ROUTER-INPUT"];
        let others =
            ["PREROUTING", "CNI-HOSTPORT-DNAT", "cali-PREROUTING", "FLANNEL-POSTRTG", "KUBE-NWPLCY-X", "kube-svc-"];
        for chain in theirs.into_iter().chain(others).chain(["KUBE-POD-FW-X", "KUBE-SERVICES-2", "XKUBE-SVC-A"]) {
            assert!(!is_a_proxys(chain), "{chain}");
        }
        let of_portolan = ["KUBE-NO-SUCH-PORT", "KUBE-EXTERNAL-NODEPORTS", "KUBE-SVC-10.96.0.0/12"];
        let of_kube_proxy = ["KUBE-SEP-ABCDEFGHIJKLMNOP", CANARY, "KUBE-FW-A", "KUBE-MARK-MASQ"];
        for chain in ENTRIES.into_iter().chain(of_kube_proxy).chain(of_portolan) {
            assert!(is_a_proxys(chain), "{chain}");
        }
        let (unlink, remove, kept) = plan(
            &["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-A", "KUBE-SEP-A", "KUBE-FIREWALL", "CNI"],
            &[
                ("PREROUTING", "CNI"),
                ("PREROUTING", "KUBE-SERVICES"),
                ("PREROUTING", "KUBE-FIREWALL"),
                ("KUBE-SERVICES", "KUBE-SVC-A"),
                ("KUBE-SVC-A", "KUBE-SEP-A"),
            ],
        );
        assert_eq!(unlink, ["PREROUTING KUBE-SERVICES"]);
        assert_eq!(remove, ["KUBE-SEP-A", "KUBE-SERVICES", "KUBE-SVC-A"]);
        assert!(kept.is_empty());
    }

    #[test]
    fn what_others_lead_to_stays_with_what_it_leads_to() {
        let (unlink, remove, kept) = plan(
            &["KUBE-MARK-MASQ", "KUBE-SVC-A", "KUBE-SEP-A", "KUBE-SVC-B", "CNI"],
            &[
                ("CNI", "KUBE-MARK-MASQ"),
                ("PREROUTING", "KUBE-SVC-A"),
                ("KUBE-SVC-A", "KUBE-SEP-A"),
                ("KUBE-SEP-A", "KUBE-MARK-MASQ"),
                ("KUBE-SVC-B", "KUBE-SEP-A"),
            ],
        );
        assert!(unlink.is_empty());
        assert_eq!(remove, ["KUBE-SVC-B"]);
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert!(kept.iter().any(|line| line.starts_with("chain KUBE-MARK-MASQ") && line.contains("of chain CNI ")));
    }

    #[test]
    fn what_has_a_name_of_ours_is_adopted() {
        let (unlink, remove, kept) = planned(
            Which::NotAdopted,
            &["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-ABCDEFGHIJKLMNOP", "KUBE-XLB-A", "KUBE-LOAD-BALANCER", CANARY],
            &[("PREROUTING", "KUBE-SERVICES"), ("KUBE-SERVICES", "KUBE-LOAD-BALANCER")],
        );
        assert!(unlink.is_empty());
        assert_eq!(remove, [CANARY, "KUBE-XLB-A"]);
        assert!(kept.len() == 1 && kept[0].contains("of chain KUBE-SERVICES leads to it"), "{kept:?}");
    }

    #[test]
    fn what_kube_proxy_never_has_is_portolans_alone() {
        let chains = [
            SERVICES,
            EXTERNAL_SERVICES,
            "KUBE-EXTERNAL-NODEPORTS",
            "KUBE-NO-SUCH-PORT",
            "KUBE-SVC-10.96.0.0/12",
            "KUBE-SVC-ABCDEFGHIJKLMNOP",
            CANARY,
        ];
        let links = [("FORWARD", SERVICES), ("KUBE-SVC-10.96.0.0/12", "KUBE-NO-SUCH-PORT")];
        let (unlink, remove, kept) = planned(Which::PortolansAlone, &chains, &links);
        assert_eq!(remove, ["KUBE-EXTERNAL-NODEPORTS", "KUBE-NO-SUCH-PORT", "KUBE-SVC-10.96.0.0/12"]);
        assert!(unlink.is_empty() && kept.is_empty());
    }

    #[test]
    fn portolans_chains_are_told_from_kube_proxys_of_the_same_names() {
        let read = |name, from: &str| Read {
            family: Family::V4,
            name,
            chains: Vec::new(),
            links: vec![Link { from: from.to_owned(), to: EXTERNAL_SERVICES.to_owned(), id: () }],
        };
        assert!(read("filter", SERVICES).is_portolans());
        assert!(!read("filter", "FORWARD").is_portolans() && !read("filter", "INPUT").is_portolans());
        assert!(!read("nat", SERVICES).is_portolans());
    }
}
