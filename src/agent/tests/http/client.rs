//! A client that shows an answer as it came.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

/// A connection that stays open.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(server).unwrap()))
    }

    /// Sends a request without a body and returns the answer, which must have a length.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        write!(self.0.get_mut(), "{request} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection was closed");
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            head += &line;
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        head + std::str::from_utf8(&body).unwrap()
    }
}

/// Asks by a connection of its own. `GET /path`, with headers behind it, and a body behind an empty line.
pub(crate) fn ask(server: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
    write!(stream, "{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The answer without what is another each time.
pub(crate) fn masked(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let hidden = hidden(body);
    let head = head.lines().map(|line| match line.split_once(": ") {
        Some((name @ ("Date" | "Process-Start-Time-Unix"), _)) => format!("{name}: *"),
        // Times have as many digits as they need.
        Some((name @ "Content-Length", _)) if hidden != body || body.is_empty() => format!("{name}: *"),
        _ => line.to_owned(),
    });
    format!("{}\n\n{hidden}", head.collect::<Vec<_>>().join("\n"))
}

/// Behind these stands a time, or how long the process has been up.
const MASKED: [&str; 8] = [
    "\"lastUpdated\":\"",
    "\"currentTime\":\"",
    "\"startTime\":\"",
    "startTime: \"",
    "\"uptimeSeconds\":",
    "uptimeSeconds: ",
    "\nStarted: ",
    "\nUp: ",
];

/// Go's time 0 is shown as it is.
const NEVER: &str = "0001-";

fn hidden(body: &str) -> String {
    let body = body.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    MASKED.into_iter().chain(["\nprocess_start_time_seconds "]).fold(body, |body, key| {
        let mut pieces = body.split(key);
        let first = pieces.next().unwrap().to_owned();
        pieces.fold(first, |text, piece| {
            let end = piece.find(['"', ',', '}', '\n']).unwrap_or(piece.len());
            let piece = if piece.starts_with(NEVER) { piece.to_owned() } else { format!("*{}", &piece[end..]) };
            text + key + &piece
        })
    })
}
