//! Where the control plane's program comes from: Go compiles it, once for each change of e2e/controlplane.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::built::{self, Missing};

/// The program of e2e/controlplane.
#[derive(Debug, Clone)]
pub struct Binary {
    path: PathBuf,
}

impl Binary {
    /// Compiles the program into the folder of all that cargo builds. It takes minutes the first time, with downloads
    /// from the Go module proxy, and seconds when Go's cache has it. To be called before [`crate::inside::enter`], for
    /// inside there is no proxy.
    ///
    /// # Errors
    /// When there is no Go that can, or it cannot.
    pub fn build() -> Result<Self, Missing> {
        built::built("controlplane/build", "controlplane").map(|path| Self { path })
    }

    /// The program, for tests that are left out without it; `left_out` says which. Whoever relies on them
    /// ([`must_judge`](super::must_judge)) gets the error.
    ///
    /// # Errors
    /// As [`Binary::build`], where nothing may be left out.
    pub fn unless_missing(left_out: &str) -> Result<Option<Self>, Missing> {
        built::unless_missing(left_out, Self::build())
    }

    /// One of its subcommands.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(name);
        command
    }

    /// Where it is: the real kube-proxy for who calls it by that name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
