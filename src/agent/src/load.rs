//! Manifests read once, without a watch: for `render`, `diff`, `list --rejected` and `run --once`.

use std::path::Path;

use portolan_core::model::{Cluster, NodeConfig};

use crate::{
    manifest::{Event, FollowError, Refused, Source},
    output::Problem,
};

/// What manifests want on a node, and what is wrong with them.
#[derive(Debug)]
pub struct Loaded {
    /// Every object that could be read.
    pub cluster: Cluster,
    /// Whether every file could be read: only then may something be deleted that the manifests lack.
    pub complete: bool,
    /// The files, documents and objects that could not be read.
    pub refused: Vec<Refused>,
}

impl Loaded {
    /// What is refused or served otherwise than written. Which of two Services gets a frontend is known only once the
    /// cluster's [changes](Cluster::take_changes) were taken.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let refused = self.refused.iter().cloned().map(Problem::Manifest);
        refused.chain(self.cluster.findings().into_iter().map(Problem::Object)).collect()
    }
}

/// Reads a file or a folder.
///
/// # Errors
/// When there is nothing to read at the path. What is wrong with its content is no error, but
/// one of the [problems](Loaded::problems).
pub fn load(manifests: &Path, node: NodeConfig) -> Result<Loaded, FollowError> {
    let mut source = Source::open(manifests).map_err(|source| FollowError::Open { path: manifests.into(), source })?;
    let mut cluster = Cluster::new(node);
    source.scan(&mut |_| false, &mut |event| match event {
        Event::Applied(object) => {
            cluster.apply(&object);
        }
        Event::Deleted(object) => {
            cluster.delete(&object);
        }
        Event::Refused(_) | Event::Scanned { .. } => {}
    });
    Ok(Loaded { complete: source.is_complete(), refused: source.refused().cloned().collect(), cluster })
}
