//! The server on its thread: connections in, answers of the script out.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Answer, Authority, Identity, Recorded, Step, TlsError, Verb,
    answer::{Fed, status},
    request,
    script::Shared,
    tls::Presents,
};

/// The server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Sockets or threads.
    #[error("no server on loopback")]
    Io(#[from] io::Error),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A scripted API server. It ends when this is dropped.
pub struct Server {
    address: SocketAddr,
    presents: Option<Arc<Presents>>,
    script: Shared,
    /// Ends the thread when it is dropped.
    _running: oneshot::Sender<()>,
}

impl Server {
    /// Starts one without TLS.
    ///
    /// # Errors
    /// When there is no socket or thread for it.
    pub fn start() -> Result<Self, ServerError> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts one without TLS where a client looks for it already.
    ///
    /// # Errors
    /// When there is no socket or thread for it.
    pub fn start_at(address: SocketAddr) -> Result<Self, ServerError> {
        Self::begin(address, None, None)
    }

    /// Starts one that presents a certificate. Clients may present certificates of the authority.
    ///
    /// # Errors
    /// When there is no socket or thread for it, or the certificate is unusable.
    pub fn start_tls(authority: &Authority, identity: &Identity) -> Result<Self, ServerError> {
        let presents = Arc::new(Presents::new(identity)?);
        let config = authority.server_config(presents.clone())?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::begin(address, Some(TlsAcceptor::from(Arc::new(config))), Some(presents))
    }

    fn begin(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        presents: Option<Arc<Presents>>,
    ) -> Result<Self, ServerError> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (running, ended) = oneshot::channel();
        let script = Shared::default();
        let served = script.clone();
        thread::Builder::new().name("scripted".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = serve(listener, tls, served) => {}
                    // Closed without a word, by the drop of the server.
                    _ = ended => {}
                }
            });
        })?;
        Ok(Self { address, presents, script, _running: running })
    }

    /// Its address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is: `http://127.0.0.1:port`, or https.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.presents.is_some() { "https" } else { "http" }, self.address)
    }

    /// What to answer to requests for a path from now on, in this order; the last answer is given again and again.
    pub fn on(&self, path: &str, verb: Verb, answers: impl IntoIterator<Item = Answer>) {
        self.script.lock().set(path, verb, answers);
    }

    /// Sends an event into all watches of a path that are open. Gives how many they are.
    pub fn send(&self, path: &str, event: &Value) -> usize {
        self.script.lock().send(path, Some(&format!("{event}\n").into()))
    }

    /// Breaks all watches of a path that are open. Gives how many they were.
    pub fn cut(&self, path: &str) -> usize {
        self.script.lock().send(path, None)
    }

    /// Lets in only those with this token; 401 for all others.
    pub fn allow_token(&self, token: &str) {
        self.script.lock().tokens = [token.to_owned()].into();
    }

    /// Presents another certificate to new connections.
    ///
    /// # Errors
    /// When the certificate is unusable.
    pub fn present(&self, identity: &Identity) -> Result<(), ServerError> {
        match &self.presents {
            Some(presents) => Ok(presents.replace(identity)?),
            None => Ok(()),
        }
    }

    /// All requests so far, in their order.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.script.lock().requests.clone()
    }

    /// The requests of one kind for a path.
    #[must_use]
    pub fn requests_for(&self, path: &str, verb: Verb) -> Vec<Recorded> {
        let requests = self.script.lock();
        requests.requests.iter().filter(|request| request.path == path && request.verb == verb).cloned().collect()
    }

    /// Waits until so many requests of a kind came for a path; gives whether they did within ten seconds.
    #[must_use]
    pub fn wait_for(&self, path: &str, verb: Verb, count: usize) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while self.requests_for(path, verb).len() < count {
            if Instant::now() > end {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, script: Shared) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        let (stream, _) = listener.accept().await?;
        // A delayed answer would be measured as ours.
        let _ = stream.set_nodelay(true);
        let (tls, script, number) = (tls.clone(), script.clone(), count);
        count += 1;
        connections.spawn(async move {
            match tls {
                None => connection(stream, script, number, None).await,
                Some(tls) => {
                    // The client tells its own test why there was no handshake.
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let client = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
                    let client = client.map(|certificate| certificate.to_vec());
                    connection(stream, script, number, client).await;
                }
            }
        });
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    script: Shared,
    number: usize,
    client: Option<Vec<u8>>,
) {
    let service = service_fn(|request| answer(request, script.clone(), number, client.clone()));
    // Cut connections are what the script is for.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    script: Shared,
    connection: usize,
    client_certificate: Option<Vec<u8>>,
) -> Result<Response<Either<Full<Bytes>, Fed>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes().to_vec();
    let query = request::query(&head.uri);
    let verb = request::verb(&head.method, &query);
    let path = head.uri.path().to_owned();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let authorization = header(AUTHORIZATION);
    let token = authorization.as_deref().and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let page: usize = query.get("continue").and_then(|page| page.parse().ok()).unwrap_or_default();
    let user_agent = header(USER_AGENT);
    let recorded = Recorded {
        verb,
        path: path.clone(),
        query,
        authorization,
        token,
        user_agent,
        client_certificate,
        connection,
        body,
    };
    let answer = script.lock().answer(recorded);
    let mut code = StatusCode::OK;
    let mut wait = None;
    let body = match answer {
        Answer::Whole(bytes) => Either::Left(Full::new(bytes)),
        Answer::Pages(pages) => Either::Left(Full::new(pages.get(page).cloned().unwrap_or_default())),
        Answer::Status { code: number, retry_after } => {
            code = StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            wait = retry_after;
            Either::Left(Full::new(status(number)))
        }
        Answer::Steps(steps) => {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(play(steps, sender, script, path));
            Either::Right(Fed(receiver))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = wait {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// Goes through the steps of an answer. What nobody reads any more is sent into the void.
async fn play(steps: Vec<Step>, sender: mpsc::UnboundedSender<Option<Bytes>>, script: Shared, path: String) {
    for step in steps {
        match step {
            Step::Bytes(bytes) => drop(sender.send(Some(bytes))),
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Cut => {
                // hyper forgets what it has not written yet when a body fails.
                tokio::time::sleep(Duration::from_millis(10)).await;
                drop(sender.send(None));
            }
            Step::Live => return script.lock().listen(&path, sender),
        }
    }
}
