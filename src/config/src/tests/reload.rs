//! What an edit of the file comes to.

use super::file;
use crate::{Reload, Resolved};

fn resolved(fields: &str) -> Resolved {
    super::resolved(&["--config=x", "--v=1"], Some(&file(fields))).unwrap()
}

fn live(fields: &[&str]) -> Reload {
    Reload::Live { changed: fields.iter().map(ToString::to_string).collect() }
}

fn restart(fields: &[&str]) -> Reload {
    Reload::NeedsRestart { fields: fields.iter().map(ToString::to_string).collect() }
}

#[test]
fn what_can_be_followed_is_followed() {
    for (before, after, expected) in [
        ("", "", Reload::Same),
        ("", "# a comment\noomScoreAdj: -999", Reload::Same),
        ("", "iptables: {syncPeriod: 1m}", live(&["iptables.syncPeriod"])),
        ("", "iptables: {minSyncPeriod: 1s}", live(&["iptables.minSyncPeriod"])),
        ("", "iptables: {masqueradeAll: true}", live(&["iptables.masqueradeAll"])),
        // As an upgrade with kubeadm does.
        ("mode: ''", "mode: iptables", Reload::Same),
        ("mode: iptables", "", Reload::Same),
        ("mode: iptables", "mode: iptables\niptables: {syncPeriod: 1m}", live(&["iptables.syncPeriod"])),
        ("mode: nftables", "mode: nftables\nnftables: {masqueradeAll: true}", live(&["nftables.masqueradeAll"])),
        ("", "nodePortAddresses: [0.0.0.0/0]", live(&["nodePortAddresses"])),
        ("nodePortAddresses: [10.0.0.0/8]", "nodePortAddresses: [11.0.0.0/8]", live(&["nodePortAddresses"])),
        (
            "mode: nftables\nnodePortAddresses: [primary]",
            "mode: nftables\nnodePortAddresses: [primary, localhost]",
            live(&["nodePortAddresses"]),
        ),
        ("", "clusterCIDR: 10.0.0.0/8", live(&["clusterCIDR"])),
        ("clusterCIDR: 10.0.0.0/8", "detectLocalMode: NodeCIDR", live(&["clusterCIDR", "detectLocalMode"])),
        (
            "",
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: a}",
            live(&["detectLocal.bridgeInterface", "detectLocalMode"]),
        ),
        ("", "configSyncPeriod: 1m", live(&["configSyncPeriod"])),
        ("", "conntrack: {min: 1, udpTimeout: 1s}", live(&["conntrack.min", "conntrack.udpTimeout"])),
        // Flags are the same for the life of the process.
        ("", "logging: {verbosity: 5}", Reload::Same),
    ] {
        assert_eq!(Reload::between(&resolved(before), &resolved(after)), expected, "{before} -> {after}");
    }
    let [before, after] =
        ["", "logging: {verbosity: 5}"].map(|fields| super::resolved(&[], Some(&file(fields))).unwrap());
    assert_eq!(Reload::between(&before, &after), live(&["logging.verbosity"]));
}

#[test]
fn what_has_no_effect_changes_nothing() {
    for after in [
        "portRange: 1-2",
        "showHiddenMetricsForVersion: '1.35'",
        "winkernel: {networkName: a, enableDSR: true}",
        "windowsRunAsService: true",
        "clientConnection: {contentType: a, acceptContentTypes: b}",
        "logging: {flushFrequency: 1m, vmodule: [{filePattern: a, verbosity: 1}]}",
        "ipvs: {scheduler: wrr, syncPeriod: 1m}",
        "nftables: {masqueradeAll: true, syncPeriod: 1m, minSyncPeriod: 2s, masqueradeBit: 3}",
        "unknown: 1",
        "featureGates: {WatchListClient: false, OfALaterRelease: true}",
    ] {
        assert_eq!(Reload::between(&resolved(""), &resolved(after)), Reload::Same, "{after}");
    }
}

#[test]
fn what_is_read_at_the_start_needs_a_restart() {
    let [iptables, nftables] = ["iptables", "nftables"].map(|mode| resolved(&format!("mode: {mode}")));
    assert_eq!(Reload::between(&iptables, &nftables), restart(&["mode"]));
    for (after, expected) in [
        ("mode: nftables", restart(&["mode"])),
        ("hostnameOverride: a", restart(&["hostnameOverride"])),
        ("bindAddress: 10.0.0.1", restart(&["bindAddress"])),
        ("healthzBindAddress: 10.0.0.1:1", restart(&["healthzBindAddress"])),
        ("metricsBindAddress: 10.0.0.1:1", restart(&["metricsBindAddress"])),
        ("bindAddressHardFail: true", restart(&["bindAddressHardFail"])),
        ("enableProfiling: true", restart(&["enableProfiling"])),
        ("featureGates: {ComponentFlagz: false}", restart(&["featureGates.ComponentFlagz"])),
        ("clientConnection: {kubeconfig: /a, qps: 1, burst: 1}", {
            restart(&["clientConnection.burst", "clientConnection.kubeconfig", "clientConnection.qps"])
        }),
        ("logging: {format: json}", restart(&["logging.format"])),
        ("iptables: {masqueradeBit: 3}", restart(&["iptables.masqueradeBit"])),
        ("oomScoreAdj: 0", restart(&["oomScoreAdj"])),
        // 127.0.0.1 is no longer among them, for which the kernel was told at the start to let its packets leave the node.
        ("nodePortAddresses: [10.0.0.0/8]", restart(&["nodePortAddresses"])),
        // One such field is enough to leave all as it was.
        ("oomScoreAdj: 0\nclusterCIDR: 10.0.0.0/8", restart(&["oomScoreAdj"])),
    ] {
        assert_eq!(Reload::between(&resolved(""), &resolved(after)), expected, "{after}");
    }
}
