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
    Answer, Answers, Channel, ChannelError, NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE, Requests,
    attr::{Attrs, Writer},
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
    /// The kernel says no.
    #[error(transparent)]
    Kernel(#[from] io::Error),
    /// It cannot be asked.
    #[error(transparent)]
    Channel(#[from] ChannelError),
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
        let sets = ipsets(ipset::HEADER, Answers::One, IPSETS.into_iter().flat_map(names).collect())?;
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
            Self::VirtualServers(_) => {
                let mut generic = Channel::open(NETLINK_GENERIC)?;
                let family = ipvs_family(&mut generic)?;
                ask(&mut generic, family, Answers::None, &[IPVS_FLUSH, 1, 0, 0], |_| {})?;
            }
            Self::Ipsets(names) => drop(ipsets(ipset::DESTROY, Answers::None, names.clone())?),
            // struct ifinfomsg: family, type, index, flags, mask of flags
            Self::Link(index) => {
                let head = [[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat();
                ask(&mut Channel::open(NETLINK_ROUTE)?, RTM_DELLINK, Answers::None, &head, |_| {})?;
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

fn ipvs_family(generic: &mut Channel) -> Result<u16, Error> {
    let name = |w: &mut Writer<'_>| w.str(CTRL_ATTR_FAMILY_NAME, "IPVS");
    let answers = ask(generic, GENL_ID_CTRL, Answers::One, &[CTRL_CMD_GETFAMILY, 1, 0, 0], name)?;
    let id = answers.iter().find_map(|answer| {
        let attr = Attrs::new(answer.get(GENL_HEADER..)?).get(CTRL_ATTR_FAMILY_ID)?;
        attr.value.first_chunk().map(|id| u16::from_ne_bytes(*id))
    });
    Ok(id.ok_or(io::Error::from(Errno::ENOENT))?)
}

fn virtual_servers() -> Result<usize, Error> {
    let mut generic = Channel::open(NETLINK_GENERIC)?;
    let family = match ipvs_family(&mut generic) {
        // A kernel without IPVS has no virtual servers.
        Err(Error::Kernel(error)) if is(&error, Errno::ENOENT) => return Ok(0),
        family => family?,
    };
    Ok(ask(&mut generic, family, Answers::List, &[IPVS_GET_SERVICE, 1, 0, 0], |_| {})?.len())
}

/// One request: what its answers have after their headers.
fn ask(
    channel: &mut Channel,
    kind: u16,
    answers: Answers,
    head: &[u8],
    content: impl FnOnce(&mut Writer<'_>),
) -> Result<Vec<Vec<u8>>, Error> {
    let mut requests = Requests::default();
    requests.add(kind, 0, answers, head, content);
    let (mut objects, mut failed) = (Vec::new(), None);
    channel.run(&mut requests, |_, answer| match answer {
        Answer::Object(object) => objects.push(object.payload.to_vec()),
        Answer::Refused(errno, _) => failed = Some(errno.into()),
        Answer::Lost => failed = Some(io::ErrorKind::UnexpectedEof.into()),
        Answer::Done | Answer::Interrupted => {}
    })?;
    failed.map_or(Ok(objects), |error: io::Error| Err(error.into()))
}

/// Those of the sets that are there; with [`ipset::DESTROY`] they were.
fn ipsets(command: u8, answers: Answers, mut names: Vec<String>) -> Result<Vec<String>, Error> {
    let mut requests = Requests::default();
    for name in &names {
        // struct nfgenmsg: family, version, resource
        requests.add(u16::from_be_bytes([ipset::SUBSYSTEM, command]), 0, answers, &[0; 4], |w| {
            w.u8(ipset::ATTR_PROTOCOL, ipset::PROTOCOL);
            w.str(ipset::ATTR_SETNAME, name);
        });
    }
    let (mut there, mut failed) = (vec![true; names.len()], None);
    Channel::open(NETLINK_NETFILTER)?.run(&mut requests, |number, answer| match answer {
        // No such set; a kernel without ipsets.
        Answer::Refused(Errno::ENOENT | Errno::EINVAL, _) => there.get_mut(number).map_or((), |there| *there = false),
        Answer::Refused(errno, _) => failed = Some(errno.into()),
        Answer::Lost => failed = Some(io::ErrorKind::UnexpectedEof.into()),
        Answer::Object(_) | Answer::Done | Answer::Interrupted => {}
    })?;
    let mut there = there.into_iter();
    names.retain(|_| there.next() == Some(true));
    failed.map_or(Ok(names), |error: io::Error| Err(error.into()))
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
