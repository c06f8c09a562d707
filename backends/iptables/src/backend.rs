//! The tables of iptables as a [`Backend`]: reads them by iptables-save, writes them by iptables-restore, and knows, where
//! they are tables of nf_tables, whether somebody else has been there.

use std::os::fd::{AsFd, BorrowedFd};

use portolan_core::{
    addr::{Family, PerFamily},
    object::{ApplyError, Backend, BackendError, Batch, CarriedOut, Editor, Figure, Moved, Stats},
};
use portolan_netlink::WatchError;

use crate::{
    dialect::Iptables,
    ears::Ears,
    key::Key,
    listing::{self, BadListing},
    names::Table,
    programs::{ChildError, ProgramError, Programs, ProgramsError, Variant, complaint_of},
    restore::{Complaint, Script},
    tally::Tally,
    value::Value,
};

/// Bytes of a batch for iptables-nft: some 125 Services with two endpoints. It compares each line with all names of chains in
/// what it is told (`cache_chain_list_insert`), so that 10,000 Services at once take it minutes instead of two seconds, while
/// many small batches take longer for the starts of the program. In CPU seconds of the programs, for 10,000 Services: 2.2 in
/// batches of 64 KiB, 1.8 of 128, 1.6 of 192 and 256, 1.7 of 384, 2.0 of 512.
const NFT_BATCH: usize = 256 << 10;

/// iptables-legacy reads the whole table from the kernel and writes it back each time (0.3 s with 10,000 Services), so all is
/// told at once.
const LEGACY_BATCH: usize = 256 << 20;

/// The tables that have something of ours.
const TABLES: [&str; 2] = [Table::Nat.as_str(), Table::Filter.as_str()];

/// iptables in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Xtables {
    programs: Programs,
    dialect: Iptables,
    guards_loopback: bool,
    ears: Option<Ears>,
    tally: Tally,
    /// A sum of what was last read of iptables-legacy's tables, unless something was written since.
    seen: Option<u64>,
}

/// The tables of iptables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no programs, or they do not work.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A listing cannot be believed.
    #[error("cannot read the tables of {family}: {source}")]
    Listing {
        /// The IP family of the tables.
        family: Family,
        /// What is wrong.
        source: BadListing,
    },
    /// Changes by others cannot be heard of.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A program says that it failed, but not at what.
    #[error("{program} failed: {complaint}")]
    Failed {
        /// Its name.
        program: String,
        /// What it said.
        complaint: String,
    },
}

impl Xtables {
    /// For commands that read or write once. `guards_loopback` says whether the chain KUBE-FIREWALL is ours to keep.
    ///
    /// # Errors
    /// No programs, no permission (CAP_NET_ADMIN in this network namespace) or no iptables in the kernel.
    pub fn open(guards_loopback: bool) -> Result<Self, Error> {
        let programs = Programs::find()?;
        let mut families = PerFamily::default();
        programs.families().for_each(|family| *families.get_mut(family) = true);
        let tally = Tally::default();
        Ok(Self { programs, dialect: Iptables { families }, guards_loopback, ears: None, tally, seen: None })
    }

    /// For a daemon, which hears of the changes of others as they happen where that is possible.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn watching(guards_loopback: bool) -> Result<Self, Error> {
        let mut new = Self::open(guards_loopback)?;
        if new.programs.variant() == Variant::Nft {
            new.ears = Some(Ears::open()?);
        }
        Ok(new)
    }

    /// The programs that it uses.
    #[must_use]
    pub const fn programs(&self) -> &Programs {
        &self.programs
    }

    fn observe_tables(&mut self) -> Result<Vec<(Key, Value)>, Error> {
        // What happens from here on is notified, so nothing is missed whenever the reading ends.
        if let Some(ears) = &mut self.ears {
            ears.forget()?;
        }
        let is_heard = self.programs.variant() == Variant::Nft;
        let read = self.programs.for_families(|family| {
            let saved = self.programs.save_all(family, &TABLES)?;
            let listed = saved.iter().map(|saved| listing::objects(family, saved, self.guards_loopback));
            let objects = listed.collect::<Result<Vec<_>, _>>().map_err(|source| Error::Listing { family, source })?;
            let sum = if is_heard { 0 } else { listing::sum(&saved) };
            Ok((sum, objects.into_iter().flatten()))
        });
        let read = read.into_iter().collect::<Result<Vec<_>, Error>>()?;
        let (sums, objects): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        self.seen = (!is_heard).then(|| listing::sum_of(&sums));
        let objects: Vec<_> = objects.into_iter().flatten().collect();
        self.tally.observed(self.programs.families(), &objects);
        Ok(objects)
    }

    /// Whether iptables-legacy's tables differ from what was last read; `None` where we have written to them since.
    fn differs(&self) -> Result<Option<bool>, ProgramError> {
        let Some(seen) = self.seen else { return Ok(None) };
        let sum = |family| Ok(listing::sum(&self.programs.save_all(family, &TABLES)?));
        let sums = self.programs.for_families(sum).into_iter().collect::<Result<Vec<_>, ProgramError>>()?;
        Ok(Some(listing::sum_of(&sums) != seen))
    }

    fn hear(&mut self, own: Option<u32>) -> Result<bool, Error> {
        Ok(match &mut self.ears {
            Some(ears) => ears.hear(own)?,
            None => false,
        })
    }

    /// One family after the other, up to the first that is refused.
    fn write(&mut self, batch: &Batch<Iptables>) -> Result<(), ApplyError> {
        self.seen = None;
        let mut carried_out = Vec::new();
        for family in Family::ALL {
            let script = Script::new(batch, family);
            if script.is_empty() {
                continue;
            }
            let finished = self.programs.restore(family, &script.text);
            if !finished.as_ref().is_ok_and(|finished| finished.status.success()) {
                self.tally.failed(family);
            }
            let finished = match finished {
                Ok(finished) => finished,
                Err(error) if carried_out.is_empty() && has_done_nothing(&error) => return Err(failed(error)),
                Err(error) => return Err(ApplyError::Unknown(BackendError::new(error))),
            };
            self.hear(Some(finished.process)).map_err(unknown)?;
            if finished.status.success() {
                carried_out.extend(self.carried_out(batch, script.ops().collect()));
                continue;
            }
            return Err(match script.understand(&finished.complaint) {
                Complaint::Refused { refusals, carried_out: of_this } => {
                    carried_out.extend(self.carried_out(batch, of_this));
                    carried_out.sort_unstable();
                    ApplyError::Refused { refusals, carried_out: CarriedOut::These(carried_out) }
                }
                Complaint::Nowhere => {
                    let program = format!("{} of {family}", self.programs.variant());
                    let error = Error::Failed { program, complaint: complaint_of(&finished) };
                    // One table is committed whole or not at all.
                    let nothing_is_done = carried_out.is_empty() && script.commits() == 1;
                    if nothing_is_done && finished.status.code().is_some() { failed(error) } else { unknown(error) }
                }
            });
        }
        Ok(())
    }

    /// Takes note of operations that were carried out, which it gives back.
    fn carried_out(&mut self, batch: &Batch<Iptables>, these: Vec<usize>) -> Vec<usize> {
        these.iter().filter_map(|number| batch.ops.get(*number)).for_each(|op| self.tally.applied(op));
        these
    }
}

impl Backend for Xtables {
    type Dialect = Iptables;

    fn dialect(&self) -> &Iptables {
        &self.dialect
    }

    fn begin(&mut self) {
        self.tally.begin();
    }

    fn observe(&mut self) -> Result<Vec<(Key, Value)>, BackendError> {
        self.observe_tables().map_err(BackendError::new)
    }

    fn apply(&mut self, batch: &Batch<Iptables>) -> Result<(), ApplyError> {
        if self.hear(None).map_err(failed)? {
            return Err(ApplyError::Moved);
        }
        self.write(batch)
    }

    fn apply_beside(&mut self, batch: &Batch<Iptables>) -> Result<(), ApplyError> {
        self.write(batch)
    }

    /// Where the kernel does not tell, what it holds is compared with what was read, as text: no line of it is parsed.
    fn moved(&mut self) -> Result<Moved, BackendError> {
        Ok(match self.hear(None).map_err(BackendError::new)? {
            true => Moved::Yes,
            false if self.ears.is_some() => Moved::No,
            false => match self.differs().map_err(BackendError::new)? {
                Some(true) => Moved::Yes,
                Some(false) => Moved::No,
                None => Moved::Unheard,
            },
        })
    }

    fn editor(&mut self) -> Option<Editor> {
        self.ears.as_mut()?.editor()
    }

    fn figures(&self, _: &Stats) -> Vec<Figure> {
        self.tally.figures()
    }

    fn batch_bytes(&self) -> usize {
        match self.programs.variant() {
            Variant::Nft => NFT_BATCH,
            Variant::Legacy => LEGACY_BATCH,
        }
    }

    /// A start of the program, and what the kernel checks or copies with each commit, is most of what a batch costs.
    fn least_batch_bytes(&self) -> usize {
        self.batch_bytes()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.ears.iter().map(AsFd::as_fd).collect()
    }
}

/// Whether a program that was not run to its end has certainly changed nothing.
const fn has_done_nothing(error: &ProgramError) -> bool {
    match error {
        ProgramError::Child(error) => matches!(error, ChildError::NotStarted { .. }),
        // The lock is taken before the first table is.
        ProgramError::Locked { .. } | ProgramError::Failed { .. } | ProgramError::NoFamily(_) => true,
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> ApplyError {
    ApplyError::Failed(BackendError::new(error))
}

fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> ApplyError {
    ApplyError::Unknown(BackendError::new(error))
}
