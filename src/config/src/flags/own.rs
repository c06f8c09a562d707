//! Flags that kube-proxy does not have.

use clap::Args;

/// Flags that kube-proxy does not have. They may stand beside `--config`.
#[derive(Debug, Clone, Default, Args)]
pub struct OwnFlags {
    /// The same as --proxy-mode, but it wins over the file's mode
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Services from Kubernetes manifests in place of the API server: a file, or a folder of *.yaml, *.yml and *.json
    #[arg(short = 'f', long, value_name = "PATH")]
    pub manifests: Option<String>,
    /// Program the manifests once, and end; needs --manifests
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub once: Option<Option<String>>,
    /// Count new connections for each frontend, for `portolan list --counters`
    ///
    /// It costs a new connection up to 2.4 %. Refused packets are always counted, which costs the others nothing.
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub count_connections: Option<Option<String>>,
    /// Also remove unanswered TCP SYN entries to endpoints that are gone, so that their clients need not wait
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub conntrack_delete_syn_sent: Option<Option<String>>,
    /// Let the API server stream its lists, in place of asking for them in pages
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub streaming_lists: Option<Option<String>>,
}
