//! flows.yaml as it is written, and its way into checked [`Flow`]s.

use std::collections::BTreeMap;

use portolan_core::addr::Protocol;
use serde::Deserialize;

use super::{Expected, Flow};
use crate::{
    Error,
    cast::{self, Member, Target},
};

/// What is wrong in a flow of flows.yaml.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// `to` is not `address:port/protocol`.
    #[error("`to` is not like 10.96.0.10:80/tcp or \"[fd00:10:96::10]:80/udp\"")]
    To,
    /// An endpoint is not `host:port`.
    #[error("endpoint {0:?} is not like pod-a1:8080")]
    Endpoint(String),
    /// A host is not in the cast.
    #[error(transparent)]
    Host(Box<Error>),
    /// `masqueraded` names an endpoint that is not among the flow's endpoints.
    #[error("`masqueraded` names {0:?}, which is not in `endpoints`")]
    NotAnEndpoint(String),
    /// There must be one of the two.
    #[error("give either `endpoints` or `verdict`; `masqueraded` goes with `endpoints` only")]
    Verdict,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FlowsFile {
    pub(super) description: String,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default = "default_cluster_cidr")]
    pub(super) cluster_cidr: String,
    #[serde(default)]
    pub(super) rejected: bool,
    #[serde(default = "default_routes")]
    pub(super) default_routes: bool,
    pub(super) flows: Vec<FlowEntry>,
}

fn default_cluster_cidr() -> String {
    cast::CLUSTER_CIDR.to_owned()
}

const fn default_routes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlowEntry {
    pub(super) from: String,
    pub(super) to: String,
    #[serde(default)]
    endpoints: Vec<String>,
    #[serde(default)]
    masqueraded: Masqueraded,
    verdict: Option<Verdict>,
}

/// By which node, for all endpoints or for some.
#[derive(Deserialize)]
#[serde(untagged)]
enum Masqueraded {
    All(String),
    Some(BTreeMap<String, String>),
}

impl Default for Masqueraded {
    fn default() -> Self {
        Self::Some(BTreeMap::new())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Rejected,
    Dropped,
    Unreachable,
}

impl FlowEntry {
    pub(super) fn check(self) -> Result<Flow, FlowError> {
        let from = member(&self.from)?;
        let (address, protocol) = self.to.rsplit_once('/').ok_or(FlowError::To)?;
        let to = address.parse().map_err(|_| FlowError::To)?;
        let protocol = protocol_named(protocol).ok_or(FlowError::To)?;
        let expected = match (self.verdict, &self.masqueraded) {
            (None, _) if !self.endpoints.is_empty() => {
                Expected::Endpoints(sources(&self.endpoints, &self.masqueraded, from, protocol)?)
            }
            (Some(verdict), Masqueraded::Some(nobody)) if self.endpoints.is_empty() && nobody.is_empty() => {
                match verdict {
                    Verdict::Rejected => Expected::Rejected,
                    Verdict::Dropped => Expected::Dropped,
                    Verdict::Unreachable => Expected::Unreachable,
                }
            }
            _ => return Err(FlowError::Verdict),
        };
        Ok(Flow { from, to, protocol, expected })
    }
}

/// Whom each endpoint must see.
fn sources(
    endpoints: &[String],
    masqueraded: &Masqueraded,
    client: &'static Member,
    protocol: Protocol,
) -> Result<BTreeMap<Target, &'static Member>, FlowError> {
    if let Masqueraded::Some(by) = masqueraded
        && let Some(unknown) = by.keys().find(|endpoint| !endpoints.contains(endpoint))
    {
        return Err(FlowError::NotAnEndpoint(unknown.clone()));
    }
    let source = |endpoint| match masqueraded {
        Masqueraded::All(node) => member(node),
        Masqueraded::Some(by) => by.get(endpoint).map_or(Ok(client), |node| member(node)),
    };
    endpoints.iter().map(|endpoint| Ok((target(endpoint, protocol)?, source(endpoint)?))).collect()
}

fn target(text: &str, protocol: Protocol) -> Result<Target, FlowError> {
    let wrong = || FlowError::Endpoint(text.to_owned());
    let (host, port) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Target { host: member(host)?.name, port: port.parse().map_err(|_| wrong())?, protocol })
}

fn member(name: &str) -> Result<&'static Member, FlowError> {
    cast::named(name).map_err(|error| FlowError::Host(Box::new(error)))
}

pub(super) fn protocol_named(name: &str) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|protocol| protocol.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(yaml: &str) -> Result<Flow, FlowError> {
        let entry: FlowEntry = serde_saphyr::from_str(yaml).unwrap();
        entry.check()
    }

    #[test]
    fn endpoints_see_the_client_unless_it_is_masqueraded() {
        let seen = |yaml: &str| match flow(yaml).unwrap().expected {
            Expected::Endpoints(endpoints) => endpoints.values().map(|member| member.name).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let two = "{from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: [pod-a1:8080, pod-b1:8080]";
        assert_eq!(seen(&format!("{two}}}")), ["pod-a1", "pod-a1"]);
        assert_eq!(seen(&format!("{two}, masqueraded: node-a}}")), ["node-a", "node-a"]);
        assert_eq!(seen(&format!("{two}, masqueraded: {{pod-a1:8080: node-a}}}}")), ["node-a", "pod-a1"]);
    }

    #[test]
    fn an_ipv6_address_is_in_brackets() {
        let flow = flow(r#"{from: outside, to: "[fd00:10:96::10]:53/udp", verdict: rejected}"#).unwrap();
        assert_eq!(flow.to, "[fd00:10:96::10]:53".parse().unwrap());
        assert_eq!((flow.protocol, flow.expected), (Protocol::Udp, Expected::Rejected));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (yaml, part) in [
            ("{from: nobody, to: 10.96.0.10:80/tcp, verdict: dropped}", "\"nobody\""),
            ("{from: pod-a1, to: 10.96.0.10:80, verdict: dropped}", "`to`"),
            ("{from: pod-a1, to: 10.96.0.10:80/icmp, verdict: dropped}", "`to`"),
            ("{from: pod-a1, to: 10.96.0.10:80/tcp}", "either"),
            ("{from: pod-a1, to: 10.96.0.10:80/tcp, verdict: dropped, masqueraded: node-a}", "either"),
            ("{from: pod-a1, to: 10.96.0.10:80/tcp, verdict: dropped, endpoints: [pod-a1:1]}", "either"),
            ("{from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: [pod-a1]}", "\"pod-a1\""),
            ("{from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: [pod-a1:1], masqueraded: {pod-a2:1: node-a}}", "pod-a2"),
        ] {
            let error = flow(yaml).unwrap_err().to_string();
            assert!(error.contains(part), "{yaml}: {error}");
        }
    }
}
