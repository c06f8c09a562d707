//! Programs that tests need and that are not built by cargo: a script makes each, once for each change of its sources.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::controlplane::must_judge;

/// What a script exits with where there is nothing that could make it.
const NO_TOOLS: i32 = 3;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// There is nothing that could make it.
    #[error("this machine cannot make it: {0}")]
    Tools(String),
    /// It cannot be made.
    #[error("{0}: {1}")]
    Build(PathBuf, String),
    /// The test does not know where it is itself.
    #[error("the test binary's own path cannot be read")]
    OwnPath(#[source] io::Error),
}

/// Has a script of e2e put something into the folder of all that cargo builds, under this name, and says where it is. It takes
/// minutes the first time, with downloads, and seconds later. To be called before [`crate::inside::enter`], for inside
/// there is no network.
///
/// # Errors
/// When there is nothing that could make it, or it cannot be made.
pub fn built(script: &str, name: &str) -> Result<PathBuf, Missing> {
    // target/debug/deps/test-1234, or target/release/program
    let own = env::current_exe().map_err(Missing::OwnPath)?;
    let profile = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let path = profile.and_then(Path::parent).unwrap_or(Path::new("target")).join(name);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let failed = |said| Missing::Build(script.clone(), said);
    let built = Command::new(&script).arg(&path).output().map_err(|error| failed(error.to_string()))?;
    let said = || String::from_utf8_lossy(&built.stderr).trim().to_owned();
    match built.status.code() {
        Some(0) => Ok(path),
        Some(NO_TOOLS) => Err(Missing::Tools(said())),
        _ => Err(failed(said())),
    }
}

/// The same, for tests that are left out without it; `left_out` says which. Whoever relies on them ([`must_judge`]) gets the error.
///
/// # Errors
/// As [`built`], where nothing may be left out.
pub fn unless_missing<T>(left_out: &str, made: Result<T, Missing>) -> Result<Option<T>, Missing> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err(missing) if must_judge() => Err(missing),
        Err(missing) => {
            println!("{left_out}: {missing}");
            Ok(None)
        }
    }
}
