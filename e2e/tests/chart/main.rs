//! The chart charts/portolan: what it renders, what it refuses, and what becomes of it in a real API server.
//!
//! `UPDATE_GOLDEN=1` writes charts/manifests and the table of the chart's README instead of comparing them.

#![allow(clippy::indexing_slicing, reason = "test code as a whole: fields that are missing fail it")]

mod cluster;
mod config;
mod documents;
mod helm;
mod refused;
mod rendered;
mod schemas;
mod values;

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use portolan_e2e::{
    built,
    controlplane::Binary,
    daemon::test,
    harness::{self, Failure, Test},
};

use crate::helm::Helm;

/// A test that needs helm alone.
type Case = fn(&Helm) -> Result<()>;

fn main() -> ExitCode {
    // Before the tests go inside, where there is no network to make anything from.
    let tests = tests();
    harness::run(move || tests, || ())
}

fn tests() -> Result<Vec<Test>, Failure> {
    let made = built::built("chart/build", "helm");
    let helm = built::unless_missing("NOT RUN, the tests of the chart", made).map_err(|missing| missing.to_string())?;
    let Some(helm) = helm else { return Ok(Vec::new()) };
    let helm = Arc::new(Helm::new(helm));
    let cases: [(&str, Case); 13] = [
        ("every value does what it says", values::every_value_does_what_it_says),
        ("every value is tried, and described", values::every_value_is_tried_and_described),
        ("Portolan accepts every field of the configuration", config::portolan_accepts_every_field),
        ("a DaemonSet as a service proxy's is", rendered::daemonset),
        ("rights are those of kube-proxy", rendered::rights),
        ("the clean-up waits until Portolan is gone", rendered::cleanup),
        ("alerts are about metrics that there are", rendered::alerts),
        ("a parent chart switches it on and off", rendered::parent),
        ("bad values are refused with what is allowed", refused::bad_values),
        ("lint has nothing to say", documents::lint),
        ("renderings are the same each time, and as in charts/manifests", documents::manifests),
        ("the README has every value", documents::readme),
        ("the versions are Portolan's", documents::versions),
    ];
    let mut tests: Vec<_> = cases
        .into_iter()
        .map(|(name, case)| {
            let helm = Arc::clone(&helm);
            test(name, move || case(&helm))
        })
        .collect();

    let made = built::built("chart/schemas", "kubernetes-validate");
    let left_out = "NOT RUN, the chart against the schemas of Kubernetes";
    if let Some(validator) = built::unless_missing(left_out, made).map_err(|missing| missing.to_string())? {
        let helm = Arc::clone(&helm);
        tests.push(test("the schemas of five releases of Kubernetes allow it", move || {
            schemas::allow(&helm, &validator)
        }));
    }
    let left_out = "NOT RUN, the chart in a real API server";
    if let Some(binary) = Binary::unless_missing(left_out).map_err(|missing| missing.to_string())? {
        tests.push(test("it is installed, upgraded, rolled back and uninstalled", move || {
            cluster::from_install_to_uninstall(&helm, &binary)
        }));
    }
    Ok(tests)
}
