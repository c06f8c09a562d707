//! TLS: whom we believe, and who we are.

mod certificate;
mod chain;
mod der;
mod names;
mod pem;
mod verifier;

use std::sync::Arc;

use rustls::{
    ClientConfig,
    client::ResolvesClientCert,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    sign::{CertifiedKey, SigningKey, SingleCertAndKey},
};

pub(crate) use self::pem::certificates;
use self::{certificate::Certificate, verifier::Verifier};
use crate::credentials::Unusable;

/// The cryptography: what Go has, with P-521 and keys of more than 4096 bits, which ring does not.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whom we believe.
#[derive(Clone)]
pub(crate) struct Trust {
    verifier: Arc<Verifier>,
    /// What a server is called in its certificate, where that is not what it is reached by.
    pub(crate) name: Option<ServerName<'static>>,
}

impl Trust {
    /// Servers whose certificates lead to one of these.
    pub(crate) fn these(pem: &[u8], name: Option<ServerName<'static>>) -> Result<Self, Unusable> {
        let verifier = Verifier::these(certificates(pem), provider()).ok_or(Unusable::NoCertificate)?;
        Ok(Self { verifier: Arc::new(verifier), name })
    }

    /// Servers whose certificates lead to one that the system has. It is read when a server presents itself: a system that has
    /// none is as good as any other where nobody does.
    pub(crate) fn system(name: Option<ServerName<'static>>) -> Self {
        Self { verifier: Arc::new(Verifier::system(provider())), name }
    }

    /// All servers.
    pub(crate) fn all(name: Option<ServerName<'static>>) -> Self {
        Self { verifier: Arc::new(Verifier::all(provider())), name }
    }
}

/// Who we are.
#[derive(Clone, Debug)]
pub(crate) struct Identity(pub(crate) Arc<SingleCertAndKey>);

impl Identity {
    /// A certificate, with those that lead to its authority after it, and its key.
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: &[u8]) -> Result<Self, Unusable> {
        let key = pem::key(key).and_then(|der| signer(&der)).ok_or(Unusable::NoKey)?;
        // rustls' own check knows no certificates before version 3, which openssl makes for clients.
        let own = chain.first().and_then(|der| Certificate::parse(der)).ok_or(Unusable::NoCertificate)?;
        if key.public_key().is_some_and(|key| key.as_ref() != own.public_key) {
            return Err(Unusable::OtherKey);
        }
        Ok(Self(Arc::new(CertifiedKey::new(chain, key).into())))
    }
}

/// As with Go, the name of a PEM block does not say what is in it.
fn signer(der: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let kinds = [PrivateKeyDer::Pkcs8(der.into()), PrivateKeyDer::Pkcs1(der.into()), PrivateKeyDer::Sec1(der.into())];
    kinds.into_iter().find_map(|kind| provider().key_provider.load_private_key(kind.clone_key()).ok())
}

/// How connections are made.
pub(crate) fn config(
    trust: &Trust,
    identity: Option<Arc<dyn ResolvesClientCert>>,
) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(trust.verifier.clone());
    Ok(match identity {
        Some(identity) => config.with_client_cert_resolver(identity),
        None => config.with_no_client_auth(),
    })
}
