//! The main thread's work where objects come from manifests: reads them into the mailbox, again whenever they change.

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
}

/// Hands over what is in the manifests and every change, for ever.
///
/// # Errors
/// When changes cannot be noticed, or the receiver is gone.
pub async fn feed(manifests: &mut Follower, mailbox: &Mailbox<Message>) -> Result<(), FeedError> {
    loop {
        let mut sent = Ok(());
        manifests.scan(&mut |event| {
            if sent.is_ok() {
                sent = mailbox.send(Message::Manifest(event));
            }
        })?;
        sent?;
        manifests.changed().await?;
    }
}
