//! What our rules hold, for people who ask.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use portolan_core::{
    addr::Family,
    desired::{LocalDetector, Vip},
    inspect::{Held, Inspect, Legible, Objects, Ruleset},
    object::{BackendError, Figure, FigureKind, FrontendCounts, LiveFrontend},
    trace::{Packet, Trace, World},
};

use crate::{
    backend::Xtables,
    dialect::Iptables,
    frontends,
    key::{Key, Match},
    listing::{self, Line},
    names::{ChainName, Table},
    parse,
    rule::{Condition, Is, Rule, State, Target},
    text, trace,
    value::Value,
};

impl Legible for Iptables {
    fn text(&self, objects: &Objects<'_, Self>) -> String {
        let of = |family| text::tables(family, objects.iter().map(|(key, value)| (*key, *value)));
        format!("# iptables-restore --noflush\n{}# ip6tables-restore --noflush\n{}", of(Family::V4), of(Family::V6))
    }

    fn frontends(&self, objects: &Objects<'_, Self>) -> Vec<LiveFrontend> {
        frontends::frontends(objects)
    }

    fn detector(&self, objects: &Objects<'_, Self>, family: Family) -> Option<LocalDetector> {
        trace::detector(objects, family)
    }

    fn trace(&self, objects: &Objects<'_, Self>, packet: &Packet, world: &World<'_>) -> Trace {
        trace::trace(objects, packet, world)
    }
}

impl Inspect for Xtables {
    fn is_present(&mut self) -> Result<bool, BackendError> {
        self.holds_ours().map_err(BackendError::new)
    }

    fn observed(&mut self) -> Result<Box<dyn Ruleset>, BackendError> {
        Ok(Box::new(Held::observed(self)?))
    }

    fn counts(&mut self) -> Result<BTreeMap<Vip, FrontendCounts>, BackendError> {
        let mut counts = BTreeMap::new();
        for family in self.programs().families() {
            for table in Table::ALL {
                let listing = self.programs().save_counted(family, table.as_str()).map_err(BackendError::new)?;
                for line in listing::lines(&listing) {
                    if let Line::Rule { chain, rule, packets: Some(packets) } = line.map_err(BackendError::new)? {
                        count(&mut counts, (family, table, chain), rule, packets);
                    }
                }
            }
        }
        Ok(counts)
    }

    /// kube-proxy has the module nfacct count them, where it is there; the rule that drops them does so as well.
    fn kernel_figures(&mut self) -> Result<Vec<Figure>, BackendError> {
        let mut dropped = 0;
        for family in self.programs().families() {
            let (table, chain) = (Table::Filter.as_str(), ChainName::Forward.to_string());
            let listing = self.programs().save_chain(family, table, &chain).map_err(BackendError::new)?;
            for line in listing::lines(&listing) {
                if let Line::Rule { chain, rule, packets: Some(packets) } = line.map_err(BackendError::new)?
                    && ChainName::parse(chain) == Some(ChainName::Forward)
                    && drops_invalid(&parse::rule(family, rule))
                {
                    dropped += packets;
                }
            }
        }
        Ok(vec![Figure {
            name: "kubeproxy_iptables_ct_state_invalid_dropped_packets_total",
            help: "[ALPHA] packets dropped by iptables to work around conntrack problems",
            kind: FigureKind::Counter,
            samples: vec![(Vec::new(), dropped)],
        }])
    }

    /// Nobody: the kernel says of a client when it saw it last, but in ticks of its own (/proc/net/xt_recent), which no program
    /// can compare with now.
    fn remembered(&mut self, _: IpAddr, _: &Trace) -> Result<BTreeMap<String, Duration>, BackendError> {
        Ok(BTreeMap::new())
    }

    /// Other programs have their rules in the same tables.
    fn other_tables(&mut self, _: Family) -> Result<Vec<String>, BackendError> {
        Ok(Vec::new())
    }
}

fn drops_invalid(rule: &Rule) -> bool {
    let is_invalid = |condition: &Condition| *condition == Condition::State(Is::In, State::Invalid);
    rule.target == Target::Drop && rule.conditions.iter().any(is_invalid)
}

/// Adds what a rule counted, if it is one of a frontend.
fn count(
    counts: &mut BTreeMap<Vip, FrontendCounts>,
    (family, table, chain): (Family, Table, &str),
    rule: &str,
    packets: u64,
) {
    let Some(chain) = ChainName::parse(chain).filter(|chain| chain.dispatches()) else { return };
    let rule = parse::rule(family, rule);
    let (of, comment) = Match::of(family, &rule);
    let key = Key::Rule(family, table, chain, of);
    frontends::count(counts, &key, &Value::Rule(comment, rule.target), packets);
}
