//! Every scenario of testdata/scenarios, as one test: its golden, and its flows as packets through a lab of its own.
//!
//! `UPDATE_GOLDEN=1` writes the goldens instead of comparing them.

use std::{
    env,
    fmt::Write as _,
    fs, io,
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use portolan_core::addr::Protocol;
use portolan_e2e::{
    Error, Lab, diff,
    flow::{self, Seen},
    harness::{self, Failure, Test},
    probe,
    product::Portolan,
    scenario::{Flow, Scenario},
};

fn main() -> ExitCode {
    let summary = Arc::new(Mutex::new(Summary::default()));
    harness::run(|| tests(&summary), || println!("{}", lock(&summary).text()))
}

fn tests(summary: &Arc<Mutex<Summary>>) -> Result<Vec<Test>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios");
    let scenarios = Scenario::load_all(&folder).map_err(|error| error.chain())?;
    let portolan = Portolan::find().map_err(|missing| missing.to_string())?;
    Ok(scenarios.into_iter().map(|scenario| test(scenario, portolan.clone(), Arc::clone(summary))).collect())
}

fn test(scenario: Scenario, portolan: Portolan, summary: Arc<Mutex<Summary>>) -> Test {
    Test::new(scenario.name.clone(), move || {
        let checked = check(&scenario, &portolan).map_err(|error| error.chain())?;
        lock(&summary).add(&scenario, &checked);
        if checked.failures.is_empty() {
            return Ok(());
        }
        Err(format!("{}\n\n{}", scenario.description, checked.failures.join("\n")))
    })
}

fn lock(summary: &Mutex<Summary>) -> MutexGuard<'_, Summary> {
    summary.lock().unwrap_or_else(PoisonError::into_inner)
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
    let lab = Lab::new(scenario.lab)?;
    checked.failures.extend(check_golden(scenario, &portolan.render(scenario, lab.host("node-a")?)?)?);
    for node in lab.nodes() {
        portolan.run_once(scenario, node)?;
    }
    let sctp = probe::kernel_speaks(Protocol::Sctp).map_err(|source| Error::Client {
        host: "node-a",
        protocol: Protocol::Sctp,
        source,
    })?;
    let carried = |protocol| protocol != Protocol::Sctp || sctp;
    let _servers = lab.serve(scenario.servers()?.into_iter().filter(|target| carried(target.protocol)))?;
    let (flows, skipped) = scenario.flows.iter().cloned().partition::<Vec<_>, _>(|flow| carried(flow.protocol));
    checked.skipped = skipped;
    for (flow, seen) in flows.iter().zip(run_together(&lab, &flows)) {
        let seen = seen?;
        checked.flows += 1;
        checked.connections += seen.connections;
        checked.failures.extend(flow::mismatch(flow, &seen).map(|mismatch| mismatch.to_string()));
    }
    Ok(checked)
}

fn run_together(lab: &Lab, flows: &[Flow]) -> Vec<Result<Seen, Error>> {
    thread::scope(|scope| {
        let running: Vec<_> = flows.iter().map(|flow| scope.spawn(|| flow::run(lab, flow))).collect();
        running.into_iter().map(|flow| flow.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// The difference to the golden, if there is one.
fn check_golden(scenario: &Scenario, rendered: &str) -> Result<Option<String>, Error> {
    let path = scenario.golden();
    let failed = |source| Error::File { path: path.clone(), source };
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, rendered).map_err(failed)?;
        return Ok(None);
    }
    let golden = match fs::read_to_string(&path) {
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

/// What was tested, and what was not.
#[derive(Default)]
struct Summary {
    scenarios: usize,
    flows: usize,
    connections: u32,
    skipped: Vec<String>,
}

impl Summary {
    fn add(&mut self, scenario: &Scenario, checked: &Checked) {
        self.scenarios += 1;
        self.flows += checked.flows;
        self.connections += checked.connections;
        self.skipped.extend(checked.skipped.iter().map(|flow| format!("{}: {flow}", scenario.name)));
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} scenarios, {} flows as packets, {} connections, {} flows skipped",
            self.scenarios,
            self.flows,
            self.connections,
            self.skipped.len()
        );
        let mut skipped = self.skipped.clone();
        skipped.sort();
        for flow in skipped {
            let _ = write!(text, "\n  skipped, this kernel cannot carry it: {flow}");
        }
        text
    }
}
