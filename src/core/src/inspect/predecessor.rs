//! What a service proxy that ran here before has left in the kernel: kube-proxy in any of its modes, or Portolan in another
//! mode than now. Each backend knows what it looks like in its part of the kernel.
//!
//! Everybody who translates a connection before us has it, so rules of a proxy that runs no more would send its Services'
//! connections to endpoints that are long gone. They are removed once, after our own rules are complete. What has a name of
//! ours in the mode that runs is no such thing: it is adopted by the first sync, which makes it what is wanted.

use std::{fmt, time::Duration};

use crate::object::BackendError;

/// What one backend knows of predecessors, or of those of its own mode alone.
pub trait Predecessor {
    /// Removes what they left, or with `dry_run` nothing. One part that fails is no reason to leave the others.
    fn remove(&mut self, dry_run: bool) -> Removal;

    /// Removes what [`remove`](Self::remove) left for the sake of its connections so long ago, as far as these have ended.
    fn drain(&mut self, _removed_before: Duration) -> Removal {
        Removal::default()
    }

    /// Whether a predecessor's rules are there; for looking again and again after they were removed, so it is quick, and sees
    /// what no proxy that runs is without.
    ///
    /// # Errors
    /// When it cannot be told.
    fn is_present(&mut self) -> Result<bool, BackendError>;
}

/// Which mode runs, as a backend sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// The backend's own, which adopts what has its names.
    Own,
    /// Another one.
    Another,
    /// None: the node is cleaned up, of what cannot be told from other programs' too.
    None,
}

/// What became of it, in words.
#[derive(Debug, Default)]
pub struct Removal {
    /// What is gone.
    pub removed: Vec<String>,
    /// What stays for the sake of other programs, and why.
    pub kept: Vec<String>,
    /// What stays until its connections have ended.
    pub draining: Vec<String>,
    /// What is still there, and what could not even be looked for.
    pub trouble: Vec<Trouble>,
}

/// Something that could not be found out or removed.
#[derive(Debug, thiserror::Error)]
pub struct Trouble {
    /// What that is: the beginning of a sentence.
    pub what: String,
    /// Why.
    pub source: BackendError,
    /// What to do about it, where it does not go without saying.
    pub advice: Option<&'static str>,
}

impl Removal {
    /// These were to be removed.
    pub fn tried<E>(&mut self, items: impl IntoIterator<Item = String>, outcome: Result<(), E>)
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        match outcome {
            Ok(()) => self.removed.extend(items),
            Err(error) => {
                let items: Vec<_> = items.into_iter().collect();
                self.troubled(format!("{}: not removed", items.join(", ")), error);
            }
        }
    }

    /// What became of more of it.
    pub fn append(&mut self, mut more: Self) {
        self.removed.append(&mut more.removed);
        self.kept.append(&mut more.kept);
        self.draining.append(&mut more.draining);
        self.trouble.append(&mut more.trouble);
    }

    /// This could not be done.
    pub fn troubled(&mut self, what: String, error: impl std::error::Error + Send + Sync + 'static) {
        self.trouble.push(Trouble { what, source: BackendError::new(error), advice: None });
    }
}

/// Without the advice and the cause.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
