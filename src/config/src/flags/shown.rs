//! Every flag with its value, as /flagz shows them: what was given, or the default. What a file says is in /configz.

use std::{collections::BTreeMap, ffi::OsString};

use clap::Command;
use serde_json::Value;

use super::names::field_of;
use crate::configuration::Configuration;

/// The flags of a command, sorted by name, with the values that [`go_arguments`](crate::go_arguments) has read.
#[must_use]
pub fn flag_values(command: &Command, read: &[OsString]) -> Vec<(String, String)> {
    let defaults = serde_json::to_value(Configuration::default()).unwrap_or_default();
    let known = command.get_arguments().filter_map(|argument| argument.get_long());
    let mut values: BTreeMap<_, _> = known.map(|name| (name.to_owned(), default(name, &defaults))).collect();
    values.remove("help");
    let mut lists = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in read.iter().filter_map(|flag| flag.to_str()?.strip_prefix("--")?.split_once('=')) {
        lists.entry(name.to_owned()).or_default().push(value);
    }
    values.extend(lists.into_iter().map(|(name, list)| (name, list.join(","))));
    values.into_iter().collect()
}

/// As Go prints it; blank where nothing is the default.
fn default(flag: &str, defaults: &Value) -> String {
    let field = field_of(&format!("--{flag}")).unwrap_or_default();
    match defaults.pointer(&format!("/{}", field.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;
    use crate::{Flags, go_arguments};

    #[test]
    fn what_was_given_and_else_the_default() {
        let mut command = Flags::augment_args(Command::new("run"));
        command.build();
        let line = ["--v", "2", "--nodeport-addresses=10.0.0.0/8", "--nodeport-addresses=fd00::/8", "--masquerade_all"];
        let (read, _) = go_arguments(&command, line.map(Into::into));
        let values: BTreeMap<_, _> = flag_values(&command, &read).into_iter().collect();
        for (name, value) in [
            ("v", "2"),
            ("nodeport-addresses", "10.0.0.0/8,fd00::/8"),
            ("masquerade-all", "true"),
            ("conntrack-min", "131072"),
            ("config-sync-period", "15m0s"),
            ("kubeconfig", ""),
            ("profiling", "false"),
        ] {
            assert_eq!(values.get(name).map(String::as_str), Some(value), "--{name}");
        }
        assert!(!values.contains_key("help"));
    }
}
