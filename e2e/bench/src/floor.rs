//! The least that the kernel takes, by raw netlink: what Portolan's figures are compared with.

use std::time::Duration;

use anyhow::ensure;
use portolan_netlink::{
    Connection, Watch,
    uapi::NFPROTO_IPV4,
    wire::{Element, Set, Table},
};

use crate::clock::{Samples, Spent, spent};

const TABLE: &str = "floor";
const SET: &str = "plain";
/// `ipv4_addr . inet_proto . inet_service` for nft: six bits for each field.
const VIP_TYPE: u32 = (7 << 12) | (12 << 6) | 13;
const ROUNDS: u32 = 1000;

/// A table with one plain set.
pub(crate) struct Floor {
    connection: Connection,
}

impl Floor {
    /// With room for so many elements.
    pub(crate) fn new(elements: u32) -> anyhow::Result<Self> {
        let mut connection = Connection::open()?;
        let mut tx = connection.transaction(None);
        tx.add_table(0, NFPROTO_IPV4, &Table { name: TABLE.to_owned(), ..Table::default() });
        let size = elements.saturating_mul(2).max(1 << 16).next_power_of_two();
        let set = Set {
            table: TABLE.to_owned(),
            name: SET.to_owned(),
            key_type: VIP_TYPE,
            key_len: 12,
            size: Some(size),
            ..Set::default()
        };
        tx.add_set(1, NFPROTO_IPV4, &set);
        connection.commit(tx)?;
        Ok(Self { connection })
    }

    /// One transaction with these elements.
    pub(crate) fn load(&mut self, elements: std::ops::Range<u32>) -> anyhow::Result<Spent> {
        let keys: Vec<_> = elements.map(key).collect();
        let (result, spent) = spent(|| {
            let mut tx = self.connection.transaction(None);
            tx.add_elements(0, NFPROTO_IPV4, TABLE, SET, keys.iter().map(|key| Element::of(key)));
            self.connection.commit(tx)
        });
        result?;
        Ok(spent)
    }

    /// So many elements in so many transactions of equal size; the CPU time of all of them.
    pub(crate) fn load_in_parts(&mut self, elements: u32, transactions: u32) -> anyhow::Result<Duration> {
        let part = elements.div_ceil(transactions.max(1));
        let mut cpu = Duration::ZERO;
        for first in (0..elements).step_by(usize::try_from(part.max(1))?) {
            cpu += self.load(first..elements.min(first + part))?.cpu;
        }
        Ok(cpu)
    }

    /// Many transactions of one element.
    pub(crate) fn singles(&mut self, watched: bool) -> anyhow::Result<Samples> {
        let mut watch = if watched { Some(Watch::open()?) } else { None };
        let mut samples = Samples::default();
        let first = if watched { ROUNDS } else { 0 };
        for i in first..first + ROUNDS {
            samples.add(self.load(i..i + 1)?);
            if let Some(watch) = &mut watch {
                let drained = watch.drain(self.connection.port_id(), |_| false)?;
                ensure!(!drained.lost, "the kernel dropped notifications");
            }
        }
        Ok(samples)
    }
}

/// An address, a protocol and a port, as the key of the gate has them.
fn key(i: u32) -> [u8; 12] {
    let [a, b, c, d] = (0x0a60_0001 + i).to_be_bytes();
    [a, b, c, d, 6, 0, 0, 0, 0, 80, 0, 0]
}
