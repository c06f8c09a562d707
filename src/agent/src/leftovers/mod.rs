//! What a kube-proxy has left in the kernel of this network namespace: found, removed, and seen when it comes back.
//!
//! Everybody who translates a connection before us has it, so rules of a kube-proxy that runs no more would send its
//! Services' connections to endpoints that are long gone. They are removed once, after our own rules are complete; who
//! writes them again after that is a kube-proxy that still runs, and two proxies that take each other's rules away
//! would serve nobody.
//!
//! ```text
//!   kube-proxy's mode   what it leaves                               how it is reached
//!   nftables            tables ip kube-proxy, ip6 kube-proxy         netlink
//!   iptables            chains KUBE-* of nat, filter and mangle
//!                         written by iptables-nft                    netlink: tables ip nat, ip6 filter, ...
//!                         written by iptables-legacy                 the programs iptables-legacy-save, -restore
//!   ipvs                link kube-ipvs0, virtual servers, ipsets     netlink
//!                         and chains KUBE-* as in iptables mode
//! ```

mod chains;
mod child;
mod ipvs;
mod legacy;
mod nft;

use std::fmt;

use portolan_core::addr::Family;
use portolan_netlink::{CommitError, Connection, DumpError, OpenError};

use self::{ipvs::Ipvs, legacy::LegacyTable, nft::NftTable};
use crate::sync_loop::ErrorChain;

/// The table of kube-proxy's nftables mode, one for each IP family.
const KUBE_PROXY: &str = "kube-proxy";

/// Looks for what a kube-proxy left, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Leftovers {
    connection: Connection,
}

/// The mode of a kube-proxy, which decides where it leaves what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyMode {
    /// Its own nftables tables.
    Nftables,
    /// Chains of iptables; ipvs mode has some as well.
    Iptables,
    /// A link, virtual servers and ipsets.
    Ipvs,
}

/// One thing that was left, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// By which mode.
    pub mode: ProxyMode,
    /// What it is.
    pub what: String,
}

/// Something that could not be found out or removed, in words: what, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    tables: Vec<Family>,
    nft: Vec<NftTable>,
    legacy: Vec<LegacyTable>,
    ipvs: Ipvs,
    trouble: Vec<Trouble>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Report {
    /// What is gone.
    pub removed: Vec<Item>,
    /// What stays for the sake of other programs, in words.
    pub kept: Vec<String>,
    /// What is not, and what could not even be looked for.
    pub trouble: Vec<Trouble>,
}

/// Why a part could not be read or removed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Dump(#[from] DumpError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Child(#[from] child::ChildError),
    #[error(transparent)]
    Ipvs(#[from] ipvs::Error),
    #[error("the programs of {program} are in none of {}", legacy::FOLDERS.join(", "))]
    Missing { program: &'static str },
    #[error("cannot read {0}: {1}")]
    File(&'static str, std::io::Error),
}

impl Leftovers {
    /// Opens a connection to the kernel.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open() -> Result<Self, OpenError> {
        Ok(Self { connection: Connection::open()? })
    }

    /// Looks for everything, and changes nothing.
    pub fn find(&mut self) -> Found {
        let mut found = Found::default();
        let trouble = &mut found.trouble;
        found.tables = or_trouble("kube-proxy's nftables tables", self.tables(), trouble);
        found.nft = or_trouble("kube-proxy's chains in iptables' tables", nft::find(&mut self.connection), trouble);
        found.legacy = legacy::find(trouble);
        found.ipvs = or_trouble("what kube-proxy's ipvs mode leaves", ipvs::find(), trouble);
        found
    }

    /// Removes what was found. One part that fails is no reason to leave the others.
    pub fn remove(&mut self, found: &Found) -> Report {
        let mut report = Report { trouble: found.trouble.clone(), ..Report::default() };
        if !found.tables.is_empty() {
            report.add(found.table_items(), self.remove_tables(&found.tables));
        }
        for table in &found.nft {
            report.add(table.plan.item(), table.remove(&mut self.connection));
            report.kept.extend(table.plan.kept());
        }
        for table in &found.legacy {
            report.add(table.plan.item(), table.remove());
            report.kept.extend(table.plan.kept());
        }
        // Last: an ipset cannot go while a rule names it. The link goes after all else, which is not found without it.
        for part in found.ipvs.parts() {
            let removed = part.remove().map_err(Error::from);
            let failed = removed.is_err();
            report.add([part.item()], removed);
            if failed {
                break;
            }
        }
        report
    }

    /// Whether a kube-proxy's rules are there; for looking again and again after they were removed. It takes microseconds,
    /// or, where iptables-legacy has ever been used, a program of its.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn present(&mut self) -> Result<bool, Trouble> {
        let unknown =
            |error: Error| Trouble(format!("kube-proxy's rules cannot be looked for: {}", ErrorChain(&error)));
        Ok(self.nft_present().map_err(unknown)? || ipvs::is_present() || legacy::is_present().map_err(unknown)?)
    }

    fn nft_present(&mut self) -> Result<bool, Error> {
        for family in Family::ALL {
            let number = nft::number(family);
            if self.connection.table(number, KUBE_PROXY)?.is_some()
                || self.connection.has_chain(number, "nat", chains::SERVICES)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tables(&mut self) -> Result<Vec<Family>, Error> {
        let mut found = Vec::new();
        for family in Family::ALL {
            if self.connection.table(nft::number(family), KUBE_PROXY)?.is_some() {
                found.push(family);
            }
        }
        Ok(found)
    }

    fn remove_tables(&mut self, families: &[Family]) -> Result<(), Error> {
        let mut tx = self.connection.transaction(None);
        for family in families {
            tx.delete_table(0, nft::number(*family), KUBE_PROXY);
        }
        Ok(self.connection.commit(tx)?)
    }
}

impl Found {
    /// Without the virtual servers of IPVS: which are kube-proxy's does not show, and without the link that has their
    /// addresses no connection comes to kube-proxy's. Only who asks for a clean node (`--cleanup`) has all removed.
    #[must_use]
    pub fn sparing_virtual_servers(mut self) -> Self {
        self.ipvs.spare_virtual_servers();
        self
    }

    /// Everything, mode by mode.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        let nft = self.nft.iter().filter_map(|table| table.plan.item());
        let legacy = self.legacy.iter().filter_map(|table| table.plan.item());
        let ipvs = self.ipvs.parts().iter().map(ipvs::Part::item);
        self.table_items().into_iter().chain(nft).chain(legacy).chain(ipvs).collect()
    }

    /// What could not be looked for.
    #[must_use]
    pub fn trouble(&self) -> &[Trouble] {
        &self.trouble
    }

    /// Whether there is nothing to remove.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    fn table_items(&self) -> Vec<Item> {
        let what = |family: &Family| format!("table {} {KUBE_PROXY}", nft::keyword(*family));
        self.tables.iter().map(|family| Item { mode: ProxyMode::Nftables, what: what(family) }).collect()
    }
}

impl Report {
    fn add(&mut self, items: impl IntoIterator<Item = Item>, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => self.removed.extend(items),
            Err(error) => {
                let items = items.into_iter().map(|item| item.what).collect::<Vec<_>>().join(", ");
                self.trouble.push(Trouble(format!("{items}: not removed: {}", ErrorChain(&error))));
            }
        }
    }
}

fn or_trouble<T: Default>(what: &str, found: Result<T, Error>, trouble: &mut Vec<Trouble>) -> T {
    found.unwrap_or_else(|error| {
        trouble.push(Trouble(format!("{what} cannot be looked for: {}", ErrorChain(&error))));
        T::default()
    })
}

/// kube-proxy's word for it.
impl fmt::Display for ProxyMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
            Self::Ipvs => "ipvs",
        })
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, of kube-proxy's {} mode", self.what, self.mode)
    }
}
