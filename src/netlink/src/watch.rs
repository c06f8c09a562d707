//! Hearing of changes that other programs make.
//!
//! Each commit of anybody in this network namespace sends one message for each object that it touched and then one
//! NEWGEN with the new generation and who it was. All of them carry the netlink port of whoever committed, so our own
//! are skipped by a number in the header.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::{
    error::WatchError,
    message::Messages,
    socket::Socket,
    uapi::{NFNLGRP_NFTABLES, NFTA_GEN_ID, NFTA_GEN_PROC_NAME, NFTA_GEN_PROC_PID, chain, msg, rule, table},
};

/// Room for the notifications between two drains; what overruns it is told as lost.
const RECEIVE_BUFFER: usize = 8 << 20;

/// A non-blocking socket that receives the notifications of nf_tables (NFNLGRP_NFTABLES).
///
/// While it is open every commit costs 3 to 4 microseconds more, and a bulk load three times as much: close it
/// before one (drop it), and compare the generation after opening the next.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
}

/// One object that another program made, changed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// `uapi::NFPROTO_*`
    pub family: u8,
    /// The table that it is, or is in.
    pub table: &'a str,
    /// The chain that it is, or is a rule of.
    pub chain: Option<&'a str>,
    /// What happened to what: `uapi::msg::NEW*` and `DEL*`.
    pub msg_type: u8,
}

/// Who committed, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author<'a> {
    /// The thread, as the machine's first pid namespace numbers it (`task_pid_nr`): from within a container it is another's
    /// number.
    pub process: u32,
    /// The thread's name, at most 15 bytes; the program's, where a thread has none of its own.
    pub program: &'a str,
}

/// What a drain reports, in the order of the commits: the objects of one, then whose it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// An object was made, changed or deleted.
    Change(Change<'a>),
    /// Those were the changes of one commit.
    Commit(Author<'a>),
}

/// What one drain saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
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
        Ok(Self { socket })
    }

    /// Reads all that is there, without waiting, and reports the commits of every port but `own_port`.
    ///
    /// # Errors
    /// The socket failed; losing notifications is no error but [`Drained::lost`].
    pub fn drain(&mut self, own_port: u32, mut report: impl FnMut(Heard<'_>)) -> Result<Drained, WatchError> {
        let mut drained = Drained::default();
        loop {
            let datagram = match self.socket.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Ok(drained),
                Err(Errno::ENOBUFS | Errno::EMSGSIZE) => {
                    drained.lost = true;
                    continue;
                }
                Err(errno) => return Err(WatchError::Read(errno.into())),
            };
            for message in Messages::new(datagram).filter(|message| message.port != own_port) {
                match message.nftables_type() {
                    Some(msg::NEWGEN) => {
                        let number = |kind| message.attrs().get(kind).and_then(|attr| attr.be32());
                        drained.foreign_generation = number(NFTA_GEN_ID).or(drained.foreign_generation);
                        let program = message.attrs().get(NFTA_GEN_PROC_NAME).map(|attr| attr.str());
                        if let (Some(process), Some(program)) = (number(NFTA_GEN_PROC_PID), program) {
                            report(Heard::Commit(Author { process, program }));
                        }
                    }
                    Some(msg_type) => {
                        // Every object of nf_tables has its table's name as attribute 1, a table its own.
                        if let Some(table) = message.attrs().get(table::NAME) {
                            let name_of_chain = match msg_type {
                                msg::NEWCHAIN | msg::DELCHAIN => Some(chain::NAME),
                                msg::NEWRULE | msg::DELRULE => Some(rule::CHAIN),
                                _ => None,
                            };
                            let chain = name_of_chain.and_then(|kind| message.attrs().get(kind)).map(|name| name.str());
                            let (family, table) = (message.family(), table.str());
                            report(Heard::Change(Change { family, table, chain, msg_type }));
                        }
                    }
                    None => {}
                }
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
