//! What others have left in tables of nf_tables that are theirs alone: kube-proxy's nftables mode its tables `kube-proxy`, and
//! a Portolan that runs in another mode now its tables `portolan`.

use portolan_core::{
    addr::Family,
    inspect::{Predecessor, Removal, Running},
    object::BackendError,
};
use portolan_netlink::{Connection, DumpError};

use super::{Nftables, companion, names::TABLE};
use crate::table::{error::Error, key::keyword, lower::protocol_family};

/// The table of kube-proxy's nftables mode, one for each IP family (pkg/proxy/nftables/proxier.go, kubeProxyTable).
const KUBE_PROXY: &str = "kube-proxy";

/// Tables that a predecessor left.
#[derive(Debug)]
pub struct Leftovers {
    connection: Connection,
    tables: Vec<&'static str>,
}

impl Leftovers {
    /// In the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn open(running: Running) -> Result<Self, Error> {
        let tables = if running == Running::Own { vec![KUBE_PROXY] } else { vec![KUBE_PROXY, TABLE] };
        Ok(Self { connection: Connection::open()?, tables })
    }

    /// Those of a Portolan in nftables mode alone.
    ///
    /// # Errors
    /// As [`Leftovers::open`].
    pub fn of_portolan() -> Result<Self, Error> {
        // In ipvs mode they are a part of more.
        let beside = companion::is_there(&mut Nftables::open()?)?;
        Ok(Self { connection: Connection::open()?, tables: if beside { Vec::new() } else { vec![TABLE] } })
    }

    /// The tables of a Portolan in ipvs mode.
    ///
    /// # Errors
    /// As [`Leftovers::open`].
    pub fn beside_ipvs() -> Result<Self, Error> {
        Ok(Self { connection: Connection::open()?, tables: vec![TABLE] })
    }

    fn found(&mut self) -> Result<Vec<(Family, &'static str)>, DumpError> {
        let mut found = Vec::new();
        for table in &self.tables {
            for family in Family::ALL {
                if self.connection.table(protocol_family(family), table)?.is_some() {
                    found.push((family, *table));
                }
            }
        }
        Ok(found)
    }

    fn delete(&mut self, tables: &[(Family, &'static str)]) -> Result<(), Error> {
        let mut tx = self.connection.transaction(None);
        for (family, table) in tables {
            tx.delete_table(0, protocol_family(*family), table);
        }
        Ok(self.connection.commit(tx)?)
    }
}

impl Predecessor for Leftovers {
    fn remove(&mut self, dry_run: bool) -> Removal {
        let mut removal = Removal::default();
        match self.found() {
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                let outcome = if dry_run { Ok(()) } else { self.delete(&found) };
                removal.tried(found.into_iter().map(words), outcome);
            }
            Err(error) => removal.troubled("tables of nftables mode cannot be looked for".to_owned(), error),
        }
        removal
    }

    fn is_present(&mut self) -> Result<bool, BackendError> {
        Ok(!self.found().map_err(BackendError::new)?.is_empty())
    }
}

fn words((family, table): (Family, &'static str)) -> String {
    let whose = if table == TABLE { "Portolan" } else { "kube-proxy" };
    format!("table {} {table}, of {whose}'s nftables mode", keyword(family))
}
