//! Every scenario in every mode once more, told in many orders: the end is the same, byte for byte, but for the places of endpoints, which
//! stay where they came to be.
//!
//! ```text
//!   step 0, 1, 2   or 2, 1, 0      each as what comes, changes and goes from the step before
//!     objects as they are written, reversed, shuffled
//!       each once or twice
//!         synced after each, at random, after each step, once at the end
//! ```
//!
//! Whatever the API server sends first, however often it repeats itself, and whenever a sync comes between: what Portolan
//! has programmed afterwards is what it would have programmed for the last state alone.

use std::{
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, Error, Result, ensure};
use portolan_core::{
    ingest::{Object, ObjectRef},
    model::{Cluster, NodeConfig},
    object::{Backend, Syncer, Tracker},
    testing::{Faults, Manner, MemoryKernel, Seed},
};
use portolan_e2e::{
    Mode,
    cast::named,
    daemon::{lone_for, test},
    dataplane::{Dataplane, Iptables, Ipvs, Nft, Objects, drain},
    diff,
    harness::{self, Failure, Test},
    has_kernel_for, objects,
    scenario::{Scenario, Step},
    traced::{config, wanted},
};
use serde_json::Value;

static STATES: AtomicUsize = AtomicUsize::new(0);
static ORDERS: AtomicUsize = AtomicUsize::new(0);

/// Scenarios whose orders the real kernel meets too.
const REAL: usize = 10;

fn main() -> ExitCode {
    let tests = || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios");
        let scenarios = Scenario::load_all(&folder).map_err(|error| error.chain())?;
        let mut tests = tests::<Nft>(&scenarios);
        tests.extend(in_the_real_kernel_alone::<Iptables>(&scenarios));
        if has_kernel_for(Mode::Ipvs) {
            tests.extend(in_the_real_kernel_alone::<Ipvs>(&scenarios));
        }
        Ok::<_, Failure>(tests)
    };
    harness::run(tests, || {
        let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        println!("{} states reached in {} orders", count(&STATES), count(&ORDERS));
    })
}

fn tests<D: Dataplane>(scenarios: &[Scenario]) -> Vec<Test> {
    let sample = scenarios.len().div_ceil(REAL);
    let of = |(number, scenario): (usize, &Scenario)| {
        let scenario = scenario.clone();
        test(&format!("{}/{}", D::MODE, scenario.name), move || {
            each_state::<D>(&scenario, |states, config| {
                for ((number, telling), manner) in (0..).zip(Telling::all()).zip(Manner::all().cycle()) {
                    let kernel = MemoryKernel::with_faults(manner, Faults::default(), number);
                    let told = telling.tell(states, config, &mut Seed::new(number), kernel);
                    told.with_context(|| format!("{telling:?}, {manner:?}"))?;
                }
                let telling = Telling { backwards: false, order: Order::Shuffled, twice: true, flush: Flush::AtRandom };
                if number % sample == 0 { telling.tell_the_real_kernel(states, config) } else { Ok(()) }
            })
        })
    };
    scenarios.iter().enumerate().map(of).collect()
}

/// For a dataplane whose laws the kernel in memory has not: each scenario is told in another way.
fn in_the_real_kernel_alone<D: Dataplane>(scenarios: &[Scenario]) -> Vec<Test> {
    let of = |(scenario, telling): (&Scenario, Telling)| {
        let scenario = scenario.clone();
        test(&format!("{}/{}", D::MODE, scenario.name), move || {
            each_state::<D>(&scenario, |states, config| telling.tell_the_real_kernel(states, config))
        })
    };
    // There are 48, so that none is left out.
    let tellings = Telling::all().into_iter().cycle().step_by(5);
    scenarios.iter().zip(tellings).map(of).collect()
}

/// One way to tell the same.
#[derive(Debug, Clone, Copy)]
struct Telling {
    backwards: bool,
    order: Order,
    twice: bool,
    flush: Flush,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    AsWritten,
    Reversed,
    Shuffled,
}

/// When changes are taken and synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    AfterEach,
    AtRandom,
    AfterEachStep,
    AtTheEnd,
}

impl Telling {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for flush in [Flush::AfterEach, Flush::AtRandom, Flush::AfterEachStep, Flush::AtTheEnd] {
            for order in [Order::AsWritten, Order::Reversed, Order::Shuffled] {
                for (backwards, twice) in [(false, false), (false, true), (true, false), (true, true)] {
                    all.push(Self { backwards, order, twice, flush });
                }
            }
        }
        all
    }
}

/// Something that the API server says.
#[derive(Debug, Clone)]
enum Event {
    Applied(Box<Object>),
    Deleted(ObjectRef),
}

/// What a Portolan that knows nothing else makes of a step.
struct State<'a, D: Dataplane> {
    /// By name, in the order in which they are written.
    objects: Vec<(ObjectRef, &'a Value)>,
    rules: String,
    wanted: Objects<D>,
    findings: Vec<String>,
}

fn each_state<D: Dataplane>(
    scenario: &Scenario,
    tell: impl Fn(&[State<'_, D>], &NodeConfig) -> Result<()>,
) -> Result<()> {
    let config = config(scenario, named("node-a")?, D::MODE).map_err(Error::msg)?;
    let states = scenario.steps.iter().map(|step| State::of(step, &config)).collect::<Result<Vec<State<'_, D>>>>()?;
    tell(&states, &config)
}

/// What is wanted, with the endpoints of each frontend in order.
fn wanted_in_order<D: Dataplane>(tracker: &Tracker<D>) -> Objects<D> {
    D::in_order(tracker.all_wanted().map(|(key, value)| (key.clone(), value.clone())).collect())
}

impl<'a, D: Dataplane> State<'a, D> {
    fn of(step: &'a Step, config: &NodeConfig) -> Result<Self> {
        let mut cluster = Cluster::new(config.clone());
        let mut objects = Vec::new();
        for value in &step.objects {
            let object = objects::read(value).map_err(Error::msg)?;
            objects.push((object.reference(), value));
            cluster.apply(&object);
        }
        let tracker = wanted::<D>(&mut cluster);
        let wanted = wanted_in_order(&tracker);
        Ok(Self { objects, rules: D::written(&wanted), wanted, findings: findings(&cluster) })
    }
}

fn findings(cluster: &Cluster) -> Vec<String> {
    cluster.findings().iter().map(ToString::to_string).collect()
}

impl Telling {
    fn tell_the_real_kernel<D: Dataplane>(self, states: &[State<'_, D>], config: &NodeConfig) -> Result<()> {
        let told = lone_for(D::MODE)?.enter(|| self.tell(states, config, &mut Seed::new(0), D::kernel()?))?;
        told.with_context(|| format!("{self:?}, in the real kernel"))
    }

    fn tell<D: Dataplane>(
        self,
        states: &[State<'_, D>],
        config: &NodeConfig,
        seed: &mut Seed,
        backend: impl Backend<Dialect = D>,
    ) -> Result<()> {
        let (mut cluster, mut syncer) = (Cluster::new(config.clone()), Syncer::new(backend));
        let mut states: Vec<_> = states.iter().enumerate().collect();
        if self.backwards {
            states.reverse();
        }
        let last = states.last().map(|(number, _)| *number);
        let mut before = &Vec::new();
        for (number, state) in states {
            for event in self.events(before, &state.objects, seed)? {
                match event {
                    Event::Applied(object) => drop(cluster.apply(&object)),
                    Event::Deleted(name) => cluster.delete(&name),
                }
                if self.flush == Flush::AfterEach || self.flush == Flush::AtRandom && seed.one_in(4) {
                    sync(&mut cluster, &mut syncer)?;
                }
            }
            if self.flush != Flush::AtTheEnd || Some(number) == last {
                sync(&mut cluster, &mut syncer)?;
                state.is_reached(&cluster, &mut syncer).with_context(|| format!("step {number}"))?;
            }
            before = &state.objects;
        }
        ORDERS.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What is said between two states.
    fn events(
        self,
        before: &[(ObjectRef, &Value)],
        now: &[(ObjectRef, &Value)],
        seed: &mut Seed,
    ) -> Result<Vec<Event>> {
        let gone = before.iter().filter(|(name, _)| now.iter().all(|(other, _)| other != name));
        let mut events: Vec<_> = gone.map(|(name, _)| Event::Deleted(name.clone())).collect();
        for (_, value) in now.iter().filter(|object| !before.contains(object)) {
            events.push(Event::Applied(Box::new(objects::read(value).map_err(Error::msg)?)));
        }
        if self.twice {
            events.extend(events.clone());
        }
        match self.order {
            Order::AsWritten => {}
            Order::Reversed => events.reverse(),
            Order::Shuffled => {
                for end in (1..events.len()).rev() {
                    events.swap(end, seed.below(end + 1));
                }
            }
        }
        Ok(events)
    }
}

fn sync<D: Dataplane>(cluster: &mut Cluster, syncer: &mut Syncer<impl Backend<Dialect = D>>) -> Result<()> {
    if syncer.set_policy(&cluster.policy()) {
        cluster.decide_all();
    }
    for change in cluster.take_changes() {
        syncer.update(&change);
    }
    let report = syncer.sync()?;
    drain(syncer)?;
    ensure!(report.quarantined.is_empty() && report.stuck.is_empty(), "{report:?}");
    Ok(())
}

impl<D: Dataplane> State<'_, D> {
    fn is_reached(&self, cluster: &Cluster, syncer: &mut Syncer<impl Backend<Dialect = D>>) -> Result<()> {
        let rules = D::written(&wanted_in_order(syncer.tracker()));
        ensure!(rules == self.rules, "other rules are wanted:\n{}", diff::lines(&self.rules, &rules));
        let difference = D::difference(&self.wanted, syncer.backend_mut().observe()?);
        ensure!(difference.is_none(), "the kernel holds something else: {}", difference.unwrap_or_default());
        let found = findings(cluster);
        ensure!(found == self.findings, "found is {found:#?}, not {:#?}", self.findings);
        ensure!(syncer.sync()?.operations == 0, "a second sync writes something");
        STATES.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
