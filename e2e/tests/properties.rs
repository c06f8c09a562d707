//! The same random worlds in two programs: Portolan's rules in each mode, and the specification, written by somebody who knew nothing
//! of them. And the same random histories in two Portolans: one that saw it all, and one that starts at its end; only the
//! places of endpoints in their maps may differ.
//!
//! ```text
//!   world ------> Portolan ------> rules --trace---+
//!     |                                            +--> the same for every packet
//!     '---------> specification ----verdict--------+
//!
//!   change after change --> Portolan --> kernel ---+
//!                                                  +--> the same after every change
//!   all that there is now --> another Portolan ----+
//! ```
//!
//! A world and a history have a number, by which they can be had again: `WORLDS=17..18` looks at that one alone,
//! `HISTORIES=0..0` at none. One that fails is made smaller for as long as it does.

use std::{
    collections::BTreeMap,
    env, fmt, iter,
    net::IpAddr,
    ops::Range,
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use anyhow::{Error, Result, bail, ensure};
use portolan_core::{
    object::{Backend as _, Syncer},
    testing::Seed,
};
use portolan_e2e::{
    MODES, Mode,
    daemon::{Rules as _, lone_for},
    dataplane::{Dataplane, Iptables, Ipvs, Nft, Objects, drain},
    harness::{self, Failure, Test},
    has_kernel_for,
    host::Host,
    specified,
    traced::{rules, wanted},
};
use portolan_specification::{
    Change, Origin, Packet, Verdict, World,
    random::{history, packets, world},
    verdict,
};
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};

/// Of the packets that have no endpoint to go to, nearly all, one in so many is asked about.
const OTHERS: usize = 8;

/// What was looked at, and what it met.
static COUNTS: Mutex<BTreeMap<&str, usize>> = Mutex::new(BTreeMap::new());

fn main() -> ExitCode {
    let name = |mode| format!("{mode}/histories");
    let tests = || {
        let worlds = numbers("WORLDS", 0..400)?;
        let of_mode =
            |mode| groups(format!("{mode}/worlds"), worlds.clone(), 20, move |number| agree_in_world(number, mode));
        let worlds = MODES.into_iter().flat_map(of_mode);
        // Each sync runs the programs of iptables, so fewer are enough there.
        let histories = groups(name(Nft::MODE), numbers("HISTORIES", 0..100)?, 10, follow_history::<Nft>);
        let of_iptables = groups(name(Iptables::MODE), numbers("HISTORIES", 0..30)?, 5, follow_history::<Iptables>);
        let mut tests: Vec<_> = worlds.chain(histories).chain(of_iptables).collect();
        if has_kernel_for(Mode::Ipvs) {
            tests.extend(groups(name(Ipvs::MODE), numbers("HISTORIES", 0..20)?, 5, follow_history::<Ipvs>));
        }
        Ok::<_, Failure>(tests)
    };
    harness::run(tests, || {
        let counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let counts: Vec<_> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        println!("{}", counts.join(", "));
    })
}

fn count(what: &'static str, more: usize) {
    *COUNTS.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += more;
}

/// The numbers that a variable of the environment gives as `FIRST..END`.
fn numbers(variable: &str, otherwise: Range<u64>) -> Result<Range<u64>, Failure> {
    let Ok(text) = env::var(variable) else { return Ok(otherwise) };
    let parsed = text.split_once("..").and_then(|(first, end)| Some(first.parse().ok()?..end.parse().ok()?));
    parsed.ok_or_else(|| format!("{variable}={text} is not like 0..400"))
}

/// One test for so many numbers.
fn groups(
    what: String,
    numbers: Range<u64>,
    size: usize,
    check: impl Fn(u64) -> Result<(), Failure> + Copy + Send + 'static,
) -> impl Iterator<Item = Test> {
    let end = numbers.end;
    numbers.step_by(size).map(move |first| {
        let group = first..end.min(first + size as u64);
        Test::new(format!("{what} {group:?}"), move || {
            group.clone().try_for_each(|number| check(number).map_err(|failure| format!("number {number}: {failure}")))
        })
    })
}

/// Checks the one case that a number stands for, and makes it smaller if it fails.
fn check<S: Strategy>(number: u64, strategy: &S, check: impl Fn(S::Value) -> Result<()>) -> Result<(), Failure>
where
    S::Value: fmt::Debug,
{
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let config = Config { cases: 1, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let checked = runner.run(strategy, |case| check(case).map_err(|error| TestCaseError::fail(format!("{error:#}"))));
    checked.map_err(|error| match error {
        TestError::Fail(reason, case) => format!("{reason}\nin {case:#?}"),
        TestError::Abort(reason) => reason.to_string(),
    })
}

fn agree_in_world(number: u64, mode: Mode) -> Result<(), Failure> {
    count("worlds", 1);
    let world = world().prop_map(|world| specified::in_mode(world, mode));
    check(number, &world, |world| {
        let rules = rules(mode, &mut specified::cluster(&world).map_err(Error::msg)?).map_err(Error::msg)?;
        let mut seed = Seed::new(number);
        for packet in &packets(&world) {
            let expected = verdict(&world, packet);
            // One in a hundred has an endpoint; of the others a part is enough.
            if !matches!(expected, Verdict::Endpoints(_) | Verdict::SomeRefused(_)) && !seed.one_in(OTHERS) {
                continue;
            }
            let trace = specified::traced(&world, &*rules, packet);
            let said = specified::said(&trace);
            if !said.as_ref().is_ok_and(|said| is_same(&world, packet, &expected, said)) {
                bail!("{packet:?}\nspecification {expected:?}\nPortolan {said:?}\n{trace:#?}");
            }
            if meets_itself(packet, &expected) {
                count("packets to frontends that are their own endpoint", 1);
            }
            count(
                match expected {
                    Verdict::SomeRefused(_) => "packets to endpoints that are refused in part",
                    Verdict::Endpoints(_) => "packets to endpoints",
                    Verdict::Rejected => "packets rejected",
                    Verdict::Dropped => "packets dropped",
                    Verdict::Untouched => "packets untouched",
                },
                1,
            );
        }
        Ok(())
    })
}

/// Whether two verdicts are the same. That a client which is sent to itself is masqueraded is right always (hairpin), also
/// where it need not be: Portolan knows clients by their address alone, also where Services disagree on whose it is. So it
/// knows endpoints of this node: one that another Service calls so sees a pod of another node as it is.
fn is_same(world: &World, packet: &Packet, expected: &Verdict, said: &Verdict) -> bool {
    match (expected, said) {
        (Verdict::Endpoints(expected), Verdict::Endpoints(said))
        | (Verdict::SomeRefused(expected), Verdict::SomeRefused(said)) => {
            let sees = |(endpoint, masqueraded): (&(IpAddr, u16), &bool)| {
                let meets_itself = endpoint.0 == packet.source && *masqueraded;
                let passes = packet.origin == Origin::Outside && !*masqueraded && is_called_ours(world, endpoint.0);
                expected.get(endpoint).is_some_and(|expected| expected == masqueraded || meets_itself || passes)
            };
            expected.len() == said.len() && said.iter().all(sees)
        }
        (expected, said) => expected == said,
    }
}

/// Whether any slice has the address on this node.
fn is_called_ours(world: &World, address: IpAddr) -> bool {
    let endpoints = world.slices.iter().flat_map(|slice| &slice.endpoints);
    let ours = endpoints.filter(|endpoint| endpoint.node_name.as_ref() == Some(&world.node.name));
    ours.filter_map(|endpoint| endpoint.addresses.first()).any(|first| first.parse() == Ok(address))
}

/// Whether the packet is for an endpoint as it is.
fn meets_itself(packet: &Packet, expected: &Verdict) -> bool {
    let (Verdict::Endpoints(endpoints) | Verdict::SomeRefused(endpoints)) = expected else { return false };
    endpoints.contains_key(&(packet.destination, packet.port))
}

fn follow_history<D: Dataplane>(number: u64) -> Result<(), Failure> {
    count("histories", 1);
    let world = world().prop_map(|world| specified::in_mode(world, D::MODE));
    check(number, &(world, history()), |(world, changes)| {
        let node = lone_for(D::MODE)?;
        node.enter(|| follow::<D>(&node, world, &changes))?
    })
}

fn follow<D: Dataplane>(node: &Host, mut world: World, changes: &[Change]) -> Result<()> {
    let mut cluster = specified::cluster(&world).map_err(Error::msg)?;
    let mut syncer = Syncer::new(D::kernel()?);
    for change in iter::once(None).chain(changes.iter().map(Some)) {
        if let Some(change) = change {
            specified::apply(&mut cluster, change).map_err(Error::msg)?;
            world.apply(change.clone());
        }
        if syncer.set_policy(&cluster.policy()) {
            cluster.decide_all();
        }
        for change in cluster.take_changes() {
            syncer.update(&change);
        }
        let report = syncer.sync()?;
        drain(&mut syncer)?;
        ensure!(report.quarantined.is_empty() && report.stuck.is_empty(), "after {change:?}: {report:?}");

        let fresh = wanted::<D>(&mut specified::cluster(&world).map_err(Error::msg)?);
        let fresh: Objects<D> = fresh.all_wanted().map(|(key, value)| (key.clone(), value.clone())).collect();
        let difference = D::difference(&fresh, D::kernel()?.observe()?);
        ensure!(difference.is_none(), "after {change:?}: {}", difference.unwrap_or_default());

        if D::MODE == Mode::Ipvs {
            // Each resync looks, and so removes what may stay until then.
            syncer.resync()?;
        }
        let generation = node.generation()?;
        ensure!(syncer.sync()?.operations == 0 && syncer.resync()?.operations == 0);
        ensure!(node.generation()? == generation, "after {change:?}: a second sync wrote something");
        count("steps of histories", 1);
    }
    Ok(())
}
