//! Credential plug-ins: the program that a kubeconfig names (`users[].user.exec`), which prints a token or a certificate.
//!
//! ```text
//!   request --> credential --- there, not over, not refused (401) ---> the one from before
//!                   |
//!                   '--> process: a child with a time limit --> answer: what it printed
//! ```
//!
//! As client-go has it, but that nobody is ever asked anything: a proxy has no terminal. Neither what a plug-in prints nor
//! what it is given by its environment ever comes into a message, since either may be a secret.

mod answer;
mod process;

use std::{process::ExitStatus, sync::Arc};

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use tokio::time::Instant;

pub(crate) use self::answer::Credential;
use crate::observe::{PluginCall, RequestObserver};

/// The versions of the API that client-go talks with plug-ins.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// Why a kubeconfig's plug-in cannot be asked at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginMistake {
    /// Nothing to run.
    #[error("command is not given")]
    NoCommand,
    /// A language that plug-ins do not speak any more, or not yet.
    #[error("apiVersion is not one of {}", VERSIONS.join(", "))]
    ApiVersion,
    /// It cannot do without somebody at a terminal.
    #[error("interactiveMode is Always, and nobody can answer it here")]
    Interactive,
    /// The environment has something nameless.
    #[error("an entry of env has no name")]
    NoName,
}

/// Why a plug-in gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error("it cannot be started: {0}")]
    Start(#[source] std::io::Error),
    #[error("it did not end within {} s, and was killed", process::LIMIT.as_secs())]
    Late,
    #[error("it failed ({0}); run it by hand to see what it says, which is kept out of the log")]
    Failed(ExitStatus),
    #[error("what it printed is {0}")]
    Answer(&'static str),
}

/// The plug-in of a kubeconfig, and what it said last.
pub(crate) struct Plugin {
    exec: ExecConfig,
    credential: Option<Arc<Credential>>,
    /// When it last gave nothing, and why.
    failed: Option<(Instant, String)>,
}

impl Plugin {
    /// Nothing is run yet.
    pub(crate) fn new(exec: ExecConfig) -> Result<Self, PluginMistake> {
        let has_names = |env: &Vec<_>| env.iter().all(|entry| process::name(entry).is_some());
        if exec.command.as_ref().is_none_or(String::is_empty) {
            Err(PluginMistake::NoCommand)
        } else if !exec.api_version.as_ref().is_some_and(|version| VERSIONS.contains(&version.as_str())) {
            Err(PluginMistake::ApiVersion)
        } else if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
            Err(PluginMistake::Interactive)
        } else if !exec.env.as_ref().is_none_or(has_names) {
            Err(PluginMistake::NoName)
        } else {
            Ok(Self { exec, credential: None, failed: None })
        }
    }

    /// The credential to use. Whoever has waited since before a failure is told of that one: a plug-in that hangs is not
    /// asked by each of them in turn.
    pub(crate) async fn credential(
        &mut self,
        since: Instant,
        observer: &dyn RequestObserver,
    ) -> Result<Arc<Credential>, String> {
        if let Some(credential) = self.credential.as_ref().filter(|known| known.expires.is_none_or(is_to_come)) {
            return Ok(Arc::clone(credential));
        }
        if let Some((_, why)) = self.failed.as_ref().filter(|(when, _)| *when >= since) {
            return Err(why.clone());
        }
        match self.ask(observer).await {
            Ok(credential) => {
                let credential = Arc::new(credential);
                (self.credential, self.failed) = (Some(Arc::clone(&credential)), None);
                Ok(credential)
            }
            Err(error) => {
                let command = self.exec.command.as_deref().unwrap_or_default();
                let why = format!("there is nothing to authenticate with: the credential plug-in `{command}`: {error}");
                self.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    /// The API server does not take this credential: it is not used any more.
    pub(crate) fn refused(&mut self, credential: &Arc<Credential>) {
        self.credential.take_if(|current| Arc::ptr_eq(current, credential));
    }

    async fn ask(&self, observer: &dyn RequestObserver) -> Result<Credential, PluginError> {
        let printed = process::run(&self.exec, &answer::question(&self.exec)).await;
        observer.plugin_called(match &printed {
            Ok(_) => PluginCall::Ended,
            Err(PluginError::Failed(status)) => PluginCall::Failed(status.code()),
            Err(PluginError::Start(_)) => PluginCall::NotStarted,
            Err(PluginError::Late | PluginError::Answer(_)) => PluginCall::Failed(None),
        });
        answer::read(&printed?, self.exec.api_version.as_deref().unwrap_or_default())
    }
}

fn is_to_come(time: Timestamp) -> bool {
    time > Timestamp::now()
}
