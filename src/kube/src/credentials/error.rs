//! Why there is no connection to begin with: what stands where, and what is wrong with it. No message has a secret in it.

use std::{fmt, io, path::Path};

use kube::config::KubeconfigError;

use crate::{failure::chain, plugin::PluginMistake};

/// The configuration of the connection is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The kubeconfig cannot be read, or lacks what its current context names.
    #[error("the kubeconfig {} cannot be used: {}", .path.display(), chain(.error))]
    Kubeconfig {
        /// The file.
        path: Box<Path>,
        /// Why not.
        error: Box<KubeconfigError>,
    },
    /// It is not YAML, or not that of a kubeconfig. The library's own words would quote the lines around, in which the
    /// secrets are.
    #[error("the kubeconfig {} cannot be used: line {line}, column {column} is not as in a kubeconfig", .path.display())]
    Yaml {
        /// The file.
        path: Box<Path>,
        /// Counted from 1, 0 where it is not known.
        line: u64,
        /// Counted from 1, 0 where it is not known.
        column: u64,
    },
    /// Neither a kubeconfig nor an address is given, and this is no pod.
    #[error(
        "neither --kubeconfig (clientConnection.kubeconfig) nor --master is given, and this is no pod with a \
         ServiceAccount: the environment has no {0}"
    )]
    NoPod(&'static str),
    /// A value, or the file that it names, is not what it should be.
    #[error("{place} cannot be used: {error}")]
    Value {
        /// Which one.
        place: Place,
        /// Why not.
        error: Unusable,
    },
    /// What else there is to authenticate with.
    #[error("the credentials for {server} cannot be used: {}", chain(.error))]
    Credentials {
        /// The API server.
        server: String,
        /// Why not.
        error: Box<kube::Error>,
    },
    /// TLS cannot be used at all.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl ConnectError {
    pub(crate) fn refused(config: &kube::Config, error: kube::Error) -> Self {
        Self::Credentials { server: config.cluster_url.to_string(), error: Box::new(error) }
    }
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// `--master`
    Master,
    /// A field of a kubeconfig, such as `certificate-authority`, and the file that it names.
    Field {
        /// The kubeconfig.
        kubeconfig: Box<Path>,
        /// The field.
        field: &'static str,
        /// The file that it names.
        file: Option<Box<Path>>,
    },
    /// A file of the pod's ServiceAccount.
    ServiceAccount(Box<Path>),
    /// The address of the API server that the pod is told.
    Environment,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master => f.write_str("--master"),
            Self::Field { kubeconfig, field, file: None } => {
                write!(f, "{field} in the kubeconfig {}", kubeconfig.display())
            }
            Self::Field { kubeconfig, field, file: Some(file) } => {
                write!(f, "{}, which is {field} in the kubeconfig {},", file.display(), kubeconfig.display())
            }
            Self::ServiceAccount(file) => write!(f, "the ServiceAccount's {}", file.display()),
            Self::Environment => f.write_str("KUBERNETES_SERVICE_HOST with KUBERNETES_SERVICE_PORT"),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Data that is not base64.
    #[error("it is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// No address.
    #[error("`{0}` is not the address of an API server, such as https://192.0.2.1:6443")]
    Address(String),
    /// No proxy.
    #[error("it is not the address of a proxy, such as http://192.0.2.1:3128; https and socks5 are known too")]
    Proxy,
    /// A name that no certificate can have.
    #[error("`{0}` is neither a DNS name nor an IP address")]
    ServerName(String),
    /// Nothing where something must be.
    #[error("it is empty")]
    Empty,
    /// It would break a request.
    #[error("it has characters that no HTTP header can have, such as a line break inside")]
    Header,
    /// Nothing to check a server with.
    #[error("no certificate in it can be read")]
    NoCertificate,
    /// No key, or none of a kind that is known.
    #[error("no private key in it can be read: RSA, ECDSA and Ed25519 keys are, as PKCS#8, PKCS#1 or SEC1")]
    NoKey,
    /// The key and the certificate are not a pair.
    #[error("it is not the key of the client certificate")]
    OtherKey,
    /// A certificate without its key, or the other way round.
    #[error("{0} is not given, and one is nothing without the other")]
    Alone(&'static str),
    /// As client-go has it.
    #[error("insecure-skip-tls-verify is true, so that nothing would be checked with it; remove one of the two")]
    Unchecked,
    /// A plug-in that cannot be asked.
    #[error("{0}")]
    Plugin(#[from] PluginMistake),
    /// A way to authenticate that is no more.
    #[error("there are no such providers any more; use `exec`")]
    AuthProvider,
}
