//! Chains.

use super::Fields;
use crate::{
    attr::{Attrs, Writer},
    error::Malformed,
    uapi::chain,
};

/// A chain: with a hook a base chain, where packets enter, without one a target of jumps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The table that it is in.
    pub table: String,
    /// Its name, at most 255 bytes.
    pub name: String,
    /// Where packets enter, if they do.
    pub hook: Option<Hook>,
    /// What nft keeps with it, for instance a comment; see [`super::userdata`].
    pub userdata: Vec<u8>,
}

/// Where packets enter a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `uapi::hook`
    pub number: u32,
    /// Chains of one hook run in the order of their priorities, lowest first.
    pub priority: i32,
    /// What rules in it may do.
    pub kind: ChainKind,
    /// What becomes of packets that no rule decided about.
    pub policy: Policy,
}

/// What rules in a base chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// `filter`: drop, reject, mark
    Filter,
    /// `nat`: translate addresses; sees only the first packet of a connection
    Nat,
    /// `route`: have a packet routed again
    Route,
}

impl ChainKind {
    const ALL: [Self; 3] = [Self::Filter, Self::Nat, Self::Route];

    const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }
}

/// What becomes of packets that no rule decided about (`NF_DROP`, `NF_ACCEPT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They end here.
    Drop,
    /// They go on.
    Accept,
}

impl Chain {
    /// Writes it for NEWCHAIN.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.str(chain::TABLE, &self.table);
        w.str(chain::NAME, &self.name);
        if let Some(hook) = &self.hook {
            w.nest(chain::HOOK, |w| {
                w.be32(chain::HOOK_NUM, hook.number);
                w.be32(chain::HOOK_PRIORITY, hook.priority.cast_unsigned());
            });
            w.be32(chain::POLICY, u32::from(hook.policy == Policy::Accept));
            w.str(chain::TYPE, hook.kind.name());
        }
        if !self.userdata.is_empty() {
            w.bytes(chain::USERDATA, &self.userdata);
        }
    }

    /// Reads it from a NEWCHAIN message.
    ///
    /// # Errors
    /// It lacks a name, or a base chain what it needs.
    pub fn parse(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let fields = Fields::new("chain", attrs);
        let hook = attrs.get(chain::HOOK).map(|hook| Self::parse_hook(fields, hook.nested())).transpose()?;
        Ok(Self {
            table: fields.text(chain::TABLE, "table")?,
            name: fields.text(chain::NAME, "name")?,
            hook,
            userdata: fields.bytes(chain::USERDATA),
        })
    }

    fn parse_hook(chain: Fields<'_>, hook: Attrs<'_>) -> Result<Hook, Malformed> {
        let malformed = |attribute| Malformed { object: "base chain", attribute };
        let hook = Fields::new("base chain", hook);
        let kind = chain.need(chain::TYPE, "type")?.str();
        Ok(Hook {
            number: hook.be32(chain::HOOK_NUM, "hook number")?,
            priority: hook.be32(chain::HOOK_PRIORITY, "priority")?.cast_signed(),
            kind: ChainKind::ALL.into_iter().find(|known| known.name() == kind).ok_or(malformed("type"))?,
            policy: match chain.be32(chain::POLICY, "policy")? {
                0 => Policy::Drop,
                1 => Policy::Accept,
                _ => return Err(malformed("policy")),
            },
        })
    }
}
