//! Five hundred changes of endpoints a second: what they cost, and how long each takes.

use std::{
    thread,
    time::{Duration, Instant},
};

use portolan_scripted::endpoint_slice;

use crate::{
    api_server::{ApiServer, ENDPOINTS},
    clock::percentile,
    following::Following,
    report::{Report, Row, count, short},
    site,
};

/// How long.
const TIME: Duration = Duration::from_secs(60);

/// Changes a second that nobody looks at, of all Services but the last thousand.
const UNSEEN: u32 = 450;

/// Services a second that move to the living pods and back: two changes each.
const SEEN: u32 = 25;

/// How many Services are looked at in turn.
const LAST: u32 = 1000;

/// In a cluster of this size.
pub(crate) fn measure(services: u32) -> anyhow::Result<Report> {
    let (following, _) = Following::start(services)?;
    let Following { api, agent } = &following;
    let first = services - LAST;
    let (begin, cpu) = (Instant::now(), agent.cpu()?);
    let mut taken = Vec::new();
    // The first tenth may need more room than there was for a cluster at rest.
    let mut early = 0.0;
    thread::scope(|scope| {
        let unseen = scope.spawn(|| change_unseen(api, begin, first));
        for round in rounds(begin, SEEN) {
            let i = first + round % LAST;
            taken.push(following.change(i)?);
            api.tell(&endpoint_slice(i, ENDPOINTS))?;
            if early == 0.0 && begin.elapsed() > TIME / 10 {
                early = agent.memory("VmRSS")?;
            }
        }
        unseen.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let (time, cpu) = (begin.elapsed(), agent.cpu()?.saturating_sub(cpu));
    let late = agent.memory("VmRSS")?;

    let figure = |what: &str| {
        format!("{} endpoint changes a second, {} Services x 2: {what}", UNSEEN + 2 * SEEN, count(services))
    };
    Ok(Report::of(vec![
        Row {
            figure: figure("event -> packet"),
            measured: format!(
                "{} p50, {} p99",
                short(percentile(taken.clone(), 50)),
                short(percentile(taken.clone(), 99))
            ),
            target: "<= 20 ms p99".to_owned(),
            floor: String::new(),
            beside: format!("{} of them looked at in {} s", taken.len(), TIME.as_secs()),
        },
        Row {
            figure: figure("CPU"),
            measured: format!("{:.1} % of a core", 100.0 * cpu.as_secs_f64() / time.as_secs_f64()),
            target: "<= 15 %".to_owned(),
            floor: String::new(),
            beside: format!("{} a change", short(cpu / ((UNSEEN + 2 * SEEN) * u32::try_from(TIME.as_secs())?))),
        },
        Row {
            figure: figure("RSS"),
            measured: format!("{early:.1} -> {late:.1} MiB"),
            target: "flat".to_owned(),
            floor: String::new(),
            beside: format!("after {} s and at the end; VmHWM {:.1} MiB", TIME.as_secs() / 10, agent.memory("VmHWM")?),
        },
    ]))
}

/// Moves Services to the living pods, and back in the next turn.
fn change_unseen(api: &ApiServer, begin: Instant, services: u32) -> anyhow::Result<()> {
    for round in rounds(begin, UNSEEN) {
        let slice = endpoint_slice(round % services, ENDPOINTS);
        api.tell(&if (round / services).is_multiple_of(2) { site::moved(slice) } else { slice })?;
    }
    Ok(())
}

/// Numbers, so many in a second, until the time is over.
fn rounds(begin: Instant, a_second: u32) -> impl Iterator<Item = u32> {
    let period = Duration::from_secs(1) / a_second;
    (0..).take_while(move |&round| {
        // Who is late goes on at once.
        thread::sleep((begin + period * round).saturating_duration_since(Instant::now()));
        begin.elapsed() < TIME
    })
}
