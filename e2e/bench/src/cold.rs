//! Cold start, and the start of a daemon that finds its work done already.

use std::time::Duration;

use portolan_core::object::Backend;

use crate::{
    clock::{Spent, spent, thread_user_and_system},
    cluster::{self, Shape},
    daemon::{Daemon, Event, Parts},
    floor::Floor,
    report::{Report, Row, count, short},
};

/// What a start took.
pub(crate) struct Start {
    user: Duration,
    system: Duration,
    pub(crate) spent: Spent,
    pub(crate) parts: Parts,
    pub(crate) operations: u64,
    transactions: u64,
}

/// Starts a daemon and gives it these events.
pub(crate) fn start<B: Backend>(
    new: impl FnOnce() -> anyhow::Result<Daemon<B>>,
    events: Vec<Event>,
) -> anyhow::Result<Start> {
    let (user, system) = thread_user_and_system()?;
    let (result, spent) = spent(|| new()?.take(events));
    let (report, parts) = result?;
    let (user_after, system_after) = thread_user_and_system()?;
    Ok(Start {
        user: user_after.saturating_sub(user),
        system: system_after.saturating_sub(system),
        spent,
        parts,
        operations: report.operations,
        transactions: report.batches,
    })
}

/// Both starts of one cluster.
pub(crate) fn measure(services: u32, target: &str) -> anyhow::Result<Report> {
    let objects = cluster::objects(services, Shape::USUAL)?;
    let again = objects.iter().cloned().map(Event::applied).collect();
    let cold = start(Daemon::start, objects.into_iter().map(Event::applied).collect())?;
    let adopted = start(Daemon::start, again)?;
    anyhow::ensure!(adopted.operations == 0, "the second start wrote {} objects", adopted.operations);

    let elements = u32::try_from(cold.operations)?;
    let floor = Floor::new(elements)?.load_in_parts(elements, u32::try_from(cold.transactions)?)?;

    let cold_row = Row {
        figure: format!("cold start, {} Services x 2, from decoded objects (CPU)", count(services)),
        measured: format!("{} ({} user, {} sys)", short(cold.spent.cpu), short(cold.user), short(cold.system)),
        target: target.to_owned(),
        floor: format!("{} raw load", short(floor)),
        beside: format!("{}; {} objects, {} transactions", cold.parts, cold.operations, cold.transactions),
    };
    let Parts { ingest, render, observe, plan, .. } = adopted.parts;
    let adopted_row = Row {
        figure: format!("restart over it, {} Services x 2 (CPU)", count(services)),
        measured: short(adopted.spent.cpu),
        target: "0 written".to_owned(),
        floor: String::new(),
        beside: format!(
            "0 written; ingest {}, render {}, observe {}, compare {}",
            short(ingest),
            short(render),
            short(observe),
            short(plan)
        ),
    };
    Ok(Report { cost: cold.spent.cpu, rows: vec![cold_row, adopted_row] })
}
