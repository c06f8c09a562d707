//! A process with a log.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::Error;

/// So many lines of a log say why a component failed.
const LAST_WORDS: usize = 20;

/// A process with a log; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Component {
    pub(super) name: String,
    process: Child,
    log: PathBuf,
}

impl Component {
    /// Starts it, with a log of its name in `folder`, which goes on where the last one of its name ended.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self, Error> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file.map_err(Error::system(log.display().to_string()))?)
            .spawn()
            .map_err(Error::system(format!("{name} cannot be started")))?;
        Ok(Self { name: name.to_owned(), process, log })
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    pub(crate) fn must_live(&mut self) -> Result<(), Error> {
        match self.ended() {
            None => Ok(()),
            Some(_) => Err(Error::Ended { component: self.name.clone(), log: self.last_words() }),
        }
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(mut self, signal: Signal) -> Result<ExitStatus, Error> {
        if let Some(status) = self.ended() {
            return Ok(status);
        }
        let failed = || Error::system(format!("{signal} for {}", self.name));
        let process = i32::try_from(self.process.id()).map_err(|_| failed()(Errno::ESRCH.into()))?;
        kill(Pid::from_raw(process), signal).map_err(|errno| failed()(errno.into()))?;
        let failed = failed();
        self.process.wait().map_err(failed)
    }

    /// All that it has logged; nothing where that cannot be read.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it logged last, for messages.
    pub(crate) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
