//! Whether a server is believed.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Whom a server's certificate must lead to.
#[derive(Debug)]
enum Roots {
    These(Arc<WebPkiServerVerifier>),
    /// What the system trusts, once it has been asked for; `None` is nobody.
    System(OnceLock<Option<Arc<WebPkiServerVerifier>>>),
    /// Nobody: all servers are believed (`insecure-skip-tls-verify`).
    All,
}

/// The verifier of one kubeconfig.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Roots,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// `None` where none of the certificates can be read.
    pub(super) fn these(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Option<Self> {
        let roots = Roots::These(webpki(roots, provider.clone())?);
        Some(Self { roots, provider })
    }

    pub(super) fn system(provider: Arc<CryptoProvider>) -> Self {
        Self { roots: Roots::System(OnceLock::new()), provider }
    }

    pub(super) fn all(provider: Arc<CryptoProvider>) -> Self {
        Self { roots: Roots::All, provider }
    }
}

/// What cannot be read is passed over.
fn webpki(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build().ok()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = match &self.roots {
            Roots::All => return Ok(ServerCertVerified::assertion()),
            Roots::These(roots) => Some(roots),
            Roots::System(roots) => {
                let load = || webpki(rustls_native_certs::load_native_certs().certs, self.provider.clone());
                roots.get_or_init(load).as_ref()
            }
        };
        let roots = roots.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
