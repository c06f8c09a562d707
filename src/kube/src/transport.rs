//! The HTTP client under everything: TLS and credentials on connections that notice a dead peer.
//!
//! ```text
//!   requests --> kube: address, headers, plug-ins --> hyper --> TLS to the API server --> TCP
//!                                                                                 '--> proxy --> TCP, or TLS to the proxy
//! ```
//!
//! With TLS the API server is spoken to by HTTP/2, so that all requests share one connection, and a connection on which
//! nothing comes is asked by a ping whether somebody is there. That is noticed which TCP cannot tell: a balancer that
//! acknowledges every byte and forwards none. Without TLS, or where the server has no HTTP/2, it is HTTP/1.1, a connection
//! for each request on its way, and a mute peer is noticed by the watches alone.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri, header::AUTHORIZATION};
use hyper::rt::{Read, Write};
use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            Connection, HttpConnector,
            proxy::{SocksV5, Tunnel},
        },
    },
    rt::{TokioExecutor, TokioTimer},
};
use kube::{Config, client::ConfigExt as _};
use rustls::client::ResolvesClientCert;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

use crate::{
    credentials::{ConnectError, Credentials},
    plugin::Credential,
    proxy::{Kind, Path},
    tls,
};

/// How long a connection may take to come about, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing comes for this long is asked whether it lives, ...
const KEEPALIVE: Duration = Duration::from_secs(30);
/// ... this often, ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// ... and given up after so many questions: 45 s in all.
const KEEPALIVE_RETRIES: u32 = 3;
/// Where nothing came by HTTP/2 for this long there is a ping, ...
const PING: Duration = Duration::from_secs(25);
/// ... and the connection is given up where it gets no answer for this long: 40 s in all. client-go waits 30 s and 15 s.
pub(crate) const PONG: Duration = Duration::from_secs(15);
/// What that is called.
pub(crate) const UNANSWERED: &str = "nothing comes on its connection, and a ping got no answer within 15 s";
/// How much may come before we read it, of one answer and of all together: memory of ours, so less than hyper's 2 and
/// 5 MiB. From an API server 100 ms away these are still 10 MB/s.
const WINDOW: (u32, u32) = (1 << 20, 2 << 20);

/// The client that these credentials make. What a plug-in says goes before what the files say.
pub(crate) fn client(credentials: &Credentials, told: Option<&Credential>) -> Result<kube::Client, ConnectError> {
    let mut config = credentials.config.clone();
    if let Some(value) = told.and_then(|told| told.authorization.clone()) {
        config.headers.push((AUTHORIZATION, value));
    }
    let config = &config;
    let identity = told.and_then(|told| told.identity.as_ref()).or(credentials.identity.as_ref());
    let identity = identity.map(|identity| identity.0.clone() as Arc<dyn ResolvesClientCert>);
    // Proxies are spoken to by HTTP/1.1.
    let to_proxy = tls::config(&credentials.trust, identity)?;
    let mut tls = to_proxy.clone();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = Arc::new(tls);
    let own_name: Arc<dyn ResolveServerName + Send + Sync> = Arc::new(DefaultServerNameResolver::default());
    let name = match &credentials.trust.name {
        Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
        None => own_name.clone(),
    };
    let Path::Through(proxy) = &credentials.path else {
        return stack(config, HttpsConnector::new(tcp(), tls, false, name));
    };
    match proxy.kind {
        Kind::Http => {
            // As with Go, a proxy that is spoken to by TLS is believed as the API server is.
            let mut tunnel = Tunnel::new(proxy.uri.clone(), HttpsConnector::new(tcp(), to_proxy, false, own_name));
            if let Some((user, password)) = &proxy.user {
                let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
                if let Ok(value) = HeaderValue::try_from(basic) {
                    tunnel = tunnel.with_auth(value);
                }
            }
            stack(config, HttpsConnector::new(tunnel, tls, false, name))
        }
        Kind::Socks5 => {
            let mut socks = SocksV5::new(proxy.uri.clone(), tcp());
            if let Some((user, password)) = proxy.user.clone() {
                socks = socks.with_auth(user, password);
            }
            stack(config, HttpsConnector::new(socks, tls, false, name))
        }
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    tcp
}

/// kube's own client would also repeat requests that were answered with 429, 503 and 504, up to 15 times and up to minutes
/// apart, without telling anybody; here the one who asks decides.
fn stack<C, T>(config: &Config, connector: C) -> Result<kube::Client, ConnectError>
where
    C: Service<Uri, Response = T, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync + 'static,
    T: Read + Write + Connection + Unpin + Send + 'static,
{
    let refused = |error| ConnectError::refused(config, error);
    // hyper wants a future that can be moved.
    let connector = ServiceBuilder::new().map_future(Box::pin).timeout(CONNECT).service(connector);
    let mut http = Client::builder(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .http2_keep_alive_interval(PING)
        .http2_keep_alive_timeout(PONG)
        .http2_initial_stream_window_size(WINDOW.0)
        .http2_initial_connection_window_size(WINDOW.1);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(DecompressionLayer::new().gzip(!config.disable_compression))
        .layer(config.extra_headers_layer().map_err(refused)?)
        .map_err(BoxError::from)
        .service(http.build(connector));
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}
