//! What is said of IPVS as a whole in a network namespace.

use super::uapi::top;
use crate::{
    attr::{Attrs, Writer},
    error::Malformed,
    fields::Fields,
};

/// For how many seconds IPVS knows a connection without packets (`IPVS_CMD_ATTR_TIMEOUT_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// An established TCP connection.
    pub tcp: u32,
    /// One that was closed by one side.
    pub tcp_fin: u32,
    /// UDP: a client and its port.
    pub udp: u32,
}

/// What the kernel says of itself (`IPVS_INFO_ATTR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Its version of IPVS: 1.2.1 since 2005.
    pub version: (u8, u8, u8),
    /// Places in the table of connections; newer kernels make it larger with them, and say 0 before the first.
    pub table_size: u32,
}

impl Timeouts {
    pub(crate) fn parse(attrs: Attrs<'_>) -> Self {
        let seconds = |kind| attrs.get(kind).and_then(|attr| attr.u32()).unwrap_or_default();
        Self { tcp: seconds(top::TIMEOUT_TCP), tcp_fin: seconds(top::TIMEOUT_TCP_FIN), udp: seconds(top::TIMEOUT_UDP) }
    }

    /// Writes those that are not 0.
    pub(super) fn put(&self, w: &mut Writer<'_>) {
        let all = [(top::TIMEOUT_TCP, self.tcp), (top::TIMEOUT_TCP_FIN, self.tcp_fin), (top::TIMEOUT_UDP, self.udp)];
        all.into_iter().filter(|(_, seconds)| *seconds != 0).for_each(|(kind, seconds)| w.u32(kind, seconds));
    }
}

impl Info {
    pub(crate) fn parse(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let fields = Fields::new("kernel's IPVS", attrs);
        // NVERSION of include/net/ip_vs.h: a byte each
        let [_, major, minor, patch] = fields.u32(top::INFO_VERSION, "version")?.to_be_bytes();
        let table_size = fields.u32(top::INFO_CONN_TAB_SIZE, "size of the table of connections")?;
        Ok(Self { version: (major, minor, patch), table_size })
    }
}
