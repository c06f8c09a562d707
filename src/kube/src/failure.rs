//! Why a request came to nothing, in words.

use std::{error::Error, fmt, io::ErrorKind, time::Duration};

/// A request that gave no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer, or one that broke off.
    Silent(String),
    /// The connection is there, and nothing comes any more.
    Mute(String),
    /// An answer that says no.
    Refused {
        /// The HTTP status.
        code: u16,
        /// What the API server says about it.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// An answer that is none of the API's.
    Unreadable(String),
}

impl Failure {
    /// Without an answer: what happened below.
    pub(crate) fn silent(error: &(dyn Error + 'static)) -> Self {
        Self::Silent(chain(error))
    }

    /// What we asked for is not there any more: a resource version or the rest of a list.
    pub(crate) const fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }

    /// The kind is not known, or is kept from us.
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code: 403 | 404, .. })
    }

    /// The request has a form that this API server does not know.
    pub(crate) const fn is_not_understood(&self) -> bool {
        matches!(self, Self::Refused { code: 400 | 405 | 406 | 415 | 422, .. })
    }

    /// The API server, or what stands before it, is in trouble; the request was right.
    pub(crate) const fn is_outage(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Mute(_) | Self::Refused { code: 500.., .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(reason) | Self::Mute(reason) => f.write_str(reason),
            Self::Refused { code, message, .. } => write!(f, "{code}: {message}"),
            Self::Unreadable(reason) => write!(f, "the answer cannot be read: {reason}"),
        }
    }
}

/// Whether an answer broke off as it does where we gave up its connection, after a ping without an answer. hyper does not say
/// so of the answers that were on their way: h2 calls their end a broken pipe. It does the same where the other side ends the
/// connection in order.
pub(crate) fn is_given_up(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.get_io().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe);
        }
        cause = error.source();
    }
    false
}

/// An error and what caused it, each said once: many errors of kube repeat their cause, those of hyper never tell it.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
