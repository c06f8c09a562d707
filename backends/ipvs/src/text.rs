//! Objects as the programs take them that people know: `ip -batch`, `ipvsadm --restore` and `nft -f`.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use portolan_core::{addr::Protocol, desired::Vip, inspect::Objects};
use portolan_nftables::text as nft_text;

use crate::{
    dialect::Ipvs,
    key::{Key, LINK},
    value::{Server, Value},
};

/// Three parts, each headed by the program that takes it.
pub(crate) fn text(objects: &Objects<'_, Ipvs>) -> String {
    let (mut addresses, mut servers, mut beside) = (String::new(), String::new(), Vec::new());
    for (key, value) in objects {
        // Writing to a string does not fail.
        let _ = match (*key, *value) {
            (Key::Link, Value::Link) => writeln!(addresses, "link add {LINK} type dummy"),
            (Key::Address(address @ IpAddr::V6(_)), _) => {
                writeln!(addresses, "address add {address} dev {LINK} nodad preferred_lft 0")
            }
            (Key::Address(address), _) => writeln!(addresses, "address add {address} dev {LINK}"),
            (Key::Server(vip), Value::Server(server)) => writeln!(servers, "-A {} {}", Of(vip), Options(*server)),
            (Key::Destination(vip, endpoint), Value::Destination { weight }) => {
                writeln!(servers, "-a {} -r {endpoint} -m -w {weight}", Of(vip))
            }
            (Key::Beside(key), Value::Beside(value)) => {
                beside.push((key, value));
                Ok(())
            }
            (key, _) => writeln!(servers, "# {key} is not as Portolan makes it"),
        };
    }
    let beside = nft_text(beside.into_iter());
    format!("# ip -batch -\n{addresses}# ipvsadm --restore\n{servers}# nft -f -\n{beside}")
}

/// How a virtual server picks destinations, as `ipvsadm` is told.
struct Options(Server);

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { scheduling, affinity } = self.0;
        write!(f, "-s {}", scheduling.scheduler())?;
        if let Some(seconds) = affinity {
            write!(f, " -p {seconds}")?;
        }
        let flags: Vec<_> = scheduling.flag_names().collect();
        if flags.is_empty() { Ok(()) } else { write!(f, " -b {}", flags.join(",")) }
    }
}

/// A virtual server, as `ipvsadm` names one.
struct Of<'a>(&'a Vip);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Vip { addr, protocol, port } = self.0;
        let option = match protocol {
            Protocol::Tcp => "-t",
            Protocol::Udp => "-u",
            Protocol::Sctp => "--sctp-service",
        };
        write!(f, "{option} {}", SocketAddr::new(*addr, *port))
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::desired::{HashFlags, Scheduler, Scheduling};

    use super::*;

    #[test]
    fn flags_are_written_as_ipvsadm_takes_them() {
        let options = |scheduler, fallback, port| {
            let scheduling = Scheduling::new(scheduler, HashFlags { fallback, port }).unwrap();
            Options(Server { scheduling, affinity: None }).to_string()
        };
        assert_eq!(options(Scheduler::RoundRobin, false, false), "-s rr");
        assert_eq!(options(Scheduler::SourceHashing, true, true), "-s sh -b sh-fallback,sh-port");
        assert_eq!(options(Scheduler::Maglev, false, true), "-s mh -b mh-port");
        assert_eq!(Options(Server { affinity: Some(10_800), ..Server::default() }).to_string(), "-s rr -p 10800");
    }
}
