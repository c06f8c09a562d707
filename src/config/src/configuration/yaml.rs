//! YAML in the form that Kubernetes writes: sorted by name, lists not indented, and quotes of the kind that Go's
//! library chooses (`go.yaml.in/yaml/v2`), so that files can be compared.

use std::fmt::Write as _;

use serde_json::Value;

/// A document. There is an end of line behind it.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            for (name, value) in sorted {
                let _ = write!(out, "{:indent$}{}:", "", string(name));
                nested(out, value, indent);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(out, "{:indent$}-", "");
                match item {
                    // The first field stands behind the dash.
                    Value::Object(fields) if !fields.is_empty() => {
                        let mut text = String::new();
                        block(&mut text, item, indent + 2);
                        out.push(' ');
                        out.push_str(text.trim_start());
                    }
                    item => nested(out, item, indent),
                }
            }
        }
        scalar => {
            let _ = writeln!(out, "{}", line(scalar));
        }
    }
}

/// What stands behind a name: on its line, or below it.
fn nested(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, indent);
        }
        scalar => {
            let _ = writeln!(out, " {}", line(scalar));
        }
    }
}

fn line(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

/// Plain if it can be; in single quotes if it would mean something in YAML's syntax; in double quotes if it would be
/// no string, or holds what must be escaped.
fn string(text: &str) -> String {
    if text.chars().any(char::is_control) || is_no_string(text) {
        // JSON's escapes are YAML's too.
        Value::from(text).to_string()
    } else if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// What YAML 1.1 takes for null, a truth value, a number, a date or a merge key.
fn is_no_string(text: &str) -> bool {
    const WORDS: [&str; 10] = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "<<"];
    let lower = text.to_lowercase();
    let digits = lower.trim_start_matches(['+', '-']);
    let as_number = digits.replace('_', "");
    let is_radix =
        |prefix, radix| as_number.strip_prefix(prefix).is_some_and(|digits| u64::from_str_radix(digits, radix).is_ok());
    let begins_as_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    // Numbers to the base 60 (1:20), and dates.
    let in_parts =
        |separator| digits.contains(separator) && digits.split(separator).all(|part| part.parse::<u16>().is_ok());
    WORDS.contains(&lower.as_str())
        || matches!(lower.as_str(), "y" | "n" | ".nan")
        || digits == ".inf"
        || begins_as_number && as_number.parse::<f64>().is_ok()
        || is_radix("0x", 16)
        || is_radix("0o", 8)
        || is_radix("0b", 2)
        || in_parts(':')
        || in_parts('-')
}

fn is_plain(text: &str) -> bool {
    let first_is_syntax = text.starts_with(|c| ",[]{}#&*!|>'\"%@`".contains(c));
    let dash = |sign| text == sign || text.starts_with(&format!("{sign} "));
    !first_is_syntax
        && !["-", "?", ":"].into_iter().any(dash)
        && !text.starts_with("---")
        && !text.starts_with("...")
        && text.trim() == text
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains(" #")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::Node;

    #[test]
    fn quotes_of_the_kind_that_go_chooses() {
        for (text, written) in [
            ("plain", "plain"),
            ("0.0.0.0:10256", "0.0.0.0:10256"),
            ("[::]:10256", "'[::]:10256'"),
            ("10.0.0.0/8,fd00::/48", "10.0.0.0/8,fd00::/48"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("0", "\"0\""),
            ("1e3", "\"1e3\""),
            ("1:20", "\"1:20\""),
            ("2020-01-01", "\"2020-01-01\""),
            ("a: b", "'a: b'"),
            ("a # b", "'a # b'"),
            ("#x", "'#x'"),
            (" x", "' x'"),
            ("a'b", "a'b"),
            ("'", "''''"),
            ("\ta", "\"\\ta\""),
            ("::/0", "::/0"),
        ] {
            assert_eq!(string(text), written, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_string_is_read_back_as_itself(text: String) {
            let document = write(&serde_json::json!({ "a": text, "b": [text] }));
            let text = Node::Text(text);
            let expected = Node::Map(vec![("a".into(), text.clone()), ("b".into(), Node::List(vec![text]))]);
            prop_assert_eq!(Node::read(&document), Ok(vec![expected]), "{}", document);
        }
    }
}
