//! What a script answers, and how it goes over the wire.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// An answer to one request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A whole body.
    Whole(Bytes),
    /// Pages of a list: the parameter `continue` says which, none the first.
    Pages(Arc<[Bytes]>),
    /// A `Status`.
    Status {
        /// The HTTP status.
        code: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// Step by step; after the last one the answer ends in order.
    Steps(Vec<Step>),
}

/// A piece of an answer.
#[derive(Debug, Clone)]
pub enum Step {
    /// These bytes.
    Bytes(Bytes),
    /// Nothing for a while.
    Pause(Duration),
    /// The connection breaks.
    Cut,
    /// From here on what [`crate::Server::send`] sends, for as long as the client listens.
    Live,
}

impl Answer {
    /// An object or a list.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::Whole(value.to_string().into())
    }

    /// A `Status` that says no.
    #[must_use]
    pub const fn status(code: u16) -> Self {
        Self::Status { code, retry_after: None }
    }

    /// A watch that tells these events and then stays open.
    #[must_use]
    pub fn watch(events: &[Value]) -> Self {
        Self::Steps(lines(events).chain([Step::Live]).collect())
    }

    /// A watch that tells these events and ends in order.
    #[must_use]
    pub fn short_watch(events: &[Value]) -> Self {
        Self::Steps(lines(events).collect())
    }

    /// A watch that tells these events and breaks.
    #[must_use]
    pub fn cut_watch(events: &[Value]) -> Self {
        Self::Steps(lines(events).chain([Step::Cut]).collect())
    }

    /// The beginning of an answer; the connection breaks in the middle of it.
    #[must_use]
    pub fn cut(value: &Value) -> Self {
        let text = Bytes::from(value.to_string());
        Self::Steps(vec![Step::Bytes(text.slice(..text.len() / 2)), Step::Cut])
    }

    /// An answer that comes in so many pieces, with pauses between them.
    #[must_use]
    pub fn slow(value: &Value, pieces: usize, pause: Duration) -> Self {
        let text = Bytes::from(value.to_string());
        let size = text.len().div_ceil(pieces.max(1)).max(1);
        let pieces = (0..text.len()).step_by(size).map(|at| text.slice(at..text.len().min(at + size)));
        Self::Steps(pieces.flat_map(|piece| [Step::Bytes(piece), Step::Pause(pause)]).collect())
    }
}

fn lines(events: &[Value]) -> impl Iterator<Item = Step> {
    events.iter().map(|event| Step::Bytes(format!("{event}\n").into()))
}

/// The `Status` of a code, in the API server's form.
pub(crate) fn status(code: u16) -> Bytes {
    let message = format!("the script says {code}");
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
        .to_string()
        .into()
}

/// A body that is fed piece by piece: `None` breaks the connection.
pub(crate) struct Fed(pub(crate) mpsc::UnboundedReceiver<Option<Bytes>>);

impl Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| {
            piece.map(|bytes| bytes.map(Frame::data).ok_or_else(|| io::Error::other("the script cuts the connection")))
        })
    }
}
