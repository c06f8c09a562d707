//! From a server's certificate to one that is trusted, by the rules of Go's `crypto/x509` (verify.go of Go 1.26).
//!
//! ```text
//!   leaf --signed by--> intermediate --> ... --> root         each is valid now; each but the leaf is an authority;
//!    '------------------- or is a root itself                 all may be used for servers, and the names are allowed
//! ```
//!
//! webpki, rustls' own, is another world in both directions. It refuses a server's own certificate as a root, and a leaf that is an
//! authority; it believes a root that is over, or says that it is no authority.

use rustls::{CertificateError, crypto::WebPkiSupportedAlgorithms};

use super::certificate::Certificate;

/// Go's limit: somebody who sends many certificates of one name should not keep us busy.
const SIGNATURES: usize = 100;

/// What a chain may be made of.
pub(super) struct Parts<'a> {
    pub(super) roots: &'a [Certificate<'a>],
    pub(super) intermediates: &'a [Certificate<'a>],
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// In seconds.
    pub(super) now: i64,
}

/// Whether there is a chain for a server's certificate.
pub(super) fn verify<'a>(leaf: &'a Certificate<'a>, parts: Parts<'a>) -> Result<(), CertificateError> {
    Search { parts, signatures: SIGNATURES, hint: None }.verify(leaf)
}

struct Search<'a> {
    parts: Parts<'a>,
    /// How many may still be checked.
    signatures: usize,
    /// The first thing that was wrong with a chain that would have led somewhere.
    hint: Option<CertificateError>,
}

impl<'a> Search<'a> {
    fn verify(&mut self, leaf: &'a Certificate<'a>) -> Result<(), CertificateError> {
        self.is_valid(leaf)?;
        let is_trusted = self.parts.roots.iter().any(|root| root.whole == leaf.whole);
        let mut chain = vec![leaf];
        let found = if is_trusted { self.is_allowed(&chain) } else { self.extend(&mut chain) };
        if found { Ok(()) } else { Err(self.hint.take().unwrap_or(CertificateError::UnknownIssuer)) }
    }

    /// Whether the chain comes to an end that is good.
    fn extend(&mut self, chain: &mut Vec<&'a Certificate<'a>>) -> bool {
        let (roots, intermediates) = (self.parts.roots, self.parts.intermediates);
        let candidates = roots.iter().map(|root| (root, true)).chain(intermediates.iter().map(|other| (other, false)));
        for (candidate, is_root) in candidates {
            let Some(last) = chain.last() else { return false };
            if candidate.subject != last.issuer || chain.iter().any(|link| candidate.is_another_of(link)) {
                continue;
            }
            if self.signatures == 0 {
                return false;
            }
            self.signatures -= 1;
            if let Err(error) = self.may_follow(candidate, is_root, chain) {
                self.hint.get_or_insert(error);
                continue;
            }
            chain.push(candidate);
            let found = if is_root { self.is_allowed(chain) } else { self.extend(chain) };
            chain.pop();
            if found {
                return true;
            }
        }
        false
    }

    fn may_follow(
        &self,
        candidate: &Certificate<'_>,
        is_root: bool,
        chain: &[&Certificate<'_>],
    ) -> Result<(), CertificateError> {
        let is_signed = candidate.may_sign() && chain.last().is_some_and(|last| self.has_signed(candidate, last));
        if !is_signed {
            return Err(CertificateError::BadSignature);
        }
        self.is_valid(candidate)?;
        // A root is what it is by being trusted.
        let may_lead = (is_root || candidate.is_authority()) && candidate.may_lead_over(chain.len() - 1);
        if may_lead { Ok(()) } else { Err(CertificateError::UnknownIssuer) }
    }

    fn is_valid(&self, certificate: &Certificate<'_>) -> Result<(), CertificateError> {
        if certificate.is_beyond_us {
            return Err(CertificateError::UnhandledCriticalExtension);
        }
        if self.parts.now < certificate.not_before {
            return Err(CertificateError::NotValidYet);
        }
        if self.parts.now > certificate.not_after {
            return Err(CertificateError::Expired);
        }
        Ok(())
    }

    /// SHA-1 and MD5 are none of the algorithms.
    fn has_signed(&self, issuer: &Certificate<'_>, certificate: &Certificate<'_>) -> bool {
        self.parts.algorithms.all.iter().any(|algorithm| {
            algorithm.signature_alg_id().as_ref() == certificate.signature_algorithm
                && algorithm.public_key_alg_id().as_ref() == issuer.key_algorithm
                && algorithm.verify_signature(issuer.key, certificate.signed, certificate.signature).is_ok()
        })
    }

    /// Usages and names, of a chain that is complete.
    fn is_allowed(&mut self, chain: &[&Certificate<'_>]) -> bool {
        let may_serve = chain.iter().all(|link| !link.may_not_serve);
        let may_be_named = chain.iter().enumerate().all(|(place, link)| {
            let issuers = chain.iter().skip(place + 1).filter_map(|issuer| issuer.constraints.as_ref());
            link.names.as_ref().is_none_or(|names| issuers.into_iter().all(|constraints| constraints.allow(names)))
        });
        if !may_serve {
            self.hint.get_or_insert(CertificateError::InvalidPurpose);
        } else if !may_be_named {
            self.hint.get_or_insert(CertificateError::NotValidForName);
        }
        may_serve && may_be_named
    }
}
