//! The objects are what the API server would send.

mod fixture;

use fixture::*;
use portolan_specification::*;
use serde_json::json;

#[test]
fn service() {
    let mut service = load_balancer("svc", "172.30.0.41", 3001, &["1.2.3.4"]);
    service.created = 3725;
    service.labels = labels(&[("a", "b")]);
    service.ingress.push(Ingress { ip: None, ip_mode: Some("Proxy".into()) });
    service.source_ranges = vec!["203.0.113.0/25".into()];
    service.session_affinity = Some(60);
    service.external_traffic_policy = Some(Policy::Local);
    service.health_check_node_port = 32000;
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "namespace": "ns", "name": "svc", "creationTimestamp": "2025-01-01T01:02:05Z", "labels": { "a": "b" },
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "172.30.0.41",
            "clusterIPs": ["172.30.0.41"],
            "ipFamilies": ["IPv4"],
            "ports": [{ "protocol": "TCP", "port": 80, "nodePort": 3001 }],
            "externalIPs": [],
            "loadBalancerSourceRanges": ["203.0.113.0/25"],
            "externalTrafficPolicy": "Local",
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 60 } },
            "publishNotReadyAddresses": false,
            "healthCheckNodePort": 32000,
        },
        "status": { "loadBalancer": { "ingress": [
            { "ip": "1.2.3.4" },
            { "hostname": "lb.example.com", "ipMode": "Proxy" },
        ] } },
    });
    assert_eq!(Object::Service(service).to_json(), expected);
}

#[test]
fn endpoint_slice() {
    let expected = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": { "namespace": "ns", "name": "s", "labels": { "kubernetes.io/service-name": "svc" } },
        "addressType": "IPv4",
        "ports": [{ "protocol": "TCP", "port": 80 }],
        "endpoints": [{
            "addresses": ["10.0.0.1"],
            "conditions": { "ready": false, "serving": true, "terminating": true },
            "nodeName": "node-a",
            "hints": { "forZones": [{ "name": "zone-a" }], "forNodes": [{ "name": "node-a" }] },
        }],
    });
    let endpoint = hinted(terminating(here("10.0.0.1"), true), &["zone-a"], &["node-a"]);
    assert_eq!(Object::Slice(slice("s", "svc", vec![endpoint])).to_json(), expected);
}

#[test]
fn node_and_service_cidr() {
    let World { node, service_cidrs, .. } = world();
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": "node-a", "labels": { "topology.kubernetes.io/zone": "zone-a" } },
        "spec": { "podCIDR": "10.0.0.0/16", "podCIDRs": ["10.0.0.0/16"] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": "192.168.0.2" },
            { "type": "InternalIP", "address": "fd00:192::2" },
        ] },
    });
    assert_eq!(Object::Node(node).to_json(), expected);
    let expected = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": { "name": "kubernetes" },
        "spec": { "cidrs": ["172.30.0.0/16", "fd00:172::/108"] },
    });
    assert_eq!(Object::ServiceCidr(service_cidrs[0].clone()).to_json(), expected);
}
