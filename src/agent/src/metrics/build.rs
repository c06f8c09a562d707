//! Which program this is, in the words of Kubernetes' components.

use std::env::consts;

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
        Self { version: env!("CARGO_PKG_VERSION"), language: "none (Rust)", major: "1", minor: "36" };

    /// The release of Kubernetes whose kube-proxy this stands for: `1.36`.
    #[must_use]
    pub fn kubernetes(&self) -> String {
        format!("{}.{}", self.major, self.minor)
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
