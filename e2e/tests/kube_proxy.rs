//! The real kube-proxy in Portolan's place: every scenario of testdata/scenarios, in nftables and in iptables mode.
//!
//! It is held against Portolan in the same mode. A scenario says what kube-proxy does differently, and why. Any other difference fails: then either the scenario is
//! wrong, or Portolan is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    process::{Command, ExitCode},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use portolan_e2e::{
    Mode,
    controlplane::{Binary, Cluster, ControlPlane, Error, Missing, must_judge},
    harness::{self, Failure, Test},
    scenario::{Flow, Scenario, ServiceProxy, Step},
    stage::{Played, Stage},
};

fn main() -> ExitCode {
    // Twice, for this process is executed again inside, where Go finds everything in its caches.
    let judge = Arc::new(Judge::new(Binary::build()));
    harness::run(|| judge.tests(), || print!("{}", judge.summary()))
}

/// What all tests have in common.
struct Judge {
    binary: Result<Binary, Missing>,
    /// Which kube-proxy judges, and what else it needs and lacks.
    modes: Vec<(Mode, Option<Failure>)>,
    /// Started by the first test that needs it. There is one, so scenarios come one after the other.
    plane: Mutex<Option<ControlPlane>>,
    verdicts: Mutex<Vec<Verdict>>,
}

/// What came of one scenario.
struct Verdict {
    scenario: String,
    not_judged: Option<String>,
    modes: BTreeMap<&'static str, InMode>,
}

/// What came of it in one mode.
#[derive(Default)]
struct InMode {
    flows: usize,
    connections: u32,
    /// The reason of each flow that differs as the scenario says.
    differences: Vec<String>,
    failures: Vec<String>,
}

impl Judge {
    fn new(binary: Result<Binary, Missing>) -> Self {
        let modes = vec![(Mode::Nftables, None), (Mode::Iptables, no_iptables())];
        Self { binary, modes, plane: Mutex::new(None), verdicts: Mutex::new(Vec::new()) }
    }

    fn tests(self: &Arc<Self>) -> Result<Vec<Test>, Failure> {
        if must_judge() && self.lacks().next().is_some() {
            return Err(self.summary());
        }
        if self.binary.is_err() {
            return Ok(Vec::new());
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios");
        let scenarios = Scenario::load_all(&folder).map_err(|error| error.chain())?;
        Ok(scenarios.into_iter().map(|scenario| self.test(scenario)).collect())
    }

    fn test(self: &Arc<Self>, scenario: Scenario) -> Test {
        let judge = Arc::clone(self);
        Test::new(scenario.name.clone(), move || {
            let verdict = judge.judge(&scenario).map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
            let failures = verdict.modes.values().flat_map(|of| of.failures.clone()).collect::<Vec<_>>().join("\n");
            lock(&judge.verdicts).push(verdict);
            if failures.is_empty() { Ok(()) } else { Err(format!("{}\n\n{failures}", scenario.description())) }
        })
    }

    fn judge(&self, scenario: &Scenario) -> Result<Verdict, Error> {
        let mut verdict = Verdict::of(scenario);
        let Ok(binary) = &self.binary else { return Ok(verdict) };
        if scenario.not_judged.is_some() {
            return Ok(verdict);
        }
        let modes = self.modes.iter().filter(|(_, lack)| lack.is_none());
        let mut stages =
            modes.map(|(mode, _)| Ok((*mode, Stage::new(scenario)?))).collect::<Result<Vec<_>, Error>>()?;
        let mut held = lock(&self.plane);
        // One that fails is not used again.
        let mut plane = held.take().map_or_else(|| ControlPlane::start(binary), Ok)?;
        let labs: Vec<_> = stages.iter().map(|(mode, stage)| (ServiceProxy::KubeProxy(*mode), stage.lab())).collect();
        let mut cluster = Cluster::start(&mut plane, scenario, &labs)?;
        for (number, step) in scenario.steps.iter().enumerate() {
            for (_, stage) in &mut stages {
                stage.enter(number)?;
            }
            cluster.follow(&mut plane.api, &step.objects)?;
            verdict.add(number, step, play(&mut stages, step)?);
        }
        drop(cluster);
        plane.api.clear()?;
        *held = Some(plane);
        Ok(verdict)
    }

    /// What cannot be judged here, and why.
    fn lacks(&self) -> impl Iterator<Item = String> {
        let all = self.binary.as_ref().err().map(|missing| format!("anything: {missing}"));
        let modes = self.modes.iter();
        all.into_iter().chain(modes.filter_map(|(mode, lack)| Some(format!("{mode} mode: {}", lack.as_ref()?))))
    }

    fn summary(&self) -> String {
        let verdicts = lock(&self.verdicts);
        let mut text = String::new();
        for (mode, _) in &self.modes {
            let of_mode = || verdicts.iter().filter_map(|one| one.modes.get(mode.name()));
            let count = |of: fn(&InMode) -> usize| of_mode().map(of).sum::<usize>();
            let (flows, named, unnamed) =
                (count(|of| of.flows), count(|of| of.differences.len()), count(|of| of.failures.len()));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{flows} flows in {mode} mode, judged by the real kube-proxy in {} connections: {} agree, {named} differ as \
                 the scenario says, {unnamed} differ otherwise",
                count(|of| of.connections as usize),
                flows.saturating_sub(named + unnamed),
            );
        }
        for lack in self.lacks() {
            let _ = writeln!(text, "  does not judge {lack}");
        }
        for (reason, scenarios) in
            by_reason(verdicts.iter().flat_map(|one| one.not_judged.iter().map(move |why| (why, one))))
        {
            let _ = writeln!(text, "  does not judge {}: {reason}", scenarios.1.join(", "));
        }
        for (reason, scenarios) in by_reason(
            verdicts
                .iter()
                .flat_map(|one| one.modes.values().flat_map(|of| &of.differences).map(move |why| (why, one))),
        ) {
            let _ = writeln!(text, "  {} differ in {}: {reason}", scenarios.0, scenarios.1.join(", "));
        }
        text
    }
}

impl Verdict {
    fn of(scenario: &Scenario) -> Self {
        Self { scenario: scenario.name.clone(), not_judged: scenario.not_judged.clone(), modes: BTreeMap::new() }
    }

    fn add(&mut self, number: usize, step: &Step, played: Vec<(Mode, Played)>) {
        for (mode, played) in played {
            let of = self.modes.entry(mode.name()).or_default();
            of.flows += played.flows;
            of.connections += played.connections;
            let heading = if number == 0 { String::new() } else { format!(", step {number}") };
            of.failures.extend(played.failures.iter().map(|failure| format!("{mode}{heading}: {failure}")));
            let (theirs, ours) = (ServiceProxy::KubeProxy(mode), ServiceProxy::Portolan(mode));
            let differs = |flow: &&Flow| flow.expected_of(theirs) != flow.expected_of(ours);
            let named = step.flows.iter().filter(differs).filter_map(|flow| flow.kube_proxy.as_ref());
            of.differences.extend(named.map(|difference| difference.reason.clone()));
        }
    }
}

/// In all modes at the same time, each in its own lab.
fn play<'scenario>(
    stages: &mut [(Mode, Stage<'scenario>)],
    step: &'scenario Step,
) -> Result<Vec<(Mode, Played)>, Error> {
    thread::scope(|scope| {
        let playing: Vec<_> = stages
            .iter_mut()
            .map(|(mode, stage)| (*mode, scope.spawn(move || stage.play(step, ServiceProxy::KubeProxy(*mode)))))
            .collect();
        playing
            .into_iter()
            .map(|(mode, played)| Ok((mode, played.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)))
            .collect()
    })
}

/// kube-proxy calls it in iptables mode.
fn no_iptables() -> Option<Failure> {
    let error = Command::new("iptables").arg("--version").output().err()?;
    Some(format!("iptables cannot be run: {error}"))
}

/// How many flows, and the names of their scenarios, for each reason.
fn by_reason<'verdict>(
    reasons: impl Iterator<Item = (&'verdict String, &'verdict Verdict)>,
) -> BTreeMap<&'verdict str, (usize, Vec<&'verdict str>)> {
    let mut by_reason = BTreeMap::<_, (usize, BTreeSet<_>)>::new();
    for (reason, verdict) in reasons {
        let (flows, scenarios) = by_reason.entry(reason.as_str()).or_default();
        *flows += 1;
        scenarios.insert(verdict.scenario.as_str());
    }
    by_reason
        .into_iter()
        .map(|(reason, (flows, scenarios))| (reason, (flows, scenarios.into_iter().collect())))
        .collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
