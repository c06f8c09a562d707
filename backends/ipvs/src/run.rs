//! Operations of a batch that go to one part of the kernel together, as that part's requests; and its refusals as the batch's.

use std::{net::SocketAddr, ops::Range};

use portolan_core::{
    desired::{HashFlags, Scheduling, Vip},
    object::{Batch, CarriedOut, Cause, Op, Refusal},
};
use portolan_netlink::{
    Errno,
    ipvs::{self, Forwarding, ServerId, VirtualServer},
    links::{Address, AddressChange},
};
use portolan_nftables::Nft;

use crate::{
    dialect::Ipvs,
    key::Key,
    value::{Server, Value},
};

/// To which part of the kernel an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The link itself.
    Link,
    /// Its addresses.
    Addresses,
    /// Virtual servers and their destinations.
    Servers,
    /// The tables beside.
    Tables,
}

/// Operations of one kind, which follow each other in their batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) kind: Kind,
    pub(crate) ops: &'a [Op<Ipvs>],
    /// The number of the first in the batch.
    first: usize,
}

/// The runs of a batch, in its order.
pub(crate) fn runs(batch: &Batch<Ipvs>) -> impl Iterator<Item = Run<'_>> {
    let mut first = 0;
    batch.ops.chunk_by(|one, other| kind(one.key()) == kind(other.key())).filter_map(move |ops| {
        let run = Run { kind: kind(ops.first()?.key()), ops, first };
        first += ops.len();
        Some(run)
    })
}

const fn kind(key: &Key) -> Kind {
    match key {
        Key::Link => Kind::Link,
        Key::Address(_) => Kind::Addresses,
        Key::Server(_) | Key::Destination(..) => Kind::Servers,
        Key::Beside(_) => Kind::Tables,
    }
}

impl Run<'_> {
    /// Its numbers in the batch.
    pub(crate) const fn numbers(&self) -> Range<usize> {
        self.first..self.first + self.ops.len()
    }

    /// A refusal of one of its operations as one of the batch's.
    pub(crate) fn numbered(&self, refusal: Refusal) -> Refusal {
        Refusal { op: refusal.op.map(|op| self.first + op), ..refusal }
    }

    /// Which operations of the batch were done.
    pub(crate) fn carried_out(&self, refusals: &[Refusal], carried_out: &CarriedOut) -> Vec<usize> {
        let refused = |number: &usize| refusals.iter().any(|refusal| refusal.op == Some(*number));
        let done: Vec<_> = match carried_out {
            CarriedOut::Nothing => Vec::new(),
            CarriedOut::Others => (0..self.ops.len()).filter(|number| !refused(number)).collect(),
            CarriedOut::These(numbers) => numbers.clone(),
        };
        done.into_iter().map(|number| self.first + number).collect()
    }

    /// As a batch for the tables.
    pub(crate) fn tables(&self) -> Batch<Nft> {
        let op = |op: &Op<Ipvs>| {
            Some(match op {
                Op::Add(Key::Beside(key), Value::Beside(value)) => Op::Add(key.clone(), value.clone()),
                Op::Replace(Key::Beside(key), Value::Beside(value), before) => match &**before {
                    Value::Beside(before) => Op::Replace(key.clone(), value.clone(), Box::new(before.clone())),
                    _ => return None,
                },
                Op::Remove(Key::Beside(key), Value::Beside(value)) => Op::Remove(key.clone(), value.clone()),
                Op::Rebuild(Key::Beside(key)) => Op::Rebuild(key.clone()),
                _ => return None,
            })
        };
        Batch { ops: self.ops.iter().filter_map(op).collect() }
    }

    /// As changes of the link's addresses.
    pub(crate) fn address_changes(&self) -> impl Iterator<Item = AddressChange> {
        self.ops.iter().filter_map(|op| match op {
            Op::Add(Key::Address(address), _) => Some(AddressChange::Add(Address::alone(*address))),
            Op::Remove(Key::Address(address), _) => Some(AddressChange::Delete(Address::alone(*address))),
            _ => None,
        })
    }

    /// As changes of virtual servers and destinations.
    pub(crate) fn server_changes(&self) -> Vec<Change> {
        self.ops.iter().filter_map(Change::of).collect()
    }

    /// What of the refusals counts, as refusals of its operations. Where others may have come first, it is no refusal that
    /// something is as it was to become.
    pub(crate) fn refusals(&self, refusals: Vec<portolan_netlink::Refusal>, beside: bool) -> Vec<Refusal> {
        let refused = |number: Option<usize>| number.and_then(|number| self.ops.get(number));
        let is_removal = |number| matches!(refused(number), Some(Op::Remove(..)));
        refusals
            .into_iter()
            .map(|refusal| Refusal { op: refusal.op, cause: cause(refusal.errno, refused(refusal.op)) })
            .filter(|refusal| !(beside && is_removal(refusal.op) && refusal.cause == Cause::Missing))
            .collect()
    }
}

/// A change of a virtual server or of a destination, with all that is said of it.
#[derive(Debug)]
pub(crate) enum Change {
    AddServer(VirtualServer),
    SetServer(VirtualServer),
    DeleteServer(ServerId),
    AddDestination(ServerId, ipvs::Destination),
    SetDestination(ServerId, ipvs::Destination),
    DeleteDestination(ServerId, SocketAddr),
}

impl Change {
    fn of(op: &Op<Ipvs>) -> Option<Self> {
        Some(match op {
            Op::Add(Key::Server(vip), Value::Server(wanted)) => Self::AddServer(server(vip, *wanted)),
            Op::Replace(Key::Server(vip), Value::Server(wanted), _) => Self::SetServer(server(vip, *wanted)),
            Op::Remove(Key::Server(vip), _) => Self::DeleteServer(id(vip)),
            Op::Add(Key::Destination(vip, to), Value::Destination { weight }) => {
                Self::AddDestination(id(vip), destination(*to, *weight))
            }
            Op::Replace(Key::Destination(vip, to), Value::Destination { weight }, _) => {
                Self::SetDestination(id(vip), destination(*to, *weight))
            }
            Op::Remove(Key::Destination(vip, to), _) => Self::DeleteDestination(id(vip), *to),
            _ => return None,
        })
    }

    /// As the kernel is asked.
    pub(crate) const fn request(&self) -> ipvs::Change<'_> {
        match self {
            Self::AddServer(server) => ipvs::Change::AddServer(server),
            Self::SetServer(server) => ipvs::Change::SetServer(server),
            Self::DeleteServer(id) => ipvs::Change::DeleteServer(id),
            Self::AddDestination(id, destination) => ipvs::Change::AddDestination(id, destination),
            Self::SetDestination(id, destination) => ipvs::Change::SetDestination(id, destination),
            Self::DeleteDestination(id, socket) => ipvs::Change::DeleteDestination(id, *socket),
        }
    }
}

/// What tells a virtual server from others.
pub(crate) fn id(vip: &Vip) -> ServerId {
    ServerId::Address { protocol: vip.protocol.number().into(), socket: SocketAddr::new(vip.addr, vip.port) }
}

/// A virtual server of ours.
pub(crate) fn server(vip: &Vip, Server { scheduling, affinity }: Server) -> VirtualServer {
    let HashFlags { fallback, port } = scheduling.flags();
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    VirtualServer {
        id: id(vip),
        scheduler: scheduling.scheduler().as_str().to_owned(),
        flags: flag(affinity.is_some(), VirtualServer::PERSISTENT)
            | flag(fallback, VirtualServer::HASH_FALLBACK)
            | flag(port, VirtualServer::HASH_PORT),
        timeout: affinity.unwrap_or(0),
        netmask: VirtualServer::each_client(vip.addr),
        engine: None,
    }
}

/// What the virtual server of a VIP is to us; `None` for one that we would never make.
pub(crate) fn known(vip: &Vip, listed: &VirtualServer) -> Option<Server> {
    let has = |flag| listed.flags & flag != 0;
    let flags = HashFlags { fallback: has(VirtualServer::HASH_FALLBACK), port: has(VirtualServer::HASH_PORT) };
    let scheduling = Scheduling::new(listed.scheduler.parse().ok()?, flags)?;
    let known = Server { scheduling, affinity: has(VirtualServer::PERSISTENT).then_some(listed.timeout) };
    (server(vip, known) == *listed).then_some(known)
}

/// A destination of ours.
pub(crate) const fn destination(socket: SocketAddr, weight: u32) -> ipvs::Destination {
    ipvs::Destination { socket, forwarding: Forwarding::Masquerade, weight, upper: 0, lower: 0 }
}

/// ESRCH is said of virtual servers that are missing, EADDRNOTAVAIL of addresses, ENODEV of the link that has them. ENOENT is said of destinations, and of a
/// virtual server's scheduler.
fn cause(errno: Errno, refused: Option<&Op<Ipvs>>) -> Cause {
    match (errno, refused) {
        (Errno::EEXIST, _) => Cause::Exists,
        (Errno::ENOENT, Some(Op::Add(_, Value::Server(of)) | Op::Replace(_, Value::Server(of), _))) => {
            let scheduler = of.scheduling.scheduler();
            Cause::Other(format!("it has no scheduler {scheduler}, and no module ip_vs_{scheduler} to load (ENOENT)"))
        }
        (Errno::ENOENT | Errno::ESRCH | Errno::EADDRNOTAVAIL | Errno::ENODEV, _) => Cause::Missing,
        (errno, _) => Cause::Other(errno.desc().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{addr::Protocol, desired::Scheduler};

    use super::*;

    #[test]
    fn how_a_virtual_server_schedules_is_read_as_it_is_written() {
        let vip = Vip { addr: [10, 96, 0, 10].into(), protocol: Protocol::Tcp, port: 80 };
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        let flags = flags.map(|(fallback, port)| HashFlags { fallback, port });
        let all = Scheduler::ALL.into_iter().flat_map(|scheduler| flags.map(|flags| Scheduling::new(scheduler, flags)));
        let mut seen = Vec::new();
        let all =
            all.flatten().flat_map(|scheduling| [None, Some(10_800)].map(|affinity| Server { scheduling, affinity }));
        for each in all {
            let server = server(&vip, each);
            assert_eq!(known(&vip, &server), Some(each));
            assert!(!seen.contains(&server), "{server:?}");
            seen.push(server);
        }
        let plain = server(&vip, Server::default());
        for flags in [VirtualServer::ONE_PACKET, VirtualServer::HASH_PORT, 0x20] {
            assert_eq!(known(&vip, &VirtualServer { flags, ..plain.clone() }), None, "{flags}");
        }
        assert_eq!(known(&vip, &VirtualServer { scheduler: "twos".to_owned(), ..plain.clone() }), None);
        assert_eq!(known(&vip, &VirtualServer { engine: Some("sip".to_owned()), ..plain.clone() }), None);
        // Clients whose addresses begin alike are one.
        assert_eq!(known(&vip, &VirtualServer { netmask: 0xffff_ff00, ..plain }), None);
    }
    #[test]
    fn a_scheduler_that_the_kernel_has_not_is_no_missing_object() {
        let vip = Vip { addr: [10, 96, 0, 10].into(), protocol: Protocol::Tcp, port: 80 };
        let (key, maglev) =
            (Key::Server(vip), Value::Server(Server { scheduling: Scheduler::Maglev.into(), affinity: None }));
        let to = (Key::Destination(vip, ([10, 244, 1, 11], 8080).into()), Value::Destination { weight: 1 });
        let ops = [
            Op::Add(key.clone(), maglev.clone()),
            Op::Add(to.0.clone(), to.1.clone()),
            Op::Replace(key.clone(), maglev.clone(), Box::new(Value::Strange)),
            Op::Replace(to.0.clone(), to.1, Box::new(Value::Strange)),
            Op::Remove(key, maglev),
        ];
        let run = Run { kind: Kind::Servers, ops: &ops, first: 0 };
        let told = |op, errno| {
            let refusals = run.refusals(vec![portolan_netlink::Refusal { op: Some(op), errno, text: None }], false);
            refusals.into_iter().next().unwrap().cause
        };
        let no_scheduler = "it has no scheduler mh, and no module ip_vs_mh to load (ENOENT)";
        assert_eq!(told(0, Errno::ENOENT), Cause::Other(no_scheduler.to_owned()));
        assert_eq!(told(2, Errno::ENOENT), Cause::Other(no_scheduler.to_owned()));
        for (op, errno) in [(1, Errno::ESRCH), (2, Errno::ESRCH), (3, Errno::ENOENT), (4, Errno::ESRCH)] {
            assert_eq!(told(op, errno), Cause::Missing, "{op} {errno}");
        }
    }
}
