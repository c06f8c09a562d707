//! Rejections and warnings as one thing, for logs and for `list --rejected`.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{
    reference::ObjectRef,
    rejection::{Rejection, RejectionReason, Unit},
    warning::{Warning, WarningReason},
};

/// Something that its author should know about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A part of the object is not served.
    Rejected(Rejection),
    /// A part of the object is served otherwise than written.
    Warned(Warning),
}

impl Finding {
    /// Which object it is about.
    #[must_use]
    pub const fn object(&self) -> &ObjectRef {
        match self {
            Self::Rejected(rejection) => &rejection.object,
            Self::Warned(warning) => &warning.object,
        }
    }

    /// Field and value: what is new when it changes.
    pub(crate) fn place(&self) -> (&str, &str) {
        match self {
            Self::Rejected(rejection) => (&rejection.field, &rejection.value),
            Self::Warned(warning) => (&warning.field, &warning.value),
        }
    }

    /// The value that it is about, as it is shown.
    #[must_use]
    pub fn value(&self) -> &str {
        self.place().1
    }

    /// Whether something was refused.
    #[must_use]
    pub const fn is_rejection(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }
}

/// As the [`Rejection`] or [`Warning`]: one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Warned(warning) => warning.fmt(f),
        }
    }
}

/// The parts of the line by name: `severity` (`rejected` or `warned`), `object`, `field`, `value`, `reason`, `effect`,
/// `advice`.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rejected(rejection) => rejection.serialize(serializer),
            Self::Warned(warning) => warning.serialize(serializer),
        }
    }
}

/// As in a [`Finding`].
impl Serialize for Rejection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = (&self.object, self.field.as_str(), self.value.as_str());
        fields(serializer, "rejected", parts, &self.reason, &self.unit, self.advice())
    }
}

/// As in a [`Finding`].
impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = (&self.object, self.field.as_str(), self.value.as_str());
        fields(serializer, "warned", parts, &self.reason, &self.reason.effect(), self.reason.advice())
    }
}

fn fields<S: Serializer>(
    serializer: S,
    severity: &str,
    (object, field, value): (&ObjectRef, &str, &str),
    reason: &dyn fmt::Display,
    effect: &dyn fmt::Display,
    advice: &str,
) -> Result<S::Ok, S::Error> {
    let mut all = serializer.serialize_struct("Finding", 7)?;
    all.serialize_field("severity", severity)?;
    all.serialize_field("object", object)?;
    all.serialize_field("field", field)?;
    all.serialize_field("value", value)?;
    all.serialize_field("reason", &format_args!("{reason}"))?;
    all.serialize_field("effect", &format_args!("{effect}"))?;
    all.serialize_field("advice", advice)?;
    all.end()
}

/// The one line that every finding is: "object: `field` = `value` rule; what still works; what to do".
pub(super) fn line(
    f: &mut fmt::Formatter<'_>,
    (object, field, value): (&ObjectRef, &str, &str),
    rule: &dyn fmt::Display,
    effect: &dyn fmt::Display,
    advice: &str,
) -> fmt::Result {
    write!(f, "{object}: `{field}`")?;
    if !value.is_empty() {
        write!(f, " = `{value}`")?;
    }
    write!(f, " {rule}; {effect}; {advice}")
}

/// Collects what is found while one object is read.
pub(super) struct Report<'a> {
    object: &'a ObjectRef,
    findings: Vec<Finding>,
}

/// A part was refused, and the refusal is in the report already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused;

impl<'a> Report<'a> {
    pub(super) const fn of(object: &'a ObjectRef) -> Self {
        Self { object, findings: Vec::new() }
    }

    /// Refuses a unit. The value is given as it is shown, escaped and bounded.
    pub(super) fn reject(
        &mut self,
        field: fmt::Arguments<'_>,
        value: String,
        reason: RejectionReason,
        unit: Unit,
    ) -> Refused {
        let (object, field) = (self.object.clone(), field.to_string());
        self.findings.push(Finding::Rejected(Rejection { object, field, value, reason, unit }));
        Refused
    }

    /// Says of all that was refused so far that it is not one unit which is left out by it, but another one.
    pub(super) fn widen(&mut self, from: Unit, to: Unit) {
        for finding in &mut self.findings {
            if let Finding::Rejected(rejection) = finding
                && rejection.unit == from
            {
                rejection.unit = to;
            }
        }
    }

    /// Warns about a value, given as it is shown.
    pub(super) fn warn(&mut self, field: fmt::Arguments<'_>, value: String, reason: WarningReason) {
        let (object, field) = (self.object.clone(), field.to_string());
        self.findings.push(Finding::Warned(Warning { object, field, value, reason }));
    }

    pub(super) const fn object(&self) -> &'a ObjectRef {
        self.object
    }

    pub(super) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}
