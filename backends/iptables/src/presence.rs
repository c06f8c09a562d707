//! Whether the kernel holds rules of Portolan's. kube-proxy's iptables mode has the same chains, so it takes a rule that only
//! Portolan writes, in a chain that a kube-proxy which takes our place empties in its first sync.
//!
//! Commands ask every backend, on nodes without iptables, too: where the chain is in no table, no program is run.

use portolan_core::addr::Family;
use portolan_netlink::Connection;

use crate::{
    backend::Xtables,
    listing::{self, Line},
    names::{ChainName, Table},
    predecessor::{legacy, nft},
    programs::ProgramError,
};

impl Xtables {
    /// For commands that ask what the kernel holds; `None` where that cannot be anything of ours: without programs that work, no
    /// Portolan has written rules here.
    #[must_use]
    pub fn if_there() -> Option<Self> {
        let services = ChainName::Services.to_string();
        let in_nf_tables = |family| {
            // A kernel without nf_tables has none.
            let connection = Connection::open().ok();
            connection.is_some_and(|mut connection| {
                connection.has_chain(nft::number(family), Table::Filter.as_str(), &services).unwrap_or(false)
            })
        };
        let in_x_tables = |family| legacy::tables(family).is_ok_and(|tables| tables.contains(&Table::Filter.as_str()));
        let may_be_there = Family::ALL.into_iter().any(|family| in_nf_tables(family) || in_x_tables(family));
        // Packets meet the chain that kubelet has too, so who asks is told of it.
        may_be_there.then(|| Self::open(true).ok()).flatten()
    }

    pub(crate) fn holds_ours(&self) -> Result<bool, ProgramError> {
        for family in self.programs().families() {
            let saved = self.programs().save(family, Table::Filter.as_str())?;
            if listing::lines(&saved).any(|line| line.is_ok_and(|line| is_ours_alone(&line))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// `-A KUBE-SERVICES ... -j KUBE-EXTERNAL-SERVICES`: kube-proxy goes there from chains of the kernel's only.
fn is_ours_alone(line: &Line<'_>) -> bool {
    let Line::Rule { chain, rule, .. } = line else { return false };
    let target = rule.rsplit(' ').next().and_then(ChainName::parse);
    ChainName::parse(chain) == Some(ChainName::Services) && target == Some(ChainName::ExternalServices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kube_proxys_rules_are_not_ours() {
        let is_ours = |text: &str| listing::lines(text).any(|line| is_ours_alone(&line.unwrap()));
        let external =
            "-m comment --comment \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES";
        let in_chain = |chain: &str| format!("*filter\n:{chain} - [0:0]\n-A {chain} {external}\nCOMMIT\n");
        assert!(is_ours(&in_chain("KUBE-SERVICES")));
        assert!(!is_ours(&in_chain("INPUT")) && !is_ours(&in_chain("FORWARD")));
        assert!(!is_ours("*filter\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -d 10.96.0.1/32 -j REJECT\nCOMMIT\n"));
    }
}
