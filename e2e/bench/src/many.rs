//! One endpoint among many: a Service of thousands of endpoints of which one is replaced, or which is scaled by one.
//!
//! The endpoints are in slices of 100, as the EndpointSlice controller makes them. The changes are those that would move
//! all others if endpoints were numbered in order: the one with the lowest address goes, and one with a lower address comes.

use crate::{
    clock::{Samples, spent},
    cluster::{self, Shape},
    daemon::{Daemon, Event},
    report::{Report, Row, count, short},
};

/// Services beside the large one.
const OTHERS: u32 = 1000;

/// Its number: no other has its pods.
const LARGE: u32 = 200_000;

/// `maxEndpointsPerSlice` of the controller.
const A_SLICE: usize = 100;

const ROUNDS: u32 = 100;

#[derive(Debug, Clone, Copy)]
enum Change {
    Replaced,
    ScaledDown,
    ScaledUp,
}

impl Change {
    const fn name(self) -> &'static str {
        match self {
            Self::Replaced => "one endpoint replaced",
            Self::ScaledDown => "scaled down by one",
            Self::ScaledUp => "scaled up by one",
        }
    }
}

/// The pods of the large Service, by number and so by address, as its slices have them.
struct Pods(Vec<Vec<u32>>);

impl Pods {
    /// Numbered so that lower ones can come.
    fn new(endpoints: u32) -> Self {
        let numbers: Vec<_> = (ROUNDS..ROUNDS + endpoints).collect();
        let slices = numbers.len().div_ceil(A_SLICE);
        // The address says nothing about the slice.
        Self((0..slices).map(|slice| numbers.iter().copied().skip(slice).step_by(slices).collect()).collect())
    }

    fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flatten().copied()
    }

    /// Makes a change, and returns the slice that has changed.
    fn change(&mut self, change: Change) -> usize {
        match change {
            Change::Replaced => self.lowest_leaves(true),
            Change::ScaledDown => self.lowest_leaves(false),
            Change::ScaledUp => self.lower_comes(),
        }
    }

    /// Takes the pod with the lowest address away, puts one with a higher address than all in its place if one is to come,
    /// and returns the slice that has changed.
    fn lowest_leaves(&mut self, for_another: bool) -> usize {
        let (lowest, highest) = (self.numbers().min().unwrap_or(0), self.numbers().max().unwrap_or(0));
        let changed = self.0.iter().position(|slice| slice.contains(&lowest)).unwrap_or(0);
        for slice in self.0.iter_mut().skip(changed).take(1) {
            slice.retain(|number| *number != lowest);
            slice.extend(for_another.then_some(highest + 1));
        }
        changed
    }

    /// Adds a pod with a lower address than all, and returns the slice that has changed.
    fn lower_comes(&mut self) -> usize {
        let lowest = self.numbers().min().unwrap_or(1);
        let smallest = (0..self.0.len()).min_by_key(|slice| self.0.get(*slice).map_or(0, Vec::len)).unwrap_or(0);
        self.0.iter_mut().skip(smallest).take(1).for_each(|slice| slice.push(lowest - 1));
        smallest
    }

    fn event(&self, slice: usize) -> anyhow::Result<Event> {
        let pods = self.0.get(slice).map_or(&[][..], Vec::as_slice);
        Ok(Event::applied(cluster::part(LARGE, slice, pods)?))
    }
}

/// For a Service of so many endpoints.
pub(crate) fn measure(endpoints: u32, target: &str) -> anyhow::Result<Report> {
    let mut pods = Pods::new(endpoints);
    let mut daemon = Daemon::start()?;
    let mut events: Vec<_> = cluster::objects(OTHERS, Shape::USUAL)?.into_iter().map(Event::applied).collect();
    events.push(Event::applied(cluster::service(LARGE, Shape::USUAL)?));
    for slice in 0..pods.0.len() {
        events.push(pods.event(slice)?);
    }
    daemon.take(events)?;
    daemon.resync()?;

    let mut rows = Vec::new();
    for change in [Change::Replaced, Change::ScaledDown, Change::ScaledUp] {
        let (mut samples, mut operations) = (Samples::default(), 0);
        for _ in 0..ROUNDS {
            let changed = pods.change(change);
            let event = pods.event(changed)?;
            let (result, spent) = spent(|| daemon.take(vec![event]));
            operations += result?.0.operations;
            samples.add(spent);
            daemon.resync()?;
        }
        rows.push(Row {
            figure: format!("{}, a Service x {}", change.name(), count(endpoints)),
            measured: format!("{} p50, {} p99", short(samples.wall(50)), short(samples.wall(99))),
            target: format!("{target} p50"),
            floor: String::new(),
            beside: format!(
                "CPU {} p50, {} p99; {} objects a change",
                short(samples.cpu(50)),
                short(samples.cpu(99)),
                operations / u64::from(ROUNDS)
            ),
        });
    }
    Ok(Report::of(rows))
}
