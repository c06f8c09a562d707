//! Requests to the API server, each with the credentials that the files hold now.

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::{Response, StatusCode, header::RETRY_AFTER};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    credentials::{ConnectError, Credentials},
    failure::{Failure, chain, is_given_up},
    limit::Limit,
    observe::{Request, RequestObserver, Unobserved},
    plugin::Credential,
    proxy,
    transport::{self, PONG, UNANSWERED},
};

/// How long an answer's head may take. The API server ends requests other than watches after 60 s itself.
const HEAD: Duration = Duration::from_secs(60);
/// How long an answer may pause in the middle.
const PAUSE: Duration = Duration::from_secs(30);
/// The largest answer that is taken: several times what all objects of a large cluster would be. Only a broken server
/// sends more.
const LARGEST: usize = 1 << 30;

/// Where the API server is, and how it is asked.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// `clientConnection.kubeconfig`, `--kubeconfig`. With neither this nor `master`: as the pod that this is.
    pub kubeconfig: Option<PathBuf>,
    /// `--master`: goes before the kubeconfig's address.
    pub master: Option<String>,
    /// `clientConnection.qps`: requests in a second; 0 is 5, less is no limit. The later pages of a list are free.
    pub qps: f32,
    /// `clientConnection.burst`: how many at once; 0 is 10.
    pub burst: u32,
}

/// A connection to the API server. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    options: ClientOptions,
    observer: Arc<dyn RequestObserver>,
    limit: Limit,
    current: Mutex<Current>,
    /// The API server's address, as the log has it.
    server: String,
    /// The same without the scheme, as metrics have it.
    host: String,
    /// What is between, for the log.
    path: proxy::Path,
}

struct Current {
    credentials: Credentials,
    client: kube::Client,
    /// What the client has of a plug-in.
    told: Option<Arc<Credential>>,
    /// Why the newest files are not in use.
    trouble: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.0.server).finish()
    }
}

/// Whether a request counts against the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It does.
    Own,
    /// It goes on with one that did: kube-proxy's lists are one request, ours have pages.
    Same,
}

impl Client {
    /// Reads the configuration and the files that it names. The API server is not asked yet.
    ///
    /// # Errors
    /// When a file is missing or is not what it should be.
    pub async fn connect(
        options: ClientOptions,
        observer: Option<Arc<dyn RequestObserver>>,
    ) -> Result<Self, ConnectError> {
        let current = Current::read(&options)?;
        let url = &current.credentials.config.cluster_url;
        let host = url.authority().map_or_else(String::new, ToString::to_string);
        let server = format!("{}://{host}", url.scheme_str().unwrap_or("http"));
        let unused = current.credentials.unused.join(", ");
        if !unused.is_empty() {
            tracing::warn!(
                "{server} is reached without TLS, where whoever is in between reads along; as with kube-proxy, nothing of \
                 the kubeconfig's user is shown to it: {unused}. Give an https:// address to have it used"
            );
        }
        let path = current.credentials.path.clone();
        match &path {
            proxy::Path::Direct => {}
            proxy::Path::Through(proxy) => tracing::info!("{server} is reached through {proxy}"),
            proxy::Path::Ignored(variable) => {
                tracing::warn!("{server} is reached directly: {variable} is not the address of a proxy");
            }
        }
        let limit = Limit::new(options.qps, options.burst);
        let observer = observer.unwrap_or_else(|| Arc::new(Unobserved));
        Ok(Self(Arc::new(Shared { limit, observer, current: Mutex::new(current), server, host, path, options })))
    }

    /// The API server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// The same, with what is between.
    pub(crate) fn way(&self) -> String {
        match &self.0.path {
            proxy::Path::Direct => self.0.server.clone(),
            proxy::Path::Through(proxy) => format!("{} (through {proxy})", self.0.server),
            proxy::Path::Ignored(variable) => {
                format!("{} (without a proxy: {variable} is not the address of one)", self.0.server)
            }
        }
    }

    /// Whether we are told nothing but what every pod is told.
    pub(crate) fn is_in_cluster(&self) -> bool {
        self.0.options.kubeconfig.is_none() && self.0.options.master.is_none()
    }

    /// Asks, and gives an answer that says yes, of which only the head has come.
    pub(crate) async fn open(&self, request: http::Request<Vec<u8>>, turn: Turn) -> Result<Response<Body>, Failure> {
        let method = request.method().clone();
        let asked = self.asked(method.as_str());
        if turn == Turn::Own {
            let waited = self.0.limit.token().await;
            self.0.observer.limited(asked, waited);
        }
        let current = self.current().await;
        let (client, told) = current.inspect_err(|_| self.0.observer.answered(asked, None))?;
        let answer = timeout(HEAD, client.send(request.map(Body::from))).await;
        let code = answer.as_ref().ok().and_then(|answer| answer.as_ref().ok()).map(|answer| answer.status().as_u16());
        self.0.observer.answered(asked, code);
        let answer = answer.map_err(|_| Failure::Silent(format!("no answer within {} s", HEAD.as_secs())))?;
        let answer = answer.map_err(|error| Failure::silent(&error))?;
        if answer.status() == StatusCode::UNAUTHORIZED
            && let (Some(told), Some(plugin)) = (&told, &mut self.0.current.lock().await.credentials.plugin)
        {
            plugin.refused(told);
        }
        if answer.status().is_success() { Ok(answer) } else { Err(refusal(answer).await) }
    }

    /// Asks, and puts the whole answer in the place of what is in a buffer.
    pub(crate) async fn fetch(
        &self,
        request: http::Request<Vec<u8>>,
        turn: Turn,
        into: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        into.clear();
        let (method, sent) = (request.method().clone(), request.body().len());
        let begin = Instant::now();
        let answer = match self.open(request, turn).await {
            Ok(answer) => read(answer.into_body(), into).await,
            Err(failure) => Err(failure),
        };
        self.0.observer.finished(self.asked(method.as_str()), begin.elapsed(), sent, into.len());
        answer
    }

    fn asked<'a>(&'a self, method: &'a str) -> Request<'a> {
        Request { method, host: &self.0.host }
    }

    /// The client of the files as they are now. Files that cannot be used, such as a certificate whose key has not been
    /// written yet, leave the one before in use. Where a plug-in tells who we are, it may have to be asked first, and what it
    /// said is given as well.
    async fn current(&self) -> Result<(kube::Client, Option<Arc<Credential>>), Failure> {
        let since = Instant::now();
        let mut current = self.0.current.lock().await;
        if current.credentials.are_stale() {
            match Current::read(&self.0.options) {
                Ok(new) => {
                    tracing::info!(
                        "the files with the credentials for {} have changed and are used now",
                        self.0.server
                    );
                    *current = new;
                }
                Err(error) => {
                    let trouble = error.to_string();
                    if current.trouble.as_ref() != Some(&trouble) {
                        tracing::warn!("{trouble}; what was read before stays in use");
                    }
                    current.trouble = Some(trouble);
                }
            }
        } else {
            // The same trouble is news again once it was over.
            current.trouble = None;
        }
        let Current { credentials, client, told, .. } = &mut *current;
        if let Some(plugin) = &mut credentials.plugin {
            let credential = plugin.credential(since, &*self.0.observer).await.map_err(Failure::Silent)?;
            if !told.as_ref().is_some_and(|told| Arc::ptr_eq(told, &credential)) {
                let new = transport::client(credentials, Some(&credential));
                *client = new.map_err(|error| Failure::Silent(error.to_string()))?;
                *told = Some(credential);
            }
        }
        Ok((client.clone(), told.clone()))
    }
}

impl Current {
    fn read(options: &ClientOptions) -> Result<Self, ConnectError> {
        let credentials = Credentials::read(options)?;
        let client = transport::client(&credentials, None)?;
        Ok(Self { credentials, client, told: None, trouble: None })
    }
}

/// The part of a `Status` that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) message: String,
    pub(crate) details: Option<StatusDetails>,
}

/// When to come back, where the body says it and no header.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatusDetails {
    retry_after_seconds: Option<u64>,
}

impl Status {
    /// As the failure of a request. What a header says of when to come back, in seconds, goes before what the body says.
    pub(crate) fn into_failure(self, header: Option<u64>) -> Failure {
        let seconds = self.details.and_then(|details| details.retry_after_seconds).filter(|&seconds| seconds > 0);
        let seconds = header.or(seconds);
        Failure::Refused { code: self.code, message: self.message, retry_after: seconds.map(Duration::from_secs) }
    }
}

async fn refusal(answer: Response<Body>) -> Failure {
    let code = answer.status().as_u16();
    // The other form, a date, is none of the API server's.
    let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    // What came of it may be enough to say why.
    let _ = read(answer.into_body(), &mut body).await;
    let status = serde_json::from_slice(&body).unwrap_or_else(|_| Status {
        // Not the API server itself but a proxy before it.
        message: String::from_utf8_lossy(&body).trim().chars().take(200).collect(),
        ..Status::default()
    });
    (Status { code, ..status }).into_failure(header)
}

async fn read(mut body: Body, into: &mut Vec<u8>) -> Result<(), Failure> {
    while read_more(&mut body, PAUSE, into).await? {
        if into.len() > LARGEST {
            return Err(Failure::Unreadable(format!("it is larger than {LARGEST} bytes")));
        }
    }
    Ok(())
}

/// Appends what comes next of an answer. `false` at its end.
pub(crate) async fn read_more(body: &mut Body, pause: Duration, into: &mut Vec<u8>) -> Result<bool, Failure> {
    let since = Instant::now();
    let frame = timeout(pause, body.frame()).await;
    match frame.map_err(|_| Failure::Mute(format!("nothing came for {} s", pause.as_secs())))? {
        None => Ok(false),
        // An orderly end of the connection looks the same, and may come at any moment; a ping that gets no answer comes last
        // of a long silence.
        Some(Err(error)) if is_given_up(&error) && since.elapsed() >= PONG => Err(Failure::Mute(UNANSWERED.to_owned())),
        Some(Err(error)) => Err(Failure::Silent(format!("the answer broke off: {}", chain(&error)))),
        Some(Ok(frame)) => {
            // The other kind, trailers, is no data.
            if let Some(data) = frame.data_ref() {
                into.extend_from_slice(data);
            }
            Ok(true)
        }
    }
}
