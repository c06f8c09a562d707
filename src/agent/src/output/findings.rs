//! What was refused, or is served otherwise than written.

use std::{
    fmt,
    io::{self, Write},
};

use portolan_core::ingest::Finding;
use serde::Serialize;

use crate::manifest::Refused;

/// Something that the author of a manifest should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Problem {
    /// About a file, a document or a whole object.
    Manifest(Refused),
    /// About a field of an object.
    Object(Finding),
}

impl Problem {
    /// Whether something was refused: what `run --once` exits with 3 for.
    #[must_use]
    pub const fn is_rejection(&self) -> bool {
        match self {
            Self::Manifest(_) => true,
            Self::Object(finding) => finding.is_rejection(),
        }
    }
}

/// One line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(refused) => refused.fmt(f),
            Self::Object(finding) => finding.fmt(f),
        }
    }
}

/// One line each: they are sentences, which no column is wide enough for.
///
/// # Errors
/// When `out` cannot be written to.
pub fn findings_table(out: &mut dyn Write, problems: &[Problem]) -> io::Result<()> {
    let rows: Vec<_> = problems
        .iter()
        .map(|problem| {
            let severity = if problem.is_rejection() { "rejected" } else { "warned" };
            [severity.to_owned(), problem.to_string()]
        })
        .collect();
    super::table::table(out, ["SEVERITY", "FINDING"], &rows)
}
