//! What others have left in the tables of iptables: kube-proxy's iptables mode, its ipvs mode, and a Portolan that runs in
//! another mode now. All of them have the same names for their chains.
//!
//! ```text
//!   written by      read and removed by
//!   iptables-nft    netlink: chains of the nftables tables ip nat, ip6 filter and so on
//!   iptables-legacy iptables-legacy-save and iptables-legacy-restore
//! ```
//!
//! In iptables mode the chains that have a name of ours are adopted, in the kind of iptables that this node uses; what is left
//! in the other kind goes, since packets meet both.

mod chains;
pub(crate) mod legacy;
pub(crate) mod nft;

use portolan_core::{
    addr::Family,
    inspect::{Predecessor, Removal, Running},
    object::BackendError,
};
use portolan_netlink::{CommitError, Connection, DumpError, OpenError};

use self::chains::{Read, Which};
use crate::programs::{ProgramError, Programs, ProgramsError, Variant};

/// Chains that a predecessor left, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Leftovers {
    connection: Connection,
    wanted: Wanted,
}

/// What is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What every service proxy left.
    All,
    /// The same without what a Portolan in iptables mode adopts, in the kind of iptables that it writes.
    AllBut(Variant),
    /// What Portolan left.
    Portolans,
}

impl Wanted {
    /// In the tables of one kind of iptables and one IP family.
    fn of<I>(self, variant: Variant, tables: &[Read<I>]) -> Which {
        match self {
            Self::AllBut(adopted) if adopted == variant => Which::NotAdopted,
            Self::Portolans if !tables.iter().any(Read::is_portolans) => Which::PortolansAlone,
            Self::All | Self::AllBut(_) | Self::Portolans => Which::All,
        }
    }
}

/// What was left cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// The kernel cannot be asked.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Which kind of iptables is ours is not known.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
}

/// Why a part could not be read or removed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Dump(#[from] DumpError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{0}")]
    Restore(String),
    #[error("the programs of {program} are not there")]
    Missing { program: &'static str },
}

impl Leftovers {
    /// Opens a connection to the kernel.
    ///
    /// # Errors
    /// [`LeftoversError`]
    pub fn open(running: Running) -> Result<Self, LeftoversError> {
        let is_own = running == Running::Own;
        let wanted = if is_own { Wanted::AllBut(Programs::find()?.variant()) } else { Wanted::All };
        Ok(Self { connection: Connection::open()?, wanted })
    }

    /// Those of a Portolan in iptables mode alone, in both kinds of iptables, and without the programs of iptables as far as
    /// these are not needed. Where kube-proxy has taken over chains of the same names, that is what kube-proxy leaves of them.
    ///
    /// # Errors
    /// [`LeftoversError`]
    pub fn of_portolan() -> Result<Self, LeftoversError> {
        Ok(Self { connection: Connection::open()?, wanted: Wanted::Portolans })
    }

    /// Chains that only a proxy has which is none of ours: in iptables mode KUBE-SERVICES is ours.
    fn nft_is_present(&mut self) -> Result<bool, DumpError> {
        let (table, chain) = match self.wanted {
            Wanted::AllBut(Variant::Nft) => ("mangle", chains::CANARY),
            _ => ("nat", chains::SERVICES),
        };
        for family in Family::ALL {
            if self.connection.has_chain(nft::number(family), table, chain)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Predecessor for Leftovers {
    fn remove(&mut self, dry_run: bool) -> Removal {
        let mut removal = Removal::default();
        let found = nft::find(&mut self.connection, self.wanted).unwrap_or_else(|error| {
            removal.troubled("chains of iptables-nft cannot be looked for".to_owned(), error);
            Vec::new()
        });
        for table in found {
            let outcome = if dry_run { Ok(()) } else { table.remove(&mut self.connection) };
            removal.tried(table.plan.words(), outcome);
            removal.kept.extend(table.plan.kept());
        }
        for table in legacy::find(self.wanted, &mut removal) {
            let outcome = if dry_run { Ok(()) } else { table.remove() };
            removal.tried(table.plan.words(), outcome);
            removal.kept.extend(table.plan.kept());
        }
        removal
    }

    fn is_present(&mut self) -> Result<bool, BackendError> {
        Ok(self.nft_is_present().map_err(BackendError::new)? || legacy::is_present().map_err(BackendError::new)?)
    }
}
