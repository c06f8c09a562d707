//! The socket below connection, watch and the others: buffer sizes, and reading that tells a cut answer.
//!
//! The kernel handles a request inside `sendmsg` and queues every answer before that returns; a dump is continued
//! inside `recvmsg`. So no read here ever waits: "would block" means that nothing more comes.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, getsockopt, recv, send, setsockopt, sockopt},
};

/// One datagram of the kernel: dumps have at most 32 KiB (`netlink_dump`), notifications a page or one object.
const RECEIVE: usize = 64 << 10;

/// What `netlink_sendmsg` keeps of the send buffer for itself.
const SEND_OVERHEAD: usize = 32;

/// The send buffer to ask for. The kernel doubles it; this is the most whose double it can hold, cut to 1 GiB.
const SEND_BUFFER: usize = 512 << 20;

#[derive(Debug)]
pub(crate) struct Socket {
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
    port_id: u32,
}

impl Socket {
    pub(crate) fn open(protocol: isize, receive_buffer: usize) -> io::Result<Self> {
        let mut socket = netlink_sys::Socket::new(protocol)?;
        let port_id = socket.bind_auto()?.port_number();
        let socket = Self { socket, buffer: vec![0; RECEIVE], port_id };
        // FORCE passes net.core.rmem_max but needs CAP_NET_ADMIN in the first user namespace.
        setsockopt(&socket.socket, sockopt::RcvBufForce, &receive_buffer)
            .or_else(|_| setsockopt(&socket.socket, sockopt::RcvBuf, &receive_buffer))?;
        Ok(socket)
    }

    /// Asks for refusals with the attribute at fault, the kernel's words, and without an echo of the request.
    pub(crate) fn extended_acks(&mut self) -> io::Result<()> {
        self.socket.set_ext_ack(true)?;
        self.socket.set_cap_ack(true)
    }

    /// Takes the largest send buffer to be had; gives how many bytes one sendmsg carries with it.
    pub(crate) fn maximise_send_buffer(&self) -> io::Result<usize> {
        setsockopt(&self.socket, sockopt::SndBufForce, &SEND_BUFFER)
            .or_else(|_| setsockopt(&self.socket, sockopt::SndBuf, &SEND_BUFFER))?;
        self.send_capacity()
    }

    /// Takes a send buffer of this size, which the kernel doubles, and gives the same.
    pub(crate) fn limit_send_buffer(&self, bytes: usize) -> io::Result<usize> {
        setsockopt(&self.socket, sockopt::SndBuf, &bytes)?;
        self.send_capacity()
    }

    fn send_capacity(&self) -> io::Result<usize> {
        Ok(getsockopt(&self.socket, sockopt::SndBuf)?.saturating_sub(SEND_OVERHEAD))
    }

    /// How many bytes may wait to be read, as the kernel counts them.
    pub(crate) fn receive_buffer(&self) -> io::Result<usize> {
        Ok(getsockopt(&self.socket, sockopt::RcvBuf)?)
    }

    pub(crate) fn subscribe(&mut self, group: u32) -> io::Result<()> {
        self.socket.add_membership(group)
    }

    pub(crate) fn port_id(&self) -> u32 {
        self.port_id
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        loop {
            match send(self.socket.as_raw_fd(), bytes, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                other => return other.map(drop),
            }
        }
    }

    /// The next datagram; `None` when there is none.
    ///
    /// # Errors
    /// ENOBUFS: the kernel had to drop answers. EMSGSIZE: the datagram is longer than any that nf_tables sends.
    pub(crate) fn receive(&mut self) -> Result<Option<&[u8]>, Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, flags) {
                Ok(len) => return self.buffer.get(..len).map(Some).ok_or(Errno::EMSGSIZE),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
