//! Each value of the chart, and what it changes.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    config,
    helm::{Helm, RELEASE, chart, the},
};

const POD: &str = "/spec/template/spec";
const MAIN: &str = "/spec/template/spec/containers/0";
const INIT: &str = "/spec/template/spec/initContainers/0";

/// Values, and what an object has by them at a pointer.
struct Case {
    values: Value,
    object: (&'static str, &'static str),
    has: Vec<(String, Value)>,
}

fn case<const N: usize>(values: Value, object: (&'static str, &'static str), has: [(String, Value); N]) -> Case {
    Case { values, object, has: has.into() }
}

fn cases() -> Vec<Case> {
    let daemonset = ("DaemonSet", RELEASE);
    let cleanup = ("DaemonSet", "portolan-cleanup");
    let at = |base: &str, rest: &str| format!("{base}{rest}");
    let digest = format!("sha256:{}", "5".repeat(64));
    let reachable = json!({"metricsBindAddress": "0.0.0.0:10249"});
    let resources = json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}});
    vec![
        case(
            json!({"image": {"repository": "registry.example:5000/a/portolan", "tag": "v2", "pullPolicy": "Always"}}),
            daemonset,
            [
                (at(MAIN, "/image"), json!("registry.example:5000/a/portolan:v2")),
                (at(INIT, "/image"), json!("registry.example:5000/a/portolan:v2")),
                (at(MAIN, "/imagePullPolicy"), json!("Always")),
                (at(INIT, "/imagePullPolicy"), json!("Always")),
            ],
        ),
        case(
            json!({"image": {"digest": digest, "tag": "v2"}}),
            daemonset,
            [(at(MAIN, "/image"), json!(format!("portolan@{digest}")))],
        ),
        case(
            json!({"imagePullSecrets": [{"name": "secret"}]}),
            daemonset,
            [(at(POD, "/imagePullSecrets"), json!([{"name": "secret"}]))],
        ),
        case(
            json!({"mode": "ipvs"}),
            daemonset,
            [
                (at(POD, "/volumes/2/hostPath/path"), json!("/lib/modules")),
                (at(MAIN, "/volumeMounts/2/mountPath"), json!("/lib/modules")),
            ],
        ),
        case(
            json!({"extraFlags": ["--count-connections"]}),
            daemonset,
            [(at(MAIN, "/args/2"), json!("--count-connections"))],
        ),
        case(
            json!({"legacyIptables": true}),
            daemonset,
            [(at(MAIN, "/securityContext/capabilities/add"), json!(["NET_ADMIN", "NET_RAW"]))],
        ),
        case(
            json!({"apiServer": {"host": "192.168.100.11", "port": 8443}}),
            daemonset,
            [
                (at(MAIN, "/env/1"), json!({"name": "KUBERNETES_SERVICE_HOST", "value": "192.168.100.11"})),
                (at(MAIN, "/env/2"), json!({"name": "KUBERNETES_SERVICE_PORT", "value": "8443"})),
            ],
        ),
        case(
            json!({"nodeSelector": {"proxy": "portolan"}}),
            daemonset,
            [(at(POD, "/nodeSelector"), json!({"kubernetes.io/os": "linux", "proxy": "portolan"}))],
        ),
        case(
            json!({"maxUnavailable": 3}),
            daemonset,
            [("/spec/updateStrategy/rollingUpdate/maxUnavailable".into(), json!(3))],
        ),
        case(
            json!({"resources": resources}),
            daemonset,
            [(at(MAIN, "/resources"), resources.clone()), (at(INIT, "/resources"), resources)],
        ),
        case(
            json!({"config": {"healthzBindAddress": "192.168.100.11:11256", "metricsBindAddress": "0.0.0.0:11249"}}),
            daemonset,
            [
                (at(MAIN, "/ports/0/containerPort"), json!(11256)),
                (at(MAIN, "/ports/1/hostPort"), json!(11249)),
                (at(MAIN, "/livenessProbe/httpGet/host"), json!("192.168.100.11")),
                (at(MAIN, "/readinessProbe/httpGet/host"), json!("192.168.100.11")),
            ],
        ),
        case(
            json!({"config": {"healthzBindAddress": "[fd00::1]:11256"}}),
            daemonset,
            [(at(MAIN, "/livenessProbe/httpGet/host"), json!("fd00::1"))],
        ),
        case(
            json!({"cleanup": {"enabled": true, "pauseImage": "pause:1"}}),
            cleanup,
            [
                (at(MAIN, "/image"), json!("pause:1")),
                (at(INIT, "/command"), json!(["/usr/local/bin/portolan", "cleanup"])),
            ],
        ),
        case(
            json!({"podMonitor": {"enabled": true, "interval": "10s", "labels": {"team": "a"}}, "config": reachable}),
            ("PodMonitor", RELEASE),
            [
                ("/spec/podMetricsEndpoints/0/interval".into(), json!("10s")),
                ("/metadata/labels/team".into(), json!("a")),
            ],
        ),
        case(
            json!({"serviceMonitor": {"enabled": true, "interval": "10s", "labels": {"team": "a"}}, "config": reachable}),
            ("ServiceMonitor", RELEASE),
            [("/spec/endpoints/0/interval".into(), json!("10s")), ("/metadata/labels/team".into(), json!("a"))],
        ),
        case(
            json!({"serviceMonitor": {"enabled": true}, "config": {"metricsBindAddress": "0.0.0.0:11249"}}),
            ("Service", "portolan-metrics"),
            [("/spec/clusterIP".into(), json!("None")), ("/spec/ports/0/port".into(), json!(11249))],
        ),
        case(
            json!({"prometheusRule": {"enabled": true, "labels": {"team": "a"}}}),
            ("PrometheusRule", RELEASE),
            [("/metadata/labels/team".into(), json!("a")), ("/spec/groups/0/name".into(), json!("portolan"))],
        ),
    ]
}

/// What parent charts look at, and this one does not.
fn of_parents() -> [Value; 2] {
    [json!({"enabled": false}), json!({"global": {"anything": [1, 2]}})]
}

pub(crate) fn every_value_does_what_it_says(helm: &Helm) -> Result<()> {
    let default = helm.objects(&json!({}))?;
    for case in cases() {
        let objects = helm.objects(&case.values)?;
        let object = the(&objects, case.object.0, case.object.1)?;
        for (pointer, wanted) in &case.has {
            let has = object.pointer(pointer);
            ensure!(has == Some(wanted), "{pointer} is {has:?}, not {wanted}, with {}", case.values);
            let by_default =
                the(&default, case.object.0, case.object.1).ok().and_then(|object| object.pointer(pointer));
            ensure!(by_default != Some(wanted), "{pointer} is {wanted} without {}, too", case.values);
        }
    }
    for values in of_parents() {
        ensure!(helm.objects(&values)? == default, "{values} changes what is rendered");
    }
    Ok(())
}

pub(crate) fn every_value_is_tried_and_described(_: &Helm) -> Result<()> {
    let schema: Value = serde_json::from_slice(&fs::read(chart().join("values.schema.json"))?)?;
    let mut leaves = Vec::new();
    for_each_value(&schema, "", &mut |path, value| {
        let described = value["description"].as_str().is_some_and(|text| !text.is_empty());
        ensure!(described, "{path} has no description");
        ensure!(value.get("properties").is_none() || value["additionalProperties"] == false, "{path} takes anything");
        if value.get("properties").is_none() {
            leaves.push(path.to_owned());
        }
        Ok(())
    })?;
    ensure!(leaves.len() > 60, "only {} values", leaves.len());
    let configs =
        config::CASES.iter().map(|(_, case)| serde_saphyr::from_str(case).map(|case: Value| json!({"config": case})));
    let configs = configs.collect::<Result<Vec<_>, _>>()?;
    let tried = cases().into_iter().map(|case| case.values).chain(of_parents()).chain(configs);
    let mut paths = BTreeSet::new();
    tried.for_each(|values| collect(&values, "", &mut paths));
    let untried: Vec<_> = leaves.iter().filter(|leaf| !paths.contains(*leaf)).collect();
    ensure!(untried.is_empty(), "no test sets {untried:?}");
    println!("{} values are tried", leaves.len());
    Ok(())
}

/// Calls `look` with each value of a schema, and with its path such as `image.tag`.
pub(crate) fn for_each_value(
    schema: &Value,
    path: &str,
    look: &mut impl FnMut(&str, &Value) -> Result<()>,
) -> Result<()> {
    for (name, value) in schema["properties"].as_object().context("no properties")? {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        look(&path, value)?;
        if value.get("properties").is_some() {
            for_each_value(value, &path, look)?;
        }
    }
    Ok(())
}

fn collect(values: &Value, path: &str, into: &mut BTreeSet<String>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(value, &path, into);
        into.insert(path);
    }
}
