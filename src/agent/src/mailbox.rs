//! From the async thread that follows manifests to the blocking thread that owns the kernel.
//!
//! ```text
//!   Mailbox::send --> bounded channel --> Inbox::drain
//!         |                                   ^
//!         +---- eventfd -----> poll(2) -------+   beside the netlink sockets that the same thread waits for
//! ```
//!
//! The channel is bounded because a first reading hands over the objects of the whole cluster: were they all to wait
//! here, they would be in memory twice.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
};

use nix::{
    errno::Errno,
    sys::eventfd::{EfdFlags, EventFd},
};

/// How many messages wait at most before [`Mailbox::send`] blocks.
const CAPACITY: usize = 256;

/// The sending end. When it is dropped the inbox wakes up and is [closed](Inbox::drain).
#[derive(Debug)]
pub struct Mailbox<T> {
    // Declared before `bell`: the channel must be closed by the time the bell's drop rings.
    messages: SyncSender<T>,
    bell: Bell,
}

/// The receiving end.
#[derive(Debug)]
pub struct Inbox<T> {
    messages: Receiver<T>,
    bell: Arc<EventFd>,
    rung: Arc<AtomicBool>,
}

/// What wakes the receiver; rings when it is dropped, so that nobody waits for a sender that is gone.
#[derive(Debug)]
struct Bell {
    fd: Arc<EventFd>,
    rung: Arc<AtomicBool>,
}

/// The receiver is gone: its thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the thread that programs the kernel has ended")]
pub struct Closed;

/// A new mailbox with its inbox.
///
/// # Errors
/// When the process has no file descriptor left for the eventfd.
pub fn mailbox<T>() -> std::io::Result<(Mailbox<T>, Inbox<T>)> {
    let fd = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    let rung = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    let bell = Bell { fd: Arc::clone(&fd), rung: Arc::clone(&rung) };
    Ok((Mailbox { messages: sender, bell }, Inbox { messages: receiver, bell: fd, rung }))
}

impl<T> Mailbox<T> {
    /// Hands a message over; blocks while the inbox is full.
    ///
    /// # Errors
    /// [`Closed`] when nobody receives any more.
    pub fn send(&self, message: T) -> Result<(), Closed> {
        self.messages.send(message).map_err(|_| Closed)?;
        // Once a message is in, not before: whoever is woken must find it.
        self.bell.ring();
        Ok(())
    }
}

impl<T> Inbox<T> {
    /// Takes what has arrived, without waiting. Messages that arrive meanwhile are taken too, or wake the next
    /// `poll`.
    pub fn drain(&self) -> Drain<'_, T> {
        match self.bell.read() {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(error) => tracing::debug!(%error, "reading an eventfd failed"),
        }
        // Before the channel is emptied: a message that comes after the last look rings again.
        self.rung.store(false, Ordering::SeqCst);
        Drain { messages: &self.messages, closed: false }
    }
}

/// Readable when a message has arrived or the mailbox was closed.
impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The messages that have arrived: an iterator that never blocks.
#[derive(Debug)]
pub struct Drain<'a, T> {
    messages: &'a Receiver<T>,
    closed: bool,
}

impl<T> Drain<'_, T> {
    /// Whether the sender is gone. True only once every message has been taken.
    #[must_use]
    pub const fn closed(&self) -> bool {
        self.closed
    }
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self.messages.try_recv() {
            Ok(message) => Some(message),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => {
                self.closed = true;
                None
            }
        }
    }
}

impl Bell {
    fn ring(&self) {
        // One system call for a burst, not one for each message.
        if !self.rung.swap(true, Ordering::SeqCst)
            && let Err(error) = self.fd.write(1)
        {
            tracing::debug!(%error, "writing an eventfd failed");
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.rung.store(false, Ordering::SeqCst);
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn readable<T>(inbox: &Inbox<T>, timeout: PollTimeout) -> bool {
        poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], timeout).unwrap() == 1
    }

    #[test]
    fn a_burst_larger_than_the_channel_arrives_whole_and_in_order() {
        let (mailbox, inbox) = mailbox().unwrap();
        let total = 10 * CAPACITY;
        let sender = std::thread::spawn(move || (0..total).for_each(|n| mailbox.send(n).unwrap()));
        let mut received = Vec::new();
        loop {
            assert!(readable(&inbox, PollTimeout::NONE));
            let mut drain = inbox.drain();
            received.extend(&mut drain);
            if drain.closed() {
                break;
            }
        }
        sender.join().unwrap();
        assert_eq!(received, (0..total).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_inbox_sleeps_and_the_end_of_either_side_is_seen() {
        let (mailbox, inbox) = mailbox::<u8>().unwrap();
        assert!(!readable(&inbox, PollTimeout::ZERO));
        mailbox.send(1).unwrap();
        assert!(readable(&inbox, PollTimeout::ZERO));
        assert_eq!(inbox.drain().collect::<Vec<_>>(), [1]);
        assert!(!readable(&inbox, PollTimeout::ZERO));

        drop(mailbox);
        assert!(readable(&inbox, PollTimeout::NONE));
        let mut drain = inbox.drain();
        assert_eq!(drain.next(), None);
        assert!(drain.closed());

        let (mailbox, inbox) = super::mailbox::<u8>().unwrap();
        drop(inbox);
        assert_eq!(mailbox.send(1), Err(Closed));
    }
}
