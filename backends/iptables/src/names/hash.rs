//! The 16 characters that stand for a ServicePort, or for one of its endpoints, in the name of a chain.

use std::{fmt, net::SocketAddr};

use portolan_core::name::ServicePortName;
use sha2::{Digest, Sha256};

/// 80 bits of SHA-256, written in base32: kube-proxy's (`portProtoHash`), since a chain's name has 28 bytes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Self::BYTES]);

impl Hash {
    const BYTES: usize = 10;
    /// Its length as text.
    pub const LENGTH: usize = 16;

    /// That of a ServicePort.
    #[must_use]
    pub fn of_port(port: &ServicePortName) -> Self {
        Self::of(format_args!("{port}{}", port.protocol))
    }

    /// That of an endpoint of a ServicePort.
    #[must_use]
    pub fn of_endpoint(port: &ServicePortName, endpoint: SocketAddr) -> Self {
        Self::of(format_args!("{port}{}{endpoint}", port.protocol))
    }

    /// That of an endpoint for clients that may only reach endpoints of this node, where what it remembers of them must stand
    /// apart.
    #[must_use]
    pub fn of_local_endpoint(port: &ServicePortName, endpoint: SocketAddr) -> Self {
        Self::of(format_args!("{port}{}{endpoint} local", port.protocol))
    }

    pub(super) fn of(text: fmt::Arguments<'_>) -> Self {
        let digest = Sha256::digest(text.to_string());
        let mut bytes = [0; Self::BYTES];
        bytes.iter_mut().zip(digest).for_each(|(byte, of_digest)| *byte = of_digest);
        Self(bytes)
    }

    /// The hash that is written so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::LENGTH {
            return None;
        }
        let mut bits = 0_u128;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
            bits = bits << 5 | digit as u128;
        }
        let mut bytes = [0; Self::BYTES];
        bytes.iter_mut().zip(bits.to_be_bytes().into_iter().skip(16 - Self::BYTES)).for_each(|(to, from)| *to = from);
        Some(Self(bytes))
    }
}

/// RFC 4648.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        let digit = |place: usize| ALPHABET.get((bits >> (5 * place)) as usize & 31).copied().map_or('?', char::from);
        (0..Self::LENGTH).rev().try_for_each(|place| fmt::Write::write_char(f, digit(place)))
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{addr::Protocol, name::ServiceName};

    use super::*;

    /// From kube-proxy's own tests (pkg/proxy/iptables/proxier_test.go).
    #[test]
    fn hashes_are_those_of_kube_proxy() {
        let port = |namespace: &str, name: &str, port: &str| ServicePortName {
            service: ServiceName { namespace: namespace.into(), name: name.into() },
            port: port.into(),
            protocol: Protocol::Tcp,
        };
        let [svc1, svc2] = [port("ns1", "svc1", "p80"), port("ns2", "svc2", "p80")];
        assert_eq!(Hash::of_port(&svc1).to_string(), "XPGD46QRK7WJZT7O");
        assert_eq!(Hash::of_port(&svc2).to_string(), "GNZBNJ2PO5MGZ6GT");
        assert_eq!(Hash::of_endpoint(&svc1, "10.180.0.1:80".parse().unwrap()).to_string(), "SXIVWICOYRO3J4NJ");
        assert_eq!(Hash::of_port(&port("default", "kubernetes", "https")).to_string(), "NPX46M4PTMTKRN6Y");
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Hash::of(format_args!("anything"));
        assert_eq!(Hash::parse(&hash.to_string()), Some(hash));
        for text in
            ["", "NPX46M4PTMTKRN6", "NPX46M4PTMTKRN6YA", "npx46m4ptmtkrn6y", "NPX46M4PTMTKRN6é", "NPX46M4PTMTKRN18"]
        {
            assert_eq!(Hash::parse(text), None, "{text}");
        }
    }
}
