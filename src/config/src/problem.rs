//! What is wrong with a configuration, and what in it has no effect: one line each, all of them at once.

use std::fmt;

use portolan_core::text::excerpt;

/// A value that stops the start, or keeps the old configuration where it comes by an edit of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field's path in the file (`conntrack.maxPerCore`), or the flag (`--conntrack-min`).
    pub path: String,
    /// The value, on one line and bounded; nothing where something is missing.
    pub value: Option<String>,
    /// The rule that it breaks. The text follows the path and the value: "`mode` = `x` is not ...".
    pub rule: String,
    /// What to do.
    pub advice: String,
}

/// What is accepted and not followed, and why. It has the same parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub Problem);

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems {
    /// What stops the start; one at least.
    pub problems: Vec<Problem>,
    /// What has no effect besides.
    pub warnings: Vec<Warning>,
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], warnings: Vec::new() }
    }
}

impl From<Findings> for Problems {
    fn from(Findings { problems, warnings }: Findings) -> Self {
        Self { problems, warnings }
    }
}

impl Problem {
    /// A value, the rule that it breaks, and what to do.
    pub fn new(
        path: impl Into<String>,
        value: impl fmt::Display,
        rule: impl fmt::Display,
        advice: impl Into<String>,
    ) -> Self {
        let value = Some(excerpt(&value.to_string()));
        Self { path: path.into(), value, rule: rule.to_string(), advice: advice.into() }
    }

    /// The same where there is no value to show.
    pub fn without_value(path: impl Into<String>, rule: impl fmt::Display, advice: impl Into<String>) -> Self {
        Self { path: path.into(), value: None, rule: rule.to_string(), advice: advice.into() }
    }
}

/// One line: field, value, rule, what to do.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", excerpt(&self.path))?;
        if let Some(value) = &self.value {
            write!(f, " = `{value}`")?;
        }
        write!(f, " {}; {}", self.rule, self.advice)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What was found on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// What stops it.
    pub(crate) problems: Vec<Problem>,
    /// What does not.
    pub(crate) warnings: Vec<Warning>,
}

impl Findings {
    pub(crate) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(crate) fn warning(&mut self, warning: Problem) {
        self.warnings.push(Warning(warning));
    }
}
