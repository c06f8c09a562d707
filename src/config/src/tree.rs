//! A document as it was written: YAML or JSON, with fields that stand there twice.

use std::fmt;

use portolan_core::text::excerpt;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Options, UserMessageFormatter};

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// `null`, `~` or nothing
    Null,
    /// A truth value.
    Bool(bool),
    /// A number without a fraction.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in its order and with what is in it twice.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The documents of a text, of which kube-proxy reads the first.
    ///
    /// # Errors
    /// What is wrong with the text, and at which line and column.
    pub(crate) fn read(text: &str) -> Result<Vec<Self>, String> {
        // A YAML parser refuses some JSON, such as tabs before fields.
        if text.trim_start().starts_with('{')
            && let Ok(document) = serde_json::from_str(text)
        {
            return Ok(vec![document]);
        }
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| not_yaml(&error))
    }
}

/// As it would be written on one line, lists and mappings shortened.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::List(_) => f.write_str("[...]"),
            Self::Map(_) => f.write_str("{...}"),
        }
    }
}

/// Limits that no configuration meets: aliases multiply what they name.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000,
            max_nodes: 50_000,
            max_aliases: 100,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    }
}

fn not_yaml(error: &serde_saphyr::Error) -> String {
    // The other formatter gives programmers advice.
    let text = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    let text = text.lines().next().unwrap_or_default();
    // The parser puts the place into the text as well.
    let text = text.split_once(" at line ").map_or(text, |(message, _)| message);
    match error.location() {
        Some(at) => format!("line {}, column {}: {}", at.line(), at.column(), excerpt(text)),
        None => excerpt(text),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(i128::try_from(value).map_or(Node::Float(f64::INFINITY), Node::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(field) = fields.next_entry::<String, Node>()? {
            map.push(field);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Node {
        Node::read(text).unwrap().remove(0)
    }

    #[test]
    fn yaml_and_json_are_read_alike_and_nothing_is_lost() {
        let text = |text: &str| Node::Text(text.to_owned());
        let expected = Node::Map(vec![
            ("a".into(), Node::Int(1)),
            ("a".into(), text("x")),
            ("b".into(), Node::List(vec![Node::Null, Node::Bool(true), Node::Float(1.5)])),
        ]);
        assert_eq!(one("a: 1\na: x\nb: [null, true, 1.5]\n"), expected);
        assert_eq!(one("{\n\t\"a\": 1, \"a\": \"x\", \"b\": [null, true, 1.5]}"), expected);
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_place() {
        let message = Node::read("a: 1\nb: [1\nc: 2\n").unwrap_err();
        assert!(message.starts_with("line "), "{message}");
    }
}
