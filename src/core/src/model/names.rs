//! Each namespace and port name once in memory, however many objects have it.

use std::{collections::BTreeSet, sync::Arc};

/// Below this count nothing is ever dropped.
const FEW: usize = 64;

/// The names that are shared. Forgets the ones that only it still knows, so that namespaces which come and go do not
/// pile up.
#[derive(Debug, Default)]
pub(crate) struct Names {
    all: BTreeSet<Arc<str>>,
    /// The next clean-up is due at this many names: twice what the last one left, so each insertion costs O(log n) in
    /// the long run.
    full: usize,
}

impl Names {
    /// The shared copy of a name.
    pub(crate) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(shared) = self.all.get(name) {
            return shared.clone();
        }
        if self.all.len() >= self.full.max(FEW) {
            self.all.retain(|name| Arc::strong_count(name) > 1);
            self.full = 2 * self.all.len();
        }
        let shared: Arc<str> = name.into();
        self.all.insert(shared.clone());
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_forgets() {
        let mut names = Names::default();
        let kept = names.share("http");
        assert!(Arc::ptr_eq(&kept, &names.share("http")));
        for i in 0..10_000 {
            names.share(&format!("ns-{i}"));
        }
        assert!(names.all.len() <= 2 * FEW);
        assert!(Arc::ptr_eq(&kept, &names.share("http")));
    }
}
