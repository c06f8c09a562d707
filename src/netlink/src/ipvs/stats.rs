//! What has come to a virtual server or a destination since it was made (`IPVS_STATS_ATTR_*`).

use super::uapi::stats;
use crate::{attr::Attr, fields::Fields};

/// Counts, which the kernel sums up every two seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that were scheduled.
    pub connections: u64,
    /// Packets of clients.
    pub packets_in: u64,
    /// Packets to clients; 0 where answers do not come by (tunnel, direct routing).
    pub packets_out: u64,
    /// Bytes of clients, IP headers included.
    pub bytes_in: u64,
    /// Bytes to clients, IP headers included.
    pub bytes_out: u64,
}

impl Stats {
    /// Reads the counts of 64 bits, or, of a kernel before 4.1, those of which some have 32. What is missing is 0.
    pub(super) fn parse(fields: Fields<'_>, wide: u16, narrow: u16) -> Self {
        let counts = fields.get(wide).or_else(|| fields.get(narrow)).map(|attr| attr.nested());
        let count =
            |kind| counts.and_then(|counts| counts.get(kind)).and_then(|attr| number(&attr)).unwrap_or_default();
        Self {
            connections: count(stats::CONNS),
            packets_in: count(stats::INPKTS),
            packets_out: count(stats::OUTPKTS),
            bytes_in: count(stats::INBYTES),
            bytes_out: count(stats::OUTBYTES),
        }
    }
}

fn number(attr: &Attr<'_>) -> Option<u64> {
    attr.u64().or_else(|| attr.u32().map(u64::from))
}
