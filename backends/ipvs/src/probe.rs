//! What ipvs mode needs of a node. The kernel is asked for it in such a way that it loads modules, and makes nothing.

use std::{error, fmt};

use portolan_core::desired::Scheduler;
use portolan_netlink::{
    OpenError,
    ipvs::{Ipvs, IpvsError},
    links::{LinkError, Links},
};
use portolan_nftables::{Error as TablesError, Nftables};

use crate::kernel::{DUMMY, Error};

/// Everything that ipvs mode needs and the node does not have.
#[derive(Debug)]
pub struct Missing(Vec<Need>);

/// One thing that is not there, or cannot be asked for.
#[derive(Debug, thiserror::Error)]
enum Need {
    #[error(transparent)]
    Part(#[from] Error),
    #[error(
        "this kernel has no scheduler {0} for IPVS: load the module (modprobe ip_vs_{0}) or choose another one \
         (--ipvs-scheduler)"
    )]
    Scheduler(&'static str),
}

/// Asks the kernel for all that ipvs mode needs.
///
/// # Errors
/// Everything that is missing, at once.
pub fn probe(scheduler: Scheduler) -> Result<(), Missing> {
    let asked = [ask_ipvs(scheduler), ask_tables(), ask_links()];
    let mut missing: Vec<_> = asked.into_iter().filter_map(Result::err).collect();
    // IPVS, which is asked first, lets in nobody whom the others would not.
    let mut denied = false;
    missing.retain(|need| !need.is_permission() || !std::mem::replace(&mut denied, true));
    if missing.is_empty() { Ok(()) } else { Err(Missing(missing)) }
}

fn ask_ipvs(scheduler: Scheduler) -> Result<(), Need> {
    let is_known = Ipvs::open().and_then(|mut ipvs| ipvs.knows_scheduler(scheduler.as_str())).map_err(Error::from)?;
    if is_known { Ok(()) } else { Err(Need::Scheduler(scheduler.as_str())) }
}

fn ask_tables() -> Result<(), Need> {
    Ok(Nftables::open().map(drop).map_err(Error::from)?)
}

fn ask_links() -> Result<(), Need> {
    let is_known = Links::open().and_then(|mut links| links.knows_kind(DUMMY)).map_err(Error::from)?;
    let unsupported = || Error::from(LinkError::Unsupported { kind: DUMMY.to_owned() });
    if is_known { Ok(()) } else { Err(unsupported().into()) }
}

impl Need {
    const fn is_permission(&self) -> bool {
        matches!(
            self,
            Self::Part(
                Error::Ipvs(IpvsError::Denied)
                    | Error::Links(LinkError::Denied)
                    | Error::Tables(TablesError::Open(OpenError::Denied))
            )
        )
    }
}

/// A line for each, with the reasons that the kernel gives.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, need) in self.0.iter().enumerate() {
            let line = if number == 0 { "" } else { "\n" };
            write!(f, "{line}ipvs mode cannot be used on this node: {need}")?;
            let mut reason = error::Error::source(need);
            while let Some(error) = reason {
                write!(f, ": {error}")?;
                reason = error.source();
            }
        }
        Ok(())
    }
}

impl error::Error for Missing {}
