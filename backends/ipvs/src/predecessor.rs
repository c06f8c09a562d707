//! What kube-proxy's ipvs mode leaves besides chains of iptables: virtual servers, ipsets, and the link that has the
//! addresses of all Services.
//!
//! The link is also the sign that there is anything at all: to ask about virtual servers or ipsets would have the kernel load
//! modules for them. So it goes last, and only when all else has gone.

use std::io;

use nix::{errno::Errno, net::if_::if_nametoindex};
use portolan_core::{
    inspect::{Predecessor, Removal, Running},
    object::BackendError,
};
use portolan_netlink::{
    attr::{Attrs, EncodeError, encode},
    request::{NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE, request},
    uapi::flag,
};

/// The link of all Service addresses (pkg/proxy/ipvs/proxier.go, defaultDummyDevice).
const LINK: &str = "kube-ipvs0";

/// IPv4's ipsets (pkg/proxy/ipvs/ipset.go). IPv6's have `KUBE-6-` in the place of `KUBE-`, cut at 31 characters.
const IPSETS: [&str; 17] = [
    "KUBE-LOOP-BACK",
    "KUBE-CLUSTER-IP",
    "KUBE-EXTERNAL-IP",
    "KUBE-EXTERNAL-IP-LOCAL",
    "KUBE-LOAD-BALANCER",
    "KUBE-LOAD-BALANCER-LOCAL",
    "KUBE-LOAD-BALANCER-FW",
    "KUBE-LOAD-BALANCER-SOURCE-IP",
    "KUBE-LOAD-BALANCER-SOURCE-CIDR",
    "KUBE-NODE-PORT-TCP",
    "KUBE-NODE-PORT-LOCAL-TCP",
    "KUBE-NODE-PORT-UDP",
    "KUBE-NODE-PORT-LOCAL-UDP",
    "KUBE-NODE-PORT-SCTP-HASH",
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
    "KUBE-HEALTH-CHECK-NODE-PORT",
    "KUBE-IPVS-IPS",
];

/// IPSET_MAXNAMELEN of linux/netfilter/ipset/ip_set.h, less the zero at its end.
const IPSET_NAME: usize = 31;

/// The kernel cannot be asked or refuses.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The socket fails, or the kernel says no.
    #[error(transparent)]
    Netlink(#[from] io::Error),
    /// A request cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// What kube-proxy's ipvs mode left in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Leftovers {
    spares_virtual_servers: bool,
}

/// A part of it.
enum Part {
    /// All of them: what is not kube-proxy's it has deleted itself, save what `excludeCIDRs` spared.
    VirtualServers(usize),
    /// By their names.
    Ipsets(Vec<String>),
    /// The link's number.
    Link(u32),
}

impl Leftovers {
    /// While Portolan runs the virtual servers stay: which are kube-proxy's does not show, and without the link that has their
    /// addresses no connection comes to kube-proxy's. Only who asks for a clean node has all removed.
    #[must_use]
    pub fn new(running: Running) -> Self {
        Self { spares_virtual_servers: running != Running::None }
    }

    /// In the order in which they go.
    fn find(&self) -> Result<Vec<Part>, Error> {
        let Ok(link) = if_nametoindex(LINK) else { return Ok(Vec::new()) };
        let mut parts = Vec::new();
        if !self.spares_virtual_servers {
            let servers = virtual_servers()?;
            parts.extend((servers > 0).then_some(Part::VirtualServers(servers)));
        }
        let mut sets = Vec::new();
        for name in IPSETS.into_iter().flat_map(names) {
            if ipset(ipset::HEADER, &name)? {
                sets.push(name);
            }
        }
        parts.extend((!sets.is_empty()).then_some(Part::Ipsets(sets)));
        parts.push(Part::Link(link));
        Ok(parts)
    }
}

impl Predecessor for Leftovers {
    fn remove(&mut self, dry_run: bool) -> Removal {
        let mut removal = Removal::default();
        match self.find() {
            Ok(parts) => {
                for part in parts {
                    let outcome = if dry_run { Ok(()) } else { part.remove() };
                    let failed = outcome.is_err();
                    removal.tried([part.words()], outcome);
                    // The link goes after all else, which is not found without it.
                    if failed {
                        break;
                    }
                }
            }
            Err(error) => removal.troubled("what kube-proxy's ipvs mode leaves cannot be looked for".to_owned(), error),
        }
        removal
    }

    fn is_present(&mut self) -> Result<bool, BackendError> {
        Ok(if_nametoindex(LINK).is_ok())
    }
}

impl Part {
    fn words(&self) -> String {
        let what = match self {
            Self::VirtualServers(count) => format!("{count} virtual servers"),
            Self::Ipsets(names) => format!("{} ipsets KUBE-*", names.len()),
            Self::Link(_) => format!("link {LINK}"),
        };
        format!("{what}, of kube-proxy's ipvs mode")
    }

    fn remove(&self) -> Result<(), Error> {
        match self {
            Self::VirtualServers(_) => request(NETLINK_GENERIC, ipvs_family()?, 0, &[IPVS_FLUSH, 1, 0, 0]).map(drop)?,
            Self::Ipsets(names) => {
                for name in names {
                    ipset(ipset::DESTROY, name)?;
                }
            }
            // struct ifinfomsg: family, type, index, flags, mask of flags
            Self::Link(index) => {
                let body = [[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat();
                request(NETLINK_ROUTE, RTM_DELLINK, 0, &body).map(drop)?;
            }
        }
        Ok(())
    }
}

/// linux/rtnetlink.h
const RTM_DELLINK: u16 = 17;
/// linux/ip_vs.h: commands of the generic netlink family `IPVS`, version 1.
const IPVS_GET_SERVICE: u8 = 4;
const IPVS_FLUSH: u8 = 17;
/// linux/genetlink.h: the family of families, its command to find one, and the attributes.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// linux/netfilter/ipset/ip_set.h
mod ipset {
    /// Subsystem of nfnetlink.
    pub(super) const SUBSYSTEM: u8 = 6;
    pub(super) const DESTROY: u8 = 3;
    /// Asks for one set without its members.
    pub(super) const HEADER: u8 = 12;
    pub(super) const ATTR_PROTOCOL: u16 = 1;
    pub(super) const ATTR_SETNAME: u16 = 2;
    /// Understood since Linux 2.6.39.
    pub(super) const PROTOCOL: u8 = 6;
}

fn names(ipv4: &str) -> [String; 2] {
    let ipv6 = ipv4.replacen("KUBE-", "KUBE-6-", 1);
    [ipv4.to_owned(), ipv6.chars().take(IPSET_NAME).collect()]
}

fn ipvs_family() -> Result<u16, Error> {
    let mut body = vec![CTRL_CMD_GETFAMILY, 1, 0, 0];
    body.extend(encode(|w| w.str(CTRL_ATTR_FAMILY_NAME, "IPVS"))?);
    let answers = request(NETLINK_GENERIC, GENL_ID_CTRL, 0, &body)?;
    let id = answers.iter().find_map(|answer| {
        let attr = Attrs::new(answer.get(GENL_HEADER..)?).get(CTRL_ATTR_FAMILY_ID)?;
        attr.value.first_chunk().map(|id| u16::from_ne_bytes(*id))
    });
    Ok(id.ok_or(io::Error::from(Errno::ENOENT))?)
}

fn virtual_servers() -> Result<usize, Error> {
    let family = match ipvs_family() {
        // A kernel without IPVS has no virtual servers.
        Err(Error::Netlink(error)) if is(&error, Errno::ENOENT) => return Ok(0),
        family => family?,
    };
    Ok(request(NETLINK_GENERIC, family, flag::DUMP, &[IPVS_GET_SERVICE, 1, 0, 0])?.len())
}

/// Whether the set is there; with [`ipset::DESTROY`] it was.
fn ipset(command: u8, name: &str) -> Result<bool, Error> {
    // struct nfgenmsg: family, version, resource
    let mut body = vec![0; 4];
    body.extend(encode(|w| {
        w.u8(ipset::ATTR_PROTOCOL, ipset::PROTOCOL);
        w.str(ipset::ATTR_SETNAME, name);
    })?);
    match request(NETLINK_NETFILTER, u16::from_be_bytes([ipset::SUBSYSTEM, command]), 0, &body) {
        // No such set; a kernel without ipsets.
        Err(error) if is(&error, Errno::ENOENT) || is(&error, Errno::EINVAL) => Ok(false),
        result => Ok(result.map(|_| true)?),
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// struct genlmsghdr
const GENL_HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ipsets_fit() {
        assert_eq!(names("KUBE-CLUSTER-IP"), ["KUBE-CLUSTER-IP", "KUBE-6-CLUSTER-IP"]);
        assert_eq!(names("KUBE-LOAD-BALANCER-SOURCE-CIDR")[1], "KUBE-6-LOAD-BALANCER-SOURCE-CID");
        assert!(IPSETS.into_iter().flat_map(names).all(|name| name.len() <= IPSET_NAME));
    }

    #[test]
    fn a_node_without_ipvs_has_none() {
        let mut leftovers = Leftovers::new(Running::None);
        let removal = leftovers.remove(true);
        assert!(removal.removed.is_empty() && removal.trouble.is_empty() && !leftovers.is_present().unwrap());
    }
}
