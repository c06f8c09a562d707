//! Feature gates: which names Kubernetes knows, and the few that Portolan acts upon.
//!
//! All components of Kubernetes share one list, so that a cluster may give the same `featureGates` to all of them;
//! most are none of a service proxy's business and have no effect in kube-proxy either. A name that is in no list is
//! refused, as kube-proxy refuses it: it would be a switch that somebody believes to be set.

use std::collections::BTreeMap;

use crate::{
    nearest::did_you_mean,
    problem::{Findings, Problem},
};

/// A gate that Kubernetes knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gate {
    name: &'static str,
    stage: Stage,
    default: bool,
    is_locked: bool,
}

/// How mature a feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
    /// Generally available, or deprecated: no matter of `AllAlpha` and `AllBeta`.
    Settled,
}

/// The features that are on, as far as Portolan acts upon them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// `AllowServiceExternalIPs`: whether `spec.externalIPs` of Services are served.
    pub external_ips: bool,
    /// `ComponentStatusz`: whether /statusz is served.
    pub statusz: bool,
    /// `ComponentFlagz`: whether /flagz is served.
    pub flagz: bool,
    /// `LoggingAlphaOptions`: whether log lines may be split.
    pub(crate) logging_alpha: bool,
    /// `LoggingBetaOptions`: whether log lines may be JSON.
    pub(crate) logging_beta: bool,
}

impl Features {
    pub(crate) fn of(given: &BTreeMap<String, bool>) -> Self {
        let is_on = |name: &str| {
            let gate = known().find(|gate| gate.name == name);
            let all = match gate.map(|gate| gate.stage) {
                Some(Stage::Alpha) => given.get(ALL_ALPHA),
                Some(Stage::Beta) => given.get(ALL_BETA),
                _ => None,
            };
            let default = gate.is_some_and(|gate| gate.default);
            *given.get(name).or(all).unwrap_or(&default)
        };
        Self {
            external_ips: is_on("AllowServiceExternalIPs"),
            statusz: is_on("ComponentStatusz"),
            flagz: is_on("ComponentFlagz"),
            logging_alpha: is_on("LoggingAlphaOptions"),
            logging_beta: is_on("LoggingBetaOptions"),
        }
    }
}

const ALL_ALPHA: &str = "AllAlpha";
const ALL_BETA: &str = "AllBeta";

/// What kube-proxy does by such a gate and Portolan does not, with the value that asks for it.
const NOT_FOLLOWED: [(&str, bool, &str); 2] = [
    ("KubeProxyNFTablesLocalhostNodePorts", true, "Portolan has no NodePorts on loopback in nftables mode"),
    ("NFTablesNetlink", false, "Portolan always talks netlink with the kernel"),
];

/// Refuses what kube-proxy refuses.
pub(crate) fn check(given: &BTreeMap<String, bool>, findings: &mut Findings) {
    for (name, value) in given {
        let path = format!("featureGates.{name}");
        if name == ALL_ALPHA || name == ALL_BETA {
            continue;
        }
        let Some(gate) = known().find(|gate| gate.name == name) else {
            let advice = did_you_mean(name, known().map(|gate| gate.name), "remove it");
            findings.problem(Problem::new(path, value, "is not a feature gate that Kubernetes 1.36 knows", advice));
            continue;
        };
        if gate.is_locked && gate.default != *value {
            let rule = format!("is locked to {} in Kubernetes 1.36", gate.default);
            findings.problem(Problem::new(path, value, rule, "remove it"));
        } else if let Some((.., why)) = NOT_FOLLOWED.iter().find(|(known, asks, _)| known == name && asks == value) {
            findings.warning(Problem::new(path, value, format!("has no effect: {why}"), "remove it"));
        }
    }
}

fn known() -> impl Iterator<Item = Gate> {
    include_str!("gates.txt").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let stage = match words.next()? {
            "Alpha" => Stage::Alpha,
            "Beta" => Stage::Beta,
            _ => Stage::Settled,
        };
        Some(Gate { name, stage, default: words.next()? == "true", is_locked: words.next().is_some() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, bool)]) -> BTreeMap<String, bool> {
        pairs.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect()
    }

    #[test]
    fn defaults_and_what_changes_them() {
        let default =
            Features { external_ips: true, statusz: true, flagz: true, logging_alpha: false, logging_beta: true };
        for (pairs, expected) in [
            (&[][..], default),
            (&[("AllowServiceExternalIPs", false)], Features { external_ips: false, ..default }),
            (&[("ComponentStatusz", false), ("ComponentFlagz", true)], Features { statusz: false, ..default }),
            (&[("AllAlpha", true)], Features { logging_alpha: true, ..default }),
            (&[("AllBeta", false)], Features { statusz: false, flagz: false, logging_beta: false, ..default }),
            (
                &[("AllBeta", false), ("ComponentFlagz", true)],
                Features { statusz: false, logging_beta: false, ..default },
            ),
        ] {
            assert_eq!(Features::of(&given(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_list_is_whole() {
        let all: Vec<Gate> = known().collect();
        assert_eq!(all.len(), 243);
        assert!(all.iter().all(|gate| gate.name.chars().all(|c| c.is_ascii_alphanumeric())), "{all:?}");
        let named = |name| all.iter().find(|gate| gate.name == name).copied().unwrap();
        assert!(named("NFTablesProxyMode").is_locked && named("NFTablesProxyMode").default);
        assert_eq!(named("WatchListClient").stage, Stage::Beta);
    }
}
