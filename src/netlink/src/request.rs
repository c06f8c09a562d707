//! One request to any part of the kernel that speaks netlink: for the few things that Portolan asks of generic netlink,
//! rtnetlink and ipset.

use std::io;

use nix::errno::Errno;

pub use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_NETFILTER, NETLINK_ROUTE};

use crate::{
    message::Messages,
    socket::Socket,
    uapi::{NLMSG_DONE, NLMSG_ERROR, NLMSG_HEADER, flag},
};

/// Far more than the kernel queues for one request; a dump is continued as it is read.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Sends a request on a socket of its own: what its answers have after their headers. `flags` beside those that every
/// request has, and what the body begins with, are the protocol's.
///
/// # Errors
/// There is no such protocol, or what the kernel answers.
pub fn request(protocol: isize, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = Socket::open(protocol, RECEIVE_BUFFER)?;
    let length = u32::try_from(NLMSG_HEADER.saturating_add(body.len())).map_err(io::Error::other)?;
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend((flag::REQUEST | flag::ACK | flags).to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    socket.send(&request)?;
    let mut answers = Vec::new();
    loop {
        let datagram = socket.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        for message in Messages::new(datagram) {
            match (message.kind, message.errno()) {
                (NLMSG_ERROR | NLMSG_DONE, Some(0)) => return Ok(answers),
                (NLMSG_ERROR | NLMSG_DONE, errno) => {
                    return Err(io::Error::from_raw_os_error(errno.unwrap_or(Errno::EBADMSG as i32)));
                }
                _ => answers.push(message.payload.to_vec()),
            }
        }
    }
}
