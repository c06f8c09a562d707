//! What the conditions of rules ask.

use portolan_core::trace::{Asks, Branch, Origin, Sticky};

use super::walk::{Walk, as_asked};
use crate::{
    names::{ChainName, Hash, Part},
    rule::{AddressSide, Condition, State},
    text::CERTAIN,
};

impl Walk<'_> {
    /// The packet where a condition holds, and where it does not: one of the two, unless chance decides.
    pub(super) fn question(&self, condition: &Condition, mut branch: Branch) -> (Option<Branch>, Option<Branch>) {
        let packet = self.packet;
        let address = |side: AddressSide| match side {
            AddressSide::Source => packet.source,
            AddressSide::Destination => branch.destination,
        };
        let holds = match condition {
            Condition::Within(side, is, net) => as_asked(*is, net.contains(&address(*side))),
            // A process of the node comes in by no link, and others by one that no detector knows.
            Condition::CameBy(is, _) => as_asked(*is, packet.origin == Origin::Pod),
            Condition::Protocol(is, protocol) => {
                as_asked(*is, matches!(packet.asks, Asks::Port(of, _) if of == *protocol))
            }
            Condition::Comment(_) => true,
            Condition::Port(protocol, port) => {
                let is_of = matches!(packet.asks, Asks::Port(of, _) if of == *protocol);
                is_of && port.is_none_or(|port| port == branch.port)
            }
            Condition::State(is, state) => as_asked(*is, is_in(*state, branch.translated)),
            Condition::Local(side, is) => as_asked(*is, (self.world.is_local)(address(*side))),
            Condition::Marked(is, value, mask) => as_asked(*is, branch.mark & mask == *value),
            Condition::Chance(units) => return part(*units, branch),
            Condition::Known(endpoint, seconds) => {
                branch.remembered_for = *seconds;
                self.world.remembered.contains_key(&list(*endpoint))
            }
            Condition::Remember(endpoint) => {
                let clients = list(*endpoint);
                let left = self.world.remembered.get(&clients).copied();
                branch.sticky = Some(Sticky { clients, timeout: branch.remembered_for, left });
                true
            }
        };
        if holds { (Some(branch), None) } else { (None, Some(branch)) }
    }
}

/// The first packet of a connection is new, and so it belongs to none that is known.
const fn is_in(state: State, translated: bool) -> bool {
    match state {
        State::New => true,
        State::Invalid | State::Known => false,
        State::KnownOrTranslated | State::Translated => translated,
    }
}

/// The kernel stores one in three in units of 2^-31; what was meant is one in a whole number.
fn part(units: u32, branch: Branch) -> (Option<Branch>, Option<Branch>) {
    let of = (u64::from(CERTAIN) + u64::from(units) / 2).checked_div(units.into()).unwrap_or(0);
    match u32::try_from(of) {
        Ok(of) if of > 1 => (Some(branch.part(1, of)), Some(branch.part(of - 1, of))),
        Ok(1) => (Some(branch), None),
        _ => (None, Some(branch)),
    }
}

/// What remembers the clients of an endpoint.
fn list(endpoint: Hash) -> String {
    ChainName::Of(Part::Endpoint, endpoint).to_string()
}
