//! Records what the kernel sends, byte for byte, as `testdata/dumps.bin` and `testdata/ipvs.bin`: the input of the decoders'
//! tests.
//!
//! ```text
//! unshare -n sh -c 'nft -f testdata/ruleset-ip.nft && nft -f testdata/ruleset-ip6.nft &&
//!     cargo run --example record nftables > testdata/dumps.bin'
//! unshare -n sh -c 'sh testdata/ipvs.sh && cargo run --example record ipvs > testdata/ipvs.bin'
//! ```

use std::{
    env,
    io::{self, Write},
};

use netlink_sys::{
    Socket, SocketAddr,
    protocols::{NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE},
};
use portolan_netlink::{
    Answer, Answers, Channel, Requests,
    attr::{Attrs, encode},
    uapi,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `NLM_F_REQUEST | NLM_F_DUMP`
const LIST: u16 = 0x301;

/// `NLM_F_REQUEST | NLM_F_ACK`: the acknowledgement ends what is recorded.
const ONE: u16 = 0x5;

/// linux/genetlink.h and linux/ip_vs.h
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const GET_SERVICE: u8 = 4;
const GET_DEST: u8 = 8;
const GET_CONFIG: u8 = 13;
const GET_INFO: u8 = 15;

/// linux/rtnetlink.h
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        Some("nftables") => nftables(),
        Some("ipvs") => ipvs(),
        _ => Err("record nftables or record ipvs?".into()),
    }
}

fn nftables() -> Result<()> {
    let socket = open(NETLINK_NETFILTER)?;
    for family in [uapi::NFPROTO_IPV4, uapi::NFPROTO_IPV6] {
        let head = [family, 0, 0, 0];
        for msg_type in [uapi::msg::GETTABLE, uapi::msg::GETCHAIN, uapi::msg::GETRULE, uapi::msg::GETSET] {
            record(&socket, u16::from_be_bytes([10, msg_type]), LIST, &head)?;
        }
        for set in ["services", "endpoints-2", "services-large", "firewall-allow", "frontends"] {
            let names = encode(|w| {
                w.str(1, "portolan");
                w.str(2, set);
            })?;
            let body = [&head, names.as_slice()].concat();
            record(&socket, u16::from_be_bytes([10, uapi::msg::GETSETELEM]), LIST, &body)?;
        }
    }
    Ok(())
}

/// The link, its addresses, all virtual servers, the destinations of each, and what is said of IPVS as a whole.
fn ipvs() -> Result<()> {
    let route = open(NETLINK_ROUTE)?;
    record(&route, RTM_GETLINK, LIST, &[0; 16])?;
    record(&route, RTM_GETADDR, LIST, &[0; 8])?;
    let mut channel = Channel::open(NETLINK_GENERIC)?;
    let name = encode(|w| w.str(2, "IPVS"))?;
    let family =
        ask(&mut channel, GENL_ID_CTRL, Answers::One, &[&[CTRL_CMD_GETFAMILY, 1, 0, 0], name.as_slice()].concat())?;
    let id = family.iter().find_map(|body| Attrs::new(body.get(4..)?).get(1)?.u16());
    let id = id.ok_or("the kernel does not say which number IPVS has")?;
    let generic = open(NETLINK_GENERIC)?;
    record(&generic, id, LIST, &[GET_SERVICE, 1, 0, 0])?;
    for body in ask(&mut channel, id, Answers::List, &[GET_SERVICE, 1, 0, 0])? {
        // A request for destinations may have all that is said of their virtual server.
        let server = body.get(4..).unwrap_or_default();
        record(&generic, id, LIST, &[&[GET_DEST, 1, 0, 0], server].concat())?;
    }
    record(&generic, id, ONE, &[GET_CONFIG, 1, 0, 0])?;
    record(&generic, id, ONE, &[GET_INFO, 1, 0, 0])
}

fn ask(channel: &mut Channel, kind: u16, answers: Answers, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    let (mut requests, mut objects) = (Requests::default(), Vec::new());
    requests.add(kind, 0, answers, body, |_| {});
    channel.run(&mut requests, |_, answer| {
        if let Answer::Object(object) = answer {
            objects.push(object.payload.to_vec());
        }
    })?;
    Ok(objects)
}

fn open(protocol: isize) -> Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    Ok(socket)
}

fn record(socket: &Socket, kind: u16, flags: u16, body: &[u8]) -> Result<()> {
    let mut request = u32::try_from(16 + body.len())?.to_ne_bytes().to_vec();
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&flags.to_ne_bytes());
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(body);
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
