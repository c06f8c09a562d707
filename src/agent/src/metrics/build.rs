//! Which program this is, in the words of Kubernetes' components.

use std::env::consts;

use portolan_config::ANCHOR;

/// What /statusz and `kubernetes_build_info` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// Portolan's own version.
    pub version: &'static str,
    /// Where components say which Go they were compiled with.
    pub language: &'static str,
    /// Of the release of Kubernetes whose kube-proxy this stands for.
    pub major: &'static str,
    /// Of the same.
    pub minor: &'static str,
}

impl Build {
    /// This program.
    pub const CURRENT: Self =
        Self { version: env!("CARGO_PKG_VERSION"), language: "none (Rust)", major: ANCHOR.major, minor: ANCHOR.minor };

    /// The release of Kubernetes whose kube-proxy this stands for: `1.37`.
    #[must_use]
    pub fn kubernetes(&self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// The version in the form that Kubernetes' components have theirs: `v1.37.2+portolan.0.1.0`. The stock alert
    /// KubeVersionMismatch compares how these begin, `v1.37`, over all components of a cluster.
    #[must_use]
    pub fn git_version(&self) -> String {
        format!("v{}.{}.{}+portolan.{}", ANCHOR.major, ANCHOR.minor, ANCHOR.patch, self.version)
    }

    /// Operating system and processor, as Go calls them: `linux/amd64`.
    #[must_use]
    pub fn platform(&self) -> String {
        let processor = match consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        format!("{}/{processor}", consts::OS)
    }
}
