//! Kernel settings, as kube-proxy makes them at its start: those of connection tracking, in iptables mode the one that
//! NodePorts at 127.0.0.1 need, and in ipvs mode those of IPVS. A list of fifteen files, and no other is ever written.
//!
//! Each is read first and written only where it differs. What cannot be written is a warning: in a container the limit of
//! the table belongs to the host (0444 in every network namespace but the first), /sys may be read-only, and Services work
//! with the kernel's own values.

mod setting;

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use portolan_config::ConntrackSettings;

use self::setting::Setting;

/// kube-proxy's cap of what `max_per_core` comes to (since 1.36, kubernetes#137002). It beats `min`, too.
const MAX_CAP: u64 = 1 << 20;

/// Which processors are online, such as `0-3,6`.
const ONLINE: &str = "sys/devices/system/cpu/online";

/// How many entries there should be room for; `None` leaves the kernel's limit.
fn max(settings: &ConntrackSettings, processors: u64) -> Option<u64> {
    let scaled = u64::from(settings.max_per_core?).saturating_mul(processors);
    Some(if scaled > MAX_CAP { MAX_CAP } else { scaled.max(settings.min.into()) })
}

/// How many connections a place of IPVS' table may have before the kernel makes a larger table, as a power of two. While it does,
/// it may take a packet for one of the last connection from the same port, and the new one fails; so that is to be rare, and a
/// place is to be searched fast (docs/design/ipvs.md).
const CONN_LOAD: u64 = 4;

/// What should be where, in the order in which it is written.
fn wanted(settings: Option<&ConntrackSettings>, served_by: ServedBy, processors: u64) -> Vec<Wanted> {
    let ServedBy { rules_at_loopback: at_loopback, ipvs, strict_arp } = served_by;
    let at_least = |setting, value| Wanted { setting, value, at_least: true };
    let exactly = |setting, value| Wanted { setting, value, at_least: false };
    let max = settings.and_then(|settings| max(settings, processors));
    // Below a second the kernel's value stays.
    let timeout = |setting, timeout: Option<Duration>| {
        timeout.map(|timeout| timeout.as_secs()).filter(|seconds| *seconds > 0).map(|seconds| exactly(setting, seconds))
    };
    [
        max.map(|max| at_least(Setting::Max, max)),
        max.map(|max| at_least(Setting::HashSize, max / 4)),
        timeout(Setting::TcpEstablished, settings.and_then(|settings| settings.tcp_established)),
        timeout(Setting::TcpCloseWait, settings.and_then(|settings| settings.tcp_close_wait)),
        timeout(Setting::Udp, settings.and_then(|settings| settings.udp)),
        timeout(Setting::UdpStream, settings.and_then(|settings| settings.udp_stream)),
        settings.is_some_and(|settings| settings.tcp_be_liberal).then(|| exactly(Setting::TcpBeLiberal, 1)),
        at_loopback.then(|| exactly(Setting::RouteLocalnet, 1)),
        ipvs.then(|| exactly(Setting::VsConntrack, 1)),
        ipvs.then(|| exactly(Setting::VsExpireNodest, 1)),
        ipvs.then(|| exactly(Setting::VsExpireQuiescent, 1)),
        // kube-proxy sets 0 on kernels before 5.9, which do not have what the tables beside IPVS need.
        ipvs.then(|| exactly(Setting::VsConnReuse, 1)),
        ipvs.then(|| at_least(Setting::VsConnLoad, CONN_LOAD)),
        strict_arp.then(|| exactly(Setting::ArpIgnore, 1)),
        strict_arp.then(|| exactly(Setting::ArpAnnounce, 2)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What of the mode needs settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServedBy {
    /// Rules serve NodePorts at loopback addresses.
    pub rules_at_loopback: bool,
    /// IPVS sends connections on.
    pub ipvs: bool,
    /// The node is to answer ARP for an address only at the link that has it, so that it does not answer for addresses of
    /// Services.
    pub strict_arp: bool,
}

/// What a file should hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    setting: Setting,
    value: u64,
    /// Whether more is as good: the limit and the hash table are never made smaller.
    at_least: bool,
}

/// A setting that the kernel does not have as it is wanted.
#[derive(Debug)]
struct Failure {
    path: PathBuf,
    wanted: Wanted,
    error: io::Error,
}

/// One line: what, why, what still works, what to do.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (meaning, option) = self.wanted.setting.meaning();
        let (path, value) = (self.path.display(), self.wanted.value);
        write!(
            f,
            "{path} cannot be set to {value}: {}. Services are served, but {meaning}. Set it on the host (echo {value} > \
             {path}), run `--init-only` in a privileged init container, or leave it alone with {option}",
            self.error
        )
    }
}

/// Writes what differs below `root`, which is `/` but in tests; of conntrack nothing where it has no settings. What cannot be written is logged; how many of them there
/// are.
pub fn apply(settings: Option<&ConntrackSettings>, served_by: ServedBy, root: &Path) -> usize {
    let mut failures = Vec::new();
    for wanted in wanted(settings, served_by, processors(root)) {
        if wanted.setting.is_of_newer_kernels() && !root.join(wanted.setting.path()).exists() {
            continue;
        }
        // Places for entries that the limit does not allow are of no use.
        if wanted.setting == Setting::HashSize && !failures.is_empty() {
            continue;
        }
        failures.extend(write(wanted, root).err());
    }
    for failure in &failures {
        tracing::warn!("{failure}");
    }
    failures.len()
}

fn write(wanted: Wanted, root: &Path) -> Result<(), Failure> {
    let path = root.join(wanted.setting.path());
    let value = wanted.value;
    let done = fs::read_to_string(&path).and_then(|text| {
        let present = text.trim().parse::<u64>().ok();
        if present.is_some_and(|present| if wanted.at_least { present >= value } else { present == value }) {
            return Ok(());
        }
        // Without O_CREAT: a file that is not there must not come to be.
        fs::OpenOptions::new().write(true).truncate(true).open(&path)?.write_all(value.to_string().as_bytes())?;
        tracing::info!(file = %path.display(), before = text.trim(), after = value, "changed a kernel setting");
        Ok(())
    });
    done.map_err(|error| Failure { path, wanted, error })
}

/// How many processors are online: those of the machine, where a container may use only some.
fn processors(root: &Path) -> u64 {
    let list = fs::read_to_string(root.join(ONLINE)).unwrap_or_default();
    let count = |range: &str| -> Option<u64> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        last.parse::<u64>().ok()?.checked_sub(first.parse().ok()?)?.checked_add(1)
    };
    let counted = list.trim().split(',').map(count).sum::<Option<u64>>().filter(|count| *count > 0);
    counted.unwrap_or_else(|| thread::available_parallelism().map_or(1, |count| count.get() as u64))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

    use super::*;

    const MAX: &str = Setting::Max.path();
    const HASH: &str = Setting::HashSize.path();
    const ALL: [Setting; 15] = [
        Setting::Max,
        Setting::HashSize,
        Setting::TcpEstablished,
        Setting::TcpCloseWait,
        Setting::Udp,
        Setting::UdpStream,
        Setting::TcpBeLiberal,
        Setting::RouteLocalnet,
        Setting::VsConntrack,
        Setting::VsExpireNodest,
        Setting::VsExpireQuiescent,
        Setting::VsConnReuse,
        Setting::VsConnLoad,
        Setting::ArpIgnore,
        Setting::ArpAnnounce,
    ];
    const EVERYTHING: ServedBy = ServedBy { rules_at_loopback: true, ipvs: true, strict_arp: true };
    const PLAIN: ServedBy = ServedBy { rules_at_loopback: false, ipvs: false, strict_arp: false };

    /// A machine of four processors with the kernel's own values, and files that are nobody's business.
    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let others = [
            "proc/sys/net/ipv4/conf/lo/route_localnet",
            "proc/sys/net/ipv4/ip_forward",
            "proc/sys/net/netfilter/nf_conntrack_buckets",
            "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_fin_wait",
        ];
        let values = [(MAX, "65536"), (HASH, "16384"), (ONLINE, "0-2,5"), (Setting::VsConnLoad.path(), "-4")];
        for path in others.into_iter().chain(ALL.map(Setting::path)).chain([ONLINE]) {
            let value = values.iter().find(|(own, _)| *own == path).map_or("7", |(_, value)| value);
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        root
    }

    fn files(folder: &Path, found: &mut BTreeMap<String, String>, root: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found, root);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap().trim().to_owned());
            }
        }
    }

    /// What was changed on a machine.
    fn changed(root: &Path, settings: &ConntrackSettings, served_by: ServedBy) -> Vec<(String, String)> {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        files(root, &mut before, root);
        assert_eq!(apply(Some(settings), served_by, root), 0);
        files(root, &mut after, root);
        assert!(before.keys().eq(after.keys()), "a file came to be");
        after.into_iter().filter(|(name, value)| before[name] != *value).collect()
    }

    fn read(root: &Path, path: &str) -> u64 {
        fs::read_to_string(root.join(path)).unwrap().trim().parse().unwrap()
    }

    const NOTHING: ConntrackSettings = ConntrackSettings {
        max_per_core: None,
        min: 1 << 30,
        tcp_established: None,
        tcp_close_wait: None,
        tcp_be_liberal: false,
        udp: None,
        udp_stream: Some(Duration::from_millis(999)),
        delete_syn_sent: true,
    };

    /// kube-proxy's.
    const DEFAULTS: ConntrackSettings = ConntrackSettings {
        max_per_core: Some(32 << 10),
        min: 128 << 10,
        tcp_established: Some(Duration::from_secs(24 * 60 * 60)),
        tcp_close_wait: Some(Duration::from_secs(60 * 60)),
        tcp_be_liberal: false,
        udp: None,
        udp_stream: None,
        delete_syn_sent: false,
    };

    #[test]
    fn the_defaults_are_those_of_kube_proxy() {
        let machine = machine();
        let name = |setting: Setting| setting.path().to_owned();
        let mut expected = [
            (name(Setting::Max), "131072".to_owned()),
            (name(Setting::TcpCloseWait), "3600".to_owned()),
            (name(Setting::TcpEstablished), "86400".to_owned()),
            (name(Setting::HashSize), "32768".to_owned()),
        ];
        expected.sort();
        assert_eq!(changed(machine.path(), &DEFAULTS, PLAIN), expected);
        assert_eq!(changed(machine.path(), &DEFAULTS, PLAIN), []);
    }

    #[test]
    fn nothing_but_the_list_is_ever_written() {
        let machine = machine();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let everything = ConntrackSettings {
            max_per_core: Some(100_000),
            min: 1,
            tcp_established: seconds(1),
            tcp_close_wait: seconds(2),
            tcp_be_liberal: true,
            udp: seconds(3),
            udp_stream: seconds(4),
            delete_syn_sent: false,
        };
        let mut expected: Vec<_> = ALL.map(Setting::path).into();
        expected.sort_unstable();
        let changed: Vec<_> =
            changed(machine.path(), &everything, EVERYTHING).into_iter().map(|(name, _)| name).collect();
        assert_eq!(changed, expected);
    }

    #[test]
    fn zero_leaves_everything_alone_and_nothing_is_lowered_or_unset() {
        let machine = machine();
        assert_eq!(changed(machine.path(), &NOTHING, PLAIN), []);
        fs::write(machine.path().join(Setting::TcpBeLiberal.path()), "1").unwrap();
        fs::write(machine.path().join(MAX), "2000000").unwrap();
        fs::write(machine.path().join(HASH), "500000").unwrap();
        let settings = ConntrackSettings { max_per_core: Some(1000), min: 0, ..NOTHING };
        assert_eq!(changed(machine.path(), &settings, PLAIN), []);
    }

    #[test]
    fn the_limit_grows_with_the_processors_up_to_a_cap_that_beats_the_minimum() {
        let max =
            |max_per_core, min, processors| super::max(&ConntrackSettings { max_per_core, min, ..NOTHING }, processors);
        assert_eq!(max(Some(32_768), 131_072, 2), Some(131_072));
        assert_eq!(max(Some(32_768), 131_072, 8), Some(262_144));
        assert_eq!(max(Some(32_768), 131_072, 64), Some(1_048_576));
        assert_eq!(max(Some(32_768), 2_000_000, 8), Some(2_000_000));
        assert_eq!(max(Some(32_768), 2_000_000, 64), Some(1_048_576));
        assert_eq!(max(None, 131_072, 64), None);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_rest_goes_on() {
        let machine = machine();
        fs::remove_file(machine.path().join(MAX)).unwrap();
        assert_eq!(apply(Some(&DEFAULTS), PLAIN, machine.path()), 1);
        assert!(!machine.path().join(MAX).exists());
        assert_eq!(read(machine.path(), HASH), 16_384, "of no use without the limit");
        assert_eq!(read(machine.path(), Setting::TcpEstablished.path()), 86_400);

        fs::create_dir(machine.path().join(MAX)).unwrap();
        fs::set_permissions(machine.path().join(MAX), fs::Permissions::from_mode(0o500)).unwrap();
        assert_eq!(apply(Some(&DEFAULTS), PLAIN, machine.path()), 1);
    }

    #[test]
    fn what_ipvs_needs_is_set_in_its_mode_alone() {
        let (machine, older) = (machine(), machine());
        let ipvs = ServedBy { ipvs: true, ..PLAIN };
        let set = |name: &str, value: u64| (format!("proc/sys/net/ipv4/vs/{name}"), value.to_string());
        let mut expected = vec![
            set("conn_lfactor", 4),
            set("conn_reuse_mode", 1),
            set("conntrack", 1),
            set("expire_nodest_conn", 1),
            set("expire_quiescent_template", 1),
        ];
        assert_eq!(changed(machine.path(), &NOTHING, ipvs), expected);
        fs::write(machine.path().join(Setting::VsConnLoad.path()), "6").unwrap();
        assert_eq!(changed(machine.path(), &NOTHING, ipvs), [], "a smaller table grows even less often");

        fs::remove_file(older.path().join(Setting::VsConnLoad.path())).unwrap();
        expected.remove(0);
        assert_eq!(changed(older.path(), &NOTHING, ipvs), expected);
    }

    #[test]
    fn a_warning_says_what_to_do() {
        let wanted = Wanted { setting: Setting::Max, value: 131_072, at_least: true };
        let failure = Failure { path: "/proc/x".into(), wanted, error: io::ErrorKind::PermissionDenied.into() };
        let text = failure.to_string();
        for part in ["/proc/x", "131072", "permission denied", "Services are served", "--conntrack-max-per-core=0"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn processors_are_counted_as_the_kernel_lists_them() {
        let machine = machine();
        assert_eq!(processors(machine.path()), 4);
        for (text, count) in [("0\n", 1), ("0-127\n", 128), ("0,2,4-5", 4)] {
            fs::write(machine.path().join(ONLINE), text).unwrap();
            assert_eq!(processors(machine.path()), count, "{text}");
        }
        for odd in ["", "x", "3-1"] {
            fs::write(machine.path().join(ONLINE), odd).unwrap();
            assert!(processors(machine.path()) >= 1, "{odd}");
        }
    }
}
