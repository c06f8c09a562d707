//! From one ServicePort to the rules that make it work.
//!
//! ```text
//!  nat     VIP, cluster IP       --> KUBE-SVC-   masquerade who is no pod    --> KUBE-SEP-   masquerade hairpin
//!                                    KUBE-SVL-   the same for policy Local                   DNAT to the endpoint
//!          VIP, from outside     --> KUBE-FW-    source ranges, where there are any
//!          NodePort                    '-> KUBE-EXT-   policy Cluster: masquerade          --> KUBE-SVC-
//!                                                      policy Local: pods and the node     --> KUBE-SVC-
//!                                                                    everybody else        --> KUBE-SVL-
//!  filter  whatever of it has no endpoint to go to
//! ```

use std::{collections::BTreeMap, net::IpAddr};

use portolan_core::{
    addr::Protocol,
    desired::{DesiredPort, Endpoint, Frontend, FrontendKind, LocalDetector, NodePolicy, Vip},
    model::TrafficPolicy,
};

use crate::{
    endpoints,
    key::{Key, Match},
    layout::reject_with,
    levels,
    names::{ChainName, Hash, Level, Part, Table, Tree},
    rule::{
        AddressSide::{Destination, Source},
        Condition, Is, Link, Rule, Target, fitting,
    },
    value::Value,
};

/// Appends the objects of one ServicePort; no key twice.
pub(crate) fn render(policy: &NodePolicy, port: &DesiredPort, objects: &mut Vec<(Key, Value)>) {
    let mut out = Rendering { policy, port, hash: Hash::of_port(&port.name), objects: BTreeMap::new() };
    for frontend in &port.frontends {
        if frontend.is_external() {
            out.external(frontend);
        } else {
            out.cluster_ip(frontend);
        }
        if frontend.restricted {
            out.restrict(frontend.vip);
        }
    }
    out.kept_out();
    if !port.endpoints.is_empty() {
        out.external_chain();
        out.outsiders();
        out.sources();
        out.list(TrafficPolicy::Cluster);
        out.list(TrafficPolicy::Local);
    }
    out.health_check();
    objects.extend(out.objects);
}

/// The comment of what refuses the other ports of a cluster IP.
const NO_SUCH_PORT: &str = "no such port";

/// A ServicePort on its way into objects.
struct Rendering<'a> {
    policy: &'a NodePolicy,
    port: &'a DesiredPort,
    hash: Hash,
    objects: BTreeMap<Key, Value>,
}

impl Rendering<'_> {
    fn cluster_ip(&mut self, frontend: &Frontend) {
        let vip = frontend.vip;
        self.at(
            Table::Filter,
            Tree::Services,
            Match::Address(vip.addr),
            vip.addr,
            // Not whose: two Services may claim one cluster IP, with other ports, and share this rule.
            NO_SUCH_PORT,
            Target::Jump(ChainName::NoSuchPort),
        );
        if let Some((why, target)) = self.refusal(frontend) {
            // Who is sent to an endpoint that is this cluster IP is told so, also where others hear nothing.
            let of = if target == Target::Drop { Match::AskedVip(vip) } else { Match::Vip(vip) };
            self.at(Table::Filter, Tree::Services, of, vip.addr, &why, target.clone());
            // The node may have the address itself. Then it is refused where it arrives, and is for no NodePort.
            self.at(Table::Filter, Tree::External, Match::AskedVip(vip), vip.addr, &why, target);
            self.at(Table::Nat, Tree::Services, Match::Vip(vip), vip.addr, &self.named("cluster IP"), Target::Accept);
        } else {
            let part = if frontend.restricted { Part::Sources } else { list_part(frontend.policy) };
            let target = Target::Jump(self.chain(part));
            self.at(Table::Nat, Tree::Services, Match::Vip(vip), vip.addr, &self.named("cluster IP"), target);
            self.keep_from_node_ports(frontend);
        }
    }

    fn external(&mut self, frontend: &Frontend) {
        let vip = frontend.vip;
        self.send_on(frontend);
        let refusal = self.refusal(frontend);
        if self.policy.service_cidrs.get(self.port.family).iter().any(|cidr| cidr.contains(&vip.addr)) {
            // It may be its own endpoint, so that DNAT changes nothing: what conntrack then does not call translated has the
            // address still, and would be dropped as that of no cluster IP. Who is refused at an address of the node's is told
            // where the packet arrives.
            let of = if refusal.is_some() { Match::LocalVip(vip) } else { Match::Vip(vip) };
            let key = self.rule(Table::Filter, ChainName::Services, of);
            self.put(key, commented(&self.kind(frontend), Target::Return));
        }
        if let Some((why, target)) = refusal {
            if vip.addr.is_unspecified() {
                let key =
                    self.rule(Table::Filter, ChainName::ExternalNodePorts, Match::AskedPort(vip.protocol, vip.port));
                self.put(key, commented(&why, target));
            } else {
                self.at(Table::Filter, Tree::External, Match::AskedVip(vip), vip.addr, &why, target);
            }
        } else {
            self.keep_from_node_ports(frontend);
        }
    }

    /// What was sent on to the frontend's own address, where this is one of the node's, is for no NodePort that refuses.
    fn keep_from_node_ports(&mut self, frontend: &Frontend) {
        if !frontend.vip.addr.is_unspecified() && self.is_own_endpoint(frontend.vip) {
            let key = self.rule(Table::Filter, ChainName::ExternalServices, Match::AskedVip(frontend.vip));
            self.put(key, commented(&self.kind(frontend), Target::Return));
        }
    }

    /// The rule of nat for a frontend that clients outside may use.
    fn send_on(&mut self, frontend: &Frontend) {
        let vip = frontend.vip;
        let has_endpoints = !self.port.endpoints.is_empty();
        let target = match (has_endpoints, frontend.restricted) {
            // Not to a NodePort of the same number, where the node itself has the address.
            (false, _) => Target::Accept,
            (true, true) => Target::Jump(self.chain(Part::Sources)),
            (true, false) => Target::Jump(self.chain(Part::External)),
        };
        let kind = self.kind(frontend);
        if frontend.kind != FrontendKind::NodePort {
            self.at(Table::Nat, Tree::Services, Match::Vip(vip), vip.addr, &kind, target);
        } else if has_endpoints {
            let of = if vip.addr.is_unspecified() {
                Match::Port(vip.protocol, vip.port)
            } else {
                let to_node_ports = self.rule(Table::Nat, ChainName::Services, Match::Address(vip.addr));
                self.put(to_node_ports, commented(crate::layout::NODE_PORTS, Target::Jump(ChainName::NodePorts)));
                Match::Vip(vip)
            };
            let key = self.rule(Table::Nat, ChainName::NodePorts, of);
            self.put(key, commented(&kind, target));
        }
    }

    /// Drops whom the ranges keep out: who has not been sent to an endpoint.
    fn restrict(&mut self, vip: Vip) {
        let sources = self.chain(Part::Sources);
        let target = if self.asks_sources(vip) { Target::Jump(sources) } else { Target::Drop };
        let why = format!("{} traffic not accepted by {sources}", self.port.name);
        self.at(Table::Filter, Tree::Firewall, Match::AskedVip(vip), vip.addr, &why, target);
    }

    /// Why nobody, or nobody but those who take a short-cut, is sent to an endpoint, and what becomes of who is not.
    fn refusal(&self, frontend: &Frontend) -> Option<(String, Target)> {
        if self.port.endpoints.is_empty() {
            Some((self.named("has no endpoints"), reject_with(frontend.vip.protocol)))
        } else if self.port.endpoints_for(frontend.policy).is_empty() {
            let asks_who = frontend.is_external() && self.is_own_endpoint(frontend.vip);
            let target = if asks_who { Target::Jump(self.chain(Part::External)) } else { Target::Drop };
            Some((self.named("has no local endpoints"), target))
        } else {
            None
        }
    }

    /// KUBE-EXT-
    fn external_chain(&mut self) {
        let Some(frontend) = self.port.frontends.iter().find(|frontend| frontend.is_external()) else { return };
        let (cluster, local) = (self.chain(Part::Cluster), self.chain(Part::Local));
        let about = |what: &str| Condition::comment(&format!("{what} {} external destinations", self.port.name));
        let mark = Target::Jump(ChainName::MarkMasquerade);
        let mut rules = Vec::new();
        match frontend.policy {
            TrafficPolicy::Cluster => {
                rules.push(Rule::new([about("masquerade traffic for")], mark));
                rules.push(Rule::new([], Target::Jump(cluster)));
            }
            TrafficPolicy::Local => {
                let pods = self.pods().map(|pods| [pods, about("pod traffic for")]);
                rules.extend(pods.map(|pods| Rule::new(pods, Target::Jump(cluster))));
                let node = || Condition::Local(Source, Is::In);
                rules.push(Rule::new([about("masquerade LOCAL traffic for"), node()], mark));
                rules.push(Rule::new([about("route LOCAL traffic for"), node()], Target::Jump(cluster)));
                let has_local = !self.port.local_endpoints.is_empty();
                rules.push(Rule::new([], if has_local { Target::Jump(local) } else { Target::Accept }));
            }
        }
        self.put_chain(Table::Nat, self.chain(Part::External), rules);
    }

    /// KUBE-EXT- of the filter table: drops who takes no short-cut past policy Local, where who takes it may be sent to the
    /// frontend's own address.
    fn outsiders(&mut self) {
        let is_asked = |frontend: &Frontend| {
            let has_none = self.port.endpoints_for(frontend.policy).is_empty();
            has_none && frontend.is_external() && self.is_own_endpoint(frontend.vip)
        };
        if self.port.frontends.iter().any(is_asked) {
            let short_cuts = self.pods().into_iter().chain([Condition::Local(Source, Is::In)]);
            let mut rules: Vec<_> = short_cuts.map(|of| Rule::new([of], Target::Return)).collect();
            rules.push(Rule::new([], Target::Drop));
            self.put_chain(Table::Filter, self.chain(Part::External), rules);
        }
    }

    /// That a packet comes from a pod of this node, where this family has a detector.
    fn pods(&self) -> Option<Condition> {
        let detector = self.policy.detector.get(self.port.family).as_ref();
        detector.map(|detector| from_pods(detector, Is::In))
    }

    /// Whether an endpoint has, or may have, the frontend's own address and port. DNAT to it changes nothing, so conntrack
    /// does not call it translated.
    fn is_own_endpoint(&self, vip: Vip) -> bool {
        let is_it = |to: &Endpoint| to.port == vip.port && (vip.addr.is_unspecified() || to.addr == vip.addr);
        self.port.endpoints.iter().chain(&self.port.local_endpoints).any(is_it)
    }

    /// KUBE-FW-
    fn sources(&mut self) {
        if !self.is_restricted() {
            return;
        }
        let restricted = self.port.frontends.iter().filter(|frontend| frontend.restricted);
        let (external, own): (Vec<&Frontend>, Vec<_>) = restricted.partition(|frontend| frontend.is_external());
        let mut rules = Vec::new();
        // A cluster IP may be a load-balancer IP too.
        for frontend in own {
            let list = Target::Jump(self.chain(list_part(frontend.policy)));
            let to = Condition::Within(Destination, Is::In, frontend.vip.addr.into());
            rules.extend(self.for_sources(Some(&to), &list));
        }
        if !external.is_empty() {
            rules.extend(self.for_sources(None, &Target::Jump(self.chain(Part::External))));
        }
        let kept_out = format!("other traffic to {} will be dropped by KUBE-PROXY-FIREWALL", self.port.name);
        rules.push(Rule::new([Condition::comment(&kept_out)], Target::Accept));
        self.put_chain(Table::Nat, self.chain(Part::Sources), rules);
    }

    /// Whether the filter table asks the ranges itself: who is kept out is not told that there is no endpoint, and who is not
    /// may be sent to the frontend's own address.
    fn asks_sources(&self, vip: Vip) -> bool {
        self.port.endpoints.is_empty() || self.is_own_endpoint(vip)
    }

    /// KUBE-FW- of the filter table.
    fn kept_out(&mut self) {
        if self.port.frontends.iter().any(|frontend| frontend.restricted && self.asks_sources(frontend.vip)) {
            let mut rules: Vec<_> = self.for_sources(None, &Target::Return).collect();
            rules.push(Rule::new([], Target::Drop));
            self.put_chain(Table::Filter, self.chain(Part::Sources), rules);
        }
    }

    fn is_restricted(&self) -> bool {
        self.port.frontends.iter().any(|frontend| frontend.restricted)
    }

    fn for_sources<'a>(&'a self, to: Option<&'a Condition>, target: &'a Target) -> impl Iterator<Item = Rule> + 'a {
        let comment = Condition::comment(&self.named("loadbalancer IP"));
        self.port.sources.iter().map(move |net| {
            let from = Condition::Within(Source, Is::In, *net);
            Rule::new([from].into_iter().chain(to.cloned()).chain([comment.clone()]), target.clone())
        })
    }

    /// KUBE-SVC- or KUBE-SVL-, and KUBE-SEP- for each of its endpoints, if anybody comes there.
    fn list(&mut self, list: TrafficPolicy) {
        let port = self.port;
        // Behind the short-cuts of an external frontend the whole list is asked too.
        let is_asked =
            |frontend: &Frontend| frontend.policy == list || list == TrafficPolicy::Cluster && frontend.is_external();
        if port.endpoints_for(list).is_empty() || !port.frontends.iter().any(is_asked) {
            return;
        }
        let own = port.frontends.iter().filter(|frontend| !frontend.is_external() && frontend.policy == list);
        let mut rules: Vec<_> = own.filter_map(|frontend| self.masquerade(frontend.vip)).collect();
        rules.extend(endpoints::choose(port, list, self.is_large()));
        self.put_chain(Table::Nat, self.chain(list_part(list)), rules);
        for endpoint in port.endpoints_for(list) {
            let chain = ChainName::Of(Part::Endpoint, endpoints::hash(port, list, endpoint));
            self.put_chain(Table::Nat, chain, endpoints::rules(port, list, endpoint, self.is_large()));
        }
    }

    /// Marks who asks a cluster IP and is no pod of this node: an answer would not come back through the node.
    fn masquerade(&self, vip: Vip) -> Option<Rule> {
        let detector = self.policy.detector.get(self.port.family).as_ref().filter(|_| !self.policy.masquerade_all);
        if detector.is_none() && !self.policy.masquerade_all {
            return None;
        }
        let others = detector.map(|detector| from_pods(detector, Is::Not));
        let (source, link) = others.into_iter().partition::<Vec<_>, _>(|other| matches!(other, Condition::Within(..)));
        let conditions =
            source.into_iter().chain([Condition::Within(Destination, Is::In, vip.addr.into())]).chain(link).chain([
                Condition::Protocol(Is::In, vip.protocol),
                Condition::comment(&self.named("cluster IP")),
                Condition::Port(vip.protocol, Some(vip.port)),
            ]);
        Some(Rule::new(conditions, Target::Jump(ChainName::MarkMasquerade)))
    }

    fn health_check(&mut self) {
        let Some(number) = self.port.health_check_node_port else { return };
        let key = self.rule(Table::Filter, ChainName::NodePorts, Match::Port(Protocol::Tcp, number));
        // All ports of the Service want it, and two Services may name one number: all say the same.
        self.put(key, commented("kubernetes health check node port", Target::Accept));
    }

    /// Puts a rule below the levels that lead to its address.
    fn at(&mut self, table: Table, tree: Tree, of: Match, addr: IpAddr, why: &str, target: Target) {
        let mut chain = tree.root();
        for prefix in levels::path(self.policy.service_cidrs.get(self.port.family), addr) {
            let next = ChainName::Level(tree, Level::of(prefix));
            self.put(self.rule(table, chain, Match::Net(prefix)), Value::Rule(None, Target::Jump(next)));
            self.put(Key::Chain(self.port.family, table, next), Value::Dispatch);
            chain = next;
        }
        self.put(self.rule(table, chain, of), commented(why, target));
    }

    fn put_chain(&mut self, table: Table, chain: ChainName, rules: Vec<Rule>) {
        self.put(Key::Chain(self.port.family, table, chain), Value::Rules(rules.into()));
    }

    fn put(&mut self, key: Key, value: Value) {
        self.objects.insert(key, value);
    }

    const fn rule(&self, table: Table, chain: ChainName, of: Match) -> Key {
        Key::Rule(self.port.family, table, chain, of)
    }

    const fn chain(&self, part: Part) -> ChainName {
        ChainName::Of(part, self.hash)
    }

    fn is_large(&self) -> bool {
        *self.policy.is_large.get(self.port.family)
    }

    fn named(&self, what: &str) -> String {
        format!("{} {what}", self.port.name)
    }

    /// What kube-proxy says beside the rule of a frontend.
    fn kind(&self, frontend: &Frontend) -> String {
        match frontend.kind {
            FrontendKind::ClusterIp => self.named("cluster IP"),
            FrontendKind::ExternalIp => self.named("external IP"),
            FrontendKind::LoadBalancerIp => self.named("loadbalancer IP"),
            FrontendKind::NodePort => self.port.name.to_string(),
        }
    }
}

const fn list_part(list: TrafficPolicy) -> Part {
    match list {
        TrafficPolicy::Cluster => Part::Cluster,
        TrafficPolicy::Local => Part::Local,
    }
}

fn from_pods(detector: &LocalDetector, is: Is) -> Condition {
    match detector {
        LocalDetector::Cidr(cidr) => Condition::Within(Source, is, *cidr),
        LocalDetector::Interface(name) => Condition::CameBy(is, Link::Named(name.clone())),
        LocalDetector::InterfacePrefix(prefix) => Condition::CameBy(is, Link::Beginning(prefix.clone())),
    }
}

fn commented(text: &str, target: Target) -> Value {
    Value::Rule(Some(fitting(text)), target)
}
