//! What becomes of a packet: rules, asked as the kernel asks them.
//!
//! ```text
//!   from a pod, from outside    from this node
//!            |                        |
//!      nat PREROUTING             nat OUTPUT       translated to an endpoint, or not
//!            |                   filter OUTPUT     rejected, dropped
//!         routing                     |
//!  filter INPUT  filter FORWARD       |            rejected, dropped
//!            |          |             |
//!            |   nat POSTROUTING  nat POSTROUTING  masqueraded, or not
//! ```
//!
//! Only rules of ours are known; the listing of a kernel has no others.

mod question;
mod walk;

use portolan_core::{
    addr::Family,
    desired::LocalDetector,
    trace::{Packet, Trace, World},
};

use crate::{
    key::Key,
    names::{ChainName, Part},
    rule::{AddressSide, Condition, Link},
    rules::Objects,
    value::Value,
};

/// Follows a packet through objects.
pub(crate) fn trace(objects: &Objects<'_>, packet: &Packet, world: &World<'_>) -> Trace {
    walk::Walk::new(objects, packet, world).run()
}

/// How rules tell pods of this node in a family; `None` where none of ours tells them.
pub(crate) fn detector(objects: &Objects<'_>, family: Family) -> Option<LocalDetector> {
    let chains = objects.iter().filter_map(|(key, value)| match (key, value) {
        (Key::Chain(of, _, ChainName::Of(Part::Cluster | Part::Local | Part::External, _)), Value::Rules(rules)) => {
            (*of == family).then_some(rules)
        }
        _ => None,
    });
    chains.flat_map(|rules| rules.iter()).flat_map(|rule| &rule.conditions).find_map(|condition| match condition {
        Condition::Within(AddressSide::Source, _, cidr) => Some(LocalDetector::Cidr(*cidr)),
        Condition::CameBy(_, Link::Named(name)) => Some(LocalDetector::Interface(name.clone())),
        Condition::CameBy(_, Link::Beginning(prefix)) => Some(LocalDetector::InterfacePrefix(prefix.clone())),
        _ => None,
    })
}
