//! What each kind of object becomes, good or bad: tables of cases.

mod endpoint_slices;
mod nodes;
mod service_cidrs;
mod services;
mod settings;
mod vague;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::*;
use crate::{
    addr::PerFamily,
    model::{Names, Node, Service},
    name::ServiceName,
};

fn service(object: Value) -> (Option<Service>, Vec<String>) {
    let object: ServiceObject = serde_json::from_value(object).unwrap();
    let reference = Object::Service(object.clone()).reference();
    let name = ServiceName { namespace: reference.namespace.clone(), name: reference.name.clone() };
    let (service, findings) = read_service(&object, &reference, &name, &mut Names::default(), &PerFamily::default());
    (service, findings.iter().map(Finding::to_string).collect())
}

fn slice(object: Value) -> (Option<ReadSlice<'static>>, Vec<String>) {
    // What is read of it borrows from it.
    let object: &EndpointSliceObject = Box::leak(serde_json::from_value(object).unwrap());
    let reference = Object::EndpointSlice(object.clone()).reference();
    let (slice, findings) = read_slice(object, &reference, "node-a", &mut Names::default());
    (slice, findings.iter().map(Finding::to_string).collect())
}

fn node(object: Value) -> (Option<Node>, Vec<String>) {
    let object: NodeObject = serde_json::from_value(object).unwrap();
    let reference = Object::Node(object.clone()).reference();
    let (node, findings) = read_node(&object, &reference);
    (node, findings.iter().map(Finding::to_string).collect())
}

fn service_cidr(object: Value) -> (Option<Box<[IpNet]>>, Vec<String>) {
    let object: ServiceCidrObject = serde_json::from_value(object).unwrap();
    let reference = Object::ServiceCidr(object.clone()).reference();
    let (cidrs, findings) = read_service_cidr(&object, &reference);
    (cidrs, findings.iter().map(Finding::to_string).collect())
}

/// A good Service with one value put in or replaced.
fn web_with(path: &str, value: Value) -> Value {
    with(
        json!({
            "metadata": {"name": "web", "namespace": "team-a", "creationTimestamp": "2026-01-31T23:59:59Z"},
            "spec": {
                "clusterIP": "10.96.0.1",
                "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}],
                "externalIPs": ["203.0.113.1"],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.2"}, {"hostname": "lb.example.com"}]}},
        }),
        path,
        value,
    )
}

fn slice_with(path: &str, value: Value) -> Value {
    with(
        json!({
            "metadata": {"name": "web-1.x", "namespace": "team-a", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}],
            "endpoints": [{"addresses": ["10.0.0.1", "10.9.9.9"], "nodeName": "node-a"}, {"addresses": ["10.0.0.2"]}],
        }),
        path,
        value,
    )
}

/// Puts a value at a JSON pointer, making objects on the way.
fn with(mut object: Value, path: &str, value: Value) -> Value {
    let mut place = &mut object;
    for step in path.split('/').skip(1) {
        place = match step.parse::<usize>() {
            Ok(i) if place.is_array() => &mut place[i],
            _ => &mut place[step.replace("~1", "/")],
        };
    }
    *place = value;
    object
}

#[test]
fn findings_as_json() {
    let object: ServiceObject = serde_json::from_value(web_with("/spec/ports/0/port", json!(0))).unwrap();
    let reference = Object::Service(object.clone()).reference();
    let name = ServiceName { namespace: reference.namespace.clone(), name: reference.name.clone() };
    let findings = read_service(&object, &reference, &name, &mut Names::default(), &PerFamily::default()).1;
    assert_eq!(
        serde_json::to_value(findings).unwrap(),
        json!([{
            "severity": "rejected",
            "object": {"kind": "Service", "namespace": "team-a", "name": "web"},
            "field": "spec.ports[0].port",
            "value": "0",
            "reason": "is not a port number from 1 to 65535",
            "effect": "this port is not served, the Service's other ports are",
            "advice": "correct it",
        }])
    );
}
