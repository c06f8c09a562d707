//! One listener: takes connections, reads requests, and sends what its [`Site`] answers.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Method, Request,
    body::{Bytes, Incoming},
    header::HeaderName,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use super::answer::Answer;

/// So many connections a listener has at once; then the oldest makes room. Health ports are open to everybody, and
/// file descriptors are the whole process's.
const MOST_CONNECTIONS: usize = 256;

/// How long a client may take for a request, or be silent between two. Longer than the pauses of scrapers and probes.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long nobody is let in when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest body that is read: a number.
const LONGEST_BODY: usize = 1024;

/// What is behind a port.
pub(super) trait Site: Send + Sync + 'static {
    /// The answer to a request. It must not wait for long: all servers share a thread.
    fn answer(&self, asked: &Asked) -> Answer;

    /// Whether the body of such a request means something.
    fn reads_body(&self, _method: &Method, _path: &str) -> bool {
        false
    }
}

/// A request.
#[derive(Debug)]
pub(super) struct Asked {
    /// The method; most paths take any.
    pub(super) method: Method,
    uri: hyper::Uri,
    headers: HeaderMap,
    /// What was sent, where it is [read](Site::reads_body) and not too long.
    pub(super) body: Option<Bytes>,
}

impl Asked {
    /// The path.
    #[must_use]
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The values of a parameter of the query.
    pub(super) fn query<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.uri.query().unwrap_or_default().split('&');
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(move |pair| pair.0 == name)
            .map(|pair| pair.1)
    }

    /// A header; empty where there is none.
    #[must_use]
    pub(super) fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    async fn read(request: Request<Incoming>, site: &dyn Site) -> Self {
        let (head, body) = request.into_parts();
        let body = if site.reads_body(&head.method, head.uri.path()) {
            let whole = Limited::new(body, LONGEST_BODY).collect();
            let read = tokio::time::timeout(PATIENCE, whole).await;
            read.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes)
        } else {
            None
        };
        Self { method: head.method, uri: head.uri, headers: head.headers, body }
    }
}

/// Serves until it is dropped, and with it every connection.
pub(super) async fn serve(listener: TcpListener, site: Arc<dyn Site>) {
    let (mut connections, mut by_age) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if by_age.len() >= MOST_CONNECTIONS {
                        by_age.retain(|connection| !connection.is_finished());
                    }
                    if by_age.len() >= MOST_CONNECTIONS && let Some(oldest) = by_age.pop_front() {
                        oldest.abort();
                    }
                    by_age.push_back(connections.spawn(talk(stream, Arc::clone(&site))));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn talk(stream: TcpStream, site: Arc<dyn Site>) {
    let service = service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(&Asked::read(request, site.as_ref()).await)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        // As Go writes them; some probes compare text.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}
