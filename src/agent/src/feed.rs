//! The main thread's work in `portolan run`: reads manifests into the mailbox, again whenever they change, until a
//! signal comes.

use crate::{
    mailbox::{Closed, Mailbox},
    manifest::{Event, Follower, WatchError},
    signals::Shutdown,
};

/// Why feeding ended without a signal.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Changes can no longer be noticed.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Nobody takes events any more.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Hands over what is in the manifests and every change, until a signal comes, which it returns the name of.
///
/// # Errors
/// When changes cannot be noticed, or the receiver is gone.
pub async fn feed(
    manifests: &mut Follower,
    mailbox: &Mailbox<Event>,
    shutdown: &mut Shutdown,
) -> Result<&'static str, FeedError> {
    loop {
        let mut sent = Ok(());
        manifests.scan(&mut |event| {
            if sent.is_ok() {
                sent = mailbox.send(event);
            }
        })?;
        sent?;
        tokio::select! {
            signal = shutdown.requested() => return Ok(signal),
            changed = manifests.changed() => changed?,
        }
    }
}
