//! The configuration as a whole: texts go in, settings or lines come out. What the tests share is here.

mod effects;
mod go_syntax;
mod properties;
mod reload;
mod told;
mod written;

use std::{env, ffi::OsString, fs, path::PathBuf};

use crate::{Flags, Problems, Resolved, Settings, go_arguments, resolve};
use clap::{CommandFactory, FromArgMatches, Parser};

/// A daemon with these flags and no others.
#[derive(Debug, Parser)]
struct Daemon {
    #[command(flatten)]
    flags: Flags,
}

fn flags(arguments: &[&str]) -> Flags {
    let (read, mistakes) = go_arguments(&Daemon::command(), arguments.iter().map(OsString::from));
    let matches = Daemon::command().no_binary_name(true).try_get_matches_from(read).unwrap();
    Flags { mistakes, ..Flags::from_arg_matches(&matches).unwrap() }
}

/// A file that holds these fields.
fn file(fields: &str) -> String {
    format!("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n{fields}")
}

fn resolved(arguments: &[&str], file: Option<&str>) -> Result<Resolved, Problems> {
    resolve(&flags(arguments), file)
}

/// The settings of a file with these fields, without a warning.
fn settings(fields: &str) -> Settings {
    let resolved = resolved(&["--config=x"], Some(&file(fields))).unwrap();
    assert_eq!(resolved.warnings, [], "{fields}");
    Settings::new(&resolved, "this-host").unwrap()
}

/// The settings of a command line without a file, without a warning.
fn settings_of(arguments: &[&str]) -> Settings {
    let resolved = resolved(arguments, None).unwrap();
    assert_eq!(resolved.warnings, [], "{arguments:?}");
    Settings::new(&resolved, "this-host").unwrap()
}

/// The warnings, one a line.
fn warnings(resolved: &Resolved) -> String {
    resolved.warnings.iter().map(|warning| format!("{warning}\n")).collect()
}

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/config").join(path)
}

/// Compares a text with a file, or writes it with UPDATE_GOLDEN=1.
fn assert_golden(path: &str, text: &str) {
    let path = testdata(path);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{} differs; this is what there is now:\n{text}", path.display());
}
