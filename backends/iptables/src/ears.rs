//! Hearing of what other programs do to chains of iptables-nft. These are chains of nf_tables, so the kernel notifies whoever
//! asks; of iptables-legacy's tables nobody is ever told.
//!
//! Our own commits are made by a program that we start, which has a netlink port of its own: the kernel gives a socket the
//! number of its process (`netlink_autobind`), as our pid namespace has it. So after each run its notifications are passed
//! over by that number, and all that come between two runs are others'.

use std::os::fd::{AsFd, BorrowedFd};

use portolan_core::object::Editor;
use portolan_netlink::{Author, Change, Watch, WatchError, uapi};

use crate::names::{BuiltIn, ChainName, Table};

/// Listens from when it is opened.
#[derive(Debug)]
pub(crate) struct Ears {
    watch: Watch,
    /// Something of ours may not be as we know it.
    heard: bool,
}

impl Ears {
    pub(crate) fn open() -> Result<Self, WatchError> {
        Ok(Self { watch: Watch::open()?, heard: true })
    }

    /// Whether others have changed something since this was last forgotten. `own` is the process that has run for us since
    /// the last call.
    pub(crate) fn hear(&mut self, own: Option<u32>) -> Result<bool, WatchError> {
        let drained = self.watch.drain(own.unwrap_or(KERNEL), concerns_us)?;
        self.heard |= drained.touched || drained.lost;
        Ok(self.heard)
    }

    /// What was heard is about to be looked at.
    pub(crate) fn forget(&mut self) -> Result<(), WatchError> {
        self.hear(None)?;
        self.heard = false;
        Ok(())
    }

    /// Who it was; told once.
    pub(crate) fn editor(&mut self) -> Option<Editor> {
        // The end of a commit whose objects were heard of may be heard of by now. What goes wrong is told by who needs it.
        let _ = self.hear(None);
        self.watch.author().map(|Author { process, program }| Editor { program, process })
    }
}

/// The port of no process.
const KERNEL: u32 = 0;

/// Whether it is a chain of ours, one that leads there, or a table with all its chains.
fn concerns_us(change: &Change<'_>) -> bool {
    let is_ours = |chain: &str| ChainName::parse(chain).is_some() || BuiltIn::parse(chain).is_some();
    [uapi::NFPROTO_IPV4, uapi::NFPROTO_IPV6].contains(&change.family)
        && Table::ALL.iter().any(|table| table.as_str() == change.table)
        && change.chain().is_none_or(is_ours)
}

impl AsFd for Ears {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}
