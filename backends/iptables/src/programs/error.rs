//! Why the programs of iptables cannot be used, or what became of one that was run.

use std::{fmt, path::PathBuf};

use super::{ChildError, FOLDERS, Holder, PATIENCE, Variant, Version, lock};

/// Why one IP family cannot be programmed on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoFamily {
    /// There is no such program.
    #[error("{0} is in none of {folders}", folders = FOLDERS.join(", "))]
    NoProgram(String),
    /// It has no IPv6, or it is switched off.
    #[error("the kernel has IPv6 switched off (/proc/net/if_inet6, net.ipv6.conf.all.disable_ipv6)")]
    SwitchedOff,
    /// The kernel cannot do it, or does not let us.
    #[error("{program} cannot read table nat: {complaint}")]
    Refused {
        /// The program that was asked.
        program: String,
        /// What it answered.
        complaint: String,
    },
}

/// Why this node cannot be programmed by iptables.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// Neither kind is there.
    #[error(
        "no programs of iptables are on this node: neither iptables-nft-restore nor iptables-legacy-restore is in any of \
         {folders}; install the package iptables ({oldest} or newer), or choose --mode=nftables, which needs no programs",
        folders = FOLDERS.join(", "), oldest = Version::OLDEST
    )]
    Missing,
    /// The kind that the node's kubelet uses is not there.
    #[error(
        "the kubelet of this node uses iptables-{variant} (the chain KUBE-IPTABLES-HINT or KUBE-KUBELET-CANARY in table mangle \
         says so), and iptables-{variant}-restore is in none of {folders}: install it, or choose --mode=nftables, which needs no \
         programs",
        folders = FOLDERS.join(", ")
    )]
    OtherVariant {
        /// What the kubelet uses.
        variant: Variant,
    },
    /// It cannot do what is needed.
    #[error(
        "{} is of iptables {version}, which knows no --random-fully: install iptables {oldest} or newer, or choose \
         --mode=nftables, which needs no programs", program.display(), oldest = Version::OLDEST
    )]
    TooOld {
        /// Its path.
        program: PathBuf,
        /// What it says it is.
        version: Version,
    },
    /// No IP family can be programmed.
    #[error(
        "iptables cannot be used on this node: {0}; run as root with CAP_NET_ADMIN, load the kernel's modules of iptables, or \
         choose another --mode"
    )]
    Unusable(#[source] NoFamily),
}

/// Why a program did not print or change rules.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It did not run to its end.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// Another program had the lock all the time.
    #[error(
        "{}: the lock {file} was held by another program for more than {PATIENCE} s{}",
        program.display(), Held(.holder), file = lock::FILE
    )]
    Locked {
        /// Its path.
        program: PathBuf,
        /// Who has it now.
        holder: Option<Holder>,
    },
    /// It ended badly.
    #[error("{}: {complaint}", program.display())]
    Failed {
        /// Its path.
        program: PathBuf,
        /// What it said, or how it ended.
        complaint: String,
    },
    /// It is not there for this IP family.
    #[error(transparent)]
    NoFamily(#[from] NoFamily),
}

struct Held<'a>(&'a Option<Holder>);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => write!(f, ", now by {holder}"),
            None => Ok(()),
        }
    }
}
