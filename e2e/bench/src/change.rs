//! One change: from a decoded object handed to ingest to the acknowledged transaction.

use std::collections::BTreeMap;

use crate::{
    clock::{Samples, spent},
    cluster::{self, Shape},
    daemon::{Daemon, Event},
    floor::Floor,
    report::{Report, Row, count, short},
};

const ROUNDS: u32 = 500;

/// A change that is measured many times, each time with another Service.
pub(crate) struct Step {
    /// What its row is called; `None` for what only makes the next change possible.
    pub(crate) name: Option<&'static str>,
    pub(crate) events: Vec<Event>,
}

impl Step {
    fn add(name: Option<&'static str>, i: u32, shape: Shape) -> anyhow::Result<Self> {
        let events = vec![Event::applied(cluster::service(i, shape)?), Event::applied(cluster::slice(i, shape, 0)?)];
        Ok(Self { name, events })
    }

    fn slice(name: &'static str, i: u32, shape: Shape, first: u32) -> anyhow::Result<Self> {
        Ok(Self { name: Some(name), events: vec![Event::applied(cluster::slice(i, shape, first)?)] })
    }

    fn delete(name: Option<&'static str>, i: u32) -> Self {
        let events = vec![Event::Deleted(cluster::service_name(i)), Event::Deleted(cluster::slice_name(i))];
        Self { name, events }
    }
}

/// The changes of a Service that cost the same whatever the size of the cluster.
pub(crate) fn usual(i: u32) -> anyhow::Result<Vec<Step>> {
    let shape = Shape::USUAL;
    Ok(vec![
        Step::add(Some("add a Service"), i, shape)?,
        // Of pods 0 and 1 to 1 and 2: the new one takes the number of the one that goes.
        Step::slice("replace an endpoint", i, shape, 1)?,
        Step::slice("scale 2 -> 3", i, shape.with_endpoints(3), 1)?,
        Step::delete(Some("delete a Service"), i),
    ])
}

/// Those, in nftables mode.
pub(crate) fn measure_usual(services: u32) -> anyhow::Result<Report> {
    measure(services, Shape::USUAL, "of ClusterIP Services", "<= 100 us p50", usual)
}

/// Each NodePort is an element of a verdict map; a new one makes the kernel walk them all.
pub(crate) fn measure_node_ports(services: u32) -> anyhow::Result<Report> {
    let shape = Shape::USUAL.with_node_port();
    measure(services, shape, "of NodePort Services", "", |i| {
        Ok(vec![Step::add(Some("add a NodePort Service"), i, shape)?, Step::delete(None, i)])
    })
}

/// So is each Service of five and more endpoints.
pub(crate) fn measure_large(services: u32) -> anyhow::Result<Report> {
    let shape = Shape::USUAL.with_endpoints(5);
    measure(services, shape, "of Services x 5", "", |i| {
        Ok(vec![
            Step::add(None, i, shape)?,
            Step::slice("scale 5 -> 6", i, shape.with_endpoints(6), 0)?,
            Step::delete(None, i),
            Step::add(None, i, shape.with_endpoints(20))?,
            Step::slice("scale 20 -> 21", i, shape.with_endpoints(21), 0)?,
            Step::delete(None, i),
        ])
    })
}

fn measure(
    services: u32,
    population: Shape,
    beside: &str,
    target: &str,
    steps: impl Fn(u32) -> anyhow::Result<Vec<Step>>,
) -> anyhow::Result<Report> {
    let mut daemon = Daemon::start()?;
    daemon.take(cluster::objects(services, population)?.into_iter().map(Event::applied).collect())?;
    daemon.resync()?;

    let mut order = Vec::new();
    let mut samples: BTreeMap<&'static str, Samples> = BTreeMap::new();
    let (mut hearing, mut nothing) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        for Step { name, events } in steps(services + round)? {
            let (result, spent) = spent(|| daemon.take(events));
            anyhow::ensure!(result?.0.operations > 0, "a change changed nothing");
            hearing.add(daemon.resync()?);
            nothing.add(daemon.resync()?);
            if let Some(name) = name {
                if round == 0 {
                    order.push(name);
                }
                samples.entry(name).or_default().add(spent);
            }
        }
    }
    drop(daemon);

    let mut floor = Floor::new(0)?;
    let (alone, watched) = (floor.singles(false)?, floor.singles(true)?);
    let floor = format!("{} watched, {} not", short(watched.wall(50)), short(alone.wall(50)));
    let row = |name: &str, samples: &Samples| Row {
        figure: format!("{name}, {} {beside}", count(services)),
        measured: format!("{} p50, {} p99", short(samples.wall(50)), short(samples.wall(99))),
        target: target.to_owned(),
        floor: floor.clone(),
        beside: format!("CPU {} p50, {} p99", short(samples.cpu(50)), short(samples.cpu(99))),
    };
    let mut rows: Vec<_> = order.iter().filter_map(|name| Some(row(name, samples.get(name)?))).collect();
    if !target.is_empty() {
        rows.push(Row {
            figure: format!("resync when nothing changed, {} {beside}", count(services)),
            measured: format!("{} p50, {} p99", short(nothing.wall(50)), short(nothing.wall(99))),
            target: "<= 1 ms CPU".to_owned(),
            floor: String::new(),
            beside: format!(
                "CPU {} p50; after each change, to hear its own commit: {}",
                short(nothing.cpu(50)),
                short(hearing.cpu(50))
            ),
        });
    }
    Ok(Report::of(rows))
}
