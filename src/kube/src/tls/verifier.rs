//! Whether a server is believed.

use std::sync::{Arc, OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{
    certificate::Certificate,
    chain::{self, Parts},
};

/// What Go knows of what the library does.
const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];
/// Those that TLS 1.3 has for certificates alone.
const BEFORE_TLS13: [SignatureScheme; 3] =
    [SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PKCS1_SHA384, SignatureScheme::RSA_PKCS1_SHA512];

/// Whom a server's certificate must lead to.
#[derive(Debug)]
enum Roots {
    These(Vec<CertificateDer<'static>>),
    /// What the system trusts, once it has been asked for.
    System(OnceLock<Vec<CertificateDer<'static>>>),
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
    /// What cannot be read of them is passed over; `None` where that is everything.
    pub(super) fn these(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Option<Self> {
        let roots = readable(roots);
        (!roots.is_empty()).then_some(Self { roots: Roots::These(roots), provider })
    }

    pub(super) fn system(provider: Arc<CryptoProvider>) -> Self {
        Self { roots: Roots::System(OnceLock::new()), provider }
    }

    pub(super) fn all(provider: Arc<CryptoProvider>) -> Self {
        Self { roots: Roots::All, provider }
    }

    /// Whether the server has the key of its certificate.
    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        is_tls13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let unknown = || Error::from(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme);
        if !SCHEMES.contains(&signed.scheme) || is_tls13 && BEFORE_TLS13.contains(&signed.scheme) {
            return Err(unknown());
        }
        let certificate = Certificate::parse(certificate).ok_or(CertificateError::BadEncoding)?;
        let known = self.provider.signature_verification_algorithms.mapping;
        let (_, algorithms) = known.iter().find(|(scheme, _)| *scheme == signed.scheme).ok_or_else(unknown)?;
        // The first is the one with the scheme's own curve, which TLS 1.3 insists on.
        let algorithms = algorithms.iter().take(if is_tls13 { 1 } else { usize::MAX });
        let is_good = algorithms.into_iter().any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == certificate.key_algorithm
                && algorithm.verify_signature(certificate.key, message, signed.signature()).is_ok()
        });
        if is_good { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
    }
}

fn readable(mut certificates: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    certificates.retain(|der| Certificate::parse(der).is_some());
    certificates
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = match &self.roots {
            Roots::All => return Ok(ServerCertVerified::assertion()),
            Roots::These(roots) => roots,
            Roots::System(roots) => roots.get_or_init(|| readable(rustls_native_certs::load_native_certs().certs)),
        };
        let parse = |der| Certificate::parse(der).ok_or(CertificateError::BadEncoding);
        let leaf = parse(end_entity)?;
        // As Go: one that cannot be read is too many, whether it is needed or not.
        let intermediates = intermediates.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
        let roots = roots.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
        let parts = Parts {
            roots: &roots,
            intermediates: &intermediates,
            algorithms: self.provider.signature_verification_algorithms,
            now: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        };
        chain::verify(&leaf, parts)?;
        if leaf.is_for(server_name) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
