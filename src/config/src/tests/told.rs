//! What people are told about a bad configuration, and about what is accepted and not followed, word for word.

use std::{fmt::Write as _, fs};

use super::{assert_golden, file, resolved, testdata};
use serde::Deserialize;

/// One configuration: the fields of a file, or a whole one, and a command line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    title: String,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    args: Vec<String>,
}

impl Entry {
    /// The lines that are told, and whether it was refused.
    fn told(&self) -> (Vec<String>, bool) {
        let text = self.text.clone().or(self.file.as_deref().map(file));
        let mut arguments: Vec<&str> = self.args.iter().map(String::as_str).collect();
        if text.is_some() && arguments.is_empty() {
            arguments.push("--config=x");
        }
        match resolved(&arguments, text.as_deref()) {
            Ok(resolved) => (resolved.warnings.iter().map(ToString::to_string).collect(), false),
            Err(problems) => (problems.problems.iter().map(ToString::to_string).collect(), true),
        }
    }
}

/// Runs a theme through, and gives back how many entries it has.
fn theme(name: &str, refused: bool) -> usize {
    let entries = fs::read_to_string(testdata(&format!("{name}.yaml"))).unwrap();
    let entries: Vec<Entry> = serde_saphyr::from_str(&entries).unwrap();
    let mut golden = String::new();
    for entry in &entries {
        let (lines, was_refused) = entry.told();
        assert_eq!(was_refused, refused, "{}: {lines:?}", entry.title);
        assert!(!refused || !lines.is_empty(), "{}", entry.title);
        let separator = if golden.is_empty() { "" } else { "\n" };
        writeln!(golden, "{separator}# {}", entry.title).unwrap();
        for line in lines {
            assert!(!line.contains(char::is_control) && line.contains("; "), "{line:?}");
            writeln!(golden, "{line}").unwrap();
        }
    }
    assert_golden(&format!("{name}.golden"), &golden);
    entries.len()
}

#[test]
fn bad_configurations_are_refused_with_all_their_mistakes() {
    let entries: usize = ["bad/forms", "bad/values", "bad/flags"].map(|name| theme(name, true)).into_iter().sum();
    assert!(entries >= 100, "{entries}");
}

#[test]
fn what_is_not_followed_is_told_with_the_reason() {
    theme("ignored/file", false);
    theme("ignored/flags", false);
}
