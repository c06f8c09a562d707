//! Every entry of testdata/rejected, a test for each file: what people are told about a bad object, word for word, and
//! that everything else is served. The README there says how an entry is written and a golden read.
//!
//! `UPDATE_GOLDEN=1` writes the goldens instead of comparing them.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use portolan::load::load;
use portolan_core::{
    addr::Family,
    desired::{DesiredPort, Endpoint, LocalDetector, NodePolicy},
    model::TrafficPolicy,
    text::printable,
};
use portolan_e2e::{
    MODES,
    daemon::{Rules as _, lone, test},
    diff,
    harness::{self, Test},
    host::Host,
    product::Portolan,
    traced::node_config,
};
use serde::Deserialize;
use serde_json::Value;

fn main() -> ExitCode {
    let rejected = Arc::new(AtomicUsize::new(0));
    harness::run(
        || tests(&rejected).map_err(|error| format!("{error:#}")),
        || println!("{} rejected objects", rejected.load(Ordering::Relaxed)),
    )
}

/// A bad object: a change of one in good.yaml, or one that stands beside those.
#[derive(Debug, Deserialize)]
struct Entry {
    title: String,
    /// Values by their path, as findings show it, by the kind of the object that has them.
    #[serde(default)]
    set: BTreeMap<String, BTreeMap<String, Value>>,
    /// The text of another manifest file.
    yaml: Option<String>,
    json: Option<String>,
}

fn tests(rejected: &Arc<AtomicUsize>) -> Result<Vec<Test>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/rejected");
    let good: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(folder.join("good.yaml"))?)?;
    let names = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<BTreeSet<PathBuf>>>()?;
    let inputs = names.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let tests = inputs.filter(|path| !path.ends_with("good.yaml")).map(|path| {
        let (good, rejected) = (good.clone(), Arc::clone(rejected));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        test(&name, move || check(&path, &good, &rejected))
    });
    Ok(tests.collect())
}

fn check(path: &Path, good: &[Value], rejected: &AtomicUsize) -> Result<()> {
    let entries: Vec<Entry> = serde_saphyr::from_str(&fs::read_to_string(path)?)?;
    let world = World::new(good)?;
    let (mut told, mut loaded) = (String::new(), BTreeSet::new());
    for entry in &entries {
        let outcome = world.outcome(entry, &mut loaded).with_context(|| entry.title.clone())?;
        rejected.fetch_add(usize::from(outcome.contains("\nrejected ")), Ordering::Relaxed);
        told += &outcome;
    }
    let path = path.with_extension("golden");
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        return Ok(fs::write(path, told)?);
    }
    let golden = fs::read_to_string(&path).with_context(|| format!("{}: UPDATE_GOLDEN=1 writes it", path.display()))?;
    ensure!(
        golden == told,
        "{} (-) is not what is told now (+); UPDATE_GOLDEN=1 accepts it:\n{}",
        path.display(),
        diff::lines(&golden, &told)
    );
    Ok(())
}

/// The good objects, and what is served of them.
struct World<'a> {
    good: &'a [Value],
    served: Served,
    node: Host,
    portolan: Portolan,
}

impl<'a> World<'a> {
    fn new(good: &'a [Value]) -> Result<Self> {
        let (node, portolan) = (lone()?, Portolan::find()?);
        let mut world = Self { good, served: Served::new(), node, portolan };
        let folder = Folder::of(good, None)?;
        ensure!(world.findings(&folder)? == [""; 0], "the good objects are not good");
        world.served = served(&folder)?;
        Ok(world)
    }

    /// An entry as the goldens have it. What is served and was not `loaded` before is given to nft.
    fn outcome(&self, entry: &Entry, loaded: &mut BTreeSet<Served>) -> Result<String> {
        let mut objects = self.good.to_vec();
        let mut text = format!("# {}\n", entry.title);
        for (kind, values) in &entry.set {
            let object = objects.iter_mut().find(|object| object["kind"] == **kind).context("no such kind")?;
            for (path, value) in values {
                *place(object, path)? = value.clone();
                text += &format!("  {kind} {path}: {}\n", printable(&value.to_string()));
            }
        }
        let other = match (&entry.yaml, &entry.json) {
            (Some(text), None) => Some(("other.yaml", &**text)),
            (None, Some(text)) => Some(("other.json", &**text)),
            (None, None) => None,
            (Some(_), Some(_)) => bail!("one other file is enough"),
        };
        for line in other.into_iter().flat_map(|(_, content)| content.lines()) {
            text += &format!("  {}\n", printable(line));
        }

        let folder = Folder::of(&objects, other)?;
        let findings = self.findings(&folder)?;
        let refused = findings.iter().any(|finding| finding.starts_with("rejected "));
        text += &findings.iter().map(|finding| format!("{finding}\n")).collect::<String>();
        let served = served(&folder)?;
        text += &difference(&self.served, &served);
        if loaded.insert(served) {
            self.are_taken(&folder, refused)?;
        }
        Ok(text + "\n")
    }

    /// What `portolan list --rejected` says, a line each.
    fn findings(&self, folder: &Folder) -> Result<Vec<String>> {
        let list = self.portolan.on(&self.node).args(["list", "--rejected"]);
        let printed = list.args(self.portolan.arguments(folder.path(), &self.node)).expect_exit(0)?;
        let shown = printed.replace(&format!("{}/", folder.path().display()), "");
        let mut lines = shown.lines().map(ToOwned::to_owned);
        ensure!(lines.next().is_some_and(|heading| heading.starts_with("SEVERITY")), "no heading: {printed}");
        lines.try_fold(Vec::new(), |mut lines, line| {
            ensure!(line == printable(&line), "not printable: {line:?}");
            ensure!(["rejected  ", "warned    "].iter().any(|severity| line.starts_with(severity)), "{line:?}");
            lines.push(line);
            Ok(lines)
        })
    }

    /// What is rendered in any mode is taken by its tool, whatever the names.
    fn are_taken(&self, folder: &Folder, refused: bool) -> Result<()> {
        for mode in MODES {
            let portolan = self.portolan.clone().in_mode(mode);
            let arguments = portolan.arguments(folder.path(), &self.node);
            let render = portolan.on(&self.node).arg("render").args(arguments);
            self.node.takes(mode, &render.expect_exit(if refused { 3 } else { 0 })?)?;
        }
        Ok(())
    }
}

/// The place in an object that a path names, made on the way: `spec.ports[0].name`, `metadata.labels[a.b/c]`.
fn place<'v>(object: &'v mut Value, path: &str) -> Result<&'v mut Value> {
    let (mut place, mut rest) = (object, path);
    while !rest.is_empty() {
        let (step, behind, in_brackets) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(step, behind)| (step, behind, true)).context("no ]")?,
            None => {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (step, behind) = rest.split_at(end);
                (step, behind, false)
            }
        };
        rest = behind.strip_prefix('.').unwrap_or(behind);
        place = match step.parse::<usize>() {
            Ok(index) if in_brackets => {
                if place.is_null() {
                    *place = Value::Array(Vec::new());
                }
                let list = place.as_array_mut().with_context(|| format!("{path}: no list"))?;
                if index == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(index).with_context(|| format!("{path}: the list is shorter"))?
            }
            _ => &mut place[step],
        };
    }
    Ok(place)
}

/// A folder of manifests.
struct Folder(tempfile::TempDir);

impl Folder {
    fn of(objects: &[Value], other: Option<(&str, &str)>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let stream: Vec<_> = objects.iter().map(yaml).collect();
        fs::write(folder.path().join("good.yaml"), stream.join("\n---\n"))?;
        if let Some((name, content)) = other {
            fs::write(folder.path().join(name), content)?;
        }
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// JSON is YAML, but for characters that cannot be printed: YAML has them only escaped. In JSON these are inside of
/// text.
fn yaml(object: &Value) -> String {
    let escaped = |character: char| match character {
        ' '..='~' => character.to_string(),
        _ => format!("\\U{:08x}", u32::from(character)),
    };
    object.to_string().chars().map(escaped).collect()
}

/// What is served of each ServicePort in a family, and what holds on the node, as words.
type Served = BTreeMap<String, BTreeSet<String>>;

fn served(folder: &Folder) -> Result<Served> {
    let line = "portolan render --mode=nftables --hostname-override node-a --detect-local-mode NodeCIDR";
    let node = node_config(line.split(' ').map(ToOwned::to_owned)).map_err(|error| anyhow!(error))?;
    let mut cluster = load(folder.path(), node)?.cluster;
    let ports = cluster.take_changes().filter_map(|change| change.desired);
    let mut served: Served = ports.map(|port| (format!("{} {}", port.name, port.family), of_port(&port))).collect();
    served.insert("node".to_owned(), of_node(&cluster.policy()));
    Ok(served)
}

fn of_port(port: &DesiredPort) -> BTreeSet<String> {
    let frontends = port.frontends.iter().map(|frontend| {
        let policy = if frontend.policy == TrafficPolicy::Local { " to local endpoints" } else { "" };
        format!("{}{}{policy}", frontend.vip, if frontend.restricted { " for sources" } else { "" })
    });
    let to = |arrow, endpoint: &Endpoint| format!("{arrow}{}", SocketAddr::new(endpoint.addr, endpoint.port));
    let endpoints = port.endpoints.iter().map(|endpoint| to("->", endpoint));
    let local = port.local_endpoints.iter().map(|endpoint| to("local ->", endpoint));
    let affinity = port.affinity.map(|seconds| format!("affinity {seconds} s"));
    let settings = affinity.into_iter().chain(port.scheduling.map(|scheduling| format!("scheduler {scheduling}")));
    let sources = port.sources.iter().map(|source| format!("source {source}"));
    frontends.chain(endpoints).chain(local).chain(settings).chain(sources).collect()
}

fn of_node(policy: &NodePolicy) -> BTreeSet<String> {
    let families = Family::ALL.into_iter();
    let all = families.flat_map(|family| {
        let pods = policy.detector.get(family).iter().map(|detector| match detector {
            LocalDetector::Cidr(cidr) => format!("pods {cidr}"),
            other => format!("{other:?}"),
        });
        let cluster_ips = policy.service_cidrs.get(family).iter().map(|cidr| format!("cluster IPs {cidr}"));
        pods.chain(cluster_ips)
    });
    all.collect()
}

/// What is served less, and what more.
fn difference(before: &Served, after: &Served) -> String {
    let text = less("lost      ", before, after) + &less("gained    ", after, before);
    if text.is_empty() { "served    everything\n".to_owned() } else { text }
}

/// What one has and the other lacks: whole ServicePorts on one line, words of others on a line each.
fn less(name: &str, one: &Served, other: &Served) -> String {
    let whole: Vec<_> = one.keys().filter(|port| !other.contains_key(*port)).map(String::as_str).collect();
    let mut text = if whole.is_empty() { String::new() } else { format!("{name}{}\n", whole.join(", ")) };
    for (port, words) in one {
        let words: Vec<_> = other.get(port).map_or_else(Vec::new, |others| words.difference(others).collect());
        if !words.is_empty() {
            let words: Vec<_> = words.into_iter().map(String::as_str).collect();
            text += &format!("{name}{port}: {}\n", words.join(", "));
        }
    }
    text
}
