//! A Service that is written last: who reaches it through a node knows that the node's kube-proxy has seen all objects.

use std::{net::SocketAddr, time::Duration};

use portolan_core::addr::{Family, Protocol};
use serde_json::{Value, json};

use super::Error;
use crate::{
    Lab,
    cast::{self, Target},
    destination::Destination,
    host::Host,
    probe::Outcome,
    server::Servers,
};

/// The endpoint. Its host's own addresses are the external IPs: until a sentinel is programmed it is refused there,
/// which costs none of the few ICMP errors that a node without a route has for a client (net/ipv4/route.c, `ip_error`).
const ENDPOINT: Target = Target { host: cast::OUTSIDE, port: 1, protocol: Protocol::Tcp };

/// Longer than packets take through the lab.
const SOON: Duration = Duration::from_millis(100);

/// One of a scenario's sentinels; each has a number of its own.
pub(super) struct Sentinel(pub(super) u16);

impl Sentinel {
    /// The server that all of them have.
    pub(super) fn serve(lab: &Lab) -> Result<Servers, Error> {
        Ok(lab.serve([ENDPOINT])?)
    }

    /// Whether this pod reaches it, in both families.
    pub(super) fn is_reached_by(&self, pod: &Host) -> Result<bool, Error> {
        let endpoint = cast::named(ENDPOINT.host)?;
        for family in Family::ALL {
            let to = Destination::Port(ENDPOINT.protocol, SocketAddr::new(endpoint.address(family), self.port()));
            if !matches!(pod.ask(None, to, SOON)?, Outcome::Answered(_)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A dual-stack Service, and then its two slices.
    pub(super) fn objects(&self) -> Result<Vec<Value>, Error> {
        let endpoint = cast::named(ENDPOINT.host)?;
        let name = format!("sentinel-{}", self.0);
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                // Far from the addresses that scenarios take.
                "clusterIP": format!("10.96.255.{}", self.0),
                "clusterIPs": [format!("10.96.255.{}", self.0), format!("fd00:10:96::ff{:02x}", self.0)],
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "externalIPs": Family::ALL.map(|family| endpoint.address(family)),
                "ports": [{"port": self.port()}],
            },
        });
        let slice = |family: Family| {
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{name}-{family}").to_lowercase(),
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": family.to_string(),
                "ports": [{"name": "", "port": ENDPOINT.port, "protocol": "TCP"}],
                "endpoints": [{"addresses": [endpoint.address(family)]}],
            })
        };
        Ok([service].into_iter().chain(Family::ALL.map(slice)).collect())
    }

    const fn port(&self) -> u16 {
        ENDPOINT.port + self.0
    }
}
