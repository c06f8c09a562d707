//! Values on the command line, parsed once into the types that the model wants.

use std::{io, str::FromStr};

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, PerFamily},
    model::NodePortAddresses,
};

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
    /// The detector knows one CIDR for each family.
    #[error("{cidr} is a second {family} CIDR: give at most one for each IP family")]
    SecondOfFamily {
        /// The second one.
        cidr: IpNet,
        /// The family that had one already.
        family: Family,
    },
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

/// `--cluster-cidr`: at most one CIDR for each IP family, and at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterCidr(pub PerFamily<Option<IpNet>>);

impl FromStr for ClusterCidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut cidrs = PerFamily::<Option<IpNet>>::default();
        for cidr in cidr_list(text)? {
            let family = Family::of(cidr.addr());
            if cidrs.get_mut(family).replace(cidr).is_some() {
                return Err(ValueError::SecondOfFamily { cidr, family });
            }
        }
        Ok(Self(cidrs))
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
