//! What in the manifests could not be used, and why: the file, the place in it, the rule, what still works and what to
//! do. Wrong fields inside an object are found later, by [`portolan_core::ingest`].

use std::{fmt, path::Path, sync::Arc};

use portolan_core::ingest::{Kind, ObjectRef};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use portolan_core::text::{excerpt, printable};

/// A file, a document or an object that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file or folder that it stands in.
    pub file: Arc<Path>,
    /// Where in the file.
    pub place: Place,
    /// Kind and name of the object as far as they are known, printable; empty where the whole file is refused.
    pub object: String,
    /// The rule that it breaks.
    pub reason: Reason,
}

/// Where in a file something stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Which document of a YAML stream, from 1; empty ones are not counted. `None` for a JSON file or a whole file.
    pub document: Option<usize>,
    /// Which entry of a List's `items`, from 0 as in a JSON path.
    pub item: Option<usize>,
}

/// Why something is refused. Texts of parsers and of the operating system are printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The operating system does not let us read it.
    Unreadable(String),
    /// A device, a pipe or a socket.
    NotAFile,
    /// It was written to while it was read; it is read again as soon as its writer has closed it.
    BeingWritten,
    /// Not YAML, or YAML beyond the limits on nesting and aliases.
    NotYaml {
        /// Line and column, where the parser knows them.
        at: Option<(u64, u64)>,
        /// What the parser says.
        message: String,
    },
    /// Not JSON, or a List without the form of one.
    NotJson {
        /// Line and column.
        at: Option<(u64, u64)>,
        /// What the parser says.
        message: String,
    },
    /// A document that is a plain value or a sequence: the file is something else than a manifest.
    NoManifest,
    /// An item of a List that is a plain value or a sequence.
    NotAnObject,
    /// No `kind`, or one that is no text.
    NoKind,
    /// A kind that means nothing to a service proxy.
    UnknownKind(String),
    /// A kind that Portolan reads, in another API group or version.
    OtherVersion {
        /// The kind.
        kind: Kind,
        /// The group and version that the document has; empty for none.
        found: String,
    },
    /// An object that has not even the outer form of its kind.
    Malformed(String),
    /// The same object stands earlier too, in this file or another.
    Duplicate {
        /// Where it is taken from.
        first: Arc<Path>,
    },
}

impl Reason {
    /// Whether the whole file is refused, not a part of it.
    #[must_use]
    pub const fn is_whole_file(&self) -> bool {
        match self {
            Self::Unreadable(_)
            | Self::NotAFile
            | Self::BeingWritten
            | Self::NotYaml { .. }
            | Self::NotJson { .. }
            | Self::NoManifest => true,
            Self::NotAnObject
            | Self::NoKind
            | Self::UnknownKind(_)
            | Self::OtherVersion { .. }
            | Self::Malformed(_)
            | Self::Duplicate { .. } => false,
        }
    }

    /// The field that breaks the rule, and its value; empty where there is none.
    fn field(&self) -> (&'static str, &str) {
        match self {
            Self::NoKind => ("kind", ""),
            Self::UnknownKind(kind) => ("kind", kind),
            Self::OtherVersion { found, .. } => ("apiVersion", found),
            Self::Duplicate { .. } => ("metadata.name", ""),
            _ => ("", ""),
        }
    }

    const fn effect(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "the earlier one is used",
            _ if self.is_whole_file() => {
                "the objects that were read from it before stay, and nothing is deleted before it was read once"
            }
            _ => "it is ignored, everything else is used",
        }
    }

    const fn advice(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "make it readable or take it away",
            Self::NotAFile => "put a regular file in its place or take it away",
            Self::BeingWritten => "close it, or write to another name and rename it",
            Self::UnknownKind(_) => "keep it in a file that Portolan is not given",
            Self::Duplicate { .. } => "take one of them away",
            _ => "correct it",
        }
    }
}

/// The rule that is broken: "is not ...".
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parser = |f: &mut fmt::Formatter<'_>, format: &str, at: &Option<(u64, u64)>, message: &str| {
            write!(f, "cannot be read as {format}: ")?;
            if let Some((line, column)) = at {
                write!(f, "line {line}, column {column}: ")?;
            }
            f.write_str(message)
        };
        match self {
            Self::Unreadable(message) => write!(f, "cannot be read: {message}"),
            Self::NotAFile => f.write_str("is not a regular file"),
            Self::BeingWritten => f.write_str("was written to while it was read"),
            Self::NotYaml { at, message } => parser(f, "YAML", at, message),
            Self::NotJson { at, message } => parser(f, "JSON", at, message),
            Self::NoManifest => {
                f.write_str("holds something else than objects with `apiVersion`, `kind` and `metadata`")
            }
            Self::NotAnObject => f.write_str("is not an object with `apiVersion`, `kind` and `metadata`"),
            Self::NoKind => f.write_str("is missing or is not text"),
            Self::UnknownKind(_) => f.write_str(
                "is not a kind that Portolan reads (Service, EndpointSlice, Node, ServiceCIDR and Lists of them)",
            ),
            Self::OtherVersion { kind, .. } => {
                write!(f, "is not {}, the version of {kind} that Portolan reads", super::object::api_version(*kind))
            }
            Self::Malformed(message) => write!(f, "does not have the form of its kind: {message}"),
            Self::Duplicate { first } => write!(f, "is in {} already", printable(&first.to_string_lossy())),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.document, self.item) {
            (Some(document), Some(item)) => write!(f, "document {document}, items[{item}]"),
            (Some(document), None) => write!(f, "document {document}"),
            (None, Some(item)) => write!(f, "items[{item}]"),
            (None, None) => Ok(()),
        }
    }
}

/// One line: file, place, object, field, value, rule, what still works, what to do.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file.to_string_lossy()))?;
        if self.place != Place::default() {
            write!(f, ": {}", self.place)?;
        }
        if !self.object.is_empty() {
            write!(f, ": {}", self.object)?;
        }
        let (field, value) = self.reason.field();
        if !field.is_empty() {
            write!(f, ": `{field}`")?;
        }
        if !value.is_empty() {
            write!(f, " = `{}`", excerpt(value))?;
        }
        write!(f, " {}; {}; {}", self.reason, self.reason.effect(), self.reason.advice())
    }
}

/// The parts of the line by name, as a [`Finding`](portolan_core::ingest::Finding) has them; `object` is text here, and
/// `file` and `place` come before it.
impl Serialize for Refused {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (field, value) = self.reason.field();
        let mut all = serializer.serialize_struct("Refused", 9)?;
        all.serialize_field("severity", "rejected")?;
        all.serialize_field("file", &printable(&self.file.to_string_lossy()))?;
        all.serialize_field("place", &format_args!("{}", self.place))?;
        all.serialize_field("object", &self.object)?;
        all.serialize_field("field", field)?;
        all.serialize_field("value", &excerpt(value))?;
        all.serialize_field("reason", &format_args!("{}", self.reason))?;
        all.serialize_field("effect", self.reason.effect())?;
        all.serialize_field("advice", self.reason.advice())?;
        all.end()
    }
}

impl Refused {
    pub(super) fn file(file: &Arc<Path>, reason: Reason) -> Self {
        Self { file: Arc::clone(file), place: Place::default(), object: String::new(), reason }
    }

    pub(super) fn duplicate(file: &Arc<Path>, place: Place, object: &ObjectRef, first: &Arc<Path>) -> Self {
        let reason = Reason::Duplicate { first: Arc::clone(first) };
        Self { file: Arc::clone(file), place, object: object.to_string(), reason }
    }
}
