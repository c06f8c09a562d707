//! Renderings, judged by the schemas of releases of Kubernetes, strictly: no field that they do not have.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::helm::Helm;

/// The first of the chart, and the last.
const RELEASES: [&str; 5] = ["1.25", "1.29", "1.33", "1.36", "1.37"];

pub(crate) fn allow(helm: &Helm, validator: &Path) -> Result<()> {
    let on = json!({"enabled": true});
    let renderings = [
        json!({}),
        json!({"mode": "iptables", "legacyIptables": true, "apiServer": {"host": "10.0.0.1"}}),
        json!({
            "mode": "ipvs", "cleanup": on, "serviceMonitor": on, "imagePullSecrets": [{"name": "secret"}],
            "config": {"metricsBindAddress": "0.0.0.0:10249", "healthzBindAddress": "10.0.0.1:10256"},
            "resources": {"requests": {"cpu": "50m"}}, "nodeSelector": {"proxy": "portolan"}, "maxUnavailable": 1,
            "extraFlags": ["--streaming-lists"],
        }),
    ];
    let folder = TempDir::new()?;
    let mut files = Vec::new();
    for values in renderings {
        // Kinds of the Prometheus operator are not Kubernetes'.
        let objects = helm.objects(&values)?.into_iter();
        for object in objects.filter(|object| object["apiVersion"] != "monitoring.coreos.com/v1") {
            let file = folder.path().join(format!("{}.yaml", files.len()));
            fs::write(&file, object.to_string())?;
            files.push(file);
        }
    }
    let judge = |release: &str, files: &[_]| {
        let mut command = Command::new(validator.join("bin/kubernetes-validate"));
        command.args(["--strict", "--kubernetes-version", release]).args(files).output()
    };
    for release in RELEASES {
        let output = judge(release, &files)?;
        let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(output.status.success(), "{release}: {told}");
    }
    // It does judge.
    let misspelt = folder.path().join("misspelt.yaml");
    fs::write(&misspelt, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "dta": {}}).to_string())?;
    ensure!(!judge("1.37", &[misspelt])?.status.success(), "a misspelt field is taken");
    println!("{} objects, by {} releases", files.len(), RELEASES.len());
    Ok(())
}
