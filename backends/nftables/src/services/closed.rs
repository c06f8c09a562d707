//! Chains of other programs in which a packet ends that is for the node itself, unless a rule of theirs accepts it.

use portolan_core::addr::Family;
use portolan_netlink::{
    Connection, DumpError,
    uapi::{NFPROTO_INET, hook},
    wire::{Chain, Expr, Policy, Rule, Verdict},
};

use super::names::TABLE;
use crate::table::{key::keyword, lower::protocol_family};

/// `NFT_TABLE_F_DORMANT`: nothing in the table acts.
const DORMANT: u32 = 1;

/// Those of all tables but ours, as people call them: `chain INPUT of table ip filter`.
pub(super) fn closed_inputs(connection: &mut Connection) -> Result<Vec<String>, DumpError> {
    let mut closed = Vec::new();
    let families = Family::ALL.map(|family| (protocol_family(family), keyword(family)));
    for (number, keyword) in [(NFPROTO_INET, "inet")].into_iter().chain(families) {
        for table in connection.tables(number)? {
            let is_ours = number != NFPROTO_INET && table.name == TABLE;
            if is_ours || table.flags & DORMANT != 0 {
                continue;
            }
            let chains = match connection.chains(number, &table.name) {
                // Of a kind that we do not know.
                Err(DumpError::Malformed(_)) => continue,
                chains => chains?,
            };
            for chain in chains {
                if is_closed(connection, number, &chain)? {
                    closed.push(format!("chain {} of table {keyword} {}", chain.name, table.name));
                }
            }
        }
    }
    Ok(closed)
}

fn is_closed(connection: &mut Connection, family: u8, chain: &Chain) -> Result<bool, DumpError> {
    let Some(entered) = chain.hook.filter(|entered| entered.number == hook::INPUT) else { return Ok(false) };
    if entered.policy == Policy::Drop {
        return Ok(true);
    }
    let keep_last = |last: &mut Option<Rule>, rule: Rule| {
        if rule.chain == chain.name {
            *last = Some(rule);
        }
    };
    Ok(connection.each_rule(family, &chain.table, keep_last)?.is_some_and(|last| ends_every_packet(&last)))
}

/// Without a condition, whatever it counts or logs before.
fn ends_every_packet(rule: &Rule) -> bool {
    let Some((Expr::Verdict(Verdict::Drop) | Expr::Reject(_), before)) = rule.exprs.split_last() else { return false };
    before.iter().all(|expr| match expr {
        Expr::Counter(_) => true,
        Expr::Other { name, .. } => name == "log",
        _ => false,
    })
}
