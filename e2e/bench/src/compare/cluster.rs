//! The cluster in which proxies are compared: a node, and Services with their slices, in the API server.

use std::{net::SocketAddr, ops::Range, thread};

use portolan_e2e::{
    cast::Member,
    controlplane::{Api, ControlPlane, Error},
};
use portolan_scripted::{endpoint_slice, service};
use serde_json::{Value, json};

use crate::{api_server::ENDPOINTS, site};

/// As many requests are under way while the cluster is written.
const CLIENTS: u32 = 8;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// As a kubelet registers it.
pub(super) fn node(member: &Member) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": member.name},
        "status": {"addresses": [{"type": "InternalIP", "address": member.v4}]},
    })
}

/// Creates more Services. The first of all has its pods where they live.
pub(super) fn grow(plane: &ControlPlane, services: Range<u32>) -> Result<(), Error> {
    thread::scope(|scope| {
        let part = |client| {
            let (services, mut api) = (services.clone(), plane.client()?);
            Ok(scope.spawn(move || services.filter(|i| i % CLIENTS == client).try_for_each(|i| create(&mut api, i))))
        };
        let parts = (0..CLIENTS).map(part).collect::<Result<Vec<_>, Error>>()?;
        parts.into_iter().try_for_each(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn create(api: &mut Api, i: u32) -> Result<(), Error> {
    let slice = written(endpoint_slice(i, ENDPOINTS));
    let slice = if i == 0 { site::moved(slice) } else { slice };
    api.post(SERVICES, &written(service(i)))?;
    api.post(SLICES, &slice).map(drop)
}

/// The slice of a Service that has moved to the living pods, and its path.
pub(super) fn moved(i: u32) -> (String, Value) {
    let slice = site::moved(written(endpoint_slice(i, ENDPOINTS)));
    let name = slice.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    (format!("{SLICES}/{name}"), slice)
}

/// Where a Service is reached.
pub(super) fn front(i: u32) -> anyhow::Result<SocketAddr> {
    site::front(&service(i))
}

/// As who creates it writes it: without what the API server says of it.
fn written(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| ["name", "labels", "annotations"].contains(&name.as_str()));
    }
    object
}
