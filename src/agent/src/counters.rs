//! What the kernel counted: read when Prometheus asks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use portolan_config::Mode;
use portolan_core::{
    inspect::Inspect,
    name::{ServiceName, ServicePortName},
    object::{BackendError, Figure, FrontendCounts, LiveFrontend},
};

use crate::{backends, commands::counts, metrics::Counted, sync_loop::ErrorChain};

/// Asks the kernel what it counted for each ServicePort in a mode. It lists all elements for that: a tenth of a second of its time
/// at 30,000 Services.
#[must_use]
pub fn counted(mode: Mode) -> Vec<Counted> {
    let counted = match counts(Some(mode)) {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!("what the kernel counted cannot be read: {}; those metrics are missing", ErrorChain(&error));
            return Vec::new();
        }
    };
    let mut ports: BTreeMap<ServicePortName, FrontendCounts> = BTreeMap::new();
    for (frontend, more) in &counted {
        let Some(port) = port(frontend) else { continue };
        let sum = ports.entry(port).or_default();
        sum.add_connections(more.connections);
        sum.no_endpoints += more.no_endpoints;
        sum.no_local_endpoints += more.no_local_endpoints;
        sum.source_ranges += more.source_ranges;
    }
    ports.into_iter().map(|(port, counts)| Counted { port, counts }).collect()
}

/// What asks the kernel for what only this mode counts. A kernel that holds nothing of the mode yet has nothing to tell.
pub fn kernel_figures(mode: Mode) -> impl Fn() -> Vec<Figure> {
    let opened = Mutex::new(None);
    move || match ask(mode, &mut opened.lock().unwrap_or_else(PoisonError::into_inner)) {
        Ok(figures) => figures,
        Err(error) => {
            tracing::warn!(
                "what the kernel counted in {mode} mode cannot be read: {}; those metrics are missing",
                ErrorChain(&error)
            );
            Vec::new()
        }
    }
}

/// Asks the kernel that was opened, which takes longer than asking.
fn ask(mode: Mode, opened: &mut Option<Box<dyn Inspect>>) -> Result<Vec<Figure>, BackendError> {
    if opened.is_none() {
        *opened = backends::inspected(mode)?;
    }
    opened.as_mut().map_or_else(|| Ok(Vec::new()), |kernel| kernel.kernel_figures())
}

/// The ServicePort as the comment names it: `namespace/name:port`.
fn port(frontend: &LiveFrontend) -> Option<ServicePortName> {
    let (namespace, rest) = frontend.port.split_once('/')?;
    let (name, port) = rest.split_once(':').unwrap_or((rest, ""));
    let service = ServiceName { namespace: namespace.into(), name: name.into() };
    Some(ServicePortName { service, port: port.into(), protocol: frontend.vip.protocol })
}
