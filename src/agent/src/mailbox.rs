//! From the async thread that follows the cluster to the blocking thread that owns the kernel.
//!
//! ```text
//!   Mailbox::send --> messages --all at once--> Inbox::take
//!         |              |                          ^
//!         |              '--- no room: await --<----'
//!         '--- eventfd ---> poll(2) ----------------+   beside the netlink sockets that the same thread waits for
//! ```
//!
//! There is an end to the room because a first reading hands over the objects of the whole cluster: were they all to wait
//! here, they would be in memory twice. Who sends into a full mailbox waits, and no one else on its thread does: signals,
//! the configuration file and Events are looked after there, too. What waits is taken whole, so the two threads wake each
//! other once for a full mailbox and not for each message.

use std::{
    mem,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{
    errno::Errno,
    sys::eventfd::{EfdFlags, EventFd},
};
use tokio::sync::Notify;

/// How many messages wait at most before [`Mailbox::send`] does.
const CAPACITY: usize = 256;

/// The sending end. When it is dropped the inbox wakes up and is [closed](Taken::closed).
#[derive(Debug)]
pub struct Mailbox<T>(Arc<Shared<T>>);

/// The receiving end.
#[derive(Debug)]
pub struct Inbox<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    /// Wakes those who wait for room.
    room: Notify,
    /// Rings when there is something to take.
    bell: EventFd,
}

#[derive(Debug)]
struct Waiting<T> {
    messages: Vec<T>,
    /// One of the two ends is gone.
    closed: bool,
}

/// What had arrived.
#[derive(Debug)]
pub struct Taken<T> {
    /// In the order in which it was sent.
    pub messages: Vec<T>,
    /// Whether these were the last: the sender is gone.
    pub closed: bool,
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
    let shared = Arc::new(Shared {
        waiting: Mutex::new(Waiting { messages: Vec::new(), closed: false }),
        room: Notify::new(),
        bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
    });
    Ok((Mailbox(Arc::clone(&shared)), Inbox(shared)))
}

impl<T> Mailbox<T> {
    /// Hands a message over, once there is room for it.
    ///
    /// # Errors
    /// [`Closed`] when nobody receives any more.
    pub async fn send(&self, message: T) -> Result<(), Closed> {
        loop {
            // Begun before the look, so that room which is made right after it wakes us.
            let room = self.0.room.notified();
            {
                let mut waiting = self.0.lock();
                if waiting.closed {
                    return Err(Closed);
                }
                if waiting.messages.len() < CAPACITY {
                    waiting.messages.push(message);
                    if waiting.messages.len() == 1 {
                        self.0.ring();
                    }
                    return Ok(());
                }
            }
            room.await;
        }
    }
}

impl<T> Inbox<T> {
    /// Takes what has arrived, without waiting. What arrives from now on wakes the next `poll`.
    pub fn take(&self) -> Taken<T> {
        // First, so that a message which comes meanwhile rings again.
        match self.0.bell.read() {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(error) => tracing::debug!(%error, "reading an eventfd failed"),
        }
        let mut waiting = self.0.lock();
        let taken = Taken { messages: mem::take(&mut waiting.messages), closed: waiting.closed };
        drop(waiting);
        self.0.room.notify_waiters();
        taken
    }
}

/// Readable when a message has arrived or the mailbox was closed.
impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.bell.as_fd()
    }
}

impl<T> Shared<T> {
    /// A thread that panicked while it held the lock has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        if let Err(error) = self.bell.write(1) {
            tracing::debug!(%error, "writing an eventfd failed");
        }
    }

    fn close(&self) {
        self.lock().closed = true;
        self.room.notify_waiters();
        self.ring();
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn readable<T>(inbox: &Inbox<T>, timeout: PollTimeout) -> bool {
        poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], timeout).unwrap() == 1
    }

    #[tokio::test]
    async fn a_burst_larger_than_the_mailbox_arrives_whole_and_in_order() {
        let (mailbox, inbox) = mailbox().unwrap();
        let total = 10 * CAPACITY;
        let receiver = std::thread::spawn(move || {
            let mut received = Vec::new();
            loop {
                assert!(readable(&inbox, PollTimeout::NONE));
                let Taken { messages, closed } = inbox.take();
                received.extend(messages);
                if closed {
                    return received;
                }
            }
        });
        for n in 0..total {
            mailbox.send(n).await.unwrap();
        }
        drop(mailbox);
        assert_eq!(receiver.join().unwrap(), (0..total).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_full_mailbox_holds_up_its_sender_alone() {
        let (mailbox, inbox) = mailbox().unwrap();
        for n in 0..CAPACITY {
            mailbox.send(n).await.unwrap();
        }
        let one_more = mailbox.send(CAPACITY);
        tokio::pin!(one_more);
        tokio::select! {
            biased;
            sent = &mut one_more => panic!("{sent:?} although there was no room"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(inbox.take().messages.len(), CAPACITY);
        one_more.await.unwrap();
        assert_eq!(inbox.take().messages, [CAPACITY]);
    }

    #[tokio::test]
    async fn an_empty_inbox_sleeps_and_the_end_of_either_side_is_seen() {
        let (mailbox, inbox) = mailbox::<u8>().unwrap();
        assert!(!readable(&inbox, PollTimeout::ZERO));
        mailbox.send(1).await.unwrap();
        assert!(readable(&inbox, PollTimeout::ZERO));
        assert_eq!(inbox.take().messages, [1]);
        assert!(!readable(&inbox, PollTimeout::ZERO));

        drop(mailbox);
        assert!(readable(&inbox, PollTimeout::NONE));
        let Taken { messages, closed } = inbox.take();
        assert!(messages.is_empty() && closed);

        let (mailbox, inbox) = super::mailbox().unwrap();
        for n in 0..CAPACITY {
            mailbox.send(n).await.unwrap();
        }
        let (sent, ()) = tokio::join!(mailbox.send(CAPACITY), async { drop(inbox) });
        assert_eq!(sent, Err(Closed), "room that there will never be");
    }
}
