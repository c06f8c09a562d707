//! Virtual servers: what ip_vs.h calls a service (`IPVS_SVC_ATTR_*`), which is another thing in Kubernetes.

use std::net::{IpAddr, SocketAddr};

use super::{
    address::{self, family_of},
    stats::Stats,
    uapi::{self, AF_INET, AF_INET6, server},
};
use crate::{
    attr::{Attrs, Writer},
    error::Malformed,
    fields::Fields,
};

/// What tells a virtual server from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerId {
    /// An address and a port; port 0 stands for all that have no server of their own, and must be persistent.
    Address {
        /// The transport protocol's number. The kernel takes any.
        protocol: u16,
        /// Where clients connect to.
        socket: SocketAddr,
    },
    /// All packets with a firewall mark.
    Mark {
        /// Whether of IPv6 or of IPv4.
        ipv6: bool,
        /// Never 0.
        mark: u32,
    },
}

/// A virtual server, without its destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualServer {
    /// What tells it from others.
    pub id: ServerId,
    /// The scheduler's name, at most 15 bytes: `rr`, `wrr`, `lc`, ... ENOENT where the kernel has none of that name; it loads
    /// the module by itself.
    pub scheduler: String,
    /// [`VirtualServer::PERSISTENT`] and others of `IP_VS_SVC_F_*`. All are set as they are here. The one by which the kernel
    /// says that the server is in its table is left out.
    pub flags: u32,
    /// For how many seconds a persistent server keeps a client at its destination.
    pub timeout: u32,
    /// Which clients are one to a persistent server. IPv4: the mask, with the first bit of the address as the highest; IPv6:
    /// the length of the prefix. [`VirtualServer::each_client`] stands for all being told apart.
    pub netmask: u32,
    /// The persistence engine's name, where it has one: of ours none does.
    pub engine: Option<String>,
}

/// A virtual server that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedServer {
    /// It.
    pub server: VirtualServer,
    /// What has come to it.
    pub stats: Stats,
}

impl VirtualServer {
    /// `IP_VS_SVC_F_PERSISTENT`: clients stay with their destination.
    pub const PERSISTENT: u32 = 0x1;
    /// `IP_VS_SVC_F_ONEPACKET`: each datagram is scheduled anew; UDP only.
    pub const ONE_PACKET: u32 = 0x4;
    /// `IP_VS_SVC_F_SCHED1`: of sh and mh, to take another destination where the one by the hash is not to be used (fallback).
    pub const HASH_FALLBACK: u32 = 0x8;
    /// `IP_VS_SVC_F_SCHED2`: of sh and mh, to hash the client's port, too.
    pub const HASH_PORT: u32 = 0x10;

    /// `IP_VS_SVC_F_HASHED`: the kernel sets it on all that it has.
    const HASHED: u32 = 0x2;

    /// The netmask by which clients of a family are told apart.
    #[must_use]
    pub const fn each_client(addr: IpAddr) -> u32 {
        if addr.is_ipv4() { u32::MAX } else { 128 }
    }

    /// Writes all of it: a request without one of these attributes is EINVAL.
    pub(crate) fn put(&self, w: &mut Writer<'_>) {
        w.nest(uapi::top::SERVICE, |w| {
            self.id.put_fields(w);
            w.str(server::SCHED_NAME, &self.scheduler);
            // struct ip_vs_flags: flags, and which of them to set
            let [flags, mask] = [self.flags, u32::MAX].map(u32::to_ne_bytes);
            w.bytes(server::FLAGS, &[flags, mask].concat());
            w.u32(server::TIMEOUT, self.timeout);
            w.bytes(server::NETMASK, &self.netmask_bytes());
            if let Some(engine) = &self.engine {
                w.str(server::PE_NAME, engine);
            }
        });
    }

    fn netmask_bytes(&self) -> [u8; 4] {
        if self.id.is_ipv6() { self.netmask.to_ne_bytes() } else { self.netmask.to_be_bytes() }
    }
}

impl ServerId {
    /// Whether it is one of IPv6.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        match self {
            Self::Address { socket, .. } => socket.is_ipv6(),
            Self::Mark { ipv6, .. } => *ipv6,
        }
    }

    pub(super) fn put(&self, w: &mut Writer<'_>) {
        w.nest(uapi::top::SERVICE, |w| self.put_fields(w));
    }

    fn put_fields(&self, w: &mut Writer<'_>) {
        match self {
            Self::Address { protocol, socket } => {
                w.u16(server::AF, family_of(socket.ip()));
                w.u16(server::PROTOCOL, *protocol);
                w.bytes(server::ADDR, &address::bytes(socket.ip()));
                w.be16(server::PORT, socket.port());
            }
            Self::Mark { ipv6, mark } => {
                w.u16(server::AF, if *ipv6 { AF_INET6 } else { AF_INET });
                w.u32(server::FWMARK, *mark);
            }
        }
    }

    fn parse(fields: Fields<'_>) -> Result<Self, Malformed> {
        let family = fields.read(server::AF, "family", |attr| attr.u16())?;
        if !matches!(family, AF_INET | AF_INET6) {
            return Err(fields.malformed("family"));
        }
        if fields.get(server::FWMARK).is_some() {
            return Ok(Self::Mark { ipv6: family == AF_INET6, mark: fields.u32(server::FWMARK, "firewall mark")? });
        }
        let addr = fields.read(server::ADDR, "address", |attr| address::parse(family, attr.value))?;
        let port = fields.read(server::PORT, "port", |attr| attr.be16())?;
        let protocol = fields.read(server::PROTOCOL, "protocol", |attr| attr.u16())?;
        Ok(Self::Address { protocol, socket: SocketAddr::new(addr, port) })
    }
}

impl ListedServer {
    /// Reads the attributes of a message about a virtual server.
    pub(crate) fn parse(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let fields = Fields::new("virtual server", attrs).nested(uapi::top::SERVICE, "content")?;
        let id = ServerId::parse(fields)?;
        let flags = fields.read(server::FLAGS, "flags", |attr| attr.value.first_chunk().copied())?;
        let netmask = fields.read(server::NETMASK, "netmask", |attr| attr.value.try_into().ok())?;
        let server = VirtualServer {
            id,
            scheduler: fields.text(server::SCHED_NAME, "scheduler")?,
            flags: u32::from_ne_bytes(flags) & !VirtualServer::HASHED,
            timeout: fields.u32(server::TIMEOUT, "timeout")?,
            netmask: if id.is_ipv6() { u32::from_ne_bytes(netmask) } else { u32::from_be_bytes(netmask) },
            engine: fields.get(server::PE_NAME).map(|name| name.str().to_owned()),
        };
        Ok(Self { server, stats: Stats::parse(fields, server::STATS64, server::STATS) })
    }
}
