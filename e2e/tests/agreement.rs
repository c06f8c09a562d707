//! The kernel in memory against the real one: the same random histories, and the same outcome after every step.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_core::{
    addr::Family,
    desired::{DesiredPort, PortChange, PortId},
    object::{ApplyError, Backend as _, Batch, Cause, Dialect as _, Op, Refusal, Syncer},
    testing::{MemoryKernel, Seed},
};
use portolan_e2e::{
    daemon::{Rules as _, lone, test},
    dataplane::{Dataplane, Nft, Objects},
    harness::{self, Failure},
    host::Host,
};
use portolan_nftables::{
    Data, Key, Nftables, Value,
    testing::{agree, policy, port, random_batch, random_change},
};

fn main() -> ExitCode {
    let tests = vec![
        test("nftables/random batches have the same outcome from nothing", || batches(0..12, false)),
        test("nftables/random batches have the same outcome from a full table", || batches(100..112, true)),
        test("nftables/whatever others do in between the end is that of a fresh start", || {
            histories_with_foreign_edits::<Nft>(false)
        }),
        test("nftables/so it is where changes are written beside what they did", || {
            histories_with_foreign_edits::<Nft>(true)
        }),
    ];
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

/// Batches of one history.
const BATCHES: u32 = 60;

fn batches(seeds: std::ops::Range<u64>, full: bool) -> Result<()> {
    let (mut applied, mut refused) = (0, BTreeMap::<_, u32>::new());
    for number in seeds {
        let node = lone()?;
        let outcomes = node.enter(|| history(number, full))?.with_context(|| format!("seed {number}"))?;
        for outcome in outcomes {
            match outcome {
                None => applied += 1,
                Some(refusal) => *refused.entry(refusal.cause).or_default() += 1,
            }
        }
    }
    println!("{applied} batches applied, refused: {refused:?}");
    ensure!(applied > 0 && refused.len() > 1, "the histories show too little");
    Ok(())
}

/// Applies the same batches to both kernels and returns the outcomes, which were the same.
fn history(number: u64, full: bool) -> Result<Vec<Option<Refusal>>> {
    let mut seed = Seed::new(number);
    let mut memory = MemoryKernel::<Nft>::new();
    let mut real = Nftables::open()?;
    if full {
        let ports = (0..4).map(|number| (number, seed.below(8)));
        let ports = ports.map(|(number, endpoints)| port(number, Family::V4, u16::try_from(endpoints).unwrap_or(0)));
        let batch = creation(&fresh::<Nft>(ports)?);
        ensure!(outcome(memory.apply(&batch))?.is_none() && outcome(real.apply(&batch))?.is_none());
    }
    let mut outcomes = Vec::new();
    for step in 0..BATCHES {
        let batch = random_batch(&mut seed, memory.objects());
        let before = memory.objects().clone();
        let in_memory = outcome(memory.apply(&batch))?;
        let in_kernel = outcome(real.apply(&batch))?;
        ensure!(
            same(&batch, in_memory.as_ref(), in_kernel.as_ref()),
            "step {step}: the kernel in memory says {in_memory:?}, the real one {in_kernel:?} to {batch:#?} on {:#?}",
            before.keys().collect::<Vec<_>>()
        );
        let live = real.observe()?;
        ensure!(
            agree(memory.objects(), &live),
            "step {step}: {batch:#?} leaves {live:#?}, not {:#?}",
            memory.objects()
        );
        outcomes.push(in_kernel);
    }
    Ok(outcomes)
}

/// Whether both kernels said the same. A message holds all elements that go to the same set, and where the set itself is
/// missing the real kernel points at the set's name (NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE), not at an element.
fn same(batch: &Batch<Nft>, in_memory: Option<&Refusal>, in_kernel: Option<&Refusal>) -> bool {
    match (in_memory, in_kernel) {
        (Some(Refusal { op: Some(op), cause: Cause::Missing }), Some(Refusal { op: None, cause: Cause::Missing })) => {
            matches!(batch.ops.get(*op).map(Op::key), Some(Key::Element(..)))
        }
        (in_memory, in_kernel) => in_memory == in_kernel,
    }
}

/// `None` for an applied batch, else the first refusal.
fn outcome(result: Result<(), ApplyError>) -> Result<Option<Refusal>> {
    match result {
        Ok(()) => Ok(None),
        Err(ApplyError::Refused { refusals, .. }) => {
            Ok(Some(refusals.into_iter().next().context("refused for no reason")?))
        }
        Err(error) => bail!("{error}"),
    }
}

/// One batch that makes all of this.
fn creation(objects: &BTreeMap<Key, Value>) -> Batch<Nft> {
    let mut ops: Vec<_> = objects.iter().map(|(key, value)| Op::Add(key.clone(), value.clone())).collect();
    ops.sort_by_key(|op| Nft::rank(op.key()));
    Batch { ops }
}

/// What a fresh start programs for these ServicePorts.
fn fresh<D: Dataplane>(ports: impl IntoIterator<Item = DesiredPort>) -> Result<Objects<D>> {
    let mut syncer = Syncer::new(MemoryKernel::<D>::new());
    syncer.set_policy(&policy());
    for desired in ports {
        let id = PortId { name: desired.name.clone().into(), family: desired.family };
        syncer.update(&PortChange { id, desired: Some(desired), loopback: None });
    }
    syncer.sync()?;
    Ok(syncer.backend().objects().clone())
}

/// A dataplane that other programs edit.
trait Edited: Dataplane {
    /// What another program may do to our objects; `None` where it cannot be done now.
    fn edit(node: &Host, seed: &mut Seed) -> Result<Option<String>>;
}

fn histories_with_foreign_edits<D: Edited>(contested: bool) -> Result<()> {
    let mut edits = 0;
    for number in 0..32 {
        let node = lone()?;
        edits +=
            node.enter(|| edited_history::<D>(&node, number, contested))?.with_context(|| format!("seed {number}"))?;
    }
    println!("{edits} foreign edits repaired");
    Ok(())
}

/// Returns how many foreign edits there were.
fn edited_history<D: Edited>(node: &Host, number: u64, contested: bool) -> Result<u32> {
    let mut seed = Seed::new(number);
    let mut syncer = Syncer::new(D::kernel()?);
    syncer.set_policy(&policy());
    syncer.sync()?;
    syncer.set_contested(contested);
    let mut ports = BTreeMap::new();
    let mut edits = 0;
    for step in 0..12 {
        for _ in 0..=seed.below(3) {
            let change = random_change(&mut seed);
            match &change.desired {
                Some(desired) => ports.insert(change.id.clone(), desired.clone()),
                None => ports.remove(&change.id),
            };
            syncer.update(&change);
        }
        let edit = if seed.one_in(2) { D::edit(node, &mut seed)? } else { None };
        if contested {
            let beside = syncer.sync().with_context(|| format!("step {step} beside {edit:?}"))?;
            ensure!(beside.quarantined.is_empty(), "step {step} beside {edit:?}: {:?}", beside.quarantined);
        }
        let report = if contested || edit.is_some() { syncer.resync() } else { syncer.sync() };
        let report = report.with_context(|| format!("step {step} after {edit:?}"))?;
        edits += u32::from(edit.is_some());
        ensure!(report.quarantined.is_empty(), "step {step} after {edit:?}: {:?}", report.quarantined);

        let wanted = fresh::<D>(ports.values().cloned())?;
        let difference = D::difference(&wanted, D::kernel()?.observe()?);
        ensure!(difference.is_none(), "step {step} after {edit:?}: {}", difference.unwrap_or_default());
        let generation = node.generation()?;
        ensure!(syncer.sync()?.operations == 0 && syncer.resync()?.operations == 0);
        ensure!(node.generation()? == generation, "step {step}: a second sync wrote something");
    }
    Ok(edits)
}

impl Edited for Nft {
    fn edit(node: &Host, seed: &mut Seed) -> Result<Option<String>> {
        const EDITS: [&str; 20] = [
            "flush ruleset",
            "delete table FAMILY portolan",
            "flush table FAMILY portolan",
            "table FAMILY portolan { flags dormant; }",
            "flush set FAMILY portolan services",
            "flush map FAMILY portolan endpoints-2",
            "flush set FAMILY portolan cluster-ips",
            "flush chain FAMILY portolan services",
            "insert rule FAMILY portolan nat-prerouting drop",
            "add rule FAMILY portolan filter-forward counter",
            "add chain FAMILY portolan mine { type filter hook input priority 0; policy drop; }",
            "add chain FAMILY portolan mine; add rule FAMILY portolan mine jump services; add rule FAMILY portolan \
         nat-output jump mine",
            "add chain FAMILY portolan a; add chain FAMILY portolan b; add rule FAMILY portolan a jump b; add map FAMILY \
         portolan mine { type inet_service : verdict; elements = { 1 : jump a, 2 : jump pick-5 }; }",
            "rename chain FAMILY portolan services mine",
            "chain FAMILY portolan nat-output { policy drop; }",
            "add set FAMILY portolan mine { type inet_service; elements = { 1, 2 }; }",
            "add set FAMILY portolan mine { type inet_service; }; add rule FAMILY portolan services th dport @mine drop",
            "delete chain FAMILY portolan pick-6",
            "ELEMENT",
            "ELEMENT",
        ];
        let family = if seed.one_in(2) { "ip" } else { "ip6" };
        let Some(edit) = seed.pick(&EDITS) else { return Ok(None) };
        let commands = if *edit == "ELEMENT" {
            let Some(commands) = element_edit(&node.objects()?, seed) else { return Ok(None) };
            commands
        } else {
            edit.replace("FAMILY", family)
        };
        // What nft cannot do now, such as to rename a chain that is not there, is no edit.
        Ok(node.nft(&commands).is_ok().then_some(commands))
    }
}

/// Deletes an element, or gives it other data or another comment.
fn element_edit(objects: &[(Key, Value)], seed: &mut Seed) -> Option<String> {
    let elements: Vec<_> = objects.iter().filter(|(key, _)| matches!(key, Key::Element(..))).collect();
    let (named @ Key::Element(family, set, _), Value::Element(data, _)) = seed.pick(&elements)? else { return None };
    let place = format!("element {} portolan {set}", if *family == Family::V4 { "ip" } else { "ip6" });
    let key = named.fields()?;
    let delete = format!("delete {place} {{ {key} }}");
    let other = match data {
        Data::Endpoint(addr, _) => format!("{key} : {addr} . 9"),
        Data::Goto(_) | Data::Jump(_) => format!("{key} : drop"),
        Data::None => format!("{key} comment \"mine\""),
    };
    Some(if seed.one_in(2) { delete } else { format!("{delete}; add {place} {{ {other} }}") })
}
