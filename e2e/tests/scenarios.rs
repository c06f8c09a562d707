//! Every scenario of testdata/scenarios in every mode, as one test: its golden, which the mode's own tool takes, and its
//! flows as packets through a lab of its own. A test is called `iptables/NAME`.
//!
//! `UPDATE_GOLDEN=1` writes the goldens instead of comparing them.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_e2e::{
    Error, Lab, Mode, RENDERED_MODES,
    daemon::{Daemon, Rules as _, lone, until},
    diff,
    harness::{self, Failure, Test},
    has_kernel_for,
    host::Host,
    product::Portolan,
    scenario::{self, Flow, Scenario, ServiceProxy, Step},
    stage::Stage,
};
use tempfile::TempDir;

fn main() -> ExitCode {
    let summaries: Summaries = Arc::new(Mutex::new(RENDERED_MODES.map(Summary::new).into()));
    harness::run(|| tests(&summaries), || lock(&summaries).iter().for_each(|summary| println!("{}", summary.text())))
}

fn tests(summaries: &Summaries) -> Result<Vec<Test>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios");
    let scenarios = Scenario::load_all(&folder).map_err(|error| error.chain())?;
    let portolan = Portolan::find().map_err(|missing| missing.to_string())?;
    let of_mode = |mode| {
        let portolan = portolan.clone().in_mode(mode);
        let test = move |scenario: &Scenario| test(scenario.clone(), portolan.clone(), Arc::clone(summaries));
        scenarios.iter().filter(|scenario| !scenario.not_in.contains(&mode)).map(test).collect::<Vec<_>>()
    };
    Ok(RENDERED_MODES.into_iter().flat_map(of_mode).collect())
}

fn test(scenario: Scenario, portolan: Portolan, summaries: Summaries) -> Test {
    Test::new(format!("{}/{}", portolan.mode(), scenario.name), move || {
        let checked = check(&scenario, &portolan).map_err(|error| error.chain())?;
        for summary in lock(&summaries).iter_mut().filter(|summary| summary.mode == portolan.mode()) {
            summary.add(&scenario, &checked);
        }
        if checked.failures.is_empty() {
            return Ok(());
        }
        Err(format!("{}\n\n{}", scenario.description(), checked.failures.join("\n")))
    })
}

fn lock(summaries: &Mutex<Vec<Summary>>) -> MutexGuard<'_, Vec<Summary>> {
    summaries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of one scenario.
#[derive(Default)]
struct Checked {
    flows: usize,
    connections: u32,
    skipped: Vec<Flow>,
    failures: Vec<String>,
}

fn check(scenario: &Scenario, portolan: &Portolan) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let is_real = has_kernel_for(portolan.mode());
    let mut stage = Stage::new(scenario)?;
    let mut programmed = Programmed::new(scenario, portolan)?;
    let empty = lone()?;
    for (number, step) in scenario.steps.iter().enumerate() {
        stage.enter(number)?;
        programmed.write(step)?;
        let rendered = portolan.render(scenario, &programmed.manifests, step.rejected, stage.lab().host("node-a")?)?;
        let golden = check_golden(&scenario.golden(portolan.mode(), number), &rendered)?;
        empty.takes(portolan.mode(), &rendered)?;
        let mut failures = Vec::from_iter(golden);
        if is_real {
            programmed.follow(stage.lab())?;
            let played = stage.play(step, ServiceProxy::Portolan(portolan.mode()))?;
            checked.flows += played.flows;
            checked.connections += played.connections;
            checked.skipped.extend(played.skipped);
            failures.extend(played.failures);
        } else {
            checked.skipped.extend(step.flows.iter().cloned());
        }
        let heading = if number == 0 { String::new() } else { format!("step {number}: {}\n", step.description) };
        checked.failures.extend(failures.into_iter().map(|failure| format!("{heading}{failure}")));
    }
    Ok(checked)
}

/// Both nodes' kernels, programmed by Portolan: once where that is all there is to do, and else by daemons that follow the
/// steps, and listen at loopback addresses.
struct Programmed<'scenario> {
    scenario: &'scenario Scenario,
    portolan: &'scenario Portolan,
    /// What Portolan reads.
    manifests: PathBuf,
    /// Where the manifests of a scenario with steps are.
    folder: Option<TempDir>,
    daemons: Vec<Daemon>,
}

impl<'scenario> Programmed<'scenario> {
    fn new(scenario: &'scenario Scenario, portolan: &'scenario Portolan) -> Result<Self, Error> {
        // Loopback addresses need somebody who listens, or a kernel setting.
        let asks_loopback = scenario.steps.iter().flat_map(|step| &step.flows).any(|flow| flow.to.ip().is_loopback());
        let follows = scenario.steps.len() > 1 || asks_loopback;
        let failed = |source| Error::File { path: env::temp_dir(), source };
        let folder = follows.then(tempfile::tempdir).transpose().map_err(failed)?;
        let manifests = folder.as_ref().map_or_else(|| scenario.input(), |folder| folder.path().to_owned());
        Ok(Self { scenario, portolan, manifests, folder, daemons: Vec::new() })
    }

    /// Has Portolan read what this step wants, from now on.
    fn write(&self, step: &Step) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        // One file, renamed into its place: the step is seen as a whole.
        let (new, path) = (folder.path().join("objects.new"), folder.path().join("objects.json"));
        let failed = |source| Error::File { path: path.clone(), source };
        fs::write(&new, scenario::manifest(&step.objects)).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)
    }

    /// Returns when the kernels hold what was written.
    fn follow(&mut self, lab: &Lab) -> Result<(), Error> {
        if self.folder.is_none() {
            return lab.nodes().try_for_each(|node| self.portolan.run_once(self.scenario, node));
        }
        if self.daemons.is_empty() {
            let started = lab.nodes().map(|node| self.portolan.run(self.scenario, &self.manifests, node));
            self.daemons = started.collect::<Result<_, _>>()?;
        }
        lab.nodes().zip(&self.daemons).try_for_each(|(node, daemon)| self.wait(node, daemon))
    }

    fn wait(&self, node: &Host, daemon: &Daemon) -> Result<(), Error> {
        let mut differs = None;
        let converged = until("the kernel to hold what the step wants", || {
            differs = self.portolan.diff(self.scenario, &self.manifests, node)?;
            Ok(differs.is_none().then_some(()))
        });
        converged.map_err(|error: Error| match error {
            Error::TooLate(late) => {
                Error::TooLate(late.with_log(&format!("{}\n{}", differs.unwrap_or_default(), daemon.log().join("\n"))))
            }
            other => other,
        })
    }
}

/// The difference to the golden, if there is one.
fn check_golden(path: &Path, rendered: &str) -> Result<Option<String>, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(path, rendered).map_err(failed)?;
        return Ok(None);
    }
    let golden = match fs::read_to_string(path) {
        Ok(golden) => golden,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Some(format!("{} is missing; UPDATE_GOLDEN=1 writes it\n", path.display())));
        }
        Err(source) => return Err(failed(source)),
    };
    let differs = golden != rendered;
    Ok(differs.then(|| {
        format!(
            "{} (-) is not what is rendered now (+); UPDATE_GOLDEN=1 accepts it:\n{}",
            path.display(),
            diff::lines(&golden, rendered)
        )
    }))
}

/// Of each mode.
type Summaries = Arc<Mutex<Vec<Summary>>>;

/// What was tested in a mode, and what was not.
struct Summary {
    mode: Mode,
    scenarios: usize,
    steps: usize,
    flows: usize,
    connections: u32,
    skipped: Vec<String>,
}

impl Summary {
    const fn new(mode: Mode) -> Self {
        Self { mode, scenarios: 0, steps: 0, flows: 0, connections: 0, skipped: Vec::new() }
    }

    fn add(&mut self, scenario: &Scenario, checked: &Checked) {
        self.scenarios += 1;
        self.steps += scenario.steps.len() - 1;
        self.flows += checked.flows;
        self.connections += checked.connections;
        self.skipped.extend(checked.skipped.iter().map(|flow| format!("{}: {flow}", scenario.name)));
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} scenarios in {} mode, {} later steps, {} flows as packets, {} connections, {} flows skipped",
            self.scenarios,
            self.mode,
            self.steps,
            self.flows,
            self.connections,
            self.skipped.len()
        );
        let mut skipped = self.skipped.clone();
        skipped.sort();
        if !has_kernel_for(self.mode) {
            let _ = write!(text, "\n  skipped are all flows in {} mode: this kernel has none", self.mode);
            return text;
        }
        for flow in skipped {
            let _ = write!(text, "\n  skipped, this kernel cannot carry it: {flow}");
        }
        text
    }
}
