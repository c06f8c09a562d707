//! Which object is meant: kind, namespace and name, also where the name is one that no object may have.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::text::excerpt;

/// The kinds of objects that Portolan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Service` of v1
    Service,
    /// `EndpointSlice` of discovery.k8s.io/v1
    EndpointSlice,
    /// `Node` of v1
    Node,
    /// `ServiceCIDR` of networking.k8s.io/v1
    ServiceCidr,
}

/// The kind as manifests have it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::ServiceCidr => "ServiceCIDR",
        })
    }
}

impl Kind {
    /// Whether its objects lie in namespaces.
    pub(super) const fn is_namespaced(self) -> bool {
        match self {
            Self::Service | Self::EndpointSlice => true,
            Self::Node | Self::ServiceCidr => false,
        }
    }
}

/// Names one object of the cluster. The names are as the object has them, checked or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind.
    pub kind: Kind,
    /// The namespace, `default` where the object gives none; empty for kinds that lie in none.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl ObjectRef {
    /// Namespace and name, escaped and bounded.
    fn shown(&self) -> (String, String) {
        let name = if self.name.is_empty() { "(no name)".to_owned() } else { excerpt(&self.name) };
        (excerpt(&self.namespace), name)
    }
}

/// `Service team-a/web`, `Node node-a`; safe to print whatever the names are.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (namespace, name) = self.shown();
        if self.kind.is_namespaced() {
            write!(f, "{} {namespace}/{name}", self.kind)
        } else {
            write!(f, "{} {name}", self.kind)
        }
    }
}

/// `kind`, `namespace` and `name`, the names escaped and bounded as in the text.
impl Serialize for ObjectRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (namespace, name) = self.shown();
        let mut object = serializer.serialize_struct("ObjectRef", 3)?;
        object.serialize_field("kind", &format_args!("{}", self.kind))?;
        object.serialize_field("namespace", &namespace)?;
        object.serialize_field("name", &name)?;
        object.end()
    }
}
