//! The HTTP client under everything: kube's TLS and credentials on connections that notice a dead peer.

use std::{sync::Arc, time::Duration};

use hyper_rustls::{DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, ResolveServerName};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::client::ConfigExt as _;
use rustls::client::ResolvesClientCert;
use tower::{BoxError, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

use crate::{
    credentials::{ConnectError, Credentials},
    tls,
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing comes for this long is asked whether it lives, ...
const KEEPALIVE: Duration = Duration::from_secs(30);
/// ... this often, ...
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// ... and given up after so many questions: 45 s in all, as with client-go's HTTP/2 pings.
const KEEPALIVE_RETRIES: u32 = 3;

/// kube's own client would also repeat requests that were answered with 429, 503 and 504, up to 15 times and up to minutes
/// apart, without telling anybody; here the one who asks decides.
pub(crate) fn client(credentials: &Credentials) -> Result<kube::Client, ConnectError> {
    let config = &credentials.config;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    let refused = |error| ConnectError::Credentials { server: config.cluster_url.to_string(), error: Box::new(error) };
    let identity = match &credentials.identity {
        Some(identity) => Some(identity.0.clone() as Arc<dyn ResolvesClientCert>),
        // A plug-in may give a certificate, which only kube knows.
        None if config.auth_info.exec.is_some() => {
            Some(config.rustls_client_config().map_err(refused)?.client_auth_cert_resolver)
        }
        None => None,
    };
    let name: Arc<dyn ResolveServerName + Send + Sync> = match &credentials.trust.name {
        Some(name) => Arc::new(FixedServerNameResolver::new(name.clone())),
        None => Arc::new(DefaultServerNameResolver::default()),
    };
    let connector = HttpsConnector::new(tcp, tls::config(&credentials.trust, identity)?, false, name);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(DecompressionLayer::new().gzip(!config.disable_compression))
        .option_layer(config.auth_layer().map_err(refused)?)
        .layer(config.extra_headers_layer().map_err(refused)?)
        .map_err(BoxError::from)
        .service(Client::builder(TokioExecutor::new()).build(connector));
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}
