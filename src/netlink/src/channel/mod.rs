//! Many requests over one socket, in few system calls.
//!
//! ```text
//!   Requests   0: change  1: change  2: change  3: list  4: change
//!
//!   sendmsg    0, 1, 2, 3          the kernel works on them, one after the other, before sendmsg returns
//!   recvmsg    1 refused           0 was done: what has no answer of its own is done when a later one is answered
//!              3 object, object    2 was done
//!              3 end of the list
//!   sendmsg    4, please acknowledge
//!   recvmsg    4 acknowledged
//! ```
//!
//! * **Answers never overrun the receive buffer** (ENOBUFS), whatever the kernel answers: so much is sent at a time as
//!   the worst of all answers have room.
//! * **A list is the last of what is sent together.** The kernel makes one at a time for a socket (the next one is EBUSY,
//!   `__netlink_dump_start`), and continues it as it is read.
//! * **Only the last of a part asks to be acknowledged.** A refusal comes unasked, and answers come in the order of the
//!   requests; so what is silent was done.

mod pending;
mod requests;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::errno::Errno;

use self::pending::Pending;
pub use self::requests::{Answers, Requests};
use crate::{
    attr::EncodeError,
    error::{Malformed, Refusal},
    message::Message,
    socket::Socket,
};

/// Room for answers. An ordinary user is granted less, and then less is sent at a time.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Bytes in one sendmsg: less than what an unprivileged send buffer carries (`net.core.wmem_default`).
const SEND: usize = 64 << 10;

/// What a refusal takes of the receive buffer as the kernel counts (`skb->truesize`), at most: less than 1 KiB for one
/// with words and an attribute (6.18), but the sizes of its caches differ.
const REFUSAL: usize = 2 << 10;

/// The same for an object that was asked for: NLMSG_GOODSIZE is at most 8 KiB.
const OBJECT: usize = 12 << 10;

/// What the kernel says to a request. Each gets its objects, if any, and then one of the others.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// The object that was asked for, or one of a list.
    Object(Message<'a>),
    /// It was done, or the list was complete.
    Done,
    /// The list may lack objects or have some twice: others changed them meanwhile (NLM_F_DUMP_INTR).
    Interrupted,
    /// It was not done.
    Refused(Errno, Option<&'a str>),
    /// The answer is lost: it may have been done or not.
    Lost,
}

/// What befalls all requests that have had no last answer.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The socket fails. Requests of which nothing was heard may have been done or not.
    #[error("cannot exchange messages with the kernel over netlink")]
    Io(#[source] io::Error),
    /// A request cannot be written as a netlink message; none was sent.
    #[error("a request cannot be encoded")]
    Encode(#[from] EncodeError),
}

/// How a listing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Everything that was there the whole time was listed.
    Complete,
    /// It was changed meanwhile or answers were lost: some may be missing, or there twice.
    Interrupted,
}

/// Why something could not be read, or be done as a whole.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The kernel answered with an error.
    #[error("the kernel refused the request: {0}")]
    Refused(Errno),
    /// It could not be asked, or its answer is lost.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The answer is not what the kernel sends.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl RequestError {
    /// Whether what was asked for may have been done all the same.
    #[must_use]
    pub const fn leaves_doubt(&self) -> bool {
        matches!(self, Self::Channel(ChannelError::Io(_)) | Self::Malformed(_))
    }
}

impl From<Errno> for ChannelError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// A socket to a part of the kernel that speaks netlink.
#[derive(Debug)]
pub struct Channel {
    pub(crate) socket: Socket,
    /// The next request's number.
    pub(crate) sequence: u32,
    /// What the receive buffer holds, as the kernel counts.
    room: usize,
}

impl Channel {
    /// Opens a socket to a part of the kernel, `NETLINK_*`. It is asked nothing yet.
    ///
    /// # Errors
    /// There is no such protocol in this kernel, or no socket to be had.
    pub fn open(protocol: isize) -> io::Result<Self> {
        Self::with_room(protocol, RECEIVE_BUFFER)
    }

    /// The same with a receive buffer of this size, which the kernel doubles.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_room(protocol: isize, receive_buffer: usize) -> io::Result<Self> {
        let mut socket = Socket::open(protocol, receive_buffer)?;
        socket.extended_acks()?;
        let room = socket.receive_buffer()?;
        Ok(Self { socket, sequence: 1, room })
    }

    /// Sends requests and gives every answer to `hear`, with the number of the request that it is for; in their order.
    ///
    /// # Errors
    /// See [`ChannelError`]. What the kernel refuses is no error but an answer.
    pub fn run(
        &mut self,
        requests: &mut Requests,
        mut hear: impl FnMut(usize, Answer<'_>),
    ) -> Result<(), ChannelError> {
        if let Some(error) = requests.error() {
            return Err(error.into());
        }
        let mut first = 0;
        while first < requests.len() {
            let end = self.end_of_part(requests, first);
            let mut pending = Pending::of(first, end, self.sequence);
            self.sequence = pending.after();
            self.socket.send(requests.part(first, end, pending.sequence))?;
            while !pending.is_over() {
                match self.socket.receive() {
                    Ok(Some(datagram)) => pending.read(datagram, requests, &mut hear),
                    // Everything that there is to be heard is queued by now.
                    Ok(None) => pending.give_up(&mut hear),
                    Err(Errno::ENOBUFS | Errno::EMSGSIZE) => pending.lose(),
                    Err(errno) => return Err(errno.into()),
                }
            }
            first = end;
        }
        Ok(())
    }

    /// Runs changes, each of which stands alone: those that the kernel did not make, by their numbers.
    ///
    /// # Errors
    /// As [`run`](Self::run), and where answers are lost.
    pub(crate) fn change(&mut self, requests: &mut Requests) -> Result<Vec<Refusal>, ChannelError> {
        let (mut refusals, mut lost) = (Vec::new(), false);
        self.run(requests, |op, answer| match answer {
            Answer::Refused(errno, text) => {
                refusals.push(Refusal { op: Some(op), errno, text: text.map(str::to_owned) });
            }
            Answer::Lost => lost = true,
            Answer::Object(_) | Answer::Done | Answer::Interrupted => {}
        })?;
        if lost { Err(Errno::ENOBUFS.into()) } else { Ok(refusals) }
    }

    /// Runs requests, none of which may be refused, and gives every object to `read` with the number of its request.
    ///
    /// # Errors
    /// The first thing that goes wrong.
    pub(crate) fn read(
        &mut self,
        requests: &mut Requests,
        mut read: impl FnMut(usize, Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Listing, RequestError> {
        let (mut listing, mut failed) = (Listing::Complete, None);
        self.run(requests, |number, answer| {
            let error = match answer {
                Answer::Object(object) => read(number, object).err().map(RequestError::Malformed),
                Answer::Refused(errno, _) => Some(RequestError::Refused(errno)),
                Answer::Lost => Some(RequestError::Channel(Errno::ENOBUFS.into())),
                Answer::Interrupted => {
                    listing = Listing::Interrupted;
                    None
                }
                Answer::Done => None,
            };
            failed = failed.take().or(error);
        })?;
        failed.map_or(Ok(listing), Err)
    }

    /// Runs one request.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn ask(
        &mut self,
        requests: impl FnOnce(&mut Requests) -> usize,
        mut hear: impl FnMut(Answer<'_>),
    ) -> Result<(), ChannelError> {
        let mut one = Requests::default();
        requests(&mut one);
        self.run(&mut one, |_, answer| hear(answer))
    }

    /// The first of the requests from `first` on that is not sent together with it.
    fn end_of_part(&self, requests: &Requests, first: usize) -> usize {
        let (mut room, mut end) = (self.room, first);
        let start = first.checked_sub(1).map_or(0, |before| requests.end_of(before));
        while let Some(answers) = requests.answers(end) {
            let needed = if answers == Answers::None { REFUSAL } else { OBJECT };
            let bytes = requests.end_of(end).saturating_sub(start);
            if end > first && (room < needed || bytes > SEND) {
                break;
            }
            room = room.saturating_sub(needed);
            end = end.saturating_add(1);
            if answers == Answers::List {
                break;
            }
        }
        end
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
