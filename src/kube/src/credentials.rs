//! Where the API server is, and who we are there: from a kubeconfig, `--master`, or the pod that we run in.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
};

use http::{HeaderValue, Uri, header::USER_AGENT};
use kube::{
    Config,
    config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::{client::ClientOptions, failure::chain};

/// The configuration of the connection is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The kubeconfig cannot be read, or what it names.
    #[error("the kubeconfig {} cannot be used: {}", .path.display(), chain(.error))]
    Kubeconfig {
        /// The file.
        path: Box<Path>,
        /// Why not.
        error: Box<KubeconfigError>,
    },
    /// Neither a kubeconfig nor an address is given, and this is no pod that has them.
    #[error(
        "neither --kubeconfig (clientConnection.kubeconfig) nor --master is given, and the ServiceAccount of this pod \
         cannot be used: {}", chain(.0)
    )]
    InCluster(Box<InClusterError>),
    /// `--master` is no address.
    #[error("--master `{0}` is not the address of an API server, such as https://192.0.2.1:6443")]
    Master(String),
    /// The token cannot be read.
    #[error("the token file {} cannot be read: {error}", .path.display())]
    Token {
        /// The file.
        path: Box<Path>,
        /// Why not.
        error: io::Error,
    },
    /// The kubeconfig wants a proxy in between.
    #[error("the kubeconfig {} has a proxy-url, which is not supported: the API server must be reached directly", .0.display())]
    Proxy(Box<Path>),
    /// The files are there, but not what they should be.
    #[error("the credentials for {server} cannot be used: {}", chain(.error))]
    Credentials {
        /// The API server.
        server: String,
        /// Why not.
        error: Box<kube::Error>,
    },
}

/// What was read, and from which files besides the kubeconfig.
pub(crate) struct Credentials {
    pub(crate) config: Config,
    files: Vec<PathBuf>,
    /// What the files held, as a hash: a token is not kept in yet another place.
    contents: u64,
}

impl Credentials {
    pub(crate) async fn read(options: &ClientOptions) -> Result<Self, ConnectError> {
        let (_, files) = load(options).await?;
        let contents = contents(&files);
        // Once more, since what is used must not be older than what the files are compared with later.
        let (mut config, files) = load(options).await?;
        // kube would read this one again itself, but only for new connections of the same client.
        config.root_cert_file = None;
        config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("portolan/", env!("CARGO_PKG_VERSION")))));
        Ok(Self { config, files, contents })
    }

    /// Whether the files hold something else now.
    pub(crate) fn are_stale(&self) -> bool {
        contents(&self.files) != self.contents
    }
}

async fn load(options: &ClientOptions) -> Result<(Config, Vec<PathBuf>), ConnectError> {
    let (mut config, ca) = match (&options.kubeconfig, &options.master) {
        (Some(path), master) => kubeconfig(path, master.as_deref()).await?,
        (None, Some(master)) => (Config::new(address(master, false)?), None),
        (None, None) => {
            let config = Config::incluster().map_err(|error| ConnectError::InCluster(Box::new(error)))?;
            let ca = config.root_cert_file.clone();
            (config, ca)
        }
    };
    let user = &mut config.auth_info;
    if let Some(file) = &user.token_file {
        // kube would send what follows the token too, such as an end of line, and prefers the kubeconfig's own token.
        let token =
            fs::read_to_string(file).map_err(|error| ConnectError::Token { path: Path::new(file).into(), error })?;
        user.token = Some(token.trim().to_owned().into());
    }
    let others = [&user.client_certificate, &user.client_key, &user.token_file].into_iter().flatten();
    let files = others.map(PathBuf::from).chain(ca).collect();
    Ok((config, files))
}

async fn kubeconfig(path: &Path, master: Option<&str>) -> Result<(Config, Option<PathBuf>), ConnectError> {
    let failed = |error| ConnectError::Kubeconfig { path: path.into(), error: Box::new(error) };
    let mut file = Kubeconfig::read_from(path).map_err(failed)?;
    let context = file.current_context.clone();
    let context = file.contexts.iter().find(|named| Some(&named.name) == context.as_ref());
    let name = context.and_then(|named| named.context.as_ref()).map(|context| context.cluster.clone());
    let cluster = file.clusters.iter_mut().find(|named| Some(&named.name) == name.as_ref());
    let mut ca = None;
    if let Some(cluster) = cluster.and_then(|named| named.cluster.as_mut()) {
        if cluster.proxy_url.as_ref().is_some_and(|proxy| !proxy.is_empty()) {
            return Err(ConnectError::Proxy(path.into()));
        }
        ca = cluster.certificate_authority.clone().filter(|_| cluster.certificate_authority_data.is_none());
        let tls = ca.is_some()
            || cluster.certificate_authority_data.is_some()
            || cluster.insecure_skip_tls_verify == Some(true);
        if let Some(master) = master {
            cluster.server = Some(address(master, tls)?.to_string());
        }
    }
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)?;
    Ok((config, ca.map(PathBuf::from)))
}

/// As client-go: without a scheme it is https where there is something to check a certificate with, else http.
fn address(master: &str, tls: bool) -> Result<Uri, ConnectError> {
    let scheme = if tls { "https" } else { "http" };
    let whole = if master.contains("://") { master.to_owned() } else { format!("{scheme}://{master}") };
    let uri: Option<Uri> = whole.parse().ok();
    uri.filter(|uri| uri.authority().is_some_and(|authority| !authority.host().is_empty()))
        .ok_or_else(|| ConnectError::Master(master.to_owned()))
}

fn contents(files: &[PathBuf]) -> u64 {
    let mut hash = DefaultHasher::new();
    for file in files {
        fs::read(file).ok().hash(&mut hash);
    }
    hash.finish()
}
