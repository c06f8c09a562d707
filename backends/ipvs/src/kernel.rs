//! IPVS, its link and the tables beside it as a [`Backend`].
//!
//! ```text
//!   batch    Server Destination | sets, elements | Address | elements       a run of one kind after the other
//!            IPVS, each alone     a transaction    rtnetlink, each alone
//! ```
//!
//! A virtual server carries no name. Ours are those whose address the link has, or had while they were there; no others are ever
//! read for what is in them, changed or removed.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
};

use portolan_core::{
    desired::Vip,
    object::{ApplyError, Backend, BackendError, Batch, CarriedOut, Editor, Figure, Moved, Op, Refusal, Stats},
};
use portolan_netlink::{
    WatchError,
    conntrack::ConntrackError,
    ipvs::{self, IpvsError},
    links::{LinkError, LinkWatch, Links},
};
use portolan_nftables::{Error as TablesError, Nftables, companion};

use crate::{
    dialect::Ipvs,
    figures::figures,
    glance::Glance,
    key::{Key, LINK},
    run::{self, Kind, Run},
    value::Value,
};

/// The kind of [`LINK`].
pub(crate) const DUMMY: &str = "dummy";

/// IPVS in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) ipvs: ipvs::Ipvs,
    pub(crate) links: Links,
    pub(crate) tables: Nftables,
    /// The number of the link, where it is there.
    pub(crate) link: Option<u32>,
    /// Those of the link, and those of virtual servers that are ours because it had them: it loses an address before they go.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Those of the link, as far as we know.
    pub(crate) held: BTreeSet<IpAddr>,
    pub(crate) watch: Option<LinkWatch>,
    /// Somebody else has changed the link, or its addresses, since these were read.
    pub(crate) moved: bool,
}

/// IPVS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The virtual servers.
    #[error(transparent)]
    Ipvs(#[from] IpvsError),
    /// The link, or its addresses.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// The tables beside.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// Notifications.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Flows of datagrams.
    #[error(transparent)]
    Conntrack(#[from] ConntrackError),
}

impl Kernel {
    /// For commands that read or write once.
    ///
    /// # Errors
    /// There is no IPVS in this kernel, no permission (CAP_NET_ADMIN, not in a user namespace), or no nf_tables.
    pub fn open() -> Result<Self, Error> {
        Self::new(Nftables::open()?, None)
    }

    /// For commands that only want to know; `None` where nothing of ours is there, so that no module is loaded for the question.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn if_there() -> Result<Option<Self>, Error> {
        if companion::is_there(&mut Nftables::open()?)? { Self::open().map(Some) } else { Ok(None) }
    }

    /// For a daemon, which hears of the changes of others as they happen where that is possible.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn watching() -> Result<Self, Error> {
        Self::new(Nftables::watching()?, Some(LinkWatch::open()?))
    }

    fn new(tables: Nftables, watch: Option<LinkWatch>) -> Result<Self, Error> {
        let (ipvs, links) = (ipvs::Ipvs::open()?, Links::open()?);
        Ok(Self {
            ipvs,
            links,
            tables,
            link: None,
            addresses: BTreeSet::new(),
            held: BTreeSet::new(),
            watch,
            moved: true,
        })
    }

    /// Sets for how many seconds IPVS knows a connection without packets: an established one of TCP, one after a FIN, one of
    /// UDP. 0 leaves what there is.
    ///
    /// # Errors
    /// When the kernel does not let us, or a time is longer than it can count.
    pub fn set_timeouts(&mut self, tcp: u32, tcp_fin: u32, udp: u32) -> Result<(), Error> {
        let timeouts = ipvs::Timeouts { tcp, tcp_fin, udp };
        if timeouts == ipvs::Timeouts::default() { Ok(()) } else { Ok(self.ipvs.set_timeouts(timeouts)?) }
    }

    pub(crate) fn holds_ours(&mut self) -> Result<bool, Error> {
        Ok(companion::is_there(&mut self.tables)?)
    }

    /// Removes the link with its addresses and the virtual servers there, or with `dry_run` nothing. What is removed.
    pub(crate) fn remove_servers(&mut self, dry_run: bool) -> Result<Vec<String>, Error> {
        let observed = self.observe_servers()?;
        let servers: Vec<_> = observed.iter().filter(|(key, _)| matches!(key, Key::Server(_))).collect();
        let Some(link) = self.link else { return Ok(Vec::new()) };
        if !dry_run {
            let ids: Vec<_> = servers.iter().filter_map(|(key, _)| key.server().map(|vip| run::id(&vip))).collect();
            self.ipvs.change(ids.iter().map(ipvs::Change::DeleteServer))?;
            self.links.delete(link)?;
        }
        let of_servers = (!servers.is_empty()).then(|| format!("virtual servers of IPVS ({})", servers.len()));
        Ok(of_servers.into_iter().chain([format!("link {LINK} with its addresses")]).collect())
    }

    /// Those of these destinations that have no connection.
    pub(crate) fn without_connections(&mut self, destinations: &[Key]) -> Result<Vec<Key>, Error> {
        let servers: BTreeSet<Vip> = destinations.iter().filter_map(Key::server).collect();
        let ids: Vec<_> = servers.iter().map(run::id).collect();
        let listed = self.ipvs.destinations(&ids)?;
        let busy: BTreeSet<_> = servers
            .iter()
            .zip(listed)
            .flat_map(|(vip, listed)| listed.into_iter().map(move |listed| (*vip, listed)))
            .filter(|(_, listed)| listed.active > 0 || listed.inactive > 0)
            .map(|(vip, listed)| Key::Destination(vip, listed.destination.socket))
            .collect();
        Ok(destinations.iter().filter(|key| !busy.contains(key)).cloned().collect())
    }

    /// Applies run after run, up to the first of which something is refused.
    fn write(&mut self, batch: &Batch<Ipvs>, beside: bool) -> Result<(), ApplyError> {
        let mut done: Vec<usize> = Vec::new();
        for run in run::runs(batch) {
            let result = match run.kind {
                Kind::Tables => {
                    let part = run.tables();
                    if beside { self.tables.apply_beside(&part) } else { self.tables.apply(&part) }
                }
                Kind::Link => self.change_link(&run),
                Kind::Addresses => self.change_addresses(&run, beside),
                Kind::Servers => self.change_servers(&run, beside),
            };
            match result {
                Ok(()) => done.extend(run.numbers()),
                Err(ApplyError::Refused { refusals, carried_out }) => {
                    done.extend(run.carried_out(&refusals, &carried_out));
                    let refusals = refusals.into_iter().map(|refusal| run.numbered(refusal)).collect();
                    return Err(ApplyError::Refused { refusals, carried_out: CarriedOut::These(done) });
                }
                Err(error) if done.is_empty() => return Err(error),
                // What was done before is found by looking.
                Err(ApplyError::Moved) => return Err(unknown(HalfDone)),
                Err(ApplyError::TooLarge(error) | ApplyError::Unknown(error) | ApplyError::Failed(error)) => {
                    return Err(ApplyError::Unknown(error));
                }
            }
        }
        Ok(())
    }

    fn change_link(&mut self, run: &Run<'_>) -> Result<(), ApplyError> {
        for op in run.ops {
            let result = match op {
                Op::Add(..) => self.links.add(LINK, DUMMY),
                Op::Remove(..) | Op::Rebuild(_) | Op::Replace(..) => {
                    self.held.clear();
                    self.link.take().map_or(Ok(()), |index| self.links.delete(index))
                }
            };
            let link = result.and_then(|()| self.links.link(LINK)).map_err(|error| match error {
                LinkError::Request(ref request) if request.leaves_doubt() => unknown(error),
                error => failed(error),
            })?;
            self.link = link.map(|link| link.index);
        }
        Ok(())
    }

    fn change_addresses(&mut self, run: &Run<'_>, beside: bool) -> Result<(), ApplyError> {
        let Some(index) = self.link else { return Err(ApplyError::Moved) };
        for op in run.ops {
            match op {
                Op::Add(Key::Address(address), _) => drop(self.held.insert(*address)),
                Op::Remove(Key::Address(address), _) => drop(self.held.remove(address)),
                _ => {}
            }
        }
        let refusals = self.links.change_addresses(index, run.address_changes()).map_err(|error| match error {
            LinkError::Request(ref request) if request.leaves_doubt() => unknown(error),
            error => failed(error),
        })?;
        // The gates are opened after this. Before, packets to the address would be forwarded, and refused.
        let added = run.ops.iter().filter_map(|op| match op {
            Op::Add(Key::Address(IpAddr::V6(address)), _) => Some(*address),
            _ => None,
        });
        let refusals = run.refusals(refusals, beside);
        if refusals.is_empty() {
            self.links.settle(added).map_err(unknown)?;
        }
        refused(refusals)
    }

    fn change_servers(&mut self, run: &Run<'_>, beside: bool) -> Result<(), ApplyError> {
        // Whatever becomes of it: what is there under such a name is ours from now on.
        self.addresses.extend(run.ops.iter().filter_map(|op| match op {
            Op::Add(Key::Server(vip), _) => Some(vip.addr),
            _ => None,
        }));
        let words = run.server_changes();
        let refusals = self.ipvs.change(words.iter().map(run::Change::request)).map_err(|error| match error {
            IpvsError::Request(ref request) if request.leaves_doubt() => unknown(error),
            error => failed(error),
        })?;
        refused(run.refusals(refusals, beside))
    }
}

impl Backend for Kernel {
    type Dialect = Ipvs;

    fn dialect(&self) -> &Ipvs {
        &Ipvs
    }

    fn observe(&mut self) -> Result<Vec<(Key, Value)>, BackendError> {
        let beside = self.tables.observe()?;
        let mut objects = self.observe_servers().map_err(BackendError::new)?;
        objects.extend(beside.into_iter().map(|(key, value)| (Key::Beside(key), Value::Beside(value))));
        Ok(objects)
    }

    fn apply(&mut self, batch: &Batch<Ipvs>) -> Result<(), ApplyError> {
        self.write(batch, false)
    }

    fn apply_beside(&mut self, batch: &Batch<Ipvs>) -> Result<(), ApplyError> {
        self.write(batch, true)
    }

    /// Of virtual servers nobody is notified.
    fn moved(&mut self) -> Result<Moved, BackendError> {
        self.hear().map_err(BackendError::new)?;
        let tables = self.tables.moved()?;
        Ok(if self.moved || tables == Moved::Yes { Moved::Yes } else { Moved::Unheard })
    }

    fn glance<'a>(&mut self, known: impl Iterator<Item = (&'a Key, &'a Value)>) -> Result<Moved, BackendError> {
        let moved = self.moved()?;
        // What cannot be seen is looked at whole.
        let is_as_known = moved != Moved::Yes && self.seen().is_some_and(|seen| seen == Glance::of(known));
        Ok(if is_as_known { Moved::No } else { moved })
    }

    fn drained(&mut self, draining: &[Key]) -> Result<Vec<Key>, BackendError> {
        self.without_connections(draining).map_err(BackendError::new)
    }

    fn editor(&mut self) -> Option<Editor> {
        self.tables.editor()
    }

    fn figures(&self, stats: &Stats) -> Vec<Figure> {
        figures(stats)
    }

    fn batch_bytes(&self) -> usize {
        self.tables.batch_bytes()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.tables.wakers().into_iter().chain(self.watch.iter().map(AsFd::as_fd)).collect()
    }
}

/// Something else of the batch was done already.
#[derive(Debug, thiserror::Error)]
#[error("another program changed our objects while a change was half done")]
struct HalfDone;

fn refused(refusals: Vec<Refusal>) -> Result<(), ApplyError> {
    if refusals.is_empty() {
        return Ok(());
    }
    Err(ApplyError::Refused { refusals, carried_out: CarriedOut::Others })
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> ApplyError {
    ApplyError::Failed(BackendError::new(error))
}

fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> ApplyError {
    ApplyError::Unknown(BackendError::new(error))
}

impl Key {
    /// The virtual server that it is, or is a destination of.
    pub(crate) const fn server(&self) -> Option<Vip> {
        match self {
            Self::Server(vip) | Self::Destination(vip, _) => Some(*vip),
            _ => None,
        }
    }
}
