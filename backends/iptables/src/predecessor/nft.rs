//! Chains of a proxy as iptables-nft has written them: chains of the nftables tables `ip nat`, `ip6 filter` and so on,
//! read and edited as such.

use portolan_core::addr::Family;
use portolan_netlink::{
    Connection, DumpError, uapi,
    wire::{Expr, Rule, Verdict},
};

use super::{
    Error, Wanted,
    chains::{Link, Plan, Read, TABLES, is_a_proxys},
};
use crate::programs::Variant;

/// A transaction is sent when it has this many bytes: the kernel works on so many for about 0.1 s, and no other program can
/// change its rules meanwhile.
const BATCH_BYTES: usize = 8 << 20;

/// The part of one table that was left.
#[derive(Debug)]
pub(super) struct NftTable {
    family: Family,
    name: &'static str,
    pub(super) plan: Plan<u64>,
}

/// The number of a family in netlink messages.
pub(crate) const fn number(family: Family) -> u8 {
    match family {
        Family::V4 => uapi::NFPROTO_IPV4,
        Family::V6 => uapi::NFPROTO_IPV6,
    }
}

/// How nft names a family.
pub(super) const fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// All tables that may have something of it.
pub(super) fn find(connection: &mut Connection, wanted: Wanted) -> Result<Vec<NftTable>, Error> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let there = connection.tables(number(family))?;
        let mut tables = Vec::new();
        for name in TABLES.into_iter().filter(|name| there.iter().any(|table| table.name == *name)) {
            tables.push(read(connection, family, name)?);
        }
        let which = wanted.of(Variant::Nft, &tables);
        found.extend(tables.into_iter().map(|Read { family, name, chains, links }| {
            let title = format!("table {} {name}", keyword(family));
            NftTable { family, name, plan: Plan::new(title, which, chains, links) }
        }));
    }
    Ok(found)
}

fn read(connection: &mut Connection, family: Family, name: &'static str) -> Result<Read<u64>, DumpError> {
    let chains: Vec<_> = connection.chains(number(family), name)?.into_iter().map(|chain| chain.name).collect();
    let links = if chains.iter().any(|chain| is_a_proxys(chain)) {
        connection.each_rule(number(family), name, |links: &mut Vec<_>, rule| links.extend(link(&rule)))?
    } else {
        Vec::new()
    };
    Ok(Read { family, name, chains, links })
}

/// A rule of iptables ends with at most one verdict.
fn link(rule: &Rule) -> Option<Link<u64>> {
    let to = rule.exprs.iter().find_map(|expr| match expr {
        Expr::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) if is_a_proxys(chain) => Some(chain),
        _ => None,
    })?;
    Some(Link { from: rule.chain.clone(), to: to.clone(), id: rule.handle? })
}

impl NftTable {
    /// In several transactions where it is much: wherever it is cut, what is left is whole.
    pub(super) fn remove(&self, connection: &mut Connection) -> Result<(), Error> {
        if self.plan.words().is_none() {
            return Ok(());
        }
        let (family, table) = (number(self.family), self.name);
        let batch_bytes = BATCH_BYTES.min(connection.capacity() / 2);
        let mut tx = connection.transaction(None);
        for link in &self.plan.unlink {
            tx.delete_rule(0, family, table, &link.from, link.id);
        }
        // Emptied first: no chain can be deleted that a rule leads to.
        let empty = self.plan.remove.iter().map(|chain| (chain, false));
        let delete = self.plan.remove.iter().map(|chain| (chain, true));
        for (chain, delete) in empty.chain(delete) {
            if delete {
                tx.delete_chain(0, family, table, chain);
            } else {
                tx.flush_chain(0, family, table, chain);
            }
            if tx.bytes_len() > batch_bytes {
                connection.commit(tx)?;
                tx = connection.transaction(None);
            }
        }
        Ok(connection.commit(tx)?)
    }
}
