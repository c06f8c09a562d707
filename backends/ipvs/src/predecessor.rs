//! What kube-proxy's ipvs mode leaves besides chains of iptables: virtual servers, ipsets, and the link that has the
//! addresses of all Services.
//!
//! The link is also the sign that there is anything at all: to ask about virtual servers or ipsets would have the kernel load
//! modules for them. So it goes last, and only when all else has gone.

use std::{io, time::Duration};

use nix::{errno::Errno, net::if_::if_nametoindex};
use portolan_core::{
    inspect::{Predecessor, Removal, Running},
    object::BackendError,
};
use portolan_netlink::{
    Answer, Answers, Channel, ChannelError, NETLINK_NETFILTER, Requests,
    ipvs::{Ipvs, IpvsError},
    links::{LinkError, Links},
};

use crate::{
    dialect::DRAINS,
    kernel::{Error as KernelError, Kernel},
    key::LINK,
};

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
pub(crate) enum Error {
    /// The virtual servers.
    #[error(transparent)]
    Ipvs(#[from] IpvsError),
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The virtual servers at addresses of the link, and the link.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The ipsets: the kernel says no.
    #[error(transparent)]
    Ipsets(#[from] io::Error),
    /// The ipsets: the kernel cannot be asked.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// What kube-proxy's ipvs mode left in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Leftovers {
    running: Running,
    /// Where the link is that stays for as long as there are connections to its addresses.
    draining: Option<Kernel>,
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

/// What becomes of a part.
enum Outcome {
    Gone,
    /// It has connections.
    Drains,
    /// Somebody has taken it over while it drained.
    Taken,
}

impl Leftovers {
    /// While Portolan runs in another mode only the virtual servers at addresses of the link go, with that: which of the others
    /// are kube-proxy's does not show. Only who asks for a clean node has all removed.
    #[must_use]
    pub fn new(running: Running) -> Self {
        Self { running, draining: None }
    }

    /// In the order in which they go.
    fn find(&self) -> Result<Vec<Part>, Error> {
        let Ok(link) = if_nametoindex(LINK) else { return Ok(Vec::new()) };
        let mut parts = Vec::new();
        if self.running == Running::None {
            let servers = virtual_servers()?;
            parts.extend((servers > 0).then_some(Part::VirtualServers(servers)));
        }
        let sets = own_ipsets()?;
        parts.extend((!sets.is_empty()).then_some(Part::Ipsets(sets)));
        // In ipvs mode it is adopted.
        parts.extend((self.running != Running::Own).then_some(Part::Link(link)));
        Ok(parts)
    }

    fn remove_part(&mut self, part: Part) -> Result<Outcome, Error> {
        match part {
            Part::VirtualServers(_) => Ipvs::open()?.flush()?,
            Part::Ipsets(names) => drop(ipsets(ipset::DESTROY, Answers::None, names)?),
            // With the virtual servers at its addresses, where this process may ask for them.
            Part::Link(index) => match Kernel::open() {
                Ok(mut kernel) if self.running == Running::Another => {
                    let left = kernel.left()?;
                    if kernel.drain_servers(&left)? > 0 {
                        self.draining = Some(kernel);
                        return Ok(Outcome::Drains);
                    }
                }
                Ok(mut kernel) => drop(kernel.remove_servers(false)?),
                Err(_) => Links::open()?.delete(index)?,
            },
        }
        Ok(Outcome::Gone)
    }
}

impl Predecessor for Leftovers {
    fn remove(&mut self, dry_run: bool) -> Removal {
        let mut removal = Removal::default();
        match self.find() {
            Ok(parts) => {
                for part in parts {
                    let words = part.words();
                    let outcome = if dry_run { Ok(Outcome::Gone) } else { self.remove_part(part) };
                    let failed = outcome.is_err();
                    match outcome {
                        Ok(Outcome::Drains) => removal.draining.push(words),
                        outcome => removal.tried([words], outcome.map(drop)),
                    }
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

    fn drain(&mut self, removed_before: Duration) -> Removal {
        let mut removal = Removal::default();
        let Some(mut kernel) = self.draining.take() else { return removal };
        let words = Part::words_of_link();
        match drain(&mut kernel, removed_before) {
            Ok(Outcome::Gone) => removal.removed.push(words),
            Ok(Outcome::Drains) => {
                removal.draining.push(words);
                self.draining = Some(kernel);
            }
            Ok(Outcome::Taken) => removal.kept.push(format!("{words}: it is in use again")),
            Err(error) => removal.troubled(format!("{words}: not removed"), error),
        }
        removal
    }

    fn is_present(&mut self) -> Result<bool, BackendError> {
        // In ipvs mode the link is ours. A kube-proxy that comes back shows by its chains of iptables.
        Ok(self.running != Running::Own && self.draining.is_none() && if_nametoindex(LINK).is_ok())
    }
}

impl Part {
    fn words(&self) -> String {
        match self {
            Self::VirtualServers(count) => format!("{count} virtual servers, of kube-proxy's ipvs mode"),
            Self::Ipsets(names) => format!("{} ipsets KUBE-*, of kube-proxy's ipvs mode", names.len()),
            Self::Link(_) => Self::words_of_link(),
        }
    }

    fn words_of_link() -> String {
        format!("link {LINK}, of ipvs mode")
    }
}

fn drain(kernel: &mut Kernel, removed_before: Duration) -> Result<Outcome, Error> {
    let left = kernel.left()?;
    Ok(if left.is_in_use() {
        Outcome::Taken
    } else if removed_before >= DRAINS {
        kernel.remove_servers(false)?;
        Outcome::Gone
    } else if kernel.drain_servers(&left)? == 0 {
        Outcome::Gone
    } else {
        Outcome::Drains
    })
}

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

fn virtual_servers() -> Result<usize, Error> {
    match Ipvs::open() {
        // A kernel without IPVS has no virtual servers.
        Err(IpvsError::Unsupported) => Ok(0),
        ipvs => Ok(ipvs?.servers()?.len()),
    }
}

/// Those of kube-proxy's sets that are there.
fn own_ipsets() -> Result<Vec<String>, Error> {
    ipsets(ipset::HEADER, Answers::One, IPSETS.into_iter().flat_map(names).collect())
}

/// Whether kube-proxy's ipvs mode has come back: it makes its sets first, and what Portolan has taken over has none.
pub(crate) fn is_back() -> Result<bool, Error> {
    Ok(!own_ipsets()?.is_empty())
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
