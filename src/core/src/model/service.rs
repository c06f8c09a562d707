//! A Service after its check: only what decides where packets go.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::{
    addr::{Family, PerFamily},
    desired::Scheduling,
    name::ServicePortName,
};

/// A Service that this node serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Which object of this name it is; decides nothing.
    pub uid: Option<Uid>,
    /// When it was created: the older one keeps a VIP that two claim.
    pub created: Created,
    /// The cluster IP of each family. Without one the Service is unknown in that family, with all its addresses.
    pub cluster_ips: PerFamily<Option<IpAddr>>,
    /// External IPs of both families, as the object lists them.
    pub external_ips: Box<[IpAddr]>,
    /// Load-balancer addresses of both families that are captured on the node, as the object lists them.
    pub load_balancer_ips: Box<[IpAddr]>,
    /// Where connections from outside go. `Local` only on a Service that can be reached from outside at all.
    pub external_policy: TrafficPolicy,
    /// Where connections to the cluster IP go.
    pub internal_policy: TrafficPolicy,
    /// For so many seconds a client stays with its endpoint, 1 to 86400; `None` without affinity.
    pub affinity: Option<u32>,
    /// How virtual servers pick an endpoint; `None`: as the node is configured.
    pub scheduling: Option<Scheduling>,
    /// Who may connect to the load-balancer addresses; `None` and an empty family: everybody. Boxed, since few
    /// Services have it. Per family sorted, masked and merged: no two overlap.
    pub source_ranges: Option<Box<PerFamily<Box<[IpNet]>>>>,
    /// Where a load balancer asks whether this node has endpoints.
    pub health_check_node_port: Option<u16>,
    /// Its ports, sorted by name; names differ, and so do pairs of number and protocol.
    pub ports: Box<[ServicePort]>,
}

impl Service {
    /// The families in which the Service is served.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(|family| self.cluster_ips.get(*family).is_some())
    }

    /// Whether any of its ports has a NodePort.
    #[must_use]
    pub fn has_node_ports(&self) -> bool {
        self.ports.iter().any(|port| port.node_port.is_some())
    }

    /// Who may connect to its load-balancer addresses; `None`: everybody.
    #[must_use]
    pub fn source_ranges(&self, family: Family) -> Option<&[IpNet]> {
        let ranges = self.source_ranges.as_ref()?.get(family);
        (!ranges.is_empty()).then_some(ranges)
    }

    /// One of its ports.
    #[must_use]
    pub fn port(&self, id: &ServicePortName) -> Option<&ServicePort> {
        let place = self.ports.binary_search_by(|port| port.id.port.cmp(&id.port)).ok()?;
        self.ports.get(place).filter(|port| port.id.protocol == id.protocol)
    }
}

/// Which endpoints connections may go to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficPolicy {
    /// Those of every node.
    #[default]
    Cluster,
    /// Those of this node.
    Local,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its full name, with the protocol; shared by everything that refers to the port.
    pub id: Arc<ServicePortName>,
    /// The port of cluster IP, external IPs and load-balancer addresses; 1 to 65535.
    pub number: u16,
    /// The NodePort, if it has one; 1 to 65535.
    pub node_port: Option<u16>,
}

/// A creationTimestamp in the form that the API server writes, `2026-01-31T23:59:59Z`; ordered by time.
///
/// Manifests have none. Such a Service counts as the youngest: what the API server made was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Created([u8; 20]);

impl Created {
    /// Behind all times, since no digit is as great.
    pub const UNKNOWN: Self = Self([u8::MAX; 20]);

    /// Reads a timestamp; another form, such as a time zone, is as good as none.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let pattern = b"0000-00-00T00:00:00Z";
        let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        match <[u8; 20]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().zip(pattern).all(fits) => Self(bytes),
            Ok(_) | Err(_) => Self::UNKNOWN,
        }
    }
}

/// `metadata.uid`, a UUID as the API server makes them. Kept for Events: who asks for those of an object asks by its UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uid([u8; 16]);

impl Uid {
    /// Where the hyphens are.
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];

    /// Reads a UUID; another form is as good as none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut number = 0_u128;
        for (place, byte) in text.bytes().enumerate() {
            match (Self::HYPHENS.contains(&place), byte) {
                (true, b'-') => {}
                (false, b'0'..=b'9') => number = number << 4 | u128::from(byte - b'0'),
                (false, b'a'..=b'f') => number = number << 4 | u128::from(byte - b'a' + 10),
                _ => return None,
            }
        }
        (text.len() == 36).then(|| Self(number.to_be_bytes()))
    }
}

/// As it was read.
impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (byte, hyphen) in self.0.iter().zip((0..).map(|place| [4, 6, 8, 10].contains(&place))) {
            write!(f, "{}{byte:02x}", if hyphen { "-" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_written_as_they_were_read() {
        let uid = "0a1b2c3d-4e5f-4000-8f00-00000000000f";
        assert_eq!(Uid::read(uid).unwrap().to_string(), uid);
        for strange in ["", "7", &uid.to_uppercase(), &uid.replace('-', "0"), &format!("{uid}0"), &uid[..35]] {
            assert_eq!(Uid::read(strange), None, "{strange}");
        }
    }

    #[test]
    fn timestamps_sort_by_time_and_strange_ones_last() {
        let sorted = ["2009-12-31T23:59:59Z", "2025-01-01T00:00:00Z", "2025-01-01T00:00:01Z"].map(Created::read);
        assert!(sorted.is_sorted() && sorted[2] < Created::UNKNOWN);
        for strange in
            ["", "2025-01-01T00:00:00+01:00", "2025-01-01 00:00:00Z", "2025-01-01T00:00:00.5Z", "yesterday, at noon.."]
        {
            assert_eq!(Created::read(strange), Created::UNKNOWN, "{strange}");
        }
    }
}
