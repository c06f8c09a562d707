//! What an object is, apart from its name.

use std::sync::Arc;

use crate::rule::{Rule, Target};

/// The value of a [`Key`](crate::Key).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A chain whose rules are objects of their own.
    Dispatch,
    /// The rules of a chain in order, or those in a built-in chain that jump to ours.
    Rules(Arc<[Rule]>),
    /// A rule of a chain that dispatches: its comment, and what it does.
    Rule(Option<Arc<str>>, Target),
    /// Only in the kernel: a rule of a chain that dispatches is there more than once, or stands before a rule that it must
    /// stand behind; or jumps in a built-in chain stand behind a rule of others that lets no packet come to them. All of them,
    /// in order.
    Misplaced(Arc<[Rule]>),
}
