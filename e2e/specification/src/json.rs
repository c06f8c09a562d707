//! The objects as the API server writes them, so that a test can hand the same world to Portolan.

use serde_json::{Map, Value, json};

use crate::objects::{
    AddressType, Endpoint, Family, Ingress, Node, NodeAddress, Policy, Port, Protocol, Service, ServiceCidr,
    ServiceType, Slice, SlicePort,
};
use crate::world::Object;

impl Object {
    /// The object, with its `apiVersion` and `kind`.
    pub fn to_json(&self) -> Value {
        match self {
            Object::Service(service) => service.to_json(),
            Object::Slice(slice) => slice.to_json(),
            Object::Node(node) => node.to_json(),
            Object::ServiceCidr(cidr) => cidr.to_json(),
        }
    }
}

impl Service {
    /// The Service, v1.
    pub fn to_json(&self) -> Value {
        let affinity = self.session_affinity.map(|seconds| json!({ "clientIP": { "timeoutSeconds": seconds } }));
        let (hours, minutes, seconds) = (self.created / 3600, self.created / 60 % 60, self.created % 60);
        without_nulls(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "namespace": self.namespace,
                "name": self.name,
                "creationTimestamp": format!("2025-01-01T{hours:02}:{minutes:02}:{seconds:02}Z"),
                "labels": self.labels,
            },
            "spec": {
                "type": match self.service_type {
                    ServiceType::ClusterIp => "ClusterIP",
                    ServiceType::NodePort => "NodePort",
                    ServiceType::LoadBalancer => "LoadBalancer",
                    ServiceType::ExternalName => "ExternalName",
                },
                "clusterIP": self.cluster_ips.first(),
                "clusterIPs": self.cluster_ips,
                "ipFamilies": self.ip_families.iter().map(|family| family.name()).collect::<Vec<_>>(),
                "ports": self.ports.iter().map(Port::to_json).collect::<Vec<_>>(),
                "externalIPs": self.external_ips,
                "loadBalancerSourceRanges": self.source_ranges,
                "externalTrafficPolicy": self.external_traffic_policy.map(Policy::name),
                "internalTrafficPolicy": self.internal_traffic_policy.map(Policy::name),
                "sessionAffinity": if affinity.is_some() { "ClientIP" } else { "None" },
                "sessionAffinityConfig": affinity,
                "publishNotReadyAddresses": self.publish_not_ready_addresses,
                "healthCheckNodePort": Some(self.health_check_node_port).filter(|port| *port != 0),
            },
            "status": { "loadBalancer": { "ingress": self.ingress.iter().map(Ingress::to_json).collect::<Vec<_>>() } },
        }))
    }
}

impl Port {
    fn to_json(&self) -> Value {
        json!({
            "name": Some(&self.name).filter(|name| !name.is_empty()),
            "protocol": self.protocol.name(),
            "port": self.port,
            "nodePort": Some(self.node_port).filter(|port| *port != 0),
        })
    }
}

impl Ingress {
    fn to_json(&self) -> Value {
        let hostname = self.ip.is_none().then_some("lb.example.com");
        json!({ "ip": self.ip, "ipMode": self.ip_mode, "hostname": hostname })
    }
}

impl Slice {
    /// The `EndpointSlice`, discovery.k8s.io/v1.
    pub fn to_json(&self) -> Value {
        without_nulls(json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "namespace": self.namespace, "name": self.name, "labels": self.labels },
            "addressType": match self.address_type {
                AddressType::Ipv4 => "IPv4",
                AddressType::Ipv6 => "IPv6",
                AddressType::Fqdn => "FQDN",
            },
            "ports": self.ports.iter().map(SlicePort::to_json).collect::<Vec<_>>(),
            "endpoints": self.endpoints.iter().map(Endpoint::to_json).collect::<Vec<_>>(),
        }))
    }
}

impl SlicePort {
    fn to_json(&self) -> Value {
        json!({ "name": self.name, "protocol": self.protocol.name(), "port": self.port })
    }
}

impl Endpoint {
    fn to_json(&self) -> Value {
        let named = |names: &[String]| names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        json!({
            "addresses": self.addresses,
            "conditions": { "ready": self.ready, "serving": self.serving, "terminating": self.terminating },
            "nodeName": self.node_name,
            "hints": { "forZones": named(&self.zone_hints), "forNodes": named(&self.node_hints) },
        })
    }
}

impl Node {
    /// The Node, v1. The addresses on its interfaces are no part of it.
    pub fn to_json(&self) -> Value {
        let address = |address: &NodeAddress| match address {
            NodeAddress::Internal(ip) => json!({ "type": "InternalIP", "address": ip }),
            NodeAddress::External(ip) => json!({ "type": "ExternalIP", "address": ip }),
        };
        without_nulls(json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": self.name, "labels": { "topology.kubernetes.io/zone": self.zone } },
            "spec": {
                "podCIDR": self.pod_cidrs.first().map(ToString::to_string),
                "podCIDRs": self.pod_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            },
            "status": { "addresses": self.addresses.iter().map(address).collect::<Vec<_>>() },
        }))
    }
}

impl ServiceCidr {
    /// The `ServiceCIDR`, networking.k8s.io/v1.
    pub fn to_json(&self) -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": { "name": self.name },
            "spec": { "cidrs": self.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>() },
        })
    }
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        }
    }
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Policy::Cluster => "Cluster",
            Policy::Local => "Local",
        }
    }
}

/// The API server leaves out what is not set.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let set = fields.into_iter().filter(|(_, field)| !field.is_null());
            Value::Object(set.map(|(name, field)| (name, without_nulls(field))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
