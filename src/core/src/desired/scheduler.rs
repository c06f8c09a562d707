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

    /// The same with the flag fallback, if the scheduler has it.
    #[must_use]
    pub fn with_fallback(self) -> Self {
        Self::new(self.scheduler, HashFlags { fallback: true, ..self.flags }).unwrap_or(self)
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

/// Why a text is no [`Scheduling`]: the rule that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadScheduling {
    /// It does not begin with a scheduler.
    #[error("{}", NoSuchScheduler::RULE)]
    NoSuchScheduler,
    /// What follows are not the scheduler's flags.
    #[error(
        "has what is no flag of its scheduler: sh has sh-fallback and sh-port, mh has mh-fallback and mh-port, and the others \
         have none"
    )]
    NoSuchFlag,
}

/// As it is written, with flags in any order.
impl FromStr for Scheduling {
    type Err = BadScheduling;

    fn from_str(text: &str) -> Result<Self, BadScheduling> {
        let mut names = text.split(',');
        let scheduler = names.next().and_then(|name| name.parse().ok()).ok_or(BadScheduling::NoSuchScheduler)?;
        let mut flags = HashFlags::default();
        for name in names {
            match (scheduler, name) {
                (Scheduler::SourceHashing, "sh-fallback") | (Scheduler::Maglev, "mh-fallback") => flags.fallback = true,
                (Scheduler::SourceHashing, "sh-port") | (Scheduler::Maglev, "mh-port") => flags.port = true,
                _ => return Err(BadScheduling::NoSuchFlag),
            }
        }
        Ok(Self { scheduler, flags })
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

    #[test]
    fn a_scheduling_is_read_as_it_is_written() {
        let read = |text: &str| text.parse::<Scheduling>().map(|scheduling| scheduling.to_string());
        for good in
            ["rr", "ovf", "sh", "sh,sh-port", "sh,sh-fallback,sh-port", "mh,mh-fallback", "mh,mh-fallback,mh-port"]
        {
            assert_eq!(read(good).as_deref(), Ok(good));
        }
        assert_eq!(read("mh,mh-port,mh-fallback,mh-port").as_deref(), Ok("mh,mh-fallback,mh-port"));
        for bad in ["", "RR", " rr", "rr ", "rr\n", "maglev", "ip_vs_rr", ",sh-port", "sh-port", "sh;sh-port", "ѕh"] {
            assert_eq!(read(bad), Err(BadScheduling::NoSuchScheduler), "{bad:?}");
        }
        for bad in
            ["sh,", "sh,mh-port", "rr,sh-port", "mh,flag-1", "sh, sh-port", "sh,sh-port,", "wlc,", "sh,sh-port\0"]
        {
            assert_eq!(read(bad), Err(BadScheduling::NoSuchFlag), "{bad:?}");
        }
    }
}
