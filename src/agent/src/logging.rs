//! Log lines on stderr; stdout belongs to what a command was asked for.
//!
//! | `-v` | what is logged |
//! | --- | --- |
//! | 0 to 3 | what an operator should know |
//! | 4, 5 | each decision of Portolan's |
//! | 6, 7 | every step of it |
//! | 8 and more | the libraries too: requests to the API server, TLS |
//!
//! The environment variable `RUST_LOG`, where it is set, says it in more detail and wins.

use std::{env, io};

use portolan_config::{LogFormat, LoggingSettings};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Registry,
    filter::LevelFilter,
    fmt::writer::{BoxMakeWriter, MakeWriterExt as _},
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

mod json;

/// Says how much is logged from now on.
#[derive(Debug, Clone)]
pub struct Verbosity(reload::Handle<EnvFilter, Registry>);

/// How commands other than the daemon log.
pub const PLAIN: LoggingSettings = LoggingSettings { format: LogFormat::Text, verbosity: 0, split_stream: false };

/// Starts logging for the whole process. A `RUST_LOG` that makes no sense is reported and ignored, part by part.
pub fn start(settings: LoggingSettings) -> Verbosity {
    let LoggingSettings { format, verbosity, split_stream } = settings;
    let (filter, handle) = reload::Layer::new(filter(verbosity));
    let logs = tracing_subscriber::fmt::layer().with_writer(if split_stream {
        BoxMakeWriter::new(io::stderr.with_max_level(Level::ERROR).or_else(io::stdout))
    } else {
        BoxMakeWriter::new(io::stderr)
    });
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(logs.with_target(false).with_ansi(is_terminal)).init();
        }
        LogFormat::Json => registry.with(logs.event_format(json::Lines)).init(),
    }
    Verbosity(handle)
}

impl Verbosity {
    /// Logs as `-v` says.
    pub fn set(&self, verbosity: u32) {
        if let Err(error) = self.0.reload(filter(verbosity)) {
            tracing::error!(%error, "the verbosity of the log cannot be changed");
        }
    }
}

fn filter(verbosity: u32) -> EnvFilter {
    if env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
        return EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    }
    EnvFilter::new(match verbosity {
        // kube-rs logs each lost watch, which Portolan tells itself.
        0..=3 => "info,kube_client=error,kube_runtime=error",
        4..=5 => "info,kube_client=warn,kube_runtime=warn,portolan=debug",
        6..=7 => "info,portolan=trace",
        _ => "trace",
    })
}
