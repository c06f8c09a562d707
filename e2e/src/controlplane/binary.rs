//! Where the control plane's program comes from: Go compiles it, once for each change of e2e/controlplane.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

/// The release of Go that e2e/controlplane/go.mod asks for.
const GO: (u32, u32) = (1, 26);

/// The program of e2e/controlplane.
#[derive(Debug, Clone)]
pub struct Binary {
    path: PathBuf,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// There is nothing that could compile it.
    #[error("Go {}.{} or later is not there: {said}", GO.0, GO.1)]
    Go {
        /// What `go version` said, or why it could not be run.
        said: String,
    },
    /// It does not compile.
    #[error("go build in e2e/controlplane: {0}")]
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
        go_is_new_enough()?;
        // target/debug/deps/test-1234
        let own = env::current_exe().map_err(Missing::OwnPath)?;
        let path = own.ancestors().nth(3).unwrap_or(Path::new("target")).join("controlplane");
        let built = go(&["build", "-buildvcs=false", "-ldflags=-s -w", "-o"])
            .arg(&path)
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane"))
            .output()
            .map_err(|error| Missing::Build(error.to_string()))?;
        if !built.status.success() {
            return Err(Missing::Build(String::from_utf8_lossy(&built.stderr).into_owned()));
        }
        Ok(Self { path })
    }

    /// One of its subcommands.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(name);
        command
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn go(arguments: &[&str]) -> Command {
    let mut go = Command::new("go");
    // The Go that is there, and not one that it would download; a program that needs no C library.
    go.args(arguments).env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0");
    go
}

fn go_is_new_enough() -> Result<(), Missing> {
    let version = go(&["version"]).output().map_err(|error| Missing::Go { said: error.to_string() })?;
    let text = String::from_utf8_lossy(&version.stdout);
    if release(&text).is_some_and(|release| release >= GO) {
        Ok(())
    } else {
        Err(Missing::Go { said: text.trim().to_owned() })
    }
}

/// `go version go1.26.8 linux/amd64`
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(2)?.strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_go() {
        assert_eq!(release("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(release("go version go1.9 linux/amd64\n"), Some((1, 9)));
        assert_eq!(release(""), None);
    }
}
