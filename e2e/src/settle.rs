//! Waits until a host's IPv6 works. The kernel finishes an address in a worker of its own, after `ip` has been told that it
//! is there (net/ipv6/addrconf.c, `addrconf_dad_work`), and a link's carrier likewise (net/core/link_watch.c). A neighbour
//! that asks before that asks again a second later, when a client has long called it silence.

use std::{
    collections::BTreeSet,
    fs,
    net::Ipv6Addr,
    thread,
    time::{Duration, Instant},
};

use crate::{Error, host::Host};

/// Far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// `RTF_LOCAL` of linux/ipv6_route.h: the route by which the host takes packets to its own address, the last step.
const LOCAL: u32 = 0x8000_0000;

/// Returns when every address of the host takes packets and each of `links` has the link-local address that the kernel
/// gives a link whose carrier it has seen.
pub(crate) fn wait(host: &Host, links: &[String]) -> Result<(), Error> {
    host.enter(|| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let missing = missing(&read(host, "if_inet6")?, &read(host, "ipv6_route")?, links);
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::NotSettled { host: host.name(), missing: missing.join(", ") });
            }
            thread::sleep(Duration::from_millis(1));
        }
    })?
}

fn read(host: &Host, file: &str) -> Result<String, Error> {
    let path = format!("/proc/thread-self/net/{file}");
    fs::read_to_string(path).map_err(|source| Error::Namespace { host: host.name(), source })
}

/// What is not there yet. `addresses` is /proc/net/if_inet6: address, interface number, prefix length, scope, flags, link;
/// `routes` is /proc/net/ipv6_route: destination, six other columns, flags (the ninth) and link, all in hexadecimal.
fn missing(addresses: &str, routes: &str, links: &[String]) -> Vec<String> {
    let local: BTreeSet<_> = routes
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let destination = words.next()?;
            let flags = u32::from_str_radix(words.nth(7)?, 16).ok()?;
            (flags & LOCAL != 0).then_some(destination)
        })
        .collect();
    let mut waiting: BTreeSet<_> = links.iter().map(String::as_str).collect();
    let mut missing = Vec::new();
    for line in addresses.lines() {
        let mut words = line.split_whitespace();
        let (Some(text), Some(link)) = (words.next(), words.last()) else { continue };
        let Some(address) = u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from) else { continue };
        if !local.contains(text) {
            missing.push(format!("{address} on {link}"));
        } else if address.is_unicast_link_local() && address != GATEWAY {
            waiting.remove(link);
        }
    }
    missing.extend(waiting.into_iter().map(|link| format!("the carrier of {link}")));
    missing
}

/// A node's end of its pods' cables has this one from us, carrier or not.
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: &str = "\
fd000100000000000000000000000011 65 40 00 80     lan
fe80000000000000a4d5f3fffe0c1b2a 65 40 20 80     lan
";

    fn route(destination: &str, flags: &str) -> String {
        let none = "0".repeat(32);
        format!("{destination} 80 {none} 00 {none} 00000000 00000002 00000000 {flags}     lan\n")
    }

    #[test]
    fn an_address_without_its_local_route_is_missing() {
        let global = route("fd000100000000000000000000000011", "80200001");
        let link_local = route("fe80000000000000a4d5f3fffe0c1b2a", "80200001");
        let not_local = route("fe80000000000000a4d5f3fffe0c1b2a", "00000001");
        assert_eq!(missing(ADDRESSES, &format!("{global}{link_local}"), &["lan".to_owned()]), Vec::<String>::new());
        assert_eq!(
            missing(ADDRESSES, &format!("{global}{not_local}"), &["lan".to_owned()]),
            ["fe80::a4d5:f3ff:fe0c:1b2a on lan", "the carrier of lan"]
        );
        assert_eq!(missing("", "", &["lan".to_owned()]), ["the carrier of lan"]);
    }
}
