//! Answers as kube-proxy's servers give them: the same types, and word for word the same refusals.

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

/// What is sent back; its length is known.
pub(super) type Answer = Response<Full<Bytes>>;

/// Text, with the type that Go gives it.
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// JSON without a charset: it has only one.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer with a type and nothing else.
pub(super) fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

/// The same, and browsers must not guess another type.
pub(super) fn typed(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Answer {
    with(answer(status, kind, body), X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
}

/// Text whose type is to be believed.
pub(super) fn plain(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, TEXT, body)
}

/// JSON whose type is to be believed.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => typed(status, JSON, body),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("error marshaling json: {error}\n")),
    }
}

/// As Go's servers answer for a path that they do not have.
pub(super) fn not_found() -> Answer {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// An answer with one more header.
pub(super) fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}
