//! A client of HTTP that hides nothing: the answer's headers are there as they came.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'text> {
    /// The method.
    pub method: &'text str,
    /// Path and query.
    pub target: &'text str,
    /// Headers, beside those that each request has.
    pub headers: &'text [(&'text str, &'text str)],
    /// The body; nothing is said of it where it is empty.
    pub body: &'text str,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code, and what stands behind it.
    pub status: String,
    /// The headers, with names as they came.
    pub headers: BTreeMap<String, String>,
    /// The body, in one piece.
    pub body: String,
}

impl Request<'_> {
    /// A connection for this request alone.
    ///
    /// # Errors
    /// When the server does not answer, or with something else than HTTP.
    pub fn send(&self, server: SocketAddr) -> io::Result<Response> {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Self { method, target, headers, body } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
        for (name, value) in *headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        stream.write_all(format!("{text}\r\n{body}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Response::parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, answer))
    }
}

impl Response {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.to_owned();
        let headers: BTreeMap<_, _> = lines
            .map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect::<Option<_>>()?;
        let chunked = headers.get("Transfer-Encoding").is_some_and(|coding| coding == "chunked");
        let body = if chunked && !body.is_empty() { joined(body)? } else { body.to_owned() };
        Some(Self { status, headers, body })
    }
}

/// The chunks of a body, without their lengths.
fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body += rest.get(..length)?;
        chunks = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}
