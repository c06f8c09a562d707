//! Go's way to write flags, turned into the one form that has one meaning: `--name=value`.
//!
//! kube-proxy's flags are read by pflag: a switch takes its value behind `=` only; any other flag takes the next
//! argument, whatever it looks like; `_` is as good as `-`; the last of repeated flags wins, but lists add up; `--`
//! ends the flags. clap differs in each of these.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use crate::{nearest::did_you_mean, problem::Problem};

/// Reads arguments as pflag does, by the flags of a command, and writes them as clap takes them. Beside them is what could
/// not be read: unknown flags, flags without value, and arguments that are no flag, all of them.
pub fn go_arguments(command: &Command, arguments: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<Problem>) {
    let mut reader = Reader { command, read: Vec::new(), problems: Vec::new() };
    let mut texts = Vec::new();
    for argument in arguments {
        match argument.into_string() {
            Ok(text) => texts.push(text),
            Err(bytes) => {
                let text = bytes.to_string_lossy().into_owned();
                reader.problems.push(no_flag(&text, "is not UTF-8"));
                // It may be the value of the flag before it.
                texts.push(text);
            }
        }
    }
    reader.all(texts.into_iter());
    (written(reader.read), reader.problems)
}

struct Reader<'a> {
    command: &'a Command,
    /// Long names with their values; no value for `--help`.
    read: Vec<(String, Option<String>)>,
    problems: Vec<Problem>,
}

fn no_flag(argument: &str, rule: &str) -> Problem {
    Problem::without_value(argument, rule, "write flags as --name=value")
}

impl Reader<'_> {
    fn all(&mut self, mut arguments: impl Iterator<Item = String>) {
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                break;
            }
            if let Some(flag) = argument.strip_prefix("--") {
                self.long(flag, &mut arguments);
            } else if let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                self.short(letters, &mut arguments);
            } else {
                self.positional(&argument);
            }
        }
        for argument in arguments {
            self.positional(&argument);
        }
    }

    /// kube-proxy takes no arguments, but empty ones, which a shell script leaves behind.
    fn positional(&mut self, argument: &str) {
        if !argument.is_empty() {
            self.problems.push(no_flag(argument, "is not a flag"));
        }
    }

    fn long(&mut self, flag: &str, rest: &mut impl Iterator<Item = String>) {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let name = name.replace('_', "-");
        if name == "help" {
            self.read.push((name, None));
            return;
        }
        match self.command.get_arguments().find(|known| known.get_long() == Some(&name)) {
            Some(known) => self.take(known, &format!("--{name}"), value, rest),
            None => {
                let flag = format!("--{name}");
                let known = self.command.get_arguments().filter_map(Arg::get_long).chain(["help"]);
                let known: Vec<String> = known.map(|name| format!("--{name}")).collect();
                let advice = did_you_mean(&flag, known.iter().map(String::as_str), "see --help");
                self.problems.push(Problem::without_value(flag, "is not a flag", advice));
            }
        }
    }

    /// Several letters may stand together; the first that takes a value takes what follows it.
    fn short(&mut self, letters: &str, rest: &mut impl Iterator<Item = String>) {
        let mut left = letters;
        while let Some(letter) = left.chars().next() {
            let behind = left.get(letter.len_utf8()..).unwrap_or_default();
            if letter == 'h' {
                self.read.push(("help".to_owned(), None));
                left = behind;
                continue;
            }
            let Some(known) = self.command.get_arguments().find(|known| known.get_short() == Some(letter)) else {
                let flag = format!("-{letter}");
                self.problems.push(Problem::without_value(flag, "is not a flag", "long names have two dashes"));
                return;
            };
            let flag = format!("-{letter}");
            let value = behind.strip_prefix('=').filter(|value| !value.is_empty()).or(Some(behind));
            let value = value.filter(|value| !value.is_empty()).map(str::to_owned);
            self.take(known, &flag, value, rest);
            return;
        }
    }

    fn take(&mut self, known: &Arg, flag: &str, value: Option<String>, rest: &mut impl Iterator<Item = String>) {
        let is_switch = known.get_num_args().is_some_and(|number| number.min_values() == 0);
        let value = value.or_else(|| if is_switch { Some("true".to_owned()) } else { rest.next() });
        let Some(value) = value else {
            self.problems.push(Problem::without_value(flag, "needs a value", "write it behind `=`"));
            return;
        };
        let name = known.get_long().unwrap_or_default();
        if !matches!(known.get_action(), ArgAction::Append) {
            self.read.retain(|(earlier, _)| earlier != name);
        }
        self.read.push((name.to_owned(), Some(value)));
    }
}

fn written(read: Vec<(String, Option<String>)>) -> Vec<OsString> {
    let texts = read.into_iter().map(|(name, value)| match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    });
    texts.map(OsString::from).collect()
}
