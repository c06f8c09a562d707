//! What was asked, kept for the test to look at.

use std::collections::BTreeMap;

use hyper::{Method, Uri};

/// What a request wants of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// A list, or a page of one.
    List,
    /// A watch.
    Watch,
    /// A watch that begins with a list (`sendInitialEvents`).
    Stream,
    /// A new object.
    Create,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What it wants.
    pub verb: Verb,
    /// The path, without the query.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// `Authorization`
    pub authorization: Option<String>,
    /// The bearer token of it.
    pub token: Option<String>,
    /// `User-Agent`
    pub user_agent: Option<String>,
    /// What the client presented, as DER.
    pub client_certificate: Option<Vec<u8>>,
    /// Which connection it came by, counted from 0.
    pub connection: usize,
    /// What was sent along.
    pub body: Vec<u8>,
}

impl Recorded {
    /// A parameter of the query; empty where there is none.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

pub(crate) fn query(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect()
}

pub(crate) fn verb(method: &Method, query: &BTreeMap<String, String>) -> Verb {
    if *method == Method::POST {
        Verb::Create
    } else if query.contains_key("sendInitialEvents") {
        Verb::Stream
    } else if query.contains_key("watch") {
        Verb::Watch
    } else {
        Verb::List
    }
}

/// Undoes percent-encoding, as forms have it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).unwrap_or_default();
        bytes.push(match byte {
            b'%' => u8::try_from(digit() * 16 + digit()).unwrap_or_default(),
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_decoded() {
        let uri: Uri = "/api?labelSelector=%21a%2Fb&fieldSelector=x%21%3DNone&watch=true&c".parse().unwrap();
        let query = query(&uri);
        assert_eq!(query["labelSelector"], "!a/b");
        assert_eq!(query["fieldSelector"], "x!=None");
        assert_eq!(query["c"], "");
        assert_eq!(verb(&Method::GET, &query), Verb::Watch);
    }
}
