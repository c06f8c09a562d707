//! Where the control plane's program comes from: Go compiles it, once for each change of e2e/controlplane.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use super::must_judge;

/// What e2e/controlplane/build exits with where there is no Go that can.
const NO_GO: i32 = 3;

/// The program of e2e/controlplane.
#[derive(Debug, Clone)]
pub struct Binary {
    path: PathBuf,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// There is nothing that could compile it.
    #[error("there is no Go that can compile it: {0}")]
    Go(String),
    /// It does not compile.
    #[error("e2e/controlplane/build: {0}")]
    Build(String),
    /// The test does not know where it is itself.
    #[error("the test binary's own path cannot be read")]
    OwnPath(#[source] io::Error),
}

impl Binary {
    /// Compiles the program into the folder of all that cargo builds. It takes minutes the first time, with downloads
    /// from the Go module proxy, and seconds when Go's cache has it. To be called before [`crate::inside::enter`], for
    /// inside there is no proxy.
    ///
    /// # Errors
    /// When there is no Go that can, or it cannot.
    pub fn build() -> Result<Self, Missing> {
        // target/debug/deps/test-1234, or target/release/program
        let own = env::current_exe().map_err(Missing::OwnPath)?;
        let profile = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
        let path = profile.and_then(Path::parent).unwrap_or(Path::new("target")).join("controlplane");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane/build");
        let built = Command::new(script).arg(&path).output().map_err(|error| Missing::Build(error.to_string()))?;
        let said = || String::from_utf8_lossy(&built.stderr).trim().to_owned();
        match built.status.code() {
            Some(0) => Ok(Self { path }),
            Some(NO_GO) => Err(Missing::Go(said())),
            _ => Err(Missing::Build(said())),
        }
    }

    /// The program, for tests that are left out without it; `left_out` says which. Whoever relies on them
    /// ([`must_judge`]) gets the error.
    ///
    /// # Errors
    /// As [`Binary::build`], where nothing may be left out.
    pub fn unless_missing(left_out: &str) -> Result<Option<Self>, Missing> {
        match Self::build() {
            Ok(binary) => Ok(Some(binary)),
            Err(missing) if must_judge() => Err(missing),
            Err(missing) => {
                println!("{left_out}: {missing}");
                Ok(None)
            }
        }
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
