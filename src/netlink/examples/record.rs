//! Records what the kernel sends, byte for byte, as `testdata/dumps.bin`: the input of the decoders' tests.
//!
//! ```text
//! unshare -n sh -c 'nft -f testdata/ruleset-ip.nft && nft -f testdata/ruleset-ip6.nft &&
//!     cargo run --example record > testdata/dumps.bin'
//! ```

use std::io::{self, Write};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use portolan_netlink::{attr::encode, uapi};

/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP_REQUEST: u16 = 0x301;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    for family in [uapi::NFPROTO_IPV4, uapi::NFPROTO_IPV6] {
        for msg_type in [uapi::msg::GETTABLE, uapi::msg::GETCHAIN, uapi::msg::GETRULE, uapi::msg::GETSET] {
            record(&socket, msg_type, family, &[])?;
        }
        for set in ["services", "endpoints-2", "services-large", "firewall-allow", "frontends"] {
            let names = encode(|w| {
                w.str(1, "portolan");
                w.str(2, set);
            })?;
            record(&socket, uapi::msg::GETSETELEM, family, &names)?;
        }
    }
    Ok(())
}

fn record(socket: &Socket, msg_type: u8, family: u8, attributes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let mut request = u32::try_from(20 + attributes.len())?.to_ne_bytes().to_vec();
    request.extend_from_slice(&[msg_type, 10]);
    request.extend_from_slice(&DUMP_REQUEST.to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(&[family, 0, 0, 0]);
    request.extend_from_slice(attributes);
    socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        io::stdout().write_all(&datagram)?;
        if ends(&datagram) {
            return Ok(());
        }
    }
}

/// Whether a datagram has an NLMSG_DONE or NLMSG_ERROR, which may stand behind other messages.
fn ends(mut datagram: &[u8]) -> bool {
    while let Some([l0, l1, l2, l3, kind, 0 | 10, ..]) = datagram.first_chunk::<16>() {
        if matches!(kind, 2 | 3) && datagram.get(5) == Some(&0) {
            return true;
        }
        let len = u32::from_ne_bytes([*l0, *l1, *l2, *l3]).next_multiple_of(4);
        datagram = usize::try_from(len).ok().and_then(|len| datagram.get(len..)).unwrap_or_default();
    }
    false
}
