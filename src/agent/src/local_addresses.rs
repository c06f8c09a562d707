//! Which addresses are this node's own: those that its routes deliver to itself, which is what rules ask for
//! (`fib daddr type local`). Addresses of interfaces are among them, loopback, and what is routed to it by hand; but for the
//! addresses that Services have on a link of theirs in ipvs mode, where no NodePort is.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv6Net};
use portolan_core::addr::Family;
use portolan_netlink::links::{LinkError, Links};

use crate::backends;

/// The node's own addresses in the network namespace of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddresses(Vec<IpNet>);

impl LocalAddresses {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub fn read() -> io::Result<Self> {
        let v4 = fs::read_to_string("/proc/self/net/fib_trie")?;
        let v6 = match fs::read_to_string("/proc/self/net/ipv6_route") {
            // The kernel was started without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let all = Self(ipv4(&v4).into_iter().chain(ipv6(&v6)).collect());
        Ok(all.without(&of_services().map_err(io::Error::other)?))
    }

    fn without(mut self, others: &BTreeSet<IpNet>) -> Self {
        self.0.retain(|net| !others.contains(net));
        self
    }

    /// The addresses that stand alone: those of interfaces, as a rule.
    pub fn single(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        let single = self.0.iter().filter(|net| net.prefix_len() == net.max_prefix_len()).map(IpNet::addr);
        single.filter(move |addr| Family::of(*addr) == family)
    }

    /// Whether an address is the node's own.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// The addresses of the link of Services, where it is there.
fn of_services() -> Result<BTreeSet<IpNet>, LinkError> {
    let mut links = Links::open()?;
    let Some(link) = links.link(backends::LINK_OF_SERVICES)? else { return Ok(BTreeSet::new()) };
    let addresses = links.addresses(link.index)?.into_iter();
    Ok(addresses.filter_map(|address| IpNet::new(address.addr, address.prefix).ok()).collect())
}

/// Addresses in the tree have their routes below them:
///
/// ```text
///   |-- 192.168.100.11
///      /32 host LOCAL
/// ```
fn ipv4(tree: &str) -> Vec<IpNet> {
    let (mut nets, mut address) = (Vec::new(), None);
    for line in tree.lines().map(str::trim_start) {
        if let Some(text) = line.strip_prefix("|-- ") {
            address = text.parse().ok();
        } else if let (Some(address), Some(route)) = (address, line.strip_prefix('/')) {
            let mut words = route.split_ascii_whitespace();
            let length = words.next().and_then(|length| length.parse().ok());
            let is_local = words.any(|word| word == "LOCAL");
            nets.extend(length.filter(|_| is_local).and_then(|length| IpNet::new(address, length).ok()));
        }
    }
    nets
}

/// A route is a line: destination and its length, source and its length, gateway, metric, two counters, flags, device.
fn ipv6(routes: &str) -> Vec<IpNet> {
    /// linux/ipv6_route.h
    const RTF_LOCAL: u32 = 0x8000_0000;
    let net = |line: &str| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [destination, length, _, _, _, _, _, _, flags, ..] = *words else { return None };
        let address = Ipv6Addr::from(u128::from_str_radix(destination, 16).ok()?);
        let length = u8::from_str_radix(length, 16).ok()?;
        let is_local = u32::from_str_radix(flags, 16).ok()? & RTF_LOCAL != 0;
        Ipv6Net::new(address, length).ok().filter(|_| is_local).map(IpNet::from)
    };
    routes.lines().filter_map(net).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_routes_are_the_nodes_own_addresses() {
        let tree = "\
Main:
  +-- 0.0.0.0/0 2 0 2
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.168.100.0
        /24 link UNICAST
Local:
  +-- 0.0.0.0/0 2 0 2
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 192.168.100.11
        /32 host LOCAL tos=1
     |-- 203.0.113.0
        /32 link BROADCAST
        /24 host LOCAL
";
        let routes = "\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001       lo
fd000100000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001      lan
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000400 00000001 00000000 80000001       lo
";
        let local = LocalAddresses(ipv4(tree).into_iter().chain(ipv6(routes)).collect());
        let of = |text: &str| local.contains(text.parse().unwrap());
        for own in ["127.0.0.1", "127.1.2.3", "192.168.100.11", "203.0.113.77", "::1", "2001:db8::7"] {
            assert!(of(own), "{own}");
        }
        for other in ["10.0.0.1", "192.168.100.12", "192.168.100.0", "fd00:100::1", "::2", "2001:db8:1::"] {
            assert!(!of(other), "{other}");
        }
        let single: Vec<_> = Family::ALL.into_iter().flat_map(|family| local.single(family)).collect();
        assert_eq!(single, ["127.0.0.1", "192.168.100.11", "::1"].map(|addr| addr.parse::<IpAddr>().unwrap()));
        let services = ["192.168.100.11/32", "203.0.113.77/32"].map(|net| net.parse().unwrap());
        let local = local.without(&BTreeSet::from(services));
        let own = ["192.168.100.11", "203.0.113.77"].map(|addr| local.contains(addr.parse().unwrap()));
        assert_eq!(own, [false, true], "a Service's address is none, unless it is the node's own as well");
        for odd in ["|-- a\n/8 host LOCAL", "/8 host LOCAL", "|-- 1.2.3.4\n/33 host LOCAL\n/x LOCAL\n/"] {
            assert_eq!(ipv4(odd), [], "{odd}");
        }
        assert_eq!(ipv6("x 80 0 0 0 0 0 0 80200001\n\n0 81 0 0 0 0 0 0 80200001 lo"), []);
    }

    #[test]
    fn the_kernel_tells() {
        LocalAddresses::read().unwrap();
    }
}
