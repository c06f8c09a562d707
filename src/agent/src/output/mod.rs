//! What commands print on stdout: tables for people, JSON for programs.

mod counters;
mod findings;
mod frontends;
mod table;
mod trace;

use std::io::{self, Write};

use serde::Serialize;

pub use counters::{counters_json, counters_table};
pub use findings::{Problem, findings_table};
pub use frontends::{Listed, frontends_json, frontends_table};
pub use trace::{Traced, trace_json, trace_text};

/// Prints to stdout. A reader that went away, such as `head`, has seen enough: that is no error.
///
/// # Errors
/// When stdout cannot be written to.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes anything as JSON that people can read too.
///
/// # Errors
/// When `out` cannot be written to.
pub fn json(out: &mut dyn Write, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
