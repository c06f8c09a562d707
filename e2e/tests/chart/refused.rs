//! Bad values: none gets to a cluster, and who wrote it reads which it is and what is allowed.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::helm::{Helm, chart, path};

/// Values, and what the refusal must name.
fn cases() -> Vec<(Value, Vec<&'static str>)> {
    vec![
        (json!({"mode": "nft"}), vec!["/mode", "'nftables', 'iptables', 'ipvs'"]),
        (json!({"mode": ""}), vec!["/mode", "'nftables', 'iptables', 'ipvs'"]),
        (json!({"mod": "nftables"}), vec!["'mod'", "not allowed"]),
        (json!({"image": {"tag": 2}}), vec!["/image/tag", "got number, want string"]),
        (json!({"image": {"digest": "sha256:5"}}), vec!["/image/digest", "pattern", "sha256:[0-9a-f]{64}"]),
        (json!({"image": {"pullPolicy": "Sometimes"}}), vec!["/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"]),
        (json!({"apiServer": {"host": "https://10.0.0.1"}}), vec!["/apiServer/host", "pattern"]),
        (json!({"apiServer": {"port": 65536}}), vec!["/apiServer/port", "maximum", "65,535"]),
        (json!({"apiServer": {"port": "6443"}}), vec!["/apiServer/port", "got string, want integer"]),
        (json!({"nodeSelector": {"proxy": true}}), vec!["/nodeSelector/proxy", "got boolean, want string"]),
        (json!({"maxUnavailable": 0}), vec!["/maxUnavailable", "minimum", "1"]),
        (json!({"maxUnavailable": "0%"}), vec!["/maxUnavailable", "pattern"]),
        (json!({"resources": {"limits": {"memory": "much"}}}), vec!["/resources/limits/memory", "pattern"]),
        (json!({"extraFlags": ["--mode=ipvs"]}), vec!["/extraFlags/0", "'--count-connections'"]),
        (json!({"podMonitor": {"interval": "often"}}), vec!["/podMonitor/interval", "pattern"]),
        (json!({"config": {"mode": "iptables"}}), vec!["/config", "'mode'", "not allowed"]),
        (json!({"config": {"clusterCidr": "10.0.0.0/8"}}), vec!["/config", "'clusterCidr'", "not allowed"]),
        (
            json!({"config": {"detectLocalMode": "clustercidr"}}),
            vec!["/config/detectLocalMode", "'ClusterCIDR', 'NodeCIDR'"],
        ),
        (json!({"config": {"conntrack": {"min": -1}}}), vec!["/config/conntrack/min", "minimum", "0"]),
        (json!({"config": {"configSyncPeriod": 30}}), vec!["/config/configSyncPeriod", "got number, want string"]),
        (json!({"config": {"healthzBindAddress": "10256"}}), vec!["/config/healthzBindAddress", "pattern"]),
        (json!({"config": {"ipvs": {"scheduler": "random"}}}), vec!["/config/ipvs/scheduler", "'rr', 'wrr'"]),
        // What no schema can say.
        (json!({"podMonitor": {"enabled": true}}), vec!["set config.metricsBindAddress=0.0.0.0:10249"]),
        (json!({"serviceMonitor": {"enabled": true}}), vec!["set config.metricsBindAddress=0.0.0.0:10249"]),
    ]
}

pub(crate) fn bad_values(helm: &Helm) -> Result<()> {
    let chart = chart();
    for (values, parts) in cases() {
        let output = helm.run(&["template", "portolan", path(&chart)?], &values)?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{values} is taken");
        let untold: Vec<_> = parts.iter().filter(|part| !told.contains(**part)).collect();
        ensure!(untold.is_empty(), "{values} is refused without {untold:?}: {told}");
    }
    println!("{} bad values are refused", cases().len());
    Ok(())
}
