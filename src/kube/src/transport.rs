//! The HTTP client under everything: kube's TLS and credentials on connections that notice a dead peer.

use std::time::Duration;

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{Config, client::ConfigExt as _};
use tower::{BoxError, ServiceBuilder};
use tower_http::decompression::DecompressionLayer;

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
pub(crate) fn client(config: &Config) -> Result<kube::Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    let connector = config.rustls_https_connector_with_connector(tcp)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(DecompressionLayer::new().gzip(!config.disable_compression))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Client::builder(TokioExecutor::new()).build(connector));
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}
