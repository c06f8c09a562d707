//! Whatever stands in a file or on a command line: an answer, never a panic.

use std::ffi::OsString;

use super::{Daemon, file, resolved};
use crate::{Configuration, GoDuration, Reload, Settings, go_arguments};
use clap::CommandFactory;
use proptest::{collection::vec, option, prelude::*, sample::select};

/// A field of the file with a value of some kind.
fn field() -> impl Strategy<Value = String> {
    let names = select(std::vec![
        "mode",
        "bindAddress",
        "healthzBindAddress",
        "metricsBindAddress",
        "nodePortAddresses",
        "clusterCIDR",
        "detectLocalMode",
        "conntrack",
        "iptables",
        "ipvs",
        "nftables",
        "logging",
        "featureGates",
        "oomScoreAdj",
        "configSyncPeriod",
        "clientConnection",
        "detectLocal",
        "winkernel",
        "unknown",
        "hostnameOverride",
    ]);
    let scalars = select(std::vec![
        "null",
        "1",
        "-1",
        "1e400",
        "0x10",
        "''",
        "nftables",
        "30s",
        "-5s",
        "true",
        "[]",
        "{}",
        "[1, null, x]",
        "::1",
        "'[::]:1'",
        "10.0.0.0/8",
        "'primary'",
        "{min: -1, maxPerCore: x}",
        "{syncPeriod: 0s, minSyncPeriod: 99h}",
        "{verbosity: 3000000000, format: json, vmodule: [{}]}",
        "{Foo: true, AllAlpha: false}",
        "&a [*a]",
        "!!str 1",
        "{qps: .nan}",
        "{qps: 1e30, burst: 1.0}",
        "9223372036854775808",
    ]);
    (names, prop_oneof![scalars.prop_map(str::to_owned), "\\PC{0,12}"])
        .prop_map(|(name, value)| format!("{name}: {value}\n"))
}

/// Values that come back as they were written.
fn configuration() -> impl Strategy<Value = Configuration> {
    let texts = vec("\\PC{0,20}", 4);
    let numbers = vec(any::<i32>(), 5);
    let durations = vec((1..i64::MAX).prop_map(GoDuration::nanoseconds), 5);
    let lists = vec(option::of(vec("\\PC{0,10}", 0..3)), 2);
    let mode = select(std::vec!["nftables", "iptables", "ipvs", "", "other"]);
    (texts, numbers, durations, lists, mode, any::<bool>(), -1e6_f32..1e6).prop_map(
        |(texts, numbers, durations, lists, mode, switch, qps)| {
            let mut made = Configuration::default();
            made.mode = mode.into();
            made.hostname_override.clone_from(&texts[0]);
            made.client_connection.kubeconfig.clone_from(&texts[1]);
            made.cluster_cidr.clone_from(&texts[2]);
            made.feature_gates.insert(texts[3].clone(), switch);
            made.client_connection.qps = if qps == 0.0 { 1.0 } else { qps };
            made.oom_score_adj = numbers[0];
            made.conntrack.min = numbers[1];
            made.iptables.masquerade_bit = numbers[2];
            made.nftables.masquerade_bit = numbers[3];
            made.conntrack.tcp_established_timeout = durations[0];
            made.ipvs.udp_timeout = durations[1];
            made.ipvs.sync_period = durations[2];
            made.iptables.min_sync_period = Some(durations[3]);
            made.nftables.min_sync_period = Some(durations[4]);
            made.node_port_addresses.clone_from(&lists[0]);
            made.ipvs.exclude_cidrs.clone_from(&lists[1]);
            made.windows_run_as_service = switch;
            made
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(text: String, fields in "(\\PC|\n){0,200}") {
        let _ = Configuration::parse(&text);
        let _ = Configuration::parse(&file(&fields));
        let _ = Configuration::parse(&format!("{{{fields}}}"));
    }

    #[test]
    fn any_fields_get_an_answer_whose_every_line_is_one_line(fields in vec(field(), 0..6)) {
        let lines = match resolved(&["--config=x"], Some(&file(&fields.concat()))) {
            Ok(resolved) => {
                prop_assert!(Settings::new(&resolved, "host").is_ok());
                prop_assert_eq!(Reload::between(&resolved, &resolved), Reload::Same);
                resolved.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
            }
            Err(problems) => problems.problems.iter().map(ToString::to_string).collect(),
        };
        for line in lines {
            prop_assert!(!line.contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn any_arguments_get_an_answer(arguments in vec("-{0,2}[a-z_-]{0,12}=?\\PC{0,6}", 0..5)) {
        let _ = go_arguments(&Daemon::command(), arguments.iter().map(OsString::from));
    }

    #[test]
    fn what_is_written_is_read_as_it_was(configuration in configuration()) {
        let effective = configuration.effective();
        let written = effective.to_yaml();
        let read = Configuration::parse(&written).map(|(read, warnings)| (read.effective(), warnings));
        prop_assert_eq!(read, Ok((effective.clone(), vec![])), "{}", written);
        // JSON is YAML, and as good a file.
        let read = Configuration::parse(&effective.to_json()).map(|(read, _)| read.effective());
        prop_assert_eq!(read, Ok(effective));
    }
}
