//! Which field of the file says what a flag says.

/// Field and flag. Where two fields have one flag, the one of the block that counts without a mode stands first.
const NAMES: [(&str, &str); 54] = [
    ("featureGates", "--feature-gates"),
    ("clientConnection.kubeconfig", "--kubeconfig"),
    ("clientConnection.contentType", "--kube-api-content-type"),
    ("clientConnection.qps", "--kube-api-qps"),
    ("clientConnection.burst", "--kube-api-burst"),
    ("logging.format", "--logging-format"),
    ("logging.flushFrequency", "--log-flush-frequency"),
    ("logging.verbosity", "--v"),
    ("logging.vmodule", "--vmodule"),
    ("logging.options.text.splitStream", "--log-text-split-stream"),
    ("logging.options.text.infoBufferSize", "--log-text-info-buffer-size"),
    ("logging.options.json.splitStream", "--log-json-split-stream"),
    ("logging.options.json.infoBufferSize", "--log-json-info-buffer-size"),
    ("hostnameOverride", "--hostname-override"),
    ("bindAddress", "--bind-address"),
    ("healthzBindAddress", "--healthz-bind-address"),
    ("healthzBindAddress", "--healthz-port"),
    ("metricsBindAddress", "--metrics-bind-address"),
    ("metricsBindAddress", "--metrics-port"),
    ("bindAddressHardFail", "--bind-address-hard-fail"),
    ("enableProfiling", "--profiling"),
    ("showHiddenMetricsForVersion", "--show-hidden-metrics-for-version"),
    ("mode", "--proxy-mode"),
    ("iptables.masqueradeBit", "--iptables-masquerade-bit"),
    ("nftables.masqueradeBit", "--iptables-masquerade-bit"),
    ("iptables.masqueradeAll", "--masquerade-all"),
    ("nftables.masqueradeAll", "--masquerade-all"),
    ("iptables.localhostNodePorts", "--iptables-localhost-nodeports"),
    ("iptables.syncPeriod", "--iptables-sync-period"),
    ("nftables.syncPeriod", "--iptables-sync-period"),
    ("iptables.minSyncPeriod", "--iptables-min-sync-period"),
    ("nftables.minSyncPeriod", "--iptables-min-sync-period"),
    ("ipvs.syncPeriod", "--ipvs-sync-period"),
    ("ipvs.minSyncPeriod", "--ipvs-min-sync-period"),
    ("ipvs.scheduler", "--ipvs-scheduler"),
    ("ipvs.excludeCIDRs", "--ipvs-exclude-cidrs"),
    ("ipvs.strictARP", "--ipvs-strict-arp"),
    ("ipvs.tcpTimeout", "--ipvs-tcp-timeout"),
    ("ipvs.tcpFinTimeout", "--ipvs-tcpfin-timeout"),
    ("ipvs.udpTimeout", "--ipvs-udp-timeout"),
    ("detectLocalMode", "--detect-local-mode"),
    ("detectLocal.bridgeInterface", "--pod-bridge-interface"),
    ("detectLocal.interfaceNamePrefix", "--pod-interface-name-prefix"),
    ("clusterCIDR", "--cluster-cidr"),
    ("nodePortAddresses", "--nodeport-addresses"),
    ("oomScoreAdj", "--oom-score-adj"),
    ("conntrack.maxPerCore", "--conntrack-max-per-core"),
    ("conntrack.min", "--conntrack-min"),
    ("conntrack.tcpEstablishedTimeout", "--conntrack-tcp-timeout-established"),
    ("conntrack.tcpCloseWaitTimeout", "--conntrack-tcp-timeout-close-wait"),
    ("conntrack.tcpBeLiberal", "--conntrack-tcp-be-liberal"),
    ("conntrack.udpTimeout", "--conntrack-udp-timeout"),
    ("conntrack.udpStreamTimeout", "--conntrack-udp-timeout-stream"),
    ("configSyncPeriod", "--config-sync-period"),
];

/// The flag for a field. What stands behind an index or a name of the user's own is no part of a flag.
pub(crate) fn flag_of(field: &str) -> Option<&'static str> {
    let known = |field: &str| NAMES.iter().find(|(known, _)| *known == field).map(|(_, flag)| *flag);
    let list = field.split('[').next().unwrap_or(field);
    let map = field.split('.').next().filter(|first| *first == "featureGates");
    known(list).or_else(|| known(map?))
}

/// The field for a flag.
pub(crate) fn field_of(flag: &str) -> Option<&'static str> {
    NAMES.iter().find(|(_, known)| *known == flag).map(|(field, _)| *field)
}
