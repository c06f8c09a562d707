//! What kube-proxy counts in iptables mode alone (pkg/proxy/metrics/metrics.go): rules by table, and restores that failed.
//!
//! As there, a rule is one of a chain of ours. Jumps from the kernel's chains are none.

use std::collections::BTreeMap;

use portolan_core::{
    addr::{Family, PerFamily},
    object::{Figure, FigureKind, Op},
};

use crate::{dialect::Iptables, key::Key, names::Table, value::Value};

/// Counts since the start, and of the sync that goes on.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Of each table that was read.
    tables: BTreeMap<(Family, Table), Rules>,
    failures: PerFamily<Failures>,
    /// Whether this sync has read the tables.
    is_full: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Rules {
    there: u64,
    /// In the last sync.
    written: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Failures {
    all: u64,
    /// In syncs that had not read the tables.
    partial: u64,
}

impl Tally {
    /// A sync begins.
    pub(crate) fn begin(&mut self) {
        self.is_full = false;
        self.tables.values_mut().for_each(|rules| rules.written = 0);
    }

    /// This is what the tables of these families hold.
    pub(crate) fn observed(&mut self, families: impl Iterator<Item = Family>, objects: &[(Key, Value)]) {
        self.is_full = true;
        for family in families {
            Table::ALL.into_iter().for_each(|table| self.rules(family, table).there = 0);
        }
        for (key, value) in objects {
            self.rules(key.family(), key.table()).there += rules_of(key, value);
        }
    }

    /// That was carried out.
    pub(crate) fn applied(&mut self, op: &Op<Iptables>) {
        let key = op.key();
        let (comes, goes) = match op {
            Op::Add(_, value) => (rules_of(key, value), 0),
            Op::Replace(_, value, before) => (rules_of(key, value), rules_of(key, before)),
            Op::Remove(_, before) => (0, rules_of(key, before)),
            // Nothing is made anew here: whatever is there can be given another value.
            Op::Rebuild(_) => (0, 0),
        };
        let rules = self.rules(key.family(), key.table());
        // What is written beside others' changes may be there already, or be gone: then the next reading tells.
        rules.there = (rules.there + comes).saturating_sub(goes);
        rules.written += comes;
    }

    /// A run of iptables-restore failed.
    pub(crate) fn failed(&mut self, family: Family) {
        let failures = self.failures.get_mut(family);
        failures.all += 1;
        failures.partial += u64::from(!self.is_full);
    }

    /// For each family and table, from the first reading on; failures from the first one on, as kube-proxy shows them.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let rules = |name, help, count: fn(&Rules) -> u64| {
            let of_table = |((family, table), rules): (&(Family, Table), &Rules)| {
                (vec![("ip_family", family.to_string()), ("table", table.to_string())], count(rules))
            };
            Figure { name, help, kind: FigureKind::Gauge, samples: self.tables.iter().map(of_table).collect() }
        };
        let failures = |name, help, count: fn(&Failures) -> u64| {
            let of_family =
                |family: &Family| (vec![("ip_family", family.to_string())], count(self.failures.get(*family)));
            let samples = Family::ALL.iter().map(of_family).filter(|(_, count)| *count > 0).collect();
            Figure { name, help, kind: FigureKind::Counter, samples }
        };
        vec![
            rules(
                "kubeproxy_sync_proxy_rules_iptables_total",
                "[ALPHA] Total number of iptables rules owned by kube-proxy",
                |rules| rules.there,
            ),
            rules(
                "kubeproxy_sync_proxy_rules_iptables_last",
                "[ALPHA] Number of iptables rules written by kube-proxy in last sync",
                |rules| rules.written,
            ),
            failures(
                "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
                "[ALPHA] Cumulative proxy iptables restore failures",
                |failures| failures.all,
            ),
            failures(
                "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total",
                "[ALPHA] Cumulative proxy iptables partial restore failures",
                |failures| failures.partial,
            ),
        ]
    }

    fn rules(&mut self, family: Family, table: Table) -> &mut Rules {
        self.tables.entry((family, table)).or_default()
    }
}

fn rules_of(key: &Key, value: &Value) -> u64 {
    match (key, value) {
        (Key::Jumps(..), _) | (_, Value::Dispatch) => 0,
        (_, Value::Rule(..)) => 1,
        (_, Value::Rules(rules) | Value::Misplaced(rules)) => u64::try_from(rules.len()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::addr::Protocol;

    use super::*;
    use crate::{
        key::Match,
        names::{BuiltIn, ChainName},
        rule::{Rule, Target},
    };

    fn samples(tally: &Tally, name: &str) -> Vec<(String, u64)> {
        let figure = tally.figures().into_iter().find(|figure| figure.name.ends_with(name)).unwrap();
        let named = |labels: Vec<(_, String)>| labels.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ");
        figure.samples.into_iter().map(|(labels, count)| (named(labels), count)).collect()
    }

    fn rules(count: usize) -> Value {
        Value::Rules((0..count).map(|_| Rule::new([], Target::Return)).collect())
    }

    #[test]
    fn rules_are_those_of_our_chains_by_table() {
        let chain = |table| Key::Chain(Family::V4, table, ChainName::Forward);
        let jumps = Key::Jumps(Family::V4, Table::Filter, BuiltIn::Input);
        let rule = |port| Key::Rule(Family::V4, Table::Nat, ChainName::NodePorts, Match::Port(Protocol::Tcp, port));
        let one = Value::Rule(None, Target::Drop);
        let mut tally = Tally::default();
        assert_eq!(samples(&tally, "_iptables_total"), []);
        tally.begin();
        tally.observed([Family::V4].into_iter(), &[(chain(Table::Filter), rules(3)), (jumps.clone(), rules(2))]);
        let (filter, nat) = ("IPv4 filter".to_owned(), "IPv4 nat".to_owned());
        assert_eq!(samples(&tally, "_iptables_total"), [(filter.clone(), 3), (nat.clone(), 0)]);
        for op in [
            Op::Add(rule(1), one.clone()),
            Op::Add(rule(2), one.clone()),
            Op::Replace(rule(1), Value::Rule(None, Target::Accept), one.clone().into()),
            Op::Replace(chain(Table::Filter), rules(4), rules(3).into()),
            Op::Add(jumps, rules(2)),
            Op::Remove(rule(2), one),
        ] {
            tally.applied(&op);
        }
        assert_eq!(samples(&tally, "_iptables_total"), [(filter.clone(), 4), (nat.clone(), 1)]);
        assert_eq!(samples(&tally, "_iptables_last"), [(filter.clone(), 4), (nat.clone(), 3)]);
        tally.begin();
        assert_eq!(samples(&tally, "_iptables_last"), [(filter, 0), (nat, 0)]);
    }

    #[test]
    fn a_failure_is_partial_in_a_sync_that_has_not_read_the_tables() {
        let mut tally = Tally::default();
        for is_read in [true, false, true] {
            tally.begin();
            if is_read {
                tally.observed(Family::ALL.into_iter(), &[]);
            }
            tally.failed(Family::V6);
        }
        assert_eq!(samples(&tally, "_iptables_restore_failures_total"), [("IPv6".to_owned(), 3)]);
        assert_eq!(samples(&tally, "_iptables_partial_restore_failures_total"), [("IPv6".to_owned(), 1)]);
    }
}
