//! Certificates for a test: an authority of its own, servers on loopback, clients.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

/// Certificates cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Making one.
    #[error("a certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// Using one.
    #[error("a certificate cannot be used")]
    Use(#[from] rustls::Error),
    /// Reading one.
    #[error("no PEM of a certificate and its key")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Asking clients for theirs.
    #[error("clients cannot be asked for certificates")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, as PEM.
    pub certificate: String,
    /// The key, as PEM.
    pub key: String,
    chain: Vec<CertificateDer<'static>>,
    key_der: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// One that was made elsewhere, with the certificates that lead to its authority.
    ///
    /// # Errors
    /// When there is no certificate or key in the PEM.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, TlsError> {
        let der = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
        let key_der = Arc::new(PrivateKeyDer::from_pem_slice(key.as_bytes())?);
        Ok(Self { certificate: chain.to_owned(), key: key.to_owned(), chain: der, key_der })
    }
}

impl Authority {
    /// A new one, unlike all others.
    ///
    /// # Errors
    /// When the crypto library refuses.
    pub fn new() -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "scripted authority");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Ok(Self { issuer: Issuer::new(params, key), der, pem })
    }

    /// The authority's certificate, as PEM: what clients trust.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for servers on loopback.
    ///
    /// # Errors
    /// When the crypto library refuses.
    pub fn server(&self) -> Result<Identity, TlsError> {
        self.issue(&CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?)
    }

    /// The same, over since yesterday.
    ///
    /// # Errors
    /// When the crypto library refuses.
    pub fn expired_server(&self) -> Result<Identity, TlsError> {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        let day = Duration::from_secs(24 * 60 * 60);
        let now = SystemTime::now();
        params.not_before = (now - 2 * day).into();
        params.not_after = (now - day).into();
        self.issue(&params)
    }

    /// A certificate for a client of this name.
    ///
    /// # Errors
    /// When the crypto library refuses.
    pub fn client(&self, name: &str) -> Result<Identity, TlsError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Result<Identity, TlsError> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            chain: vec![certificate.der().clone()],
            key_der: Arc::new(PrivatePkcs8KeyDer::from(key.serialize_der()).into()),
        })
    }

    /// How a server of this authority talks: clients may have certificates of the same one, or none.
    pub(crate) fn server_config(&self, presents: Arc<Presents>) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let clients = clients.allow_unauthenticated().build()?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_client_cert_verifier(clients).with_cert_resolver(presents);
        // As Go's servers.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// What the server presents to new connections.
#[derive(Debug)]
pub(crate) struct Presents(Mutex<Arc<CertifiedKey>>);

impl Presents {
    pub(crate) fn new(identity: &Identity) -> Result<Self, TlsError> {
        certified(identity).map(|key| Self(Mutex::new(key)))
    }

    pub(crate) fn replace(&self, identity: &Identity) -> Result<(), TlsError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = certified(identity)?;
        Ok(())
    }
}

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&identity.key_der)?;
    Ok(Arc::new(CertifiedKey::new(identity.chain.clone(), key)))
}
