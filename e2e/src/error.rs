//! What can go wrong in the lab itself; what packets do is never an error here but an outcome.

use std::{io, net::SocketAddr, path::PathBuf, process::ExitStatus};

use portolan_core::addr::Protocol;

/// Why the lab, a server, a command or a scenario file does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A namespace could not be made or entered.
    #[error("network namespace of {host}")]
    Namespace {
        /// The member of the cast.
        host: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of /proc/sys could not be written.
    #[error("{path} of {host} cannot be set to {value}")]
    Sysctl {
        /// The member of the cast.
        host: &'static str,
        /// The file.
        path: String,
        /// What should be in it.
        value: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A host's addresses or links did not come to work.
    #[error("{host} is not ready: {missing}")]
    NotSettled {
        /// The member of the cast.
        host: &'static str,
        /// What does not work.
        missing: String,
    },
    /// A program could not be started.
    #[error("{program} cannot be started")]
    Start {
        /// Its name or path.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program ended with another exit status than it should.
    #[error("{command}: {status}, expected exit status {expected}\n{stderr}")]
    Ended {
        /// The command with its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The exit status that was right.
        expected: i32,
        /// What it wrote on its standard error.
        stderr: String,
    },
    /// A server could not be made.
    #[error("no {protocol} server at {address} on {host}")]
    Server {
        /// The member of the cast.
        host: &'static str,
        /// Its protocol.
        protocol: Protocol,
        /// Where it should listen.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A client could not make its socket.
    #[error("no {protocol} client on {host}")]
    Client {
        /// The member of the cast.
        host: &'static str,
        /// Its protocol.
        protocol: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nobody of this name is in the cast.
    #[error("there is no host {0:?} in the lab: see e2e/src/cast.rs")]
    UnknownHost(String),
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file is not the YAML it should be.
    #[error("{}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<serde_saphyr::Error>,
    },
    /// A flow says something that is not possible.
    #[error("{}: flow from {from} to {to}", path.display())]
    Flow {
        /// The flows.yaml.
        path: PathBuf,
        /// The flow's client.
        from: String,
        /// The flow's destination.
        to: String,
        /// Why.
        source: crate::scenario::FlowError,
    },
    /// A step says something that is not possible.
    #[error("{}: step {step:?}", path.display())]
    Step {
        /// The flows.yaml.
        path: PathBuf,
        /// Its description.
        step: String,
        /// Why.
        source: crate::scenario::StepError,
    },
    /// Something that must happen did not.
    #[error(transparent)]
    TooLate(#[from] crate::daemon::TooLate),
}

impl Error {
    /// This error and its sources, from the outermost to the innermost, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}
