//! IP Virtual Server over generic netlink: virtual servers, their destinations, timeouts (include/uapi/linux/ip_vs.h).
//!
//! ```text
//!   Change, Change, ... --change--> refusals, each with the number of its change     no transaction: each stands alone
//!   servers()                 ----> every virtual server of this network namespace, whoever made it
//!   destinations([id, ...])   ----> the destinations of each
//! ```
//!
//! # What it costs (7.3 in User-mode Linux)
//!
//! 10,000 virtual servers with two destinations each are made in 0.2 s, 7 microseconds each, where `ipvsadm -R` takes 6.5 s.
//! They are listed in 0.2 s, and their destinations, a list for each server, in 0.6 s.
//!
//! # What the kernel does (7.3; `tests/kernel/ipvs.rs` holds it to that, but for a torn list, which its source tells)
//!
//! * EEXIST: the virtual server or destination is there. ESRCH: no such virtual server. ENOENT: no such destination, or no such
//!   scheduler. ERANGE: a weight or threshold that is none.
//! * EINVAL of a destination: its address is none of a single host, for which in a network namespace without any address every
//!   one of IPv4 is taken.
//! * The destinations of a virtual server that is not there are listed as none: whether it is there, the list of virtual servers
//!   tells. They are listed with the last one added first.
//! * **Nothing tells that a list is torn**: whoever adds or deletes a virtual server while they are listed (32 KiB at a time, about
//!   100 of them) makes the kernel pass over one or list one twice. There are no notifications either.
//! * A virtual server in the table has a flag (`IP_VS_SVC_F_HASHED`) that nobody set.
//! * Of the three timeouts those of 0 seconds are left as they are.
//! * A virtual server of IPv6 whose netmask has more than 128 bits is EINVAL, and none is made; but ENOENT where there is no such
//!   scheduler.
//! * Reading needs CAP_NET_ADMIN as well, and in the first user namespace.

mod address;
mod config;
mod destination;
mod error;
mod module;
mod server;
mod stats;
#[cfg(test)]
mod tests;
mod uapi;

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
};

use netlink_sys::protocols::NETLINK_GENERIC;
use nix::errno::Errno;

use self::uapi::command;
pub use self::{
    config::{Info, Timeouts},
    destination::{Destination, Forwarding, ListedDestination},
    error::IpvsError,
    server::{ListedServer, ServerId, VirtualServer},
    stats::Stats,
};
use crate::{
    attr::{Attrs, Writer},
    channel::{Answers, Channel, ChannelError, RequestError, Requests},
    error::{Malformed, Refusal},
    generic,
};

/// One operation.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// Makes a virtual server without destinations.
    AddServer(&'a VirtualServer),
    /// Changes everything but its identity.
    SetServer(&'a VirtualServer),
    /// Deletes a virtual server with its destinations. Packets of its connections are dropped from then on.
    DeleteServer(&'a ServerId),
    /// Adds a destination to a virtual server.
    AddDestination(&'a ServerId, &'a Destination),
    /// Changes everything but its address and port.
    SetDestination(&'a ServerId, &'a Destination),
    /// Deletes a destination. What becomes of its connections is said by the sysctls of IPVS.
    DeleteDestination(&'a ServerId, SocketAddr),
}

/// A blocking netlink socket that reads and changes IPVS in this network namespace.
#[derive(Debug)]
pub struct Ipvs {
    channel: Channel,
    family: u16,
}

impl Ipvs {
    /// Opens a socket and looks for IPVS, for which the kernel loads the module.
    ///
    /// # Errors
    /// [`IpvsError::Unsupported`] where the kernel has no IPVS; see [`IpvsError`] for others.
    pub fn open() -> Result<Self, IpvsError> {
        let mut channel = Channel::open(NETLINK_GENERIC).map_err(ChannelError::Io)?;
        let mut family = generic::family(&mut channel, uapi::FAMILY);
        if is_unknown(&family) && module::load().is_ok() {
            family = generic::family(&mut channel, uapi::FAMILY);
        }
        if is_unknown(&family) { Err(IpvsError::Unsupported) } else { Ok(Self { channel, family: family? }) }
    }

    /// Whether the kernel has a scheduler of this name, for which it loads the module. A virtual server is asked for that
    /// cannot be, for its netmask: the kernel looks for the scheduler first, and makes nothing.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn knows_scheduler(&mut self, name: &str) -> Result<bool, IpvsError> {
        let impossible = VirtualServer {
            id: ServerId::Address { protocol: 6, socket: (Ipv6Addr::UNSPECIFIED, 1).into() },
            scheduler: name.to_owned(),
            flags: 0,
            timeout: 0,
            netmask: VirtualServer::each_client(Ipv6Addr::UNSPECIFIED.into()) + 1,
            engine: None,
        };
        let refusals = self.change([Change::AddServer(&impossible)])?;
        Ok(!refusals.iter().any(|refusal| refusal.errno == Errno::ENOENT))
    }

    /// Makes changes, one after the other, whatever becomes of those before. Change `n` that the kernel does not make is a
    /// refusal with the number `n`.
    ///
    /// # Errors
    /// See [`IpvsError`]. After any error some may have been made.
    pub fn change<'a>(&mut self, changes: impl IntoIterator<Item = Change<'a>>) -> Result<Vec<Refusal>, IpvsError> {
        let mut requests = Requests::default();
        for change in changes {
            self.add(&mut requests, change.command(), Answers::None, |w| change.put(w));
        }
        let refusals = self.channel.change(&mut requests)?;
        if refusals.iter().any(|refusal| refusal.errno == Errno::EPERM) { Err(IpvsError::Denied) } else { Ok(refusals) }
    }

    /// All virtual servers, in no order.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn servers(&mut self) -> Result<Vec<ListedServer>, IpvsError> {
        let mut servers = Vec::new();
        let mut requests = Requests::default();
        self.add(&mut requests, command::GET_SERVICE, Answers::List, |_| {});
        self.read(&mut requests, |_, attrs| {
            servers.push(ListedServer::parse(attrs)?);
            Ok(())
        })?;
        Ok(servers)
    }

    /// One virtual server; `None` where it is not there.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn server(&mut self, id: &ServerId) -> Result<Option<ListedServer>, IpvsError> {
        let mut server = None;
        let mut requests = Requests::default();
        self.add(&mut requests, command::GET_SERVICE, Answers::One, |w| id.put(w));
        let read = self.read(&mut requests, |_, attrs| {
            server = Some(ListedServer::parse(attrs)?);
            Ok(())
        });
        match read {
            Err(IpvsError::Request(RequestError::Refused(Errno::ESRCH))) => Ok(None),
            read => read.map(|()| server),
        }
    }

    /// The destinations of each of these virtual servers; none of one that is not there.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn destinations(&mut self, servers: &[ServerId]) -> Result<Vec<Vec<ListedDestination>>, IpvsError> {
        let mut listed = vec![Vec::new(); servers.len()];
        let mut requests = Requests::default();
        for server in servers {
            self.add(&mut requests, command::GET_DEST, Answers::List, |w| server.put(w));
        }
        self.read(&mut requests, |number, attrs| {
            if let (Some(listed), Some(server)) = (listed.get_mut(number), servers.get(number)) {
                listed.push(ListedDestination::parse(attrs, server)?);
            }
            Ok(())
        })?;
        Ok(listed)
    }

    /// The timeouts; 0 of a protocol that the kernel was built without.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn timeouts(&mut self) -> Result<Timeouts, IpvsError> {
        self.one(command::GET_CONFIG, |attrs| Ok(Timeouts::parse(attrs)))
    }

    /// Sets the timeouts that are not 0.
    ///
    /// # Errors
    /// See [`IpvsError`]; EINVAL where one is longer than the kernel can count.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), IpvsError> {
        let mut requests = Requests::default();
        self.add(&mut requests, command::SET_CONFIG, Answers::None, |w| timeouts.put(w));
        self.read(&mut requests, |_, _| Ok(()))
    }

    /// The kernel's version of IPVS and the size of its table.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn info(&mut self) -> Result<Info, IpvsError> {
        self.one(command::GET_INFO, Info::parse)
    }

    /// Deletes every virtual server of this network namespace, whoever made it.
    ///
    /// # Errors
    /// See [`IpvsError`].
    pub fn flush(&mut self) -> Result<(), IpvsError> {
        let mut requests = Requests::default();
        self.add(&mut requests, command::FLUSH, Answers::None, |_| {});
        self.read(&mut requests, |_, _| Ok(()))
    }

    fn one<T>(&mut self, command: u8, parse: impl Fn(Attrs<'_>) -> Result<T, Malformed>) -> Result<T, IpvsError> {
        let mut found = None;
        let mut requests = Requests::default();
        self.add(&mut requests, command, Answers::One, |_| {});
        self.read(&mut requests, |_, attrs| {
            found = Some(parse(attrs)?);
            Ok(())
        })?;
        found.ok_or(ChannelError::Io(io::ErrorKind::UnexpectedEof.into()).into())
    }

    fn add(&self, requests: &mut Requests, command: u8, answers: Answers, content: impl FnOnce(&mut Writer<'_>)) {
        requests.add(self.family, 0, answers, &generic::head(command, uapi::VERSION), content);
    }

    /// Runs requests, all of which must succeed.
    fn read(
        &mut self,
        requests: &mut Requests,
        mut read: impl FnMut(usize, Attrs<'_>) -> Result<(), Malformed>,
    ) -> Result<(), IpvsError> {
        // IPVS never says that a list is torn.
        self.channel.read(requests, |number, object| read(number, object.attrs_after(generic::HEADER)))?;
        Ok(())
    }
}

/// No module has added it.
const fn is_unknown(family: &Result<u16, RequestError>) -> bool {
    matches!(family, Err(RequestError::Refused(Errno::ENOENT)))
}

impl Change<'_> {
    const fn command(&self) -> u8 {
        match self {
            Self::AddServer(_) => command::NEW_SERVICE,
            Self::SetServer(_) => command::SET_SERVICE,
            Self::DeleteServer(_) => command::DEL_SERVICE,
            Self::AddDestination(..) => command::NEW_DEST,
            Self::SetDestination(..) => command::SET_DEST,
            Self::DeleteDestination(..) => command::DEL_DEST,
        }
    }

    fn put(&self, w: &mut Writer<'_>) {
        match self {
            Self::AddServer(server) | Self::SetServer(server) => server.put(w),
            Self::DeleteServer(id) => id.put(w),
            Self::AddDestination(id, destination) | Self::SetDestination(id, destination) => destination.put(w, id),
            Self::DeleteDestination(id, socket) => destination::put_id(w, id, *socket),
        }
    }
}
