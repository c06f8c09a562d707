//! A scenario: a folder of testdata/scenarios with a cluster's objects and what packets must then meet.
//!
//! ```text
//!   input.yaml               ordinary Kubernetes objects
//!   flows.yaml               description, options, flows: documented in testdata/scenarios/README.md
//!   nftables.golden          what Portolan renders of them for node-a, one for each mode
//!   step-1.yaml              objects of a later step
//!   nftables.step-1.golden   what Portolan renders then
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | `file` | flows.yaml as it is written |
//! | `proxy` | options of the proxy, as flags |
//! | `entry` | a flow as it is written, and its check |
//! | `flow` | a flow |
//! | `objects` | the objects, and how a step changes them |
//! | `step` | a state of the cluster with its flows |

mod entry;
mod file;
mod flow;
mod objects;
mod proxy;
mod step;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use self::file::FlowsFile;
pub use self::{
    entry::FlowError,
    flow::{Difference, Expected, Flow, Opening, ServiceProxy},
    objects::{ObjectName, manifest},
    proxy::{DetectLocalMode, ProxyOptions},
    step::{AddressChange, Step, StepError},
};
use crate::{
    Error, Mode, Options,
    cast::{self, CAST, Member},
    server::Listener,
};

const INPUT: &str = "input.yaml";
const FLOWS: &str = "flows.yaml";

/// One folder, read and checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// How the proxy is started.
    pub proxy: ProxyOptions,
    /// Why the real kube-proxy cannot judge this scenario, where it cannot.
    pub not_judged: Option<String>,
    /// The modes of Portolan that do not do what it shows.
    pub not_in: Vec<Mode>,
    /// How the lab is made.
    pub lab: Options,
    /// The beginning, and what comes after it.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// All scenarios of a folder, by name.
    ///
    /// # Errors
    /// When a file cannot be read, or says something that is not possible.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, Error> {
        let failed = |source| Error::File { path: folder.to_owned(), source };
        let entries = fs::read_dir(folder).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let mut folders: Vec<_> = entries.iter().map(fs::DirEntry::path).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders.iter().map(|folder| Self::load(folder)).collect()
    }

    /// One scenario.
    ///
    /// # Errors
    /// As [`Scenario::load_all`].
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FLOWS);
        let mut file: FlowsFile = serde_saphyr::from_str(&objects::text(&path)?)
            .map_err(|source| Error::Yaml { path: path.clone(), source: Box::new(source) })?;
        let mut steps = Vec::<Step>::new();
        for entry in [file.first_step()].into_iter().chain(file.then) {
            let step = Step::after(steps.last(), entry, folder)?;
            let opened: BTreeSet<_> = steps.iter().flat_map(|step| &step.open).map(|open| &open.name).collect();
            if let Some(name) = step.alive.iter().find(|name| !opened.contains(name)) {
                let source = StepError::NotOpen(name.clone());
                return Err(Error::Step { path, step: step.description, source });
            }
            steps.push(step);
        }
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            lab: Options {
                default_routes: file.default_routes,
                pod_bridge: file.proxy.pod_bridge_interface.clone(),
                ..Options::default()
            },
            proxy: file.proxy,
            not_judged: file.not_judged,
            not_in: [
                (Mode::Nftables, file.not_in.nftables),
                (Mode::Iptables, file.not_in.iptables),
                (Mode::Ipvs, file.not_in.ipvs),
            ]
            .into_iter()
            .filter_map(|(mode, why)| why.map(|_| mode))
            .collect(),
            steps,
        })
    }

    /// One or two sentences: what it shows.
    #[must_use]
    pub fn description(&self) -> &str {
        self.steps.first().map_or("", |step| &step.description)
    }

    /// The objects that it begins with.
    #[must_use]
    pub fn input(&self) -> PathBuf {
        self.folder.join(INPUT)
    }

    /// The expected rendering for node-a in one of its steps.
    #[must_use]
    pub fn golden(&self, mode: Mode, step: usize) -> PathBuf {
        let name = if step == 0 { format!("{mode}.golden") } else { format!("{mode}.step-{step}.golden") };
        self.folder.join(name)
    }

    /// Addresses that somebody asks and nobody ever has: `outside` has them, so that a packet which no rule takes is
    /// answered.
    #[must_use]
    pub fn stand_ins(&self) -> BTreeSet<IpAddr> {
        let changed = self.steps.iter().flat_map(|step| &step.addresses).map(|change| change.address);
        let had: BTreeSet<_> = changed.chain(owners(&[]).into_keys()).collect();
        let asked = self.steps.iter().flat_map(|step| &step.flows).map(|flow| flow.to.ip());
        // At a loopback address it is the client itself, and where nobody listens its kernel refuses.
        asked.filter(|address| !had.contains(address) && !address.is_loopback()).collect()
    }

    /// Who has which address in one of its steps.
    #[must_use]
    pub fn owners(&self, step: usize) -> BTreeMap<IpAddr, &'static Member> {
        owners(self.steps.get(..=step).unwrap_or_default())
    }

    /// Where servers must be in one of its steps: wherever a flow goes, and wherever a flow or an EndpointSlice says
    /// that there is an endpoint. So a packet that goes the wrong way, to an endpoint that must not be used or past
    /// all rules, is answered and seen.
    #[must_use]
    pub fn listeners(&self, step: usize) -> BTreeSet<Listener> {
        let (owners, stand_ins) = (self.owners(step), self.stand_ins());
        let host = |address| match owners.get(&address) {
            Some(member) => Some(member.name),
            None => stand_ins.contains(&address).then_some(cast::OUTSIDE),
        };
        let places = self.steps.get(step).into_iter().flat_map(Step::places);
        places.filter_map(|(protocol, at)| host(at.ip()).map(|host| Listener { host, protocol, at })).collect()
    }
}

/// Who has which address after these steps.
fn owners(steps: &[Step]) -> BTreeMap<IpAddr, &'static Member> {
    let cast = CAST.iter().flat_map(|member| member.addresses().map(move |address| (address, member)));
    let mut owners: BTreeMap<_, _> = cast.collect();
    for change in steps.iter().flat_map(|step| &step.addresses) {
        if change.added {
            owners.insert(change.address, change.host);
        } else {
            owners.remove(&change.address);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: &str = "
kind: EndpointSlice
metadata: {name: web-1, namespace: default}
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.1.12]}, {addresses: [10.244.1.99]}]
";

    fn scenario(flows: &str) -> Result<Scenario, Error> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(INPUT), SLICE).unwrap();
        fs::write(folder.path().join("step-1.yaml"), "{kind: Service, metadata: {name: web}}").unwrap();
        fs::write(folder.path().join(FLOWS), format!("description: one\n{flows}")).unwrap();
        Scenario::load(folder.path())
    }

    #[test]
    fn a_step_has_all_objects_and_the_first_one_is_like_all_others() {
        let scenario = scenario(
            "not-judged: it has no way to\nproxy: {pod-bridge-interface: cni0}\nflows: []\nopen: [{name: x, from: \
             pod-a1, to: 10.96.0.10:80/tcp}]\nthen:\n  - {description: two, change: step-1.yaml, alive: [x], flows: \
             []}\n  - {description: three, delete: [EndpointSlice default/web-1], rejected: true, flows: []}\n",
        )
        .unwrap();
        let objects: Vec<_> = scenario.steps.iter().map(|step| step.objects.len()).collect();
        assert_eq!(objects, [1, 2, 1]);
        assert_eq!((scenario.description(), scenario.not_judged.as_deref()), ("one", Some("it has no way to")));
        assert_eq!(scenario.lab.pod_bridge.as_deref(), Some("cni0"));
        assert_eq!(scenario.steps.iter().map(|step| step.rejected).collect::<Vec<_>>(), [false, false, true]);
        assert!(scenario.golden(Mode::Nftables, 0).ends_with("nftables.golden"));
        assert!(scenario.golden(Mode::Iptables, 2).ends_with("iptables.step-2.golden"));
    }

    #[test]
    fn a_server_is_wherever_somebody_may_ask_as_soon_as_the_address_is_there() {
        let scenario = scenario(
            "flows:\n  - {from: outside, to: 203.0.113.10:80/tcp, endpoints: [pod-b1:1], kube-proxy: {reason: none, \
             iptables: {endpoints: [pod-b1:2]}}}\n  - {from: outside, to: 192.168.100.77:1/udp, verdict: dropped}\n  - \
             {from: pod-a1, to: 10.96.0.10/icmp, verdict: rejected}\nthen:\n  - {description: two, add-addresses: \
             {node-b: [192.168.100.77/24]}, flows: [{from: outside, to: 192.168.100.77:2/udp, verdict: dropped}]}\n  - \
             {description: three, remove-addresses: {node-b: [192.168.100.77/24]}, flows: [{from: outside, to: \
             192.168.100.77:3/udp, verdict: dropped}]}\n",
        )
        .unwrap();
        let stand_ins: Vec<_> = scenario.stand_ins().iter().map(IpAddr::to_string).collect();
        assert_eq!(stand_ins, ["10.96.0.10", "203.0.113.10"]);
        let listeners = |step| scenario.listeners(step).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(listeners(0), ["outside:80", "pod-a2:8080", "pod-b1:1", "pod-b1:2"]);
        assert_eq!(listeners(1), ["node-b:2", "pod-a2:8080"]);
        assert_eq!(listeners(2), ["pod-a2:8080"]);
    }

    #[test]
    fn a_step_that_cannot_be_is_refused() {
        for (step, part) in [
            ("delete: [web]", "\"web\""),
            ("delete: [Service default/web]", "no such object"),
            ("add-addresses: {node-a: [192.168.100.77]}", "192.168.100.77/24"),
            ("add-addresses: {node-a: [192.168.100.77/33]}", "192.168.100.77/33"),
            ("add-addresses: {nobody: [192.168.100.77/24]}", "\"nobody\""),
            ("alive: [x]", "\"x\""),
            ("open: [{name: x, from: pod-a1, to: 10.96.0.10:80/udp}]", "`open`"),
            ("change: missing.yaml", "missing.yaml"),
        ] {
            let error = scenario(&format!("flows: []\nthen: [{{description: two, flows: [], {step}}}]")).unwrap_err();
            assert!(error.chain().contains(part), "{step}: {}", error.chain());
        }
    }
}
