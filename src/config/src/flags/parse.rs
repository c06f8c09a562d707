//! Values of flags, read as Go's library for them does (pflag).

use std::{collections::BTreeMap, str::FromStr};

use crate::{
    configuration::VModuleItem,
    problem::{Findings, Problem},
};

/// `strconv.ParseBool`
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A switch that stands alone is on.
pub(crate) fn switch(flag: &str, given: Option<&Option<String>>, findings: &mut Findings) -> Option<bool> {
    let text = given?.as_deref().unwrap_or("true");
    let value = boolean(text);
    if value.is_none() {
        findings.problem(Problem::new(flag, text, "is not true or false", "correct it"));
    }
    value
}

/// A value of any other type, and what that type is, with its article.
pub(super) fn value<T: FromStr>(flag: &str, text: &str, expected: &str, findings: &mut Findings) -> Option<T> {
    let value = text.parse().ok();
    if value.is_none() {
        findings.problem(Problem::new(flag, text, format!("is not {expected}"), "correct it"));
    }
    value
}

/// A list with commas, whose entries may stand in double quotes. A flag that is given again adds to it.
pub(super) fn list(flag: &str, given: &[String], findings: &mut Findings) -> Vec<String> {
    let mut entries = Vec::new();
    for text in given.iter().filter(|text| !text.is_empty()) {
        match comma_separated(text) {
            Some(mut more) => entries.append(&mut more),
            None => {
                findings.problem(Problem::new(flag, text, "has a double quote without its other one", "correct it"));
            }
        }
    }
    entries
}

fn comma_separated(text: &str) -> Option<Vec<String>> {
    let (mut entries, mut rest) = (Vec::new(), text);
    loop {
        let end = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (entry, behind) = quoted.split_once('"')?;
                entries.push(entry.to_owned());
                behind
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (entry, behind) = rest.split_at(end);
                entries.push(entry.to_owned());
                behind
            }
        };
        match end.strip_prefix(',') {
            Some(more) => rest = more,
            None => return end.is_empty().then_some(entries),
        }
    }
}

/// `NAME=BOOL` with commas between them.
pub(super) fn gates(flag: &str, given: &[String], findings: &mut Findings) -> BTreeMap<String, bool> {
    let mut gates = BTreeMap::new();
    for pair in given.iter().flat_map(|text| text.split(',')).filter(|pair| !pair.is_empty()) {
        let read = pair.split_once('=').and_then(|(name, text)| Some((name.trim(), boolean(text.trim())?)));
        match read {
            Some((name, on)) => {
                gates.insert(name.to_owned(), on);
            }
            None => findings.problem(Problem::new(flag, pair, "is not NAME=true or NAME=false", "correct it")),
        }
    }
    gates
}

/// `PATTERN=N` with commas between them.
pub(super) fn vmodule(flag: &str, given: &[String], findings: &mut Findings) -> Vec<VModuleItem> {
    let mut items = Vec::new();
    for pair in given.iter().flat_map(|text| text.split(',')).filter(|pair| !pair.is_empty()) {
        let read = pair.split_once('=').and_then(|(pattern, text)| Some((pattern, text.parse().ok()?)));
        match read {
            Some((pattern, verbosity)) => items.push(VModuleItem { file_pattern: pattern.to_owned(), verbosity }),
            None => findings.problem(Problem::new(flag, pair, "is not PATTERN=N", "correct it")),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_add_up_and_have_quotes() {
        let list = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(ToString::to_string).collect();
            let mut findings = Findings::default();
            (list("--x", &given, &mut findings), findings.problems.len())
        };
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(list(&["a,b", "c"]), (texts(&["a", "b", "c"]), 0));
        assert_eq!(list(&["a,\"b,c\"", ""]), (texts(&["a", "b,c"]), 0));
        assert_eq!(list(&["a,,b,"]), (texts(&["a", "", "b", ""]), 0));
        assert_eq!(list(&["\"a", "\"b\"c"]).1, 2);
    }
}
