//! How a virtual server picks a destination for a new connection.

use std::{fmt, str::FromStr};

/// A scheduler of IPVS (net/netfilter/ipvs/Kconfig says what each does).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheduler {
    /// One after the other.
    #[default]
    RoundRobin,
    /// One after the other, by weight.
    WeightedRoundRobin,
    /// The one with the fewest connections.
    LeastConnection,
    /// The one with the fewest connections for its weight.
    WeightedLeastConnection,
    /// By the address that was asked, the least connected one for a new address.
    LocalityBasedLeastConnection,
    /// The same with several for each address.
    LocalityBasedLeastConnectionWithReplication,
    /// By the client's address.
    SourceHashing,
    /// By the address that was asked.
    DestinationHashing,
    /// By the client's address, in a table that changes little when destinations do.
    Maglev,
    /// The one that is expected to answer first.
    ShortestExpectedDelay,
    /// One without connections, or else as [`Self::ShortestExpectedDelay`].
    NeverQueue,
    /// The one with the highest weight.
    WeightedFailover,
    /// The one with the highest weight, up to as many connections as its weight says.
    WeightedOverflow,
}

impl Scheduler {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::RoundRobin,
        Self::WeightedRoundRobin,
        Self::LeastConnection,
        Self::WeightedLeastConnection,
        Self::LocalityBasedLeastConnection,
        Self::LocalityBasedLeastConnectionWithReplication,
        Self::SourceHashing,
        Self::DestinationHashing,
        Self::Maglev,
        Self::ShortestExpectedDelay,
        Self::NeverQueue,
        Self::WeightedFailover,
        Self::WeightedOverflow,
    ];

    /// Its name in the kernel, in `ipvsadm` and in kube-proxy's configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "rr",
            Self::WeightedRoundRobin => "wrr",
            Self::LeastConnection => "lc",
            Self::WeightedLeastConnection => "wlc",
            Self::LocalityBasedLeastConnection => "lblc",
            Self::LocalityBasedLeastConnectionWithReplication => "lblcr",
            Self::SourceHashing => "sh",
            Self::DestinationHashing => "dh",
            Self::Maglev => "mh",
            Self::ShortestExpectedDelay => "sed",
            Self::NeverQueue => "nq",
            Self::WeightedFailover => "fo",
            Self::WeightedOverflow => "ovf",
        }
    }
}

/// A name that is no scheduler's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} {rule}", rule = Self::RULE)]
pub struct NoSuchScheduler(String);

impl NoSuchScheduler {
    /// What it breaks.
    pub const RULE: &str =
        "is no scheduler of IPVS: there are rr, wrr, lc, wlc, lblc, lblcr, sh, dh, mh, sed, nq, fo and ovf";
}

impl FromStr for Scheduler {
    type Err = NoSuchScheduler;

    fn from_str(name: &str) -> Result<Self, NoSuchScheduler> {
        let found = Self::ALL.into_iter().find(|scheduler| scheduler.as_str() == name);
        found.ok_or_else(|| NoSuchScheduler(name.to_owned()))
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A scheduler with its flags. Only sh and mh have any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheduling {
    scheduler: Scheduler,
    flags: HashFlags,
}

/// The flags of sh and mh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashFlags {
    /// Where the destination by the hash is not to be used, because it has weight 0 or too many connections, another one is
    /// taken; else the connection is refused.
    pub fallback: bool,
    /// The client's port is hashed, too.
    pub port: bool,
}

impl Scheduling {
    /// `None` for flags of a scheduler that has none.
    #[must_use]
    pub fn new(scheduler: Scheduler, flags: HashFlags) -> Option<Self> {
        let has_flags = matches!(scheduler, Scheduler::SourceHashing | Scheduler::Maglev);
        (has_flags || flags == HashFlags::default()).then_some(Self { scheduler, flags })
    }

    /// The scheduler.
    #[must_use]
    pub const fn scheduler(self) -> Scheduler {
        self.scheduler
    }

    /// Its flags.
    #[must_use]
    pub const fn flags(self) -> HashFlags {
        self.flags
    }

    /// The names of its flags, as `ipvsadm` takes them after commas.
    pub fn flag_names(self) -> impl Iterator<Item = &'static str> {
        let [fallback, port] = match self.scheduler {
            Scheduler::Maglev => ["mh-fallback", "mh-port"],
            _ => ["sh-fallback", "sh-port"],
        };
        [(self.flags.fallback, fallback), (self.flags.port, port)]
            .into_iter()
            .filter_map(|(set, name)| set.then_some(name))
    }
}

/// Without flags.
impl From<Scheduler> for Scheduling {
    fn from(scheduler: Scheduler) -> Self {
        Self { scheduler, flags: HashFlags::default() }
    }
}

/// `wlc`, `sh,sh-fallback,sh-port`
impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheduler.as_str())?;
        self.flag_names().try_for_each(|name| write!(f, ",{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for scheduler in Scheduler::ALL {
            assert_eq!(scheduler.as_str().parse(), Ok(scheduler));
        }
        let error = "maglev".parse::<Scheduler>().unwrap_err();
        assert!(error.to_string().starts_with("\"maglev\" is no scheduler of IPVS"), "{error}");
    }
    #[test]
    fn flags_belong_to_the_schedulers_that_hash_clients() {
        let all = HashFlags { fallback: true, port: true };
        let shown = |scheduler, flags| Scheduling::new(scheduler, flags).map(|scheduling| scheduling.to_string());
        assert_eq!(shown(Scheduler::SourceHashing, all).unwrap(), "sh,sh-fallback,sh-port");
        assert_eq!(shown(Scheduler::Maglev, HashFlags { fallback: false, ..all }).unwrap(), "mh,mh-port");
        for scheduler in Scheduler::ALL {
            assert_eq!(shown(scheduler, HashFlags::default()).unwrap(), scheduler.as_str());
            let has_flags = ["sh", "mh"].contains(&scheduler.as_str());
            assert_eq!(shown(scheduler, all).is_some(), has_flags, "{scheduler}");
        }
    }
}
