//! The main thread's work where objects come from manifests: has them read, and hands over what changed.
//!
//! Files are read on a thread beside it: a large folder takes seconds, and a file system that does not answer takes for
//! ever, while the main thread has signals to look after.

use tokio::{
    sync::mpsc,
    task::{JoinError, spawn_blocking},
};

use crate::{
    mailbox::{Closed, Mailbox},
    manifest::{Follower, WatchError},
    sync_loop::Message,
};

/// Why feeding ended.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Changes can no longer be noticed.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Nobody takes events any more.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// Reading ended by a bug.
    #[error("reading the manifests broke off")]
    Reader(#[from] JoinError),
}

/// How many events wait to be handed over while files are read.
const AHEAD: usize = 16;

/// Hands over what is in the manifests and every change, for ever.
///
/// # Errors
/// When changes cannot be noticed, or the receiver is gone.
pub async fn feed(mut manifests: Follower, mailbox: &Mailbox<Message>) -> Result<(), FeedError> {
    loop {
        let (events, mut read) = mpsc::channel(AHEAD);
        let scan = spawn_blocking(move || {
            let scanned = manifests.scan(&mut |event| {
                // Nobody listens where we were cancelled, at the end of the process.
                let _ = events.blocking_send(event);
            });
            scanned.map(|()| manifests)
        });
        while let Some(event) = read.recv().await {
            mailbox.send(Message::Manifest(event)).await?;
        }
        manifests = scan.await??;
        manifests.changed().await?;
    }
}
