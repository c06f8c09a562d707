//! What is known about one object. There are hundreds of thousands of them, so what the kernel holds is not kept a
//! second time where it is what is wanted.

use super::{Claimant, claims::Claims};

/// Claims on an object, and what the kernel is known to hold under its key.
#[derive(Debug)]
pub(super) struct Entry<V> {
    claims: Claims<V>,
    /// What the kernel holds, where it is not what is wanted. Apart from the next field, with which it would need 8 bytes more.
    other: Option<Box<V>>,
    /// The kernel holds exactly what is wanted.
    as_wanted: bool,
    /// The round in which the key was put into the tracker's list of pending objects.
    pub(super) queued: u32,
}

impl<V> Default for Entry<V> {
    fn default() -> Self {
        Self { claims: Claims::None, other: None, as_wanted: false, queued: 0 }
    }
}

impl<V: Clone + PartialEq> Entry<V> {
    /// The claimant whose wish it is, and the value that is wanted.
    pub(super) fn winner(&self) -> Option<(Claimant, &V)> {
        self.claims.winner()
    }

    /// The wishes of all who want it.
    pub(super) const fn claims(&self) -> &Claims<V> {
        &self.claims
    }

    /// The value that is wanted.
    pub(super) fn wanted(&self) -> Option<&V> {
        self.claims.wanted()
    }

    /// The value that one claimant wants.
    pub(super) fn claim_of(&self, who: Claimant) -> Option<&V> {
        self.claims.of(who)
    }

    /// What the kernel is known to hold.
    pub(super) fn present(&self) -> Option<&V> {
        if self.as_wanted { self.wanted() } else { self.other.as_deref() }
    }

    /// Whether the kernel holds exactly what is wanted.
    pub(super) const fn is_as_wanted(&self) -> bool {
        self.as_wanted
    }

    /// Takes note of what the kernel holds now.
    pub(super) fn set_present(&mut self, value: Option<V>) {
        self.as_wanted = value.is_some() && self.wanted() == value.as_ref();
        self.other = value.filter(|_| !self.as_wanted).map(Box::new);
    }

    /// Adds a claim, or changes its value.
    pub(super) fn claim(&mut self, who: Claimant, value: V) {
        if self.claim_of(who) != Some(&value) {
            let present = self.present().cloned();
            self.claims.insert(who, value);
            self.set_present(present);
        }
    }

    /// Takes a claim back and returns its value.
    pub(super) fn unclaim(&mut self, who: Claimant) -> Option<V> {
        let present = self.present().cloned();
        let value = self.claims.remove(who);
        self.set_present(present);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_holds_does_not_change_with_the_wishes() {
        let [a, b] = [1, 2].map(Claimant);
        let mut entry = Entry::default();
        entry.claim(a, "x");
        entry.set_present(Some("x"));
        assert!(entry.is_as_wanted());
        entry.claim(b, "y");
        assert_eq!((entry.present(), entry.wanted(), entry.is_as_wanted()), (Some(&"x"), Some(&"x"), true));
        assert_eq!(entry.unclaim(a), Some("x"));
        assert_eq!((entry.present(), entry.wanted(), entry.is_as_wanted()), (Some(&"x"), Some(&"y"), false));
        entry.claim(b, "x");
        assert!(entry.is_as_wanted());
        assert_eq!(entry.unclaim(b), Some("x"));
        assert_eq!((entry.present(), entry.wanted()), (Some(&"x"), None));
        entry.set_present(None);
        assert_eq!(entry.present(), None);
    }
}
