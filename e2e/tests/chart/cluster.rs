//! The chart in a real API server, with the real DaemonSet controller: from `helm install` to `helm uninstall`.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_e2e::{
    controlplane::{Api, Binary, ControlPlane},
    daemon::until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::helm::{Helm, NAMESPACE, RELEASE, chart, path};

const DAEMONSET: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/portolan";
const CLEANUP: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/portolan-cleanup";
const CONFIG: &str = "/api/v1/namespaces/kube-system/configmaps/portolan";
const ACCOUNT: &str = "/api/v1/namespaces/kube-system/serviceaccounts/portolan";
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/portolan";
const PODS: &str = "/api/v1/namespaces/kube-system/pods";
const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
/// By which nodes are chosen.
const LABEL: &str = "service-proxy";

pub(crate) fn from_install_to_uninstall(helm: &Helm, binary: &Binary) -> Result<()> {
    let mut plane = ControlPlane::start(binary)?;
    plane.api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))?;
    for name in NODES {
        plane.api.apply(&node(name, json!({})))?;
    }
    plane.start_controllers(&["daemonset-controller", "garbage-collector-controller"])?;
    let (kubeconfig, folder) = (plane.credentials().kubeconfig(), for_any_release()?);
    let (kubeconfig, chart) = (path(&kubeconfig)?, path(folder.path())?);
    let api = &mut plane.api;
    let does = |words: &[&str], values: &Value| helm.works(&[words, &["--kubeconfig", kubeconfig]].concat(), values);
    let installs = |values| does(&["install", RELEASE, chart], values);
    let uninstalls = || does(&["uninstall", RELEASE], &Value::Null);

    // Node by node: first one, then two, then all.
    let mut values = json!({"apiServer": {"host": "192.168.100.11"}, "config": {"clusterCIDR": "10.244.0.0/16"}});
    let chosen = ["install", RELEASE, chart, "--set", "nodeSelector.service-proxy=portolan"];
    let notes = does(&chosen, &values)?;
    ensure!(notes.contains("rollout status daemonset/portolan") && notes.contains("portolan cleanup"), "{notes}");
    for path in [DAEMONSET, CONFIG, ACCOUNT, BINDING] {
        api.get(path)?;
    }
    runs_on(api, &[])?;
    api.apply(&node("node-a", json!({LABEL: "portolan"})))?;
    runs_on(api, &["node-a"])?;
    api.apply(&node("node-b", json!({LABEL: "portolan"})))?;
    runs_on(api, &["node-a", "node-b"])?;
    ensure!(mode(api)? == "nftables");
    let before = checksum(api)?;
    does(&["upgrade", RELEASE, chart], &values)?;
    runs_on(api, &NODES)?;
    ensure!(checksum(api)? == before, "pods are replaced, and their configuration is the same");

    values["mode"] = json!("iptables");
    does(&["upgrade", RELEASE, chart], &values)?;
    runs_on(api, &NODES)?;
    ensure!(mode(api)? == "iptables" && checksum(api)? != before, "pods would keep the old mode");

    let refused = helm.run(&["upgrade", RELEASE, chart, "--kubeconfig", kubeconfig], &json!({"mode": "nft"}))?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && told.contains("'nftables', 'iptables', 'ipvs'"), "{told}");
    ensure!(mode(api)? == "iptables", "a refused mode is in the cluster");

    does(&["rollback", RELEASE, "1"], &Value::Null)?;
    // The first revision, with its nodes.
    ensure!(mode(api)? == "nftables" && checksum(api)? == before, "not as it was");
    runs_on(api, &["node-a", "node-b"])?;

    uninstalls()?;
    for path in [DAEMONSET, CONFIG, ACCOUNT, BINDING] {
        gone(api, path)?;
    }
    gone(api, CLEANUP)?;

    // With the hook what cleans up comes when all else goes, on the same nodes, and stays until it is deleted.
    installs(&json!({"cleanup": {"enabled": true}}))?;
    gone(api, CLEANUP)?;
    uninstalls()?;
    gone(api, DAEMONSET)?;
    let cleanup = api.get(CLEANUP)?;
    until("pods that clean up", || {
        let scheduled = api.get(CLEANUP)?.pointer("/status/desiredNumberScheduled").cloned();
        Ok::<_, anyhow::Error>((scheduled == Some(json!(NODES.len()))).then_some(()))
    })?;
    api.delete(&json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": cleanup["metadata"]["name"], "namespace": NAMESPACE},
    }))?;
    gone(api, CLEANUP)
}

/// The chart without `kubeVersion`: an API server that is not built by Kubernetes' own scripts does not know its release.
fn for_any_release() -> Result<TempDir> {
    let folder = TempDir::new()?;
    for name in ["templates", "files", "values.yaml", "values.schema.json"] {
        symlink(fs::canonicalize(chart().join(name))?, folder.path().join(name))?;
    }
    let about = fs::read_to_string(chart().join("Chart.yaml"))?;
    let lines: Vec<_> = about.lines().filter(|line| !line.starts_with("kubeVersion:")).collect();
    fs::write(folder.path().join("Chart.yaml"), lines.join("\n"))?;
    Ok(folder)
}

fn node(name: &str, labels: Value) -> Value {
    let mut labels = labels;
    labels["kubernetes.io/os"] = json!("linux");
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
}

/// Waits until the DaemonSet has Pods for these nodes and no others. Nobody runs them.
fn runs_on(api: &mut Api, nodes: &[&str]) -> Result<()> {
    let wanted: BTreeSet<_> = nodes.iter().map(|node| Some((*node).to_owned())).collect();
    until(&format!("pods on {nodes:?}"), || {
        let pods = api.get(PODS)?;
        let of = |pod: &Value| {
            let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
            pod.pointer(terms)?.pointer("/0/matchFields/0/values/0")?.as_str().map(ToOwned::to_owned)
        };
        let pods = pods["items"].as_array().context("no list")?;
        let stay = pods.iter().filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
        let on: BTreeSet<_> = stay.map(of).collect();
        // What the controller has seen is the DaemonSet as it is now.
        let daemonset = api.get(DAEMONSET)?;
        let seen = daemonset["status"]["observedGeneration"] == daemonset["metadata"]["generation"];
        Ok::<_, anyhow::Error>((seen && on == wanted).then_some(()))
    })
}

fn mode(api: &mut Api) -> Result<String> {
    let config = api.get(CONFIG)?;
    let config: Value = serde_saphyr::from_str(config["data"]["config.yaml"].as_str().context("no config.yaml")?)?;
    config["mode"].as_str().map(ToOwned::to_owned).context("no mode")
}

fn checksum(api: &mut Api) -> Result<Value> {
    let daemonset = api.get(DAEMONSET)?;
    Ok(daemonset["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone())
}

fn gone(api: &mut Api, path: &str) -> Result<()> {
    let Err(error) = api.get(path) else { bail!("{path} is there") };
    ensure!(error.to_string().contains("not found"), "{error}");
    Ok(())
}
