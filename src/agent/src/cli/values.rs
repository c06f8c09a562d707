//! Values on the command line, parsed once into the types that the model wants.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, PerFamily, Protocol},
    model::NodePortAddresses,
};
use portolan_nftables::trace::Asks;

/// The rule that a value breaks.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Blanks only.
    #[error("a node's name cannot be blank")]
    BlankHostname,
    /// The host's own name cannot be used.
    #[error("the host's name cannot be read: give the node's name with --hostname-override")]
    HostsName(#[source] io::Error),
    /// Not of the form address/prefix length.
    #[error("{0:?} is not a CIDR (an address and a prefix length), such as 10.0.0.0/8 or fd00::/48")]
    NotACidr(String),
    /// Nothing between two commas.
    #[error("there is an empty entry in the list: leave the flag out for its default")]
    Empty,
    /// Nobody is left who is no pod.
    #[error("{0} is every address: give the CIDR of the pods")]
    EveryAddress(IpNet),
    /// The detector knows one CIDR for each family.
    #[error("{cidr} is a second {family} CIDR: give at most one for each IP family")]
    SecondOfFamily {
        /// The second one.
        cidr: IpNet,
        /// The family that had one already.
        family: Family,
    },
    /// A way to detect pods that needs another option.
    #[error("--detect-local-mode {mode} needs {option}")]
    DetectorNeeds {
        /// The mode.
        mode: &'static str,
        /// The option.
        option: &'static str,
    },
    /// No bit of a mark.
    #[error("{0:?} is not the number of a bit: give one from 0 to 31")]
    NotABit(String),
    /// Not of the form address:port/protocol.
    #[error(
        "{0:?} is not an address with port and protocol, such as 10.96.0.1:443/tcp, [fd00::1]:53/udp or 10.96.0.1/icmp"
    )]
    NotAsked(String),
    /// `primary` among CIDRs.
    #[error("`primary` stands alone: give either it or a list of CIDRs")]
    PrimaryAmongCidrs,
}

/// A node's name: not blank, lower-case, as kube-proxy and the kubelet make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname(pub String);

impl Hostname {
    /// The name of this host.
    ///
    /// # Errors
    /// When the host has none, or none that is UTF-8.
    pub fn of_host() -> Result<Self, ValueError> {
        let name = nix::unistd::gethostname().map_err(|error| ValueError::HostsName(error.into()))?;
        let name = name.into_string().map_err(|_| ValueError::HostsName(io::ErrorKind::InvalidData.into()))?;
        name.parse()
    }
}

impl FromStr for Hostname {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let name = text.trim().to_lowercase();
        if name.is_empty() { Err(ValueError::BlankHostname) } else { Ok(Self(name)) }
    }
}

/// `--to`: an address and what is asked there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The address.
    pub address: IpAddr,
    /// A port, or an echo.
    pub asks: Asks,
}

impl FromStr for Asked {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (to, protocol) = text.rsplit_once('/').ok_or_else(|| ValueError::NotAsked(text.to_owned()))?;
        let known = Protocol::ALL.into_iter().find(|known| known.to_string() == protocol.to_lowercase());
        let asked = match known {
            Some(protocol) => to.parse::<SocketAddr>().ok().map(|to| (to.ip(), Asks::Port(protocol, to.port()))),
            None => to.parse().ok().filter(|_| protocol == "icmp").map(|address| (address, Asks::Echo)),
        };
        asked.map(|(address, asks)| Self { address, asks }).ok_or_else(|| ValueError::NotAsked(text.to_owned()))
    }
}

/// `--cluster-cidr`: at most one CIDR for each IP family, and at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterCidr(pub PerFamily<Option<IpNet>>);

impl FromStr for ClusterCidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut cidrs = PerFamily::<Option<IpNet>>::default();
        for cidr in cidr_list(text)? {
            if cidr.prefix_len() == 0 {
                return Err(ValueError::EveryAddress(cidr));
            }
            let family = Family::of(cidr.addr());
            if cidrs.get_mut(family).replace(cidr).is_some() {
                return Err(ValueError::SecondOfFamily { cidr, family });
            }
        }
        Ok(Self(cidrs))
    }
}

/// `--iptables-masquerade-bit`: 0 to 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MasqueradeBit(u8);

impl MasqueradeBit {
    /// The mark with this bit alone.
    #[must_use]
    pub const fn mark(self) -> u32 {
        1 << self.0
    }
}

impl FromStr for MasqueradeBit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bit = text.trim().parse().ok().filter(|bit| *bit < 32);
        bit.map(Self).ok_or_else(|| ValueError::NotABit(text.to_owned()))
    }
}

/// `--nodeport-addresses`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePortList(pub NodePortAddresses);

impl FromStr for NodePortList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.trim() == "primary" {
            return Ok(Self(NodePortAddresses::Primary));
        }
        if text.split(',').any(|entry| entry.trim() == "primary") {
            return Err(ValueError::PrimaryAmongCidrs);
        }
        cidr_list(text).map(NodePortAddresses::Cidrs).map(Self)
    }
}

/// Host bits are cut off, as Go's `net.ParseCIDR` does for kube-proxy.
fn cidr_list(text: &str) -> Result<Vec<IpNet>, ValueError> {
    text.split(',')
        .map(str::trim)
        .map(|entry| match entry {
            "" => Err(ValueError::Empty),
            _ => IpNet::from_str(entry).map(|cidr| cidr.trunc()).map_err(|_| ValueError::NotACidr(entry.to_owned())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_case_and_host_bits_do_not_matter() {
        assert_eq!(" Node-A\n".parse::<Hostname>().unwrap(), Hostname("node-a".into()));
        let ClusterCidr(cidrs) = " fd00::1/48 , 10.1.2.3/8 ".parse().unwrap();
        assert_eq!(cidrs.v4, Some("10.0.0.0/8".parse().unwrap()));
        assert_eq!(cidrs.v6, Some("fd00::/48".parse().unwrap()));
        assert_eq!(" primary ".parse::<NodePortList>().unwrap().0, NodePortAddresses::Primary);
    }
}
