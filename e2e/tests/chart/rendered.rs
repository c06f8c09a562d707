//! What holds for the chart's objects whatever the values are.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::{RENDERED_MODES, repository};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::helm::{Helm, NAMESPACE, RELEASE, chart, the};

pub(crate) fn daemonset(helm: &Helm) -> Result<()> {
    for mode in RENDERED_MODES {
        let objects = helm.objects(&json!({"mode": mode.name()}))?;
        let daemonset = the(&objects, "DaemonSet", RELEASE)?;
        let has = |pointer: &str, wanted: Value| {
            let value = daemonset.pointer(pointer);
            ensure!(value == Some(&wanted), "{pointer} is {value:?}, not {wanted}, in {mode} mode");
            Ok(())
        };
        has("/spec/updateStrategy/rollingUpdate", json!({"maxSurge": 0, "maxUnavailable": "10%"}))?;
        has("/spec/template/spec/hostNetwork", json!(true))?;
        has("/spec/template/spec/priorityClassName", json!("system-node-critical"))?;
        has("/spec/template/spec/tolerations", json!([{"operator": "Exists"}]))?;
        has("/spec/template/spec/securityContext/seccompProfile", json!({"type": "RuntimeDefault"}))?;
        let main = "/spec/template/spec/containers/0";
        has(
            &format!("{main}/securityContext"),
            json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            }),
        )?;
        has(&format!("{main}/command"), json!(["/usr/local/bin/portolan", "run"]))?;
        has(
            &format!("{main}/args"),
            json!(["--config=/etc/portolan/config.yaml", "--hostname-override=$(NODE_NAME)"]),
        )?;
        has(&format!("{main}/livenessProbe/httpGet"), json!({"path": "/livez", "port": "healthz"}))?;
        has(&format!("{main}/readinessProbe/httpGet"), json!({"path": "/readyz", "port": "healthz"}))?;
        has(&format!("{main}/ports/0/hostPort"), json!(10256))?;
        has(&format!("{main}/ports/1/hostPort"), json!(10249))?;
        let init = "/spec/template/spec/initContainers/0";
        has(&format!("{init}/args/2"), json!("--init-only"))?;
        has(&format!("{init}/securityContext"), json!({"privileged": true, "readOnlyRootFilesystem": true}))?;
        // A selector that loses a label finds other pods, and the API server refuses a change of it.
        has(
            "/spec/selector/matchLabels",
            json!({"app.kubernetes.io/name": "portolan", "app.kubernetes.io/instance": RELEASE}),
        )?;
        let volumes = daemonset.pointer("/spec/template/spec/volumes").and_then(Value::as_array).context("volumes")?;
        let on_host: Vec<_> = volumes.iter().filter_map(|volume| volume.pointer("/hostPath/path")).collect();
        let wanted = if mode.name() == "nftables" {
            vec!["/run/xtables.lock"]
        } else {
            vec!["/run/xtables.lock", "/lib/modules"]
        };
        ensure!(on_host == wanted, "{on_host:?} in {mode} mode");
    }
    Ok(())
}

pub(crate) fn rights(helm: &Helm) -> Result<()> {
    let objects = helm.objects(&json!({}))?;
    let kinds: Vec<_> = objects.iter().map(|object| &object["kind"]).collect();
    ensure!(kinds == ["ServiceAccount", "ConfigMap", "ClusterRoleBinding", "DaemonSet"], "{kinds:?}");
    let binding = the(&objects, "ClusterRoleBinding", RELEASE)?;
    ensure!(binding["roleRef"]["name"] == "system:node-proxier", "{binding:#}");
    let subject = json!([{"kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE}]);
    ensure!(binding["subjects"] == subject, "{binding:#}");
    let pod = &the(&objects, "DaemonSet", RELEASE)?["spec"]["template"]["spec"];
    ensure!(pod["serviceAccountName"] == RELEASE, "{pod:#}");
    Ok(())
}

pub(crate) fn cleanup(helm: &Helm) -> Result<()> {
    let objects = helm.objects(&json!({"cleanup": {"enabled": true}, "legacyIptables": true}))?;
    let cleanup = the(&objects, "DaemonSet", "portolan-cleanup")?;
    ensure!(cleanup["metadata"]["annotations"]["helm.sh/hook"] == "post-delete", "{cleanup:#}");
    // No node has room for two Pods with one port.
    let port = "/spec/template/spec/containers/0/ports/0/hostPort";
    let daemonset = the(&objects, "DaemonSet", RELEASE)?;
    ensure!(cleanup.pointer(port).is_some_and(|has| daemonset.pointer(port) == Some(has)), "{cleanup:#}");
    // What cleans up needs no more than what has written.
    let context = |object: &Value, of: &str| object["spec"]["template"]["spec"][of][0]["securityContext"].clone();
    let (cleans, runs) = (context(cleanup, "initContainers"), context(daemonset, "containers"));
    ensure!(cleans["capabilities"] == runs["capabilities"] && cleans["runAsUser"] == 0, "{cleans:#}");
    let finds = |object: &Value| object["spec"]["selector"]["matchLabels"].clone();
    ensure!(finds(cleanup) != finds(daemonset), "each would take the other's pods");
    Ok(())
}

pub(crate) fn alerts(helm: &Helm) -> Result<()> {
    let documented = fs::read_to_string(repository::root().join("docs/metrics.md"))?;
    let objects = helm.objects(&json!({"prometheusRule": {"enabled": true}}))?;
    let rules = the(&objects, "PrometheusRule", RELEASE)?.pointer("/spec/groups/0/rules").and_then(Value::as_array);
    let mut names = BTreeSet::new();
    for rule in rules.context("no rules")? {
        let name = rule["alert"].as_str().context("no name")?;
        ensure!(names.insert(name), "{name} is there twice");
        let summary = rule["annotations"]["summary"].as_str();
        ensure!(summary.is_some_and(|summary| !summary.is_empty()), "{name} says nothing");
        let expression = rule["expr"].as_str().context("no expression")?;
        let words = expression.split(|character: char| !character.is_alphanumeric() && character != '_');
        for metric in words.filter(|word| word.starts_with("portolan_")) {
            ensure!(documented.contains(&format!("| `{metric}` |")), "{name} asks for {metric}, which there is not");
        }
    }
    ensure!(names.len() == 9, "{names:?}");
    Ok(())
}

pub(crate) fn parent(helm: &Helm) -> Result<()> {
    let folder = TempDir::new()?;
    let parent = folder.path();
    fs::create_dir(parent.join("charts"))?;
    symlink(fs::canonicalize(chart())?, parent.join("charts/portolan"))?;
    fs::write(
        parent.join("Chart.yaml"),
        "{apiVersion: v2, name: parent, version: 0.0.1, \
         dependencies: [{name: portolan, version: '*', condition: portolan.enabled}]}",
    )?;
    let rendered = |enabled: bool| {
        let values = json!({"global": {"anything": 1}, "portolan": {"enabled": enabled, "mode": "iptables"}});
        helm.objects_of(parent, &values)
    };
    let names: Vec<_> = rendered(true)?.iter().map(|object| object["kind"].clone()).collect();
    ensure!(names.len() == 4, "{names:?}");
    let off = rendered(false)?;
    ensure!(off.is_empty(), "{off:#?}");
    Ok(())
}
