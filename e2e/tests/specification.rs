//! docs/specification.md against what it names: every promise has a number and tests, these are there, every scenario
//! stands behind some promise, and whoever cites a number cites one that there is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::repository::{paths_in, root, sources};

const DOCUMENT: &str = "docs/specification.md";

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = root().join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Section and place in it: S5.12.
type Number = (u32, u32);

/// One item of the document's lists that begins with a number.
struct Promise {
    number: Number,
    /// Of the heading above it.
    section: u32,
    /// What stands in backquotes behind "Shown by".
    tests: Vec<String>,
}

fn number(text: &str) -> Option<Number> {
    let (section, place) = text.strip_prefix('S')?.split_once('.')?;
    Some((section.parse().ok()?, place.parse().ok()?))
}

fn promises() -> Result<Vec<Promise>> {
    let document = read(DOCUMENT)?;
    let mut lines = document.lines().peekable();
    let (mut found, mut section) = (Vec::new(), 0);
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.split(' ').next().and_then(|number| number.parse().ok()).context(heading.to_owned())?;
        }
        let Some(item) = line.strip_prefix("- **") else { continue };
        let mut item = item.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("  ")) {
            item.push(' ');
            item.push_str(more.trim_start());
        }
        let (shown, text) = item.split_once("** ").with_context(|| item.clone())?;
        let number = number(shown).with_context(|| item.clone())?;
        let tests = text.split_once("Shown by ").map_or("", |(_, tests)| tests);
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        found.push(Promise { number, section, tests });
    }
    Ok(found)
}

fn scenarios() -> Result<BTreeSet<String>> {
    let paths = paths_in(&root().join("testdata/scenarios"))?;
    let folders = paths.iter().filter(|path| path.is_dir());
    Ok(folders.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
}

/// Whether a file has a test: a function of a source, or an entry of testdata/rejected.
fn has_test(file: &str, name: &str) -> bool {
    let Ok(text) = read(file) else { return false };
    if file.ends_with(".rs") {
        ['(', '<'].into_iter().any(|behind| text.contains(&format!("fn {name}{behind}")))
    } else {
        text.lines().any(|line| line == format!("- title: {name}"))
    }
}

#[test]
fn promises_are_in_order_and_each_has_a_test() -> Result<()> {
    let promises = promises()?;
    ensure!(promises.len() > 100, "{} promises", promises.len());
    let in_order = promises.is_sorted_by(|one, next| one.number < next.number);
    ensure!(in_order, "a number is there twice, or in another place");
    for Promise { number: (section, place), section: heading, tests } in promises {
        ensure!(section == heading, "S{section}.{place} stands in another section");
        ensure!(!tests.is_empty(), "S{section}.{place} names no test");
    }
    Ok(())
}

#[test]
fn every_test_is_there_and_every_scenario_is_named() -> Result<()> {
    let scenarios = scenarios()?;
    let named: BTreeSet<_> = promises()?.into_iter().flat_map(|promise| promise.tests).collect();
    for test in &named {
        let there = match test.split_once("::") {
            Some((file, name)) => has_test(file, name),
            None => scenarios.contains(test),
        };
        ensure!(there, "there is no test `{test}`");
    }
    let forgotten: Vec<_> = scenarios.difference(&named).collect();
    ensure!(forgotten.is_empty(), "no promise is shown by {forgotten:?}");
    Ok(())
}

/// The numbers in a text.
fn cited(text: &str) -> impl Iterator<Item = Number> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '.');
    words.filter_map(|word| number(word.trim_end_matches('.')))
}

#[test]
fn who_cites_a_promise_cites_one_that_there_is() -> Result<()> {
    let promises: BTreeSet<_> = promises()?.into_iter().map(|promise| promise.number).collect();
    let mut texts: Vec<_> =
        ["README.md", "docs/architecture.md", "docs/glossary.md", DOCUMENT].map(PathBuf::from).into();
    texts.append(&mut sources(&root().join("e2e"))?);
    let mut citations = 0;
    for path in texts {
        for (section, place) in cited(&read(&path)?) {
            ensure!(promises.contains(&(section, place)), "{}: there is no S{section}.{place}", path.display());
            citations += 1;
        }
    }
    ensure!(citations > promises.len(), "{citations} citations");
    Ok(())
}
