//! Where the API server is, and who we are there: from a kubeconfig, `--master`, or the pod that we run in.
//!
//! ```text
//!   kubeconfig --> cluster, user --+--> server       https or http
//!   pod -----------------^         +--> Trust        whom we believe        (https)
//!   --master ----------------------+--> Identity     who we are by key      (https)
//!                                  '--> headers      who we are by word     (https)
//! ```
//!
//! Everything is checked here, before a library sees it: many of them take such a check for granted and end the process.

mod error;
mod files;
mod kubeconfig;
mod server;

use std::{
    env,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderValue, Uri,
    header::{AUTHORIZATION, USER_AGENT},
    uri::Scheme,
};
use kube::{
    Config,
    config::{AuthInfo, Cluster},
};

use secrecy::ExposeSecret as _;

pub use self::error::{ConnectError, Place, Unusable};
use self::files::Files;
pub(crate) use self::server::has_host;
use crate::{
    client::ClientOptions,
    plugin::Plugin,
    proxy::{self, Proxy},
    tls::{self, Identity, Trust},
};

/// Where a pod finds what it is told.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What was read, and from which files besides the kubeconfig.
pub(crate) struct Credentials {
    /// For kube: the address and the headers.
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) identity: Option<Identity>,
    pub(crate) path: proxy::Path,
    /// What tells who we are where nothing else does: neither a token nor a password nor a client certificate.
    pub(crate) plugin: Option<Plugin>,
    /// The fields that are not used, since the server is not reached by TLS.
    pub(crate) unused: Vec<&'static str>,
    files: Files,
}

impl Credentials {
    pub(crate) fn read(options: &ClientOptions) -> Result<Self, ConnectError> {
        let mut reader = Reader::new(options)?;
        let server = reader.server(options.master.as_deref())?;
        let is_secret = server.scheme() == Some(&Scheme::HTTPS);
        let path = reader.path(&server)?;
        let mut config = Config::new(server);
        config.disable_compression = reader.cluster.disable_compression == Some(true);
        config.headers.push((USER_AGENT, HeaderValue::from_static(concat!("portolan/", env!("CARGO_PKG_VERSION")))));
        let user = &mut reader.user;
        let to = &mut config.auth_info;
        to.impersonate = user.impersonate.take();
        to.impersonate_uid = user.impersonate_uid.take();
        to.impersonate_groups = user.impersonate_groups.take();
        to.impersonate_user_extra = user.impersonate_user_extra.take();
        if !is_secret {
            // As client-go: who is not sure of the server shows nothing to it, and reads nothing for it.
            let (trust, unused) = (Trust::system(None), reader.unused());
            return Ok(Self { config, trust, identity: None, path, plugin: None, unused, files: reader.files });
        }
        if user.auth_provider.is_some() {
            return Err(reader.unusable("auth-provider", None, Unusable::AuthProvider));
        }
        let mut exec = user.exec.take();
        if let (Some(master), Some(cluster)) = (&options.master, exec.as_mut().and_then(|exec| exec.cluster.as_mut())) {
            // The plug-in is told the server that is asked, as by client-go.
            cluster.server = Some(master.clone());
        }
        let (trust, identity, authorization) = (reader.trust()?, reader.identity()?, reader.authorization()?);
        // As client-go (`UpdateTransportConfig` of its exec plug-in): who has something to show runs no plug-in.
        exec = exec.filter(|_| identity.is_none() && authorization.is_none());
        let plugin = exec.map(Plugin::new).transpose().map_err(|error| reader.unusable("exec", None, error.into()))?;
        config.headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        Ok(Self { config, trust, identity, path, plugin, unused: Vec::new(), files: reader.files })
    }

    /// Whether the files hold something else now.
    pub(crate) fn are_stale(&self) -> bool {
        self.files.are_stale()
    }
}

/// What is used, from where, and the files that were read for it.
struct Reader {
    /// `None`: we are a pod, or there is nothing but `--master`.
    kubeconfig: Option<PathBuf>,
    cluster: Cluster,
    user: AuthInfo,
    files: Files,
}

impl Reader {
    fn new(options: &ClientOptions) -> Result<Self, ConnectError> {
        let (cluster, user) = match (&options.kubeconfig, &options.master) {
            (Some(path), _) => kubeconfig::current(path)?,
            (None, Some(_)) => (Cluster::default(), AuthInfo::default()),
            (None, None) => pod()?,
        };
        Ok(Self { kubeconfig: options.kubeconfig.clone(), cluster, user, files: Files::default() })
    }

    /// The address: `--master` goes before all others.
    fn server(&self, master: Option<&str>) -> Result<Uri, ConnectError> {
        let (cluster, user) = (&self.cluster, &self.user);
        let given = [
            &cluster.certificate_authority,
            &cluster.certificate_authority_data,
            &user.client_certificate,
            &user.client_certificate_data,
        ];
        let tls = given.into_iter().flatten().any(|value| !value.is_empty())
            || cluster.insecure_skip_tls_verify == Some(true);
        let text = master.or(cluster.server.as_deref()).unwrap_or_default();
        server::address(text, tls).ok_or_else(|| {
            // A password may stand before the host.
            let error = Unusable::Address(text.rsplit('@').next().unwrap_or_default().to_owned());
            let place = if master.is_some() { Place::Master } else { self.place("server", None) };
            ConnectError::Value { place, error }
        })
    }

    /// Whether there is a proxy in between.
    fn path(&self, server: &Uri) -> Result<proxy::Path, ConnectError> {
        match self.cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => Proxy::parse(url, "proxy-url")
                .map(proxy::Path::Through)
                .ok_or_else(|| self.unusable("proxy-url", None, Unusable::Proxy)),
            None => Ok(proxy::Path::from_environment(server, |name| env::var(name).ok())),
        }
    }

    /// The credentials that are there.
    fn unused(&self) -> Vec<&'static str> {
        let user = &self.user;
        let fields = [
            ("token", user.token.is_some()),
            ("tokenFile", user.token_file.is_some()),
            ("username", user.username.is_some()),
            ("client-certificate", user.client_certificate.is_some()),
            ("client-certificate-data", user.client_certificate_data.is_some()),
            ("exec", user.exec.is_some()),
            ("auth-provider", user.auth_provider.is_some()),
        ];
        fields.into_iter().filter_map(|(field, is_there)| is_there.then_some(field)).collect()
    }

    /// Who we are by word.
    fn authorization(&mut self) -> Result<Option<HeaderValue>, ConnectError> {
        let basic = self.user.username.take().filter(|name| !name.is_empty());
        let token = self.user.token.take();
        let (field, file, value) = if let Some(name) = basic {
            let password = self.user.password.as_ref().map_or("", |password| password.expose_secret());
            (
                "username",
                None,
                [b"Basic ".as_slice(), BASE64_STANDARD.encode(format!("{name}:{password}")).as_bytes()].concat(),
            )
        } else if let Some(file) = self.user.token_file.take() {
            let read = self.files.read(Path::new(&file));
            let token = read.map_err(|error| self.unusable("tokenFile", Some(&file), error.into()))?;
            if token.trim_ascii().is_empty() {
                return Err(self.unusable("tokenFile", Some(&file), Unusable::Empty));
            }
            ("tokenFile", Some(file), [b"Bearer ", token.trim_ascii()].concat())
        } else if let Some(token) = token.as_ref().map(|token| token.expose_secret()).filter(|token| !token.is_empty())
        {
            ("token", None, [b"Bearer ", token.as_bytes().trim_ascii()].concat())
        } else {
            return Ok(None);
        };
        let value = HeaderValue::from_bytes(&value);
        let mut value = value.map_err(|_| self.unusable(field, file.as_deref(), Unusable::Header))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Whom we believe.
    fn trust(&mut self) -> Result<Trust, ConnectError> {
        let name = self.cluster.tls_server_name.take().filter(|name| !name.is_empty());
        let name = name.map(|name| {
            name.clone().try_into().map_err(|_| self.unusable("tls-server-name", None, Unusable::ServerName(name)))
        });
        let name = name.transpose()?;
        let (data, file) = (self.cluster.certificate_authority_data.take(), self.cluster.certificate_authority.take());
        let authority = self.pem("certificate-authority", "certificate-authority-data", data.as_deref(), file)?;
        let is_unchecked = self.cluster.insecure_skip_tls_verify == Some(true);
        match authority {
            Some((place, _)) if is_unchecked => Err(ConnectError::Value { place, error: Unusable::Unchecked }),
            Some((place, pem)) => Trust::these(&pem, name).map_err(|error| ConnectError::Value { place, error }),
            None if is_unchecked => Ok(Trust::all(name)),
            None => Ok(Trust::system(name)),
        }
    }

    /// Who we are by key.
    fn identity(&mut self) -> Result<Option<Identity>, ConnectError> {
        let (data, file) = (self.user.client_certificate_data.take(), self.user.client_certificate.take());
        let certificate = self.pem("client-certificate", "client-certificate-data", data.as_deref(), file)?;
        let (data, file) = (self.user.client_key_data.take(), self.user.client_key.take());
        let data = data.as_ref().map(|data| data.expose_secret());
        let key = self.pem("client-key", "client-key-data", data, file)?;
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some((place, _)), None) => Err(ConnectError::Value { place, error: Unusable::Alone("client-key") }),
            (None, Some((place, _))) => {
                Err(ConnectError::Value { place, error: Unusable::Alone("client-certificate") })
            }
            (Some((certificate_place, certificate)), Some((key_place, key))) => {
                let chain = tls::certificates(&certificate);
                if chain.is_empty() {
                    return Err(ConnectError::Value { place: certificate_place, error: Unusable::NoCertificate });
                }
                let identity = Identity::new(chain, &key);
                identity.map(Some).map_err(|error| ConnectError::Value { place: key_place, error })
            }
        }
    }

    /// What a field holds, or the file that another one names. As with client-go, data goes before files.
    fn pem(
        &mut self,
        file_field: &'static str,
        data_field: &'static str,
        data: Option<&str>,
        file: Option<String>,
    ) -> Result<Option<(Place, Vec<u8>)>, ConnectError> {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let text: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let bytes = BASE64_STANDARD.decode(text);
            let bytes = bytes.map_err(|error| self.unusable(data_field, None, error.into()))?;
            return Ok(Some((self.place(data_field, None), bytes)));
        }
        let Some(file) = file else { return Ok(None) };
        let bytes = self.files.read(Path::new(&file));
        let bytes = bytes.map_err(|error| self.unusable(file_field, Some(&file), error.into()))?;
        Ok(Some((self.place(file_field, Some(&file)), bytes)))
    }

    fn place(&self, field: &'static str, file: Option<&str>) -> Place {
        let file = file.map(|file| Path::new(file).into());
        match (&self.kubeconfig, file) {
            (Some(kubeconfig), file) => Place::Field { kubeconfig: kubeconfig.as_path().into(), field, file },
            (None, Some(file)) => Place::ServiceAccount(file),
            (None, None) => Place::Environment,
        }
    }

    fn unusable(&self, field: &'static str, file: Option<&str>, error: Unusable) -> ConnectError {
        ConnectError::Value { place: self.place(field, file), error }
    }
}

/// What every pod is told.
fn pod() -> Result<(Cluster, AuthInfo), ConnectError> {
    let told = |name: &'static str| env::var(name).map_err(|_| ConnectError::NoPod(name));
    let (host, port) = (told("KUBERNETES_SERVICE_HOST")?, told("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: Some(format!("{SERVICE_ACCOUNT}/ca.crt")),
        ..Cluster::default()
    };
    Ok((cluster, AuthInfo { token_file: Some(format!("{SERVICE_ACCOUNT}/token")), ..AuthInfo::default() }))
}
