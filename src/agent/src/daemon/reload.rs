//! The configuration file while the daemon runs: what can be followed is, at once; what has a mistake or needs a restart
//! never ends the process. Five hundred nodes see an edit of a ConfigMap within a minute, outside of what
//! `maxUnavailable` allows: the old configuration stays, as a whole, with a log line, an Event and a metric.

use std::{io, path::Path, sync::Arc};

use portolan_config::{Flags, Problems, Reload, Resolved, Settings, resolve};
use portolan_kube::NoticeType;

use super::configuration::{self, Shown};
use crate::{
    config_file::ConfigFile,
    events::Reporter,
    logging::Verbosity,
    mailbox::Mailbox,
    manifest::WatchError,
    metrics::Metrics,
    sync_loop::{ErrorChain, Message},
    sysctl,
};

/// Why the old configuration stays.
#[derive(Debug, thiserror::Error)]
enum NotFollowed {
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    #[error(transparent)]
    Mistakes(#[from] Problems),
    #[error("{} cannot be followed without a restart", .0.join(", "))]
    NeedsRestart(Vec<String>),
}

/// Follows the file, if there is one.
pub(super) struct Reloader<'a> {
    flags: &'a Flags,
    file: Option<ConfigFile>,
    current: Resolved,
    shown: Shown,
    verbosity: Verbosity,
    reporter: Reporter,
    metrics: Arc<Metrics>,
}

impl<'a> Reloader<'a> {
    /// Watches the file that was read as `text`. Must be called inside a tokio runtime.
    pub(super) fn new(
        flags: &'a Flags,
        text: Option<String>,
        current: Resolved,
        shown: Shown,
        verbosity: Verbosity,
        reporter: Reporter,
        metrics: Arc<Metrics>,
    ) -> Self {
        let file = flags.config().zip(text).map(|(path, text)| ConfigFile::watch(path.into(), text));
        let file = file.transpose().unwrap_or_else(|error| {
            not_followed(&error);
            None
        });
        Self { flags, file, current, shown, verbosity, reporter, metrics }
    }

    /// Takes over every change, for ever.
    pub(super) async fn follow(&mut self, mailbox: &Mailbox<Message>) {
        let Some(mut file) = self.file.take() else { return std::future::pending().await };
        loop {
            let read = match file.changed().await {
                Ok(read) => read,
                Err(error) => {
                    not_followed(&error);
                    return std::future::pending().await;
                }
            };
            let outcome = match read {
                Ok(text) => self.take_over(&text, mailbox).await,
                Err(error) => Err(NotFollowed::Unreadable(error)),
            };
            self.metrics.config_read(outcome.is_err());
            if let Err(why) = outcome {
                let why = ErrorChain(&why);
                let note = format!("the configuration file was changed and is not followed; the old one stays: {why}");
                tracing::error!("{note}");
                self.reporter.node(NoticeType::Warning, "ConfigurationNotFollowed", "ReloadConfiguration", note);
            }
        }
    }

    /// Takes over a new text, or says why not.
    async fn take_over(&mut self, text: &str, mailbox: &Mailbox<Message>) -> Result<(), NotFollowed> {
        let new = resolve(self.flags, Some(text))?;
        for warning in new.warnings.iter().filter(|warning| !self.current.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        match Reload::between(&self.current, &new) {
            Reload::Same => tracing::info!("the configuration file was changed: nothing in it is different"),
            Reload::NeedsRestart { fields } => {
                return Err(NotFollowed::NeedsRestart(fields));
            }
            Reload::Live { changed } => {
                let settings = Settings::new(&new, &configuration::host_name())?;
                self.verbosity.set(settings.logging.verbosity);
                if changed.iter().any(|field| field.starts_with("conntrack.")) {
                    self.metrics.sysctls_failed(sysctl::apply(
                        Some(&settings.conntrack),
                        configuration::served_by(&settings),
                        Path::new("/"),
                    ));
                }
                let message = Message::Configure(Box::new(configuration::of_sync_loop(&settings)));
                // Gone only when the process ends.
                let _ = mailbox.send(message).await;
                tracing::info!(changed = changed.join(", "), "the configuration file was changed: it is followed");
            }
        }
        if new.unknown_gates() != self.current.unknown_gates() {
            configuration::report_unknown_gates(&new, &self.reporter);
        }
        self.shown.set(&new);
        self.current = new;
        Ok(())
    }
}

/// A node may have given all its inotify instances to others: no reason to serve nobody.
fn not_followed(error: &WatchError) {
    tracing::warn!(
        "changes of the configuration file are not followed: {}; everything else works, and a restart reads the file again",
        ErrorChain(error)
    );
}
