//! What is written down beside the templates: plain manifests, the README's table, the version.

use std::{env, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::{RENDERED_MODES, diff, repository};
use serde_json::{Value, json};

use crate::{
    helm::{Helm, chart, path},
    values::for_each_value,
};

/// What stands around the table in the README.
const BEGIN: &str =
    "<!-- The table is made from values.schema.json and values.yaml by `UPDATE_GOLDEN=1 make test-chart`. -->\n";
const END: &str = "<!-- End of the table. -->";

pub(crate) fn lint(helm: &Helm) -> Result<()> {
    let chart = chart();
    let monitors = json!({"enabled": true});
    let all = json!({
        "cleanup": monitors, "podMonitor": monitors, "serviceMonitor": monitors, "prometheusRule": monitors,
        "config": {"metricsBindAddress": "0.0.0.0:10249"}, "legacyIptables": true, "apiServer": {"host": "10.0.0.1"},
    });
    for values in [json!({}), all] {
        let told = helm.works(&["lint", "--strict", path(&chart)?], &values)?;
        // An icon would be a picture somewhere else.
        let words = told.lines().filter(|line| line.starts_with('[') && !line.contains("icon is recommended"));
        let words: Vec<_> = words.collect();
        ensure!(words.is_empty(), "{words:?}");
    }
    Ok(())
}

pub(crate) fn manifests(helm: &Helm) -> Result<()> {
    for mode in RENDERED_MODES {
        let values = json!({"mode": mode.name()});
        let text = helm.text_of(&chart(), &values)?;
        ensure!(text == helm.text_of(&chart(), &values)?, "rendered twice it is not the same");
        is_current(&repository::root().join(format!("charts/manifests/portolan-{mode}.yaml")), &text)?;
    }
    Ok(())
}

pub(crate) fn readme(_: &Helm) -> Result<()> {
    let schema: Value = serde_json::from_slice(&fs::read(chart().join("values.schema.json"))?)?;
    let defaults: Value = serde_saphyr::from_str(&fs::read_to_string(chart().join("values.yaml"))?)?;
    let mut table = "\n| Key | Type | Default | Description |\n| --- | --- | --- | --- |\n".to_owned();
    for_each_value(&schema, "", &mut |path, value| {
        if value.get("properties").is_some() {
            return Ok(());
        }
        let default = defaults.pointer(&format!("/{}", path.replace('.', "/")));
        // What is not in values.yaml has Portolan's default.
        let default = default.map_or_else(|| "Portolan's".to_owned(), |default| format!("`{default}`"));
        let description = value["description"].as_str().context("no description")?;
        let kind = match &value["type"] {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            kind => kind.as_str().context("no type")?.to_owned(),
        };
        let allowed = value["enum"].as_array().or_else(|| value["items"]["enum"].as_array());
        let allowed = allowed.map(|allowed| allowed.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("`, `"));
        let allowed = allowed.map(|allowed| format!(": `{allowed}`")).unwrap_or_default();
        writeln!(table, "| `{path}` | {kind} | {default} | {description}{allowed} |")?;
        Ok(())
    })?;
    table.push('\n');
    let file = chart().join("README.md");
    let text = fs::read_to_string(&file)?;
    let (before, rest) = text.split_once(BEGIN).context("the README has no place for the table")?;
    let (_, after) = rest.split_once(END).context("the README's table has no end")?;
    is_current(&file, &format!("{before}{BEGIN}{table}{END}{after}"))
}

pub(crate) fn versions(_: &Helm) -> Result<()> {
    let about: Value = serde_saphyr::from_str(&fs::read_to_string(chart().join("Chart.yaml"))?)?;
    // All crates have one version.
    let version = env!("CARGO_PKG_VERSION");
    ensure!(about["version"] == version && about["appVersion"] == version, "{about:#}, and Portolan is {version}");
    let annotation = |name: &str| -> Result<Value> {
        let annotation = about["annotations"][format!("artifacthub.io/{name}")].as_str();
        Ok(serde_saphyr::from_str(annotation.with_context(|| format!("no annotation {name}"))?)?)
    };
    ensure!(annotation("images")?[0]["image"] == format!("portolan:{version}"), "another image");
    let kinds = ["added", "changed", "deprecated", "removed", "fixed", "security"];
    let changes = annotation("changes")?;
    let changes = changes.as_array().context("changes are a list")?;
    ensure!(!changes.is_empty() && changes.iter().all(|change| kinds.iter().any(|kind| change["kind"] == *kind)));
    for name in ["prerelease", "containsSecurityUpdates", "operator"] {
        ensure!(annotation(name)?.is_boolean(), "{name} is true or false");
    }
    Ok(())
}

fn is_current(file: &Path, text: &str) -> Result<()> {
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        return fs::write(file, text).with_context(|| file.display().to_string());
    }
    let written = fs::read_to_string(file).with_context(|| format!("{}: UPDATE_GOLDEN=1 writes it", file.display()))?;
    let difference = diff::lines(&written, text);
    ensure!(
        written == text,
        "{} (-) is not what it should be (+); UPDATE_GOLDEN=1 writes it:\n{difference}",
        file.display()
    );
    Ok(())
}
