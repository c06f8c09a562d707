//! The ways to program the kernel.

use std::fmt;

/// `mode`, `--proxy-mode`, `--mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Tables of nf_tables.
    Nftables,
    /// IP Virtual Server.
    Ipvs,
    /// Chains of iptables.
    Iptables,
}

impl Mode {
    /// All of them, as kube-proxy lists them.
    pub const ALL: [Self; 3] = [Self::Iptables, Self::Ipvs, Self::Nftables];

    /// kube-proxy's name, which is also what /proxyMode answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Ipvs => "ipvs",
            Self::Iptables => "iptables",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
