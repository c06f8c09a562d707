//! Flags about log lines: those that all components of Kubernetes share.

use clap::Args;

/// Flags about log lines.
#[derive(Debug, Clone, Default, Args)]
pub struct LoggingFlags {
    /// How much is logged: 0 is little [default: 0]
    #[arg(short = 'v', long = "v", value_name = "NUMBER")]
    pub v: Option<String>,
    /// No effect: it names kube-proxy's source files
    #[arg(long, value_name = "PATTERN=N[,...]")]
    pub vmodule: Vec<String>,
    /// How log lines are written: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub logging_format: Option<String>,
    /// No effect: lines are written at once [default: 5s]
    #[arg(long, value_name = "DURATION")]
    pub log_flush_frequency: Option<String>,
    /// In text format, errors to stderr and everything else to stdout (feature gate LoggingAlphaOptions)
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub log_text_split_stream: Option<Option<String>>,
    /// No effect: lines are written at once (feature gate LoggingAlphaOptions) [default: 0]
    #[arg(long, value_name = "SIZE")]
    pub log_text_info_buffer_size: Option<String>,
    /// In JSON format, errors to stderr and everything else to stdout (feature gate LoggingAlphaOptions)
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub log_json_split_stream: Option<Option<String>>,
    /// No effect: lines are written at once (feature gate LoggingAlphaOptions) [default: 0]
    #[arg(long, value_name = "SIZE")]
    pub log_json_info_buffer_size: Option<String>,
}
