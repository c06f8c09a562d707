//! The programs of iptables on this node: which kind, where they are, what they can do, and how they are run.
//!
//! They are programs of the node or of our image and are not trusted with anything but rules: each is started by its absolute
//! path, with an empty environment, and gets everything by stdin ([`child`]).
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the place of the effects that the rest of the crate must not have"
)]

mod child;
mod error;
mod lock;
mod variant;

use std::{
    fs, panic,
    path::{Path, PathBuf},
    thread,
};

use portolan_core::addr::Family;

pub(crate) use self::child::Finished;
pub use self::{
    child::ChildError,
    error::{NoFamily, ProgramError, ProgramsError},
    lock::Holder,
    variant::{Variant, Version},
};

/// Where distributions have them.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];

/// Seconds that iptables-legacy waits for its lock, as kube-proxy has it wait.
const PATIENCE: &str = "5";

/// The programs of the kind that this node uses.
#[derive(Debug, Clone)]
pub struct Programs {
    variant: Variant,
    version: Version,
    v4: Result<Tools, NoFamily>,
    v6: Result<Tools, NoFamily>,
}

/// The two programs of one IP family.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    restore: PathBuf,
    save: PathBuf,
    version: Version,
}

impl Programs {
    /// Finds those that this node uses, and asks them whether they work. Changes nothing.
    ///
    /// # Errors
    /// [`ProgramsError`], with what can be done about it.
    pub fn find() -> Result<Self, ProgramsError> {
        if let Some(variant) = Variant::of_kubelet() {
            return Self::of(variant).unwrap_or(Err(ProgramsError::OtherVariant { variant }));
        }
        let nft = Self::of(Variant::Nft);
        match nft {
            Some(Ok(programs)) => Ok(programs),
            Some(Err(error)) => Self::of(Variant::Legacy).and_then(Result::ok).ok_or(error),
            None => Self::of(Variant::Legacy).unwrap_or(Err(ProgramsError::Missing)),
        }
    }

    /// Those of one kind; `None` where they are not there at all.
    fn of(variant: Variant) -> Option<Result<Self, ProgramsError>> {
        let tools = Family::ALL.map(|family| Tools::find(variant, family).ok_or(family));
        let known = tools.iter().flatten().next()?;
        if known.version < Version::OLDEST {
            return Some(Err(ProgramsError::TooOld { program: known.restore.clone(), version: known.version }));
        }
        let version = known.version;
        let [v4, v6] = tools.map(|tools| match tools {
            Ok(tools) => tools.checked(),
            Err(family) => Err(NoFamily::NoProgram(format!("{}-{variant}-restore", stem(family)))),
        });
        let v6 = if has_ipv6() { v6 } else { Err(NoFamily::SwitchedOff) };
        Some(match (v4, v6) {
            (Err(why), Err(_)) => Err(ProgramsError::Unusable(why)),
            (v4, v6) => Ok(Self { variant, version, v4, v6 }),
        })
    }

    /// Which kind they are.
    #[must_use]
    pub const fn variant(&self) -> Variant {
        self.variant
    }

    /// Of which version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The IP families that can be programmed, of which there is at least one.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(|family| self.tools(*family).is_ok())
    }

    /// Those that cannot, and why.
    pub fn without(&self) -> impl Iterator<Item = (Family, &NoFamily)> {
        Family::ALL.into_iter().filter_map(|family| Some((family, self.tools(family).as_ref().err()?)))
    }

    const fn tools(&self, family: Family) -> &Result<Tools, NoFamily> {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// One table, as iptables-save prints it.
    ///
    /// # Errors
    /// When the program fails.
    pub(crate) fn save(&self, family: Family, table: &str) -> Result<String, ProgramError> {
        self.tools(family).clone()?.save(table)
    }

    /// These tables, as iptables-save prints them. iptables-nft asks the kernel for the chains of all tables to print one, so
    /// it is run once and prints those of others with them, unless it fails at what others have in theirs. iptables-legacy
    /// reads each table by itself.
    ///
    /// # Errors
    /// When a program fails.
    pub(crate) fn save_all(&self, family: Family, tables: &[&str]) -> Result<Vec<String>, ProgramError> {
        let tools = self.tools(family).clone()?;
        let at_once = (self.variant == Variant::Nft).then(|| tools.list(&[]));
        match at_once {
            Some(Ok(all)) => Ok(vec![all]),
            Some(Err(error @ ProgramError::Child(_))) => Err(error),
            Some(Err(_)) | None => tables.iter().map(|table| tools.save(table)).collect(),
        }
    }

    /// Does something for each IP family that can be programmed, at the same time where there are threads to be had.
    pub(crate) fn for_families<T: Send>(&self, work: impl Fn(Family) -> T + Sync) -> Vec<T> {
        let families: Vec<_> = self.families().collect();
        let work = &work;
        thread::scope(|scope| {
            let start = |family| {
                let thread = thread::Builder::new().spawn_scoped(scope, move || work(family));
                thread.map_err(|_| family)
            };
            let started: Vec<_> = families.into_iter().map(start).collect();
            let end = |started: Result<thread::ScopedJoinHandle<'_, T>, _>| match started {
                Ok(thread) => thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic)),
                Err(family) => work(family),
            };
            started.into_iter().map(end).collect()
        })
    }

    /// One table with how many packets have met each rule.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub(crate) fn save_counted(&self, family: Family, table: &str) -> Result<String, ProgramError> {
        self.tools(family).clone()?.list(&["--counters", "--table", table])
    }

    /// The rules of one chain, with how many packets have met each, as [`save_counted`](Self::save_counted) prints them. Cheap
    /// whatever other chains there are, and without the lock.
    ///
    /// # Errors
    /// As [`save`](Self::save), and where there is no such chain.
    pub(crate) fn save_chain(&self, family: Family, table: &str, chain: &str) -> Result<String, ProgramError> {
        match self.variant {
            Variant::Nft => Ok(self.tools(family).clone()?.rules(table, chain)?.lines().filter_map(as_saved).collect()),
            // A table is one piece in the kernel, and only iptables-save reads it without the lock.
            Variant::Legacy => self.save_counted(family, table),
        }
    }

    /// Has iptables-restore carry out commands. How it ended is for the caller to read: a refusal is no failure of the program.
    ///
    /// # Errors
    /// When it was not run to its end, or did not get its lock.
    pub(crate) fn restore(&self, family: Family, commands: &str) -> Result<Finished, ProgramError> {
        self.tools(family).clone()?.restore(&[], commands)
    }
}

impl Tools {
    /// Those of one kind; `None` where they are not there.
    pub(crate) fn find(variant: Variant, family: Family) -> Option<Self> {
        let stem = stem(family);
        // The plain name may be of either kind; versions before 1.8 have no other.
        let names = [format!("{stem}-{variant}"), stem.to_owned()];
        let places = FOLDERS.iter().flat_map(|folder| names.iter().map(|name| Path::new(folder).join(name)));
        places.filter_map(|place| Self::at(&place.to_string_lossy(), variant)).next()
    }

    fn at(place: &str, wanted: Variant) -> Option<Self> {
        let [restore, save] = ["restore", "save"].map(|what| PathBuf::from(format!("{place}-{what}")));
        if !restore.exists() || !save.exists() {
            return None;
        }
        let said = child::run(&restore, &["--version"], "").ok()?;
        let (version, variant) = Version::parse(&said.output)?;
        (variant == wanted).then_some(Self { restore, save, version })
    }

    /// Whether the kernel can do it: the table that every Service is in is read, and nothing is written.
    fn checked(self) -> Result<Self, NoFamily> {
        let answer = self.restore(&["--test"], "*nat\nCOMMIT\n");
        let complaint = match answer {
            Ok(finished) if finished.status.success() => return Ok(self),
            Ok(finished) => complaint_of(&finished),
            Err(error) => error.to_string(),
        };
        Err(NoFamily::Refused { program: self.restore.to_string_lossy().into_owned(), complaint })
    }

    pub(crate) fn save(&self, table: &str) -> Result<String, ProgramError> {
        self.list(&["--table", table])
    }

    fn list(&self, arguments: &[&str]) -> Result<String, ProgramError> {
        output(&self.save, arguments)
    }

    /// By the program that the other two are named after.
    fn rules(&self, table: &str, chain: &str) -> Result<String, ProgramError> {
        let save = self.save.to_string_lossy();
        let program = PathBuf::from(save.strip_suffix("-save").unwrap_or(&save));
        output(&program, &["--table", table, "--verbose", "--list-rules", chain])
    }

    pub(crate) fn restore(&self, arguments: &[&str], commands: &str) -> Result<Finished, ProgramError> {
        let arguments = [&["--noflush", "--wait", PATIENCE], arguments].concat();
        let finished = child::run(&self.restore, &arguments, commands)?;
        // Its exit status 4 is also that of iptables-nft where the kernel refuses a rule.
        if !finished.status.success() && finished.complaint.contains("holding the xtables lock") {
            return Err(ProgramError::Locked { program: self.restore.clone(), holder: lock::holder() });
        }
        Ok(finished)
    }
}

fn output(program: &Path, arguments: &[&str]) -> Result<String, ProgramError> {
    let finished = child::run(program, arguments, "")?;
    if finished.status.success() {
        return Ok(finished.output);
    }
    Err(ProgramError::Failed { program: program.to_owned(), complaint: complaint_of(&finished) })
}

/// From `-A KUBE-FORWARD -m mark --mark 0x1 -c 7 420 -j DROP` to `[7:420] -A KUBE-FORWARD -m mark --mark 0x1 -j DROP`.
fn as_saved(line: &str) -> Option<String> {
    let (before, counted) = line.rsplit_once(" -c ")?;
    let mut words = counted.splitn(3, ' ');
    let (packets, bytes) = (words.next()?, words.next()?);
    let rest = words.next().map(|rest| format!(" {rest}")).unwrap_or_default();
    Some(format!("[{packets}:{bytes}] {before}{rest}\n"))
}

/// What it said, in one line; where it said nothing, how it ended.
pub(crate) fn complaint_of(finished: &Finished) -> String {
    let lines = finished.complaint.lines().map(str::trim);
    let said: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with("Try `")).collect();
    if said.is_empty() { finished.status.to_string() } else { said.join("; ") }
}

/// As kube-proxy finds out (cmd/kube-proxy/app/server_linux.go, platformCheckSupported).
fn has_ipv6() -> bool {
    let is_off = || fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").is_ok_and(|off| off.trim() == "1");
    Path::new("/proc/thread-self/net/if_inet6").exists() && !is_off()
}

/// How the programs of a family begin.
const fn stem(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_one_chain_are_read_as_those_of_a_table() {
        for (listed, saved) in [
            ("-N KUBE-FORWARD", None),
            (
                "-A KUBE-FORWARD -m conntrack --ctstate INVALID -c 7 420 -j DROP",
                Some("[7:420] -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n"),
            ),
            ("-A KUBE-FORWARD -c 0 0", Some("[0:0] -A KUBE-FORWARD\n")),
            (
                "-A KUBE-FORWARD -m comment --comment \"a -c 1 2\" -c 3 4 -j RETURN",
                Some("[3:4] -A KUBE-FORWARD -m comment --comment \"a -c 1 2\" -j RETURN\n"),
            ),
        ] {
            assert_eq!(as_saved(listed).as_deref(), saved, "{listed}");
        }
    }
}
