//! A flow as flows.yaml has it, and its way into a checked [`Flow`].

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use portolan_core::addr::{Family, Protocol};
use serde::Deserialize;

use super::flow::{Difference, Expected, Flow, Opening};
use crate::{
    Error, Mode,
    cast::{self, Member},
    destination::{Destination, NotADestination},
};

/// What is wrong in a flow of flows.yaml.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// `to` is nothing that can be asked.
    #[error("`to`")]
    To(#[from] NotADestination),
    /// An endpoint is neither `host:port` nor `address:port` of the flow's family.
    #[error("endpoint {0:?} is not like pod-a1:8080 or 192.168.101.11:8080, in the family of `to`")]
    Endpoint(String),
    /// A host is not in the cast.
    #[error(transparent)]
    Host(Box<Error>),
    /// `masqueraded` names an endpoint that is not among the flow's endpoints.
    #[error("`masqueraded` names {0:?}, which is not in `endpoints`")]
    NotAnEndpoint(String),
    /// There must be one of the two.
    #[error("give either `endpoints` or `verdict`; `masqueraded` and `sticky` go with `endpoints` only")]
    Verdict,
    /// No Service takes an echo request.
    #[error("an echo request has no endpoints: give a `verdict`")]
    Echo,
    /// A connection that is kept is a TCP connection.
    #[error("`open` is for connections to a port with tcp")]
    Open,
    /// Only who is refused hears of it, and connect(2) is not told what became of its packet.
    #[error("`errno` goes with `rejected` (ECONNREFUSED, EPERM) or `dropped` (EPERM); EPERM with udp and icmp only")]
    Errno,
    /// One that binds to an address of the other family cannot connect.
    #[error("`source` is not of the family of `to`")]
    Source,
    /// A datagram is sent from a socket that stays, and such a client meets one endpoint at a time.
    #[error("`socket` is for a port with udp, without `source`, and with one endpoint or `sticky`")]
    Socket,
    /// Nothing is said about the difference.
    #[error(
        "`portolan` and `kube-proxy` are for what is done otherwise in a mode: give `nftables`, `iptables` or `ipvs`"
    )]
    NoDifference,
    /// It is none.
    #[error("`{0}` says of {1} mode what holds there without it")]
    SameAnyway(&'static str, Mode),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FlowEntry {
    pub(super) from: String,
    pub(super) to: String,
    source: Option<IpAddr>,
    socket: Option<String>,
    #[serde(default)]
    endpoints: Vec<String>,
    #[serde(default)]
    masqueraded: Masqueraded,
    #[serde(default)]
    sticky: bool,
    verdict: Option<Verdict>,
    errno: Option<Errno>,
    portolan: Option<DifferenceEntry>,
    kube_proxy: Option<DifferenceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DifferenceEntry {
    reason: String,
    nftables: Option<ExpectedEntry>,
    iptables: Option<ExpectedEntry>,
    ipvs: Option<ExpectedEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct ExpectedEntry {
    endpoints: Vec<String>,
    masqueraded: Masqueraded,
    sticky: bool,
    verdict: Option<Verdict>,
    errno: Option<Errno>,
}

/// By which node or address, for all endpoints or for some.
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
    Untouched,
    Rejected,
    Dropped,
    Unreachable,
}

/// What the client's first call that fails says.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Errno {
    /// Its send(2).
    Eperm,
    /// Its connect(2) or recv(2).
    Econnrefused,
}

impl FlowEntry {
    pub(super) fn check(self) -> Result<Flow, FlowError> {
        let Self { endpoints, masqueraded, sticky, verdict, errno, .. } = self;
        let from = member(&self.from)?;
        let to: Destination = self.to.parse()?;
        let family = Family::of(to.ip());
        let source = self.source;
        if source.is_some_and(|source| Family::of(source) != family) {
            return Err(FlowError::Source);
        }
        let client = source.unwrap_or_else(|| from.address(family));
        let check = |entry: ExpectedEntry| entry.check(client, to);
        let expected = check(ExpectedEntry { endpoints, masqueraded, sticky, verdict, errno })?;
        let difference = |entry: DifferenceEntry| {
            let modes = [(Mode::Nftables, entry.nftables), (Mode::Iptables, entry.iptables), (Mode::Ipvs, entry.ipvs)];
            let named = modes.into_iter().filter_map(|(mode, expected)| Some((mode, expected?)));
            let checked = named.map(|(mode, expected)| Ok((mode, check(expected)?)));
            let modes = checked.collect::<Result<Vec<_>, FlowError>>()?;
            if modes.is_empty() { Err(FlowError::NoDifference) } else { Ok(Difference { reason: entry.reason, modes }) }
        };
        let portolan = self.portolan.map(difference).transpose()?;
        let kube_proxy = self.kube_proxy.map(difference).transpose()?;
        let flow = Flow { from, source, socket: self.socket, to, expected, portolan, kube_proxy };
        if let Some((by, mode)) = flow.named_for_nothing() {
            return Err(FlowError::SameAnyway(by, mode));
        }
        if flow.socket.is_some() && !flow.can_stay() {
            return Err(FlowError::Socket);
        }
        Ok(flow)
    }
}

impl ExpectedEntry {
    fn check(self, client: IpAddr, to: Destination) -> Result<Expected, FlowError> {
        let sent = self.errno != Some(Errno::Eperm);
        let fits = match (self.errno, &self.verdict) {
            (None, _) | (Some(Errno::Econnrefused), Some(Verdict::Rejected)) => true,
            (Some(Errno::Eperm), Some(Verdict::Rejected | Verdict::Dropped)) => {
                matches!(to.protocol(), None | Some(Protocol::Udp))
            }
            _ => false,
        };
        if !fits {
            return Err(FlowError::Errno);
        }
        match (self.verdict, &self.masqueraded, self.endpoints.is_empty(), self.sticky) {
            (None, masqueraded, false, sticky) if to.protocol().is_some() => {
                let sources = sources(&self.endpoints, masqueraded, client)?;
                Ok(Expected::Endpoints { sources, sticky })
            }
            (None, _, false, _) => Err(FlowError::Echo),
            (Some(verdict), Masqueraded::Some(nobody), true, false) if nobody.is_empty() => Ok(match verdict {
                Verdict::Untouched => Expected::Untouched,
                Verdict::Rejected => Expected::Rejected { sent },
                Verdict::Dropped => Expected::Dropped { sent },
                Verdict::Unreachable => Expected::Unreachable,
            }),
            _ => Err(FlowError::Verdict),
        }
    }
}

/// Whom each endpoint must see.
fn sources(
    endpoints: &[String],
    masqueraded: &Masqueraded,
    client: IpAddr,
) -> Result<BTreeMap<SocketAddr, IpAddr>, FlowError> {
    if let Masqueraded::Some(by) = masqueraded
        && let Some(unknown) = by.keys().find(|endpoint| !endpoints.contains(endpoint))
    {
        return Err(FlowError::NotAnEndpoint(unknown.clone()));
    }
    let family = Family::of(client);
    // A node stands for its first address.
    let address = |node: &String| match node.parse::<IpAddr>() {
        Ok(address) => Ok(address),
        Err(_) => member(node).map(|node| node.address(family)),
    };
    let source = |endpoint| match masqueraded {
        Masqueraded::All(node) => address(node),
        Masqueraded::Some(by) => by.get(endpoint).map_or(Ok(client), address),
    };
    endpoints.iter().map(|text| Ok((endpoint(text, family)?, source(text)?))).collect()
}

/// As with `masqueraded` a host stands for its first address.
fn endpoint(text: &str, family: Family) -> Result<SocketAddr, FlowError> {
    let wrong = || FlowError::Endpoint(text.to_owned());
    if let Ok(address) = text.parse::<SocketAddr>() {
        return if Family::of(address.ip()) == family { Ok(address) } else { Err(wrong()) };
    }
    let (host, port) = text.split_once(':').ok_or_else(wrong)?;
    Ok(SocketAddr::new(member(host)?.address(family), port.parse().map_err(|_| wrong())?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpeningEntry {
    name: String,
    pub(super) from: String,
    pub(super) to: String,
}

impl OpeningEntry {
    pub(super) fn check(self) -> Result<Opening, FlowError> {
        match self.to.parse()? {
            Destination::Port(Protocol::Tcp, to) => Ok(Opening { name: self.name, from: member(&self.from)?, to }),
            _ => Err(FlowError::Open),
        }
    }
}

fn member(name: &str) -> Result<&'static Member, FlowError> {
    cast::named(name).map_err(|error| FlowError::Host(Box::new(error)))
}

#[cfg(test)]
impl Flow {
    /// For tests.
    pub(crate) fn from_yaml(yaml: &str) -> Result<Self, FlowError> {
        let entry: FlowEntry = serde_saphyr::from_str(yaml).unwrap();
        entry.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ServiceProxy;

    #[test]
    fn endpoints_see_the_client_unless_it_is_masqueraded() {
        let seen = |yaml: &str| {
            let expected = Flow::from_yaml(yaml).unwrap().expected;
            let sources = expected.endpoints().unwrap().iter();
            sources.map(|(endpoint, source)| format!("{endpoint} {source}")).collect::<Vec<_>>()
        };
        let two = "{from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: [pod-a1:8080, 192.168.101.12:9090]";
        let both = |one: &str, other: &str| [format!("10.244.1.11:8080 {one}"), format!("192.168.101.12:9090 {other}")];
        assert_eq!(seen(&format!("{two}}}")), both("10.244.1.11", "10.244.1.11"));
        assert_eq!(seen(&format!("{two}, source: 10.0.0.1}}")), both("10.0.0.1", "10.0.0.1"));
        assert_eq!(seen(&format!("{two}, masqueraded: node-a}}")), both("192.168.100.11", "192.168.100.11"));
        let one = format!("{two}, masqueraded: {{192.168.101.12:9090: 192.168.101.11}}}}");
        assert_eq!(seen(&one), both("10.244.1.11", "192.168.101.11"));
    }

    #[test]
    fn kube_proxy_may_do_something_else() {
        let flow = Flow::from_yaml(
            "{from: outside, to: '[fd00:10:96::10]:53/udp', verdict: rejected, kube-proxy: {reason: none, nftables: \
             {verdict: dropped}}}",
        )
        .unwrap();
        assert_eq!(flow.to, Destination::Port(Protocol::Udp, "[fd00:10:96::10]:53".parse().unwrap()));
        let rejected = Expected::Rejected { sent: true };
        assert_eq!(flow.expected_of(ServiceProxy::Portolan(Mode::Nftables)), &rejected);
        assert_eq!(flow.expected_of(ServiceProxy::KubeProxy(Mode::Nftables)), &Expected::Dropped { sent: true });
        assert_eq!(flow.expected_of(ServiceProxy::KubeProxy(Mode::Iptables)), &rejected);
    }

    #[test]
    fn so_may_a_mode_of_portolan_and_kube_proxy_in_it() {
        let flow = |more: &str| {
            Flow::from_yaml(&format!(
                "{{from: outside, to: 10.96.0.10:53/udp, verdict: rejected, portolan: {{reason: none, iptables: \
                 {{verdict: dropped}}}}{more}}}"
            ))
        };
        let (dropped, untouched) = (Expected::Dropped { sent: true }, Expected::Untouched);
        let alone = flow("").unwrap();
        for proxy in [ServiceProxy::Portolan(Mode::Iptables), ServiceProxy::KubeProxy(Mode::Iptables)] {
            assert_eq!(alone.expected_of(proxy), &dropped);
        }
        for proxy in [ServiceProxy::Portolan(Mode::Nftables), ServiceProxy::KubeProxy(Mode::Nftables)] {
            assert_eq!(alone.expected_of(proxy), &Expected::Rejected { sent: true });
        }
        let both = flow(", kube-proxy: {reason: none, iptables: {verdict: untouched}}").unwrap();
        assert_eq!(both.expected_of(ServiceProxy::Portolan(Mode::Iptables)), &dropped);
        assert_eq!(both.expected_of(ServiceProxy::KubeProxy(Mode::Iptables)), &untouched);
        let same = flow(", kube-proxy: {reason: none, iptables: {verdict: dropped}}").unwrap_err();
        assert!(matches!(same, FlowError::SameAnyway("kube-proxy", Mode::Iptables)), "{same}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (yaml, part) in [
            ("from: nobody, to: 10.96.0.10:80/tcp, verdict: dropped", "\"nobody\""),
            ("from: pod-a1, to: 10.96.0.10:80, verdict: dropped", "`to`"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp", "either"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, verdict: dropped, masqueraded: node-a", "either"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, verdict: dropped, sticky: true", "either"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, verdict: dropped, endpoints: [pod-a1:1]", "either"),
            ("from: pod-a1, to: 10.96.0.10/icmp, endpoints: [pod-a1:1]", "echo"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: [pod-a1]", "\"pod-a1\""),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: ['[::1]:80']", "[::1]:80"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: [pod-a1:1], masqueraded: {pod-a2:1: node-a}", "pod-a2"),
            ("from: pod-a1, to: 10.96.0.10:80/udp, verdict: dropped, errno: ECONNREFUSED", "`errno`"),
            ("from: pod-a1, to: 10.96.0.10:80/udp, verdict: untouched, errno: EPERM", "`errno`"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, verdict: rejected, errno: EPERM", "`errno`"),
            ("from: pod-a1, source: '::1', to: 10.96.0.10:80/tcp, verdict: dropped", "`source`"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, verdict: dropped, kube-proxy: {reason: none}", "`kube-proxy`"),
            ("from: pod-a1, to: 10.96.0.10:80/tcp, socket: s, verdict: dropped", "`socket`"),
            ("from: pod-a1, to: 10.96.0.10:53/udp, socket: s, source: 10.0.0.1, verdict: dropped", "`socket`"),
            ("from: pod-a1, to: 10.96.0.10:53/udp, socket: s, endpoints: [pod-a1:1, pod-a2:1]", "`socket`"),
        ] {
            let error = Flow::from_yaml(&format!("{{{yaml}}}")).unwrap_err().to_string();
            assert!(error.contains(part), "{yaml}: {error}");
        }
    }
}
