//! `logging`: the part of the configuration that all components of Kubernetes share.

use serde::{Serialize, Serializer};

use super::default;
use crate::{
    duration::GoDuration,
    fields::{Fields, Section, Value},
    tree::Node,
};

/// `logging`
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// `text` or `json`.
    pub format: String,
    /// How long lines may wait in a buffer.
    pub flush_frequency: FlushFrequency,
    /// How much is logged.
    pub verbosity: u32,
    /// How much is logged by single source files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vmodule: Vec<VModuleItem>,
    /// What one format has and the other has not.
    pub options: FormatOptions,
}

/// A duration that old files hold as a number of nanoseconds. It is written as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushFrequency {
    /// The duration.
    pub duration: GoDuration,
    /// Whether it is written as a number.
    pub as_number: bool,
}

/// `logging.vmodule[]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VModuleItem {
    /// Names of kube-proxy's source files.
    pub file_pattern: String,
    /// How much they log.
    pub verbosity: u32,
}

/// `logging.options`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FormatOptions {
    /// In text format.
    pub text: OutputRouting,
    /// In JSON format.
    pub json: OutputRouting,
}

/// `logging.options.text` and `.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputRouting {
    /// Whether errors go to stderr and everything else to stdout.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub split_stream: bool,
    /// Bytes of a buffer for what is no error: a Kubernetes quantity, as it was written.
    pub info_buffer_size: String,
}

impl Section for Logging {
    fn read(fields: &mut Fields<'_>) -> Self {
        let mut logging = Self {
            format: fields.value("format"),
            flush_frequency: fields.value("flushFrequency"),
            verbosity: fields.value("verbosity"),
            vmodule: fields.sections("vmodule"),
            options: fields.section("options"),
        };
        if logging.format.is_empty() {
            default::LOG_FORMAT.clone_into(&mut logging.format);
        }
        if logging.flush_frequency.duration == GoDuration::ZERO {
            logging.flush_frequency = FlushFrequency { duration: default::FLUSH_FREQUENCY, as_number: false };
        }
        logging
    }
}

impl Section for VModuleItem {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self { file_pattern: fields.value("filePattern"), verbosity: fields.value("verbosity") }
    }
}

impl Section for FormatOptions {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self { text: fields.section("text"), json: fields.section("json") }
    }
}

impl Section for OutputRouting {
    fn read(fields: &mut Fields<'_>) -> Self {
        let Quantity(info_buffer_size) = fields.value("infoBufferSize");
        Self { split_stream: fields.value("splitStream"), info_buffer_size }
    }
}

impl OutputRouting {
    /// Whether the size of the buffer is 0, in whatever unit.
    pub(crate) fn has_no_buffer(&self) -> bool {
        self.info_buffer_size.chars().all(|c| !c.is_ascii_digit() || c == '0')
    }
}

impl Default for OutputRouting {
    fn default() -> Self {
        Self { split_stream: false, info_buffer_size: Quantity::default().0 }
    }
}

impl Default for FlushFrequency {
    fn default() -> Self {
        Self { duration: GoDuration::ZERO, as_number: true }
    }
}

impl Value for FlushFrequency {
    const EXPECTED: &'static str = GoDuration::EXPECTED;

    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Null => Some(Self::default()),
            Node::Int(number) => {
                let duration = GoDuration::nanoseconds(i64::try_from(*number).ok()?);
                Some(Self { duration, as_number: true })
            }
            node => GoDuration::of(node).map(|duration| Self { duration, as_number: false }),
        }
    }
}

impl Serialize for FlushFrequency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.as_number {
            serializer.serialize_i64(self.duration.as_nanoseconds())
        } else {
            self.duration.serialize(serializer)
        }
    }
}

/// A size, as a number or as text such as `64Ki`.
struct Quantity(String);

impl Default for Quantity {
    fn default() -> Self {
        Self("0".to_owned())
    }
}

impl Value for Quantity {
    const EXPECTED: &'static str = "a number of bytes (such as 512, 64Ki or 1M)";

    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Null => Some(Self::default()),
            Node::Int(number) => Some(Self(number.to_string())),
            Node::Text(text) => is_quantity(text).then(|| Self(text.clone())),
            _ => None,
        }
    }
}

/// Digits, perhaps with a point, and a suffix of `resource.Quantity`.
pub(crate) fn is_quantity(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let suffix = digits.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = digits.strip_suffix(suffix).unwrap_or_default();
    let suffixes = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    text.len() <= digits.len() + 1 && number.parse::<f64>().is_ok() && suffixes.contains(&suffix)
}
