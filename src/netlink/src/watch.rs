//! Hearing of changes that other programs make.
//!
//! Each commit of anybody in this network namespace sends one message for each object that it touched and then one
//! NEWGEN with the new generation and who it was. All of them carry the netlink port of whoever committed, so our own
//! are skipped by a number in the header.

use std::{
    mem,
    os::fd::{AsFd, BorrowedFd},
};

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::{
    attr::Attrs,
    error::WatchError,
    message::Messages,
    socket::Socket,
    uapi::{NFNLGRP_NFTABLES, NFTA_GEN_ID, NFTA_GEN_PROC_NAME, NFTA_GEN_PROC_PID, chain, msg, rule, table},
};

/// Room for the notifications between two drains; what overruns it is told as lost.
const RECEIVE_BUFFER: usize = 8 << 20;

/// A non-blocking socket that receives the notifications of nf_tables (NFNLGRP_NFTABLES), and what was heard by it.
///
/// While it is open every commit costs 3 to 4 microseconds more, and a bulk load three times as much: close it
/// before one (drop it), and compare the generation after opening the next.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    /// Changes of what is ours were heard of that are part of a commit whose end was not.
    touching: bool,
    /// Who changed something of ours last, until that is asked.
    author: Option<Author>,
}

/// One object that another program made, changed or deleted.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// `uapi::NFPROTO_*`
    pub family: u8,
    /// The table that it is, or is in.
    pub table: &'a str,
    /// What happened to what: `uapi::msg::NEW*` and `DEL*`.
    pub msg_type: u8,
    attrs: Attrs<'a>,
}

impl<'a> Change<'a> {
    /// The chain that it is, or is a rule of; looked for when it is asked, which most who hear of a change need not.
    #[must_use]
    pub fn chain(&self) -> Option<&'a str> {
        let name = match self.msg_type {
            msg::NEWCHAIN | msg::DELCHAIN => chain::NAME,
            msg::NEWRULE | msg::DELRULE => rule::CHAIN,
            _ => return None,
        };
        self.attrs.get(name).map(|attr| attr.str())
    }
}

/// Who committed, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The thread, as the machine's first pid namespace numbers it (`task_pid_nr`): from within a container it is another's
    /// number.
    pub process: u32,
    /// The thread's name, at most 15 bytes; the program's, where a thread has none of its own.
    pub program: String,
}

/// What one drain saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Another program changed something that is ours.
    pub touched: bool,
    /// The generation after the latest commit of another program, if there was one.
    pub foreign_generation: Option<u32>,
    /// The kernel had to drop notifications: anything may have changed.
    pub lost: bool,
}

impl Watch {
    /// Subscribes. What was changed before is not reported.
    ///
    /// # Errors
    /// The socket cannot be made, or not be subscribed.
    pub fn open() -> Result<Self, WatchError> {
        let mut socket = Socket::open(NETLINK_NETFILTER, RECEIVE_BUFFER).map_err(WatchError::Open)?;
        socket.subscribe(NFNLGRP_NFTABLES).map_err(WatchError::Open)?;
        Ok(Self { socket, touching: false, author: None })
    }

    /// Reads all that is there, without waiting, and passes over the commits of `own_port`. Of the changes of others
    /// `is_ours` says whether they are of what the caller watches; of a commit it is asked until it has said yes.
    ///
    /// # Errors
    /// The socket failed; losing notifications is no error but [`Drained::lost`].
    pub fn drain(
        &mut self,
        own_port: u32,
        mut is_ours: impl FnMut(&Change<'_>) -> bool,
    ) -> Result<Drained, WatchError> {
        let mut drained = Drained::default();
        loop {
            let datagram = match self.socket.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => break,
                Err(Errno::ENOBUFS | Errno::EMSGSIZE) => {
                    drained.lost = true;
                    continue;
                }
                Err(errno) => return Err(WatchError::Read(errno.into())),
            };
            for message in Messages::new(datagram).filter(|message| message.port != own_port) {
                let Some(msg_type) = message.nftables_type() else { continue };
                let attrs = message.attrs();
                if msg_type == msg::NEWGEN {
                    drained.foreign_generation = generation(attrs).or(drained.foreign_generation);
                    if mem::take(&mut self.touching) {
                        self.author = author(attrs).or(self.author.take());
                    }
                    continue;
                }
                // Every object of nf_tables has its table's name as attribute 1, a table its own.
                if !self.touching
                    && let Some(table) = attrs.get(table::NAME)
                {
                    self.touching = is_ours(&Change { family: message.family(), table: table.str(), msg_type, attrs });
                }
                drained.touched |= self.touching;
            }
        }
        if drained.lost {
            // The end of a commit may be lost, too: the next one's author has not made its changes.
            (self.touching, self.author) = (false, None);
        }
        Ok(drained)
    }

    /// Who changed something of ours last, as far as it was [drained](Self::drain); told once.
    pub fn author(&mut self) -> Option<Author> {
        self.author.take()
    }
}

fn generation(attrs: Attrs<'_>) -> Option<u32> {
    attrs.get(NFTA_GEN_ID)?.be32()
}

fn author(attrs: Attrs<'_>) -> Option<Author> {
    let process = attrs.get(NFTA_GEN_PROC_PID)?.be32()?;
    Some(Author { process, program: attrs.get(NFTA_GEN_PROC_NAME)?.str().to_owned() })
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
