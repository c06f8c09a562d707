//! Log lines on stderr; stdout belongs to what a command was asked for.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging for the whole process. The environment variable `RUST_LOG` says what is logged; `info` where it is
/// not set. A value that makes no sense is reported and ignored, part by part.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
}
