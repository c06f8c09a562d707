//! A complete list of a kind: what is not in it is gone.

use std::{collections::BTreeSet, sync::Arc};

use super::cluster::Cluster;
use crate::ingest::{Kind, ObjectRef};

impl Cluster {
    /// Forgets all objects of a kind that a complete list of them lacks.
    pub fn retain(&mut self, kind: Kind, listed: &BTreeSet<ObjectRef>) {
        let reference = |namespace: &Arc<str>, name: &Arc<str>| {
            let reference = ObjectRef { kind, namespace: namespace.clone(), name: name.clone() };
            (!listed.contains(&reference)).then_some(reference)
        };
        let mut gone: Vec<ObjectRef> = match kind {
            Kind::Service => {
                let known = self.services.iter().filter(|(_, entry)| entry.service.is_some());
                known.filter_map(|(name, _)| reference(&name.namespace, &name.name)).collect()
            }
            Kind::EndpointSlice => {
                self.homes.keys().filter_map(|(namespace, name)| reference(namespace, name)).collect()
            }
            Kind::Node => reference(&"".into(), &self.config().hostname.as_str().into()).into_iter().collect(),
            Kind::ServiceCidr => self.service_cidrs.keys().filter_map(|name| reference(&"".into(), name)).collect(),
        };
        // What is refused as a whole is known by its findings alone.
        let refused = self.findings.keys().filter(|found| found.kind == kind && !listed.contains(found));
        gone.extend(refused.cloned());
        gone.iter().for_each(|reference| self.delete(reference));
    }
}
