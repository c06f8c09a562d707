//! Kubernetes objects for tests that change them as they go.

use std::fmt::Write as _;

use portolan_core::ingest::Object;
use serde::Deserialize;
use serde_json::Value;

use crate::cast::{Member, Target};

/// The Node object of node-a, with its first addresses.
pub const NODE_A: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node-a}
status:
  addresses:
    - {type: InternalIP, address: 192.168.100.11}
    - {type: InternalIP, address: 'fd00:100::11'}
";

/// A Service `default/<name>` with a port 80 called `http`, and one EndpointSlice for each endpoint, since the endpoints
/// may have different ports. The cluster IP says which IP family it is.
#[must_use]
pub fn service(name: &str, cluster_ip: &str, endpoints: &[(&Member, u16)]) -> String {
    let v6 = cluster_ip.contains(':');
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  clusterIP: \
         '{cluster_ip}'\n  clusterIPs: ['{cluster_ip}']\n  ports:\n    - {{name: http, port: 80}}\n---\n"
    );
    for (number, (member, port)) in endpoints.iter().enumerate() {
        let (kind, address) = if v6 { ("IPv6", member.v6.to_string()) } else { ("IPv4", member.v4.to_string()) };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}-{number}\n  namespace: \
             default\n  labels: {{kubernetes.io/service-name: {name}}}\naddressType: {kind}\nports:\n  - {{name: http, \
             port: {port}}}\nendpoints:\n  - {{addresses: ['{address}']}}\n---\n"
        );
    }
    text
}

/// Where servers must be for these endpoints.
pub fn tcp_targets(endpoints: &[(&'static Member, u16)]) -> impl Iterator<Item = Target> + Clone {
    let target = |&(member, port): &(&'static Member, u16)| Target {
        host: member.name,
        port,
        protocol: portolan_core::addr::Protocol::Tcp,
    };
    endpoints.iter().map(target)
}

/// An object as Portolan reads it, without a manifest around it.
///
/// # Errors
/// When it is of a kind that Portolan does not read, or not an object at all, in words.
pub fn read(object: &Value) -> Result<Object, String> {
    Ok(match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
        "Service" => Object::Service(fields(object)?),
        "EndpointSlice" => Object::EndpointSlice(fields(object)?),
        "Node" => Object::Node(fields(object)?),
        "ServiceCIDR" => Object::ServiceCidr(fields(object)?),
        kind => return Err(format!("{kind:?} is not a kind that Portolan reads")),
    })
}

fn fields<'object, T: Deserialize<'object>>(object: &'object Value) -> Result<T, String> {
    T::deserialize(object).map_err(|error| error.to_string())
}
