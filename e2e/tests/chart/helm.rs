//! helm, run for the chart of this repository.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail};
use portolan_e2e::repository;
use serde_json::Value;
use tempfile::TempDir;

/// The namespace and the name of every release.
pub(crate) const NAMESPACE: &str = "kube-system";
pub(crate) const RELEASE: &str = "portolan";

/// The program.
pub(crate) struct Helm {
    program: PathBuf,
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    repository::root().join("charts/portolan")
}

impl Helm {
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Whether it works, and what it says, with values in a file.
    pub(crate) fn run(&self, arguments: &[&str], values: &Value) -> Result<Output> {
        // Nothing of who runs the test: neither the cluster nor repositories.
        let folder = TempDir::new()?;
        let file = folder.path().join("values.json");
        fs::write(&file, values.to_string())?;
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", folder.path()).args(arguments).args(["--namespace", NAMESPACE]);
        if values.is_object() {
            command.arg("--values").arg(&file);
        }
        command.output().context("helm")
    }

    /// The same, for what must work; what it prints.
    pub(crate) fn works(&self, arguments: &[&str], values: &Value) -> Result<String> {
        let output = self.run(arguments, values)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("helm {} {values}: {stderr}", arguments.join(" "));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a chart is rendered to, as text.
    pub(crate) fn text_of(&self, chart: &Path, values: &Value) -> Result<String> {
        self.works(&["template", RELEASE, path(chart)?], values)
    }

    /// The objects that a chart is rendered to.
    pub(crate) fn objects_of(&self, chart: &Path, values: &Value) -> Result<Vec<Value>> {
        let objects: Vec<Value> = serde_saphyr::from_multiple(&self.text_of(chart, values)?)?;
        Ok(objects.into_iter().filter(Value::is_object).collect())
    }

    /// The objects of Portolan's chart.
    pub(crate) fn objects(&self, values: &Value) -> Result<Vec<Value>> {
        self.objects_of(&chart(), values)
    }
}

/// The only object of a kind that Portolan itself is made of, or what an extension of its name says.
pub(crate) fn the<'objects>(objects: &'objects [Value], kind: &str, name: &str) -> Result<&'objects Value> {
    let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    let mut found = objects.iter().filter(is);
    match (found.next(), found.next()) {
        (Some(object), None) => Ok(object),
        _ => bail!("not one {kind} {name} in {objects:#?}"),
    }
}

/// The file that Portolan reads.
pub(crate) fn config(objects: &[Value]) -> Result<&str> {
    the(objects, "ConfigMap", RELEASE)?["data"]["config.yaml"].as_str().context("no config.yaml")
}

pub(crate) fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
