//! Hearing of links and addresses that come and go (RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR).
//!
//! What the listener's own process does is heard of, too: of an address of IPv6 the kernel does not tell whose request it was.

use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;

use super::{Address, IFLA_IFNAME, LINK_HEADER, RTM_DELADDR, RTM_DELLINK, RTM_NEWADDR, RTM_NEWLINK, parse_link};
use crate::{
    error::WatchError,
    message::{Message, Messages},
    socket::Socket,
};

const GROUPS: [u32; 3] = [1, 5, 9];

/// Room for the notifications between two drains, some 10,000 of them; what overruns it is told as lost.
const RECEIVE_BUFFER: usize = 8 << 20;

/// Something that somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A link of this number and name came, or was changed.
    Link(u32, &'a str),
    /// The link of this number is gone.
    LinkGone(u32),
    /// The link of this number has an address.
    Address(u32, Address),
    /// It has the address no more.
    AddressGone(u32, Address),
    /// The kernel had to drop notifications: anything may have happened.
    Lost,
}

/// A non-blocking socket that receives rtnetlink's notifications.
#[derive(Debug)]
pub struct LinkWatch {
    socket: Socket,
}

impl LinkWatch {
    /// Subscribes. What was done before is not reported.
    ///
    /// # Errors
    /// The socket cannot be made, or not be subscribed.
    pub fn open() -> Result<Self, WatchError> {
        let mut socket = Socket::open(NETLINK_ROUTE, RECEIVE_BUFFER).map_err(WatchError::Open)?;
        GROUPS.into_iter().try_for_each(|group| socket.subscribe(group)).map_err(WatchError::Open)?;
        Ok(Self { socket })
    }

    /// Reads all that is there, without waiting.
    ///
    /// # Errors
    /// The socket failed; losing notifications is no error but [`Heard::Lost`].
    pub fn drain(&mut self, mut hear: impl FnMut(Heard<'_>)) -> Result<(), WatchError> {
        loop {
            match self.socket.receive() {
                Ok(Some(datagram)) => Messages::new(datagram).filter_map(|message| heard(&message)).for_each(&mut hear),
                Ok(None) => return Ok(()),
                Err(Errno::ENOBUFS | Errno::EMSGSIZE) => hear(Heard::Lost),
                Err(errno) => return Err(WatchError::Read(errno.into())),
            }
        }
    }
}

/// `None` of what is neither a link nor an address of IP.
pub(crate) fn heard<'a>(message: &Message<'a>) -> Option<Heard<'a>> {
    let address = || Address::parse(message).ok().flatten();
    match message.kind {
        RTM_NEWLINK => {
            let name = message.attrs_after(LINK_HEADER).get(IFLA_IFNAME)?.str();
            Some(Heard::Link(parse_link(message).ok()?.index, name))
        }
        RTM_DELLINK => Some(Heard::LinkGone(parse_link(message).ok()?.index)),
        RTM_NEWADDR => address().map(|(index, address)| Heard::Address(index, address)),
        RTM_DELADDR => address().map(|(index, address)| Heard::AddressGone(index, address)),
        _ => None,
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
