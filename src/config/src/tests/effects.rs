//! Every field of the file and every flag: that its effect is in the settings. Those without any are in
//! testdata/config.

use std::{net::IpAddr, path::Path, time::Duration};

use super::{settings, settings_of};
use crate::{ClientSettings, ConntrackSettings, LogFormat, LoggingSettings, Mode, Settings};
use portolan_core::{
    addr::PerFamily,
    model::{AtLoopback, DetectLocal, NodePortAddresses},
};

/// A field, the flag that says the same, and whether the settings are as they say.
type Effect = (&'static str, &'static str, fn(&Settings) -> bool);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cidrs(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const EFFECTS: [Effect; 52] = [
    ("mode: nftables", "--proxy-mode=nftables", |s| {
        s.mode == Mode::Nftables && !s.mode_defaulted && s.node.nodeport_addresses == NodePortAddresses::PRIMARY
    }),
    ("mode: ''", "--proxy-mode=", |s| {
        s.mode == Mode::Iptables
            && s.mode_defaulted
            && s.node.nodeport_addresses == NodePortAddresses::within(cidrs(&["0.0.0.0/0", "::/0"]))
    }),
    ("mode: iptables", "--mode=iptables", |s| {
        s.mode == Mode::Iptables && !s.mode_defaulted && s.node.at_loopback == AtLoopback::Rules && s.node.drop_invalid
    }),
    ("iptables: {localhostNodePorts: false}", "--iptables-localhost-nodeports=false", |s| {
        s.node.at_loopback == AtLoopback::Nobody
    }),
    ("conntrack: {tcpBeLiberal: true}", "--conntrack-tcp-be-liberal", |s| !s.node.drop_invalid),
    ("mode: nftables", "--mode=nftables", |s| s.node.at_loopback == AtLoopback::Listener && !s.node.drop_invalid),
    ("hostnameOverride: ' Node-A '", "--hostname-override= Node-A ", |s| s.node.hostname == "node-a"),
    ("hostnameOverride: ''", "--hostname-override=", |s| s.node.hostname == "this-host"),
    ("bindAddress: 0.0.0.0", "--bind-address=0.0.0.0", |s| s.node.bind_address.is_none()),
    ("bindAddress: 192.168.0.2", "--bind-address=192.168.0.2", |s| {
        s.node.bind_address == Some(IpAddr::from([192, 168, 0, 2]))
    }),
    ("bindAddress: '::'", "--bind-address=0.0.0.0", |s| s.node.bind_address.is_none()),
    ("healthzBindAddress: 10.0.0.1:80", "--healthz-bind-address=10.0.0.1:80", |s| {
        s.healthz == "10.0.0.1:80".parse().ok()
    }),
    ("healthzBindAddress: fd00::1", "--healthz-bind-address=fd00::1", |s| s.healthz == "[fd00::1]:10256".parse().ok()),
    ("healthzBindAddress: ''", "--healthz-bind-address=", |s| s.healthz == "0.0.0.0:10256".parse().ok()),
    ("metricsBindAddress: 10.0.0.1", "--metrics-bind-address=10.0.0.1", |s| {
        s.metrics == "10.0.0.1:10249".parse().unwrap()
    }),
    ("metricsBindAddress: ''", "--metrics-bind-address=", |s| s.metrics == "127.0.0.1:10249".parse().unwrap()),
    ("bindAddressHardFail: true", "--bind-address-hard-fail", |s| s.bind_hard_fail),
    ("enableProfiling: true", "--profiling", |s| s.profiling),
    ("featureGates: {AllowServiceExternalIPs: false}", "--feature-gates=AllowServiceExternalIPs=false", |s| {
        !s.features.external_ips
    }),
    ("featureGates: {ComponentStatusz: false}", "--feature-gates=ComponentStatusz=false", |s| !s.features.statusz),
    (
        "mode: nftables\nfeatureGates: {KubeProxyNFTablesLocalhostNodePorts: false}",
        "--mode=nftables --feature-gates=KubeProxyNFTablesLocalhostNodePorts=false",
        |s| s.node.at_loopback == AtLoopback::Nobody,
    ),
    ("featureGates: {ComponentFlagz: false}", "--feature-gates=ComponentFlagz=false", |s| !s.features.flagz),
    ("clientConnection: {kubeconfig: /a}", "--kubeconfig=/a", |s| {
        s.client.kubeconfig.as_deref() == Some(Path::new("/a"))
    }),
    ("clientConnection: {qps: 0.5}", "--kube-api-qps=0.5", |s| s.client.qps == Some(0.5)),
    ("clientConnection: {qps: -1}", "--kube-api-qps=-1", |s| s.client.qps.is_none()),
    ("clientConnection: {burst: 7}", "--kube-api-burst=7", |s| s.client.burst == 7),
    ("logging: {verbosity: 4}", "-v4", |s| s.logging.verbosity == 4),
    ("logging: {format: json}", "--logging-format=json", |s| s.logging.format == LogFormat::Json),
    (
        "featureGates: {LoggingAlphaOptions: true}\nlogging: {options: {text: {splitStream: true}}}",
        "--log-text-split-stream --feature-gates=LoggingAlphaOptions=true",
        |s| s.logging.split_stream,
    ),
    (
        "featureGates: {AllAlpha: true}\nlogging: {format: json, options: {json: {splitStream: true}}}",
        "--log-json-split-stream --feature-gates=AllAlpha=true --logging-format=json",
        |s| s.logging.split_stream,
    ),
    ("iptables: {masqueradeBit: 31}", "--iptables-masquerade-bit=31", |s| s.node.masquerade_mark == 0x8000_0000),
    ("mode: nftables\nnftables: {masqueradeBit: 0}", "--proxy-mode=nftables --iptables-masquerade-bit=0", |s| {
        s.node.masquerade_mark == 1
    }),
    ("iptables: {masqueradeAll: true}", "--masquerade-all", |s| s.node.masquerade_all),
    ("mode: nftables\nnftables: {masqueradeAll: true}", "--proxy-mode=nftables --masquerade-all", |s| {
        s.node.masquerade_all
    }),
    ("iptables: {syncPeriod: 1m}", "--iptables-sync-period=1m", |s| s.sync_period == seconds(60)),
    ("mode: nftables\nnftables: {syncPeriod: 1m}", "--mode=nftables --iptables-sync-period=1m", |s| {
        s.sync_period == seconds(60)
    }),
    ("iptables: {minSyncPeriod: 2s}", "--iptables-min-sync-period=2s", |s| s.min_sync_period == seconds(2)),
    ("mode: nftables\nnftables: {minSyncPeriod: 1s}", "--mode=nftables --iptables-min-sync-period=1s", |s| {
        s.min_sync_period == seconds(1)
    }),
    ("iptables: {minSyncPeriod: 0s}", "--iptables-min-sync-period=0", |s| s.min_sync_period.is_zero()),
    ("configSyncPeriod: 1h", "--config-sync-period=1h", |s| s.config_sync_period == seconds(3600)),
    ("clusterCIDR: 'fd00::/48,10.0.0.1/8'", "--cluster-cidr=fd00::/48,10.0.0.1/8", |s| {
        let cidrs = PerFamily { v4: "10.0.0.0/8".parse().ok(), v6: "fd00::/48".parse().ok() };
        s.node.detect_local == DetectLocal::ClusterCidr(cidrs)
    }),
    ("detectLocalMode: NodeCIDR\nclusterCIDR: bad", "--detect-local-mode=NodeCIDR --cluster-cidr=bad", |s| {
        s.node.detect_local == DetectLocal::NodeCidr
    }),
    (
        "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}",
        "--detect-local-mode=BridgeInterface --pod-bridge-interface=cni0",
        |s| s.node.detect_local == DetectLocal::BridgeInterface("cni0".parse().unwrap()),
    ),
    (
        "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}",
        "--detect-local-mode=InterfaceNamePrefix --pod-interface-name-prefix=veth",
        |s| s.node.detect_local == DetectLocal::InterfaceNamePrefix("veth".parse().unwrap()),
    ),
    ("nodePortAddresses: [primary]", "--nodeport-addresses=primary", |s| {
        s.node.nodeport_addresses == NodePortAddresses::PRIMARY
    }),
    ("nodePortAddresses: [localhost, primary]", "--nodeport-addresses=localhost,primary", |s| {
        let cidrs = cidrs(&["127.0.0.0/8", "::1/128"]);
        s.node.nodeport_addresses == NodePortAddresses { primary: true, cidrs }
    }),
    ("nodePortAddresses: [all]", "--nodeport-addresses=all", |s| {
        s.node.nodeport_addresses == NodePortAddresses::within(cidrs(&["0.0.0.0/0", "::/0"]))
    }),
    (
        "nodePortAddresses: [10.0.0.1/8, 'fd00::/8']",
        "--nodeport-addresses=10.0.0.1/8 --nodeport-addresses=fd00::/8",
        |s| s.node.nodeport_addresses == NodePortAddresses::within(cidrs(&["10.0.0.0/8", "fd00::/8"])),
    ),
    ("oomScoreAdj: 0", "--oom-score-adj=0", |s| s.oom_score_adj == 0),
    ("oomScoreAdj: null", "--oom-score-adj -999", |s| s.oom_score_adj == -999),
    (
        "conntrack: {maxPerCore: 1, min: 2, tcpEstablishedTimeout: 3s, tcpCloseWaitTimeout: 4s, tcpBeLiberal: true, \
         udpTimeout: 5s, udpStreamTimeout: 6s}",
        "--conntrack-max-per-core=1 --conntrack-min=2 --conntrack-tcp-timeout-established=3s \
         --conntrack-tcp-timeout-close-wait=4s --conntrack-tcp-be-liberal --conntrack-udp-timeout=5s \
         --conntrack-udp-timeout-stream=6s",
        |s| {
            s.conntrack
                == ConntrackSettings {
                    max_per_core: Some(1),
                    min: 2,
                    tcp_established: Some(seconds(3)),
                    tcp_close_wait: Some(seconds(4)),
                    tcp_be_liberal: true,
                    udp: Some(seconds(5)),
                    udp_stream: Some(seconds(6)),
                    delete_syn_sent: false,
                }
        },
    ),
    (
        "conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}",
        "--conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0s",
        |s| {
            let ConntrackSettings { max_per_core, tcp_established, tcp_close_wait, .. } = s.conntrack;
            (max_per_core, tcp_established, tcp_close_wait) == (None, None, None)
        },
    ),
];

/// Flags are split at blanks, but for the one whose value has some.
fn split(arguments: &str) -> Vec<&str> {
    if arguments.ends_with(' ') {
        vec![arguments]
    } else {
        arguments.split(' ').filter(|part| !part.is_empty()).collect()
    }
}

#[test]
fn fields_have_their_effect() {
    for (fields, _, is_so) in EFFECTS {
        assert!(is_so(&settings(fields)), "{fields}: {:#?}", settings(fields));
    }
}

#[test]
fn flags_have_the_effect_of_their_fields() {
    for (_, arguments, is_so) in EFFECTS {
        let arguments = split(arguments);
        assert!(is_so(&settings_of(&arguments)), "{arguments:?}: {:#?}", settings_of(&arguments));
    }
}

#[test]
fn nothing_said_is_kube_proxys_default_but_nobody_waits() {
    let Settings { node, conntrack, client, logging, .. } = settings_of(&[]);
    let settings = settings("");
    assert_eq!(settings, settings_of(&[]));
    assert_eq!((settings.mode, settings.mode_defaulted), (Mode::Iptables, true));
    assert_eq!((settings.sync_period, settings.min_sync_period), (seconds(30), seconds(0)));
    assert_eq!(
        (settings.healthz, settings.metrics),
        ("0.0.0.0:10256".parse().ok(), "127.0.0.1:10249".parse().unwrap())
    );
    assert_eq!((settings.config_sync_period, settings.oom_score_adj), (seconds(900), -999));
    let features = settings.features;
    assert!(features.localhost_node_ports && features.external_ips && features.flagz && features.statusz);
    assert!(!(settings.bind_hard_fail || settings.profiling));
    assert_eq!((node.masquerade_mark, node.masquerade_all, node.count_connections), (0x4000, false, false));
    assert_eq!(node.detect_local, DetectLocal::ClusterCidr(PerFamily::default()));
    let expected = ConntrackSettings {
        max_per_core: Some(32768),
        min: 131_072,
        tcp_established: Some(seconds(86400)),
        tcp_close_wait: Some(seconds(3600)),
        tcp_be_liberal: false,
        udp: None,
        udp_stream: None,
        delete_syn_sent: false,
    };
    assert_eq!(conntrack, expected);
    let expected = ClientSettings { kubeconfig: None, master: None, qps: Some(5.0), burst: 10, streaming_lists: false };
    assert_eq!(client, expected);
    assert_eq!(logging, LoggingSettings { format: LogFormat::Text, verbosity: 0, split_stream: false });
}

#[test]
fn servers_are_of_the_family_of_the_bind_address() {
    let settings = settings("bindAddress: 'fd00::2'");
    assert_eq!(settings.healthz, "[::]:10256".parse().ok());
    assert_eq!(settings.metrics, "[::1]:10249".parse().unwrap());
}

#[test]
fn only_the_deprecated_flag_switches_the_health_server_off() {
    assert_eq!(settings_of(&["--healthz-port=0"]).healthz, None);
    let address = settings_of(&["--healthz-port=1", "--healthz-bind-address=10.0.0.1", "--metrics-port", "2"]);
    assert_eq!(address.healthz, "10.0.0.1:1".parse().ok());
    // The address has a port by default.
    assert_eq!(address.metrics, "127.0.0.1:10249".parse().unwrap());
}

#[test]
fn portolans_own_flags_count_beside_a_file() {
    let arguments = [
        "--config=x",
        "--mode=nftables",
        "--manifests=/m",
        "--once",
        "--count-connections",
        "--conntrack-delete-syn-sent",
        "--streaming-lists",
        "--master=https://a",
        "--hostname-override=Flag",
        "--init-only",
        "--cleanup=false",
        "--v=3",
        "--logging-format=json",
        "--write-config-to=/w",
    ];
    let file = super::file("mode: iptables\nhostnameOverride: file\nlogging: {verbosity: 1}\n");
    let resolved = super::resolved(&arguments, Some(&file)).unwrap();
    assert_eq!(super::warnings(&resolved), "");
    let run = &resolved.run;
    assert!(run.once && run.init_only && !run.cleanup);
    assert_eq!((run.manifests.as_deref(), run.write_config_to.as_deref()), (Some("/m"), Some("/w")));
    let settings = Settings::new(&resolved, "this-host").unwrap();
    assert_eq!((settings.mode, settings.mode_defaulted), (Mode::Nftables, false));
    assert!(settings.node.count_connections && settings.conntrack.delete_syn_sent && settings.client.streaming_lists);
    assert_eq!(settings.client.master.as_deref(), Some("https://a"));
    assert_eq!(settings.node.hostname, "flag");
    assert_eq!((settings.logging.verbosity, settings.logging.format), (3, LogFormat::Json));
}

#[test]
fn a_blank_mode_and_iptables_are_the_same() {
    let of = |arguments: &[&str], file: Option<&str>| {
        let resolved = super::resolved(arguments, file).unwrap();
        assert_eq!(super::warnings(&resolved), "");
        Settings { mode_defaulted: true, ..Settings::new(&resolved, "this-host").unwrap() }
    };
    let blocks = "iptables: {masqueradeBit: 3, masqueradeAll: true, syncPeriod: 2s}\n";
    let [blank, iptables] = ["", "mode: iptables\n"].map(|mode| super::file(&format!("{mode}{blocks}")));
    let expected = of(&["--config=x"], Some(&blank));
    assert_eq!((expected.mode, expected.node.masquerade_mark, expected.sync_period), (Mode::Iptables, 8, seconds(2)));
    assert_eq!(of(&["--config=x"], Some(&iptables)), expected);
    assert_eq!(of(&["--config=x", "--mode=iptables"], Some(&blank)), expected);
    let flags = ["--iptables-masquerade-bit=3", "--masquerade-all", "--iptables-sync-period=2s"];
    assert_eq!(of(&["--proxy-mode=iptables", flags[0], flags[1], flags[2]], None), expected);
}

#[test]
fn the_block_iptables_counts_where_no_mode_is_said() {
    let both = "iptables: {masqueradeBit: 1, masqueradeAll: true, syncPeriod: 2s}\n\
                nftables: {masqueradeBit: 1, masqueradeAll: true, syncPeriod: 2s}\n";
    for mode in ["", "mode: nftables\n"] {
        let settings = settings(&format!("{mode}{both}"));
        assert_eq!((settings.node.masquerade_mark, settings.node.masquerade_all), (2, true), "{mode}");
        assert_eq!(settings.sync_period, seconds(2), "{mode}");
    }
    assert_eq!(settings("mode: nftables").node.nodeport_addresses, NodePortAddresses::PRIMARY);
}

#[test]
fn the_hosts_name_is_needed_where_no_other_is_given() {
    let resolved = super::resolved(&[], None).unwrap();
    let problem = Settings::new(&resolved, " ").unwrap_err().to_string();
    assert!(problem.contains("`--hostname-override` is not set"), "{problem}");
    assert_eq!(Settings::new(&resolved, "Host").unwrap().node.hostname, "host");
}
