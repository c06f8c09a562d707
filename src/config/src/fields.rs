//! Reads the fields of a document into values, and goes on after a mistake so that all of them are told at once.
//!
//! Kubernetes takes `null` for nothing in every place but that of a duration that is no pointer: Go calls such a
//! type's own decoder, which finds no duration in it.

use std::collections::BTreeMap;

use portolan_core::text::excerpt;

use crate::{
    duration::GoDuration,
    nearest::did_you_mean,
    problem::{Findings, Problem},
    tree::Node,
};

/// The fields of one mapping.
pub(crate) struct Fields<'a> {
    entries: &'a [(String, Node)],
    /// With the point behind it, for the names that follow; empty at the top.
    path: String,
    known: Vec<&'static str>,
    findings: &'a mut Findings,
}

/// A mapping with fields of its own. Without any it has its defaults.
pub(crate) trait Section: Sized {
    fn read(fields: &mut Fields<'_>) -> Self;
}

/// A value that is no mapping with fields of its own.
pub(crate) trait Value: Default {
    /// What it is, with its article.
    const EXPECTED: &'static str;

    /// The value, or nothing where the node is none such.
    fn of(node: &Node) -> Option<Self>;
}

impl<'a> Fields<'a> {
    pub(crate) fn of_document(entries: &'a [(String, Node)], findings: &'a mut Findings) -> Self {
        Self { entries, path: String::new(), known: Vec::new(), findings }
    }

    /// The value of a field, or its type's default where it is absent or wrong.
    pub(crate) fn value<T: Value>(&mut self, name: &'static str) -> T {
        match self.node(name) {
            Some(node) => self.value_of(node, name),
            None => T::default(),
        }
    }

    /// The same for a list; the place of a wrong element is part of its path.
    pub(crate) fn list<T: Value>(&mut self, name: &'static str) -> Option<Vec<T>> {
        match self.node(name)? {
            Node::Null => None,
            Node::List(items) => {
                let items = items.iter().enumerate();
                Some(items.map(|(index, item)| self.value_of(item, &format!("{name}[{index}]"))).collect())
            }
            other => {
                self.is_not("a list", other, name);
                None
            }
        }
    }

    /// The same for a list of mappings.
    pub(crate) fn sections<T: Section>(&mut self, name: &'static str) -> Vec<T> {
        match self.node(name) {
            None | Some(Node::Null) => Vec::new(),
            Some(Node::List(items)) => {
                let items = items.iter().enumerate();
                items.map(|(index, item)| self.section_of(Some(item), &format!("{name}[{index}]"))).collect()
            }
            Some(other) => {
                self.is_not("a list", other, name);
                Vec::new()
            }
        }
    }

    /// Names of the user's own choice, each with a value.
    pub(crate) fn map<T: Value>(&mut self, name: &'static str) -> BTreeMap<String, T> {
        match self.node(name) {
            None | Some(Node::Null) => BTreeMap::new(),
            Some(Node::Map(entries)) => {
                let entries = entries.iter();
                entries.map(|(key, node)| (key.clone(), self.value_of(node, &format!("{name}.{key}")))).collect()
            }
            Some(other) => {
                self.is_not("a mapping", other, name);
                BTreeMap::new()
            }
        }
    }

    /// A mapping with fields of its own.
    pub(crate) fn section<T: Section>(&mut self, name: &'static str) -> T {
        let node = self.node(name);
        self.section_of(node, name)
    }

    fn section_of<T: Section>(&mut self, node: Option<&Node>, name: &str) -> T {
        let entries = match node {
            None | Some(Node::Null) => &[][..],
            Some(Node::Map(entries)) => entries,
            Some(other) => {
                self.is_not("a mapping", other, name);
                &[]
            }
        };
        let path = format!("{}{name}.", self.path);
        let mut fields = Fields { entries, path, known: Vec::new(), findings: self.findings };
        let section = T::read(&mut fields);
        fields.warn_of_others();
        section
    }

    /// The last of the fields with this name: it is the one that Go's decoder leaves.
    fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        let mut found = self.entries.iter().filter(|(key, _)| key == name).map(|(_, node)| node);
        let last = found.next_back();
        if found.next().is_some() {
            let path = format!("{}{name}", self.path);
            let rule = "is set more than once, and the last one counts";
            self.findings.warning(Problem::without_value(path, rule, "leave one"));
        }
        last
    }

    fn value_of<T: Value>(&mut self, node: &Node, name: &str) -> T {
        T::of(node).unwrap_or_else(|| {
            self.is_not(T::EXPECTED, node, name);
            T::default()
        })
    }

    fn is_not(&mut self, expected: &str, node: &Node, name: &str) {
        let path = format!("{}{name}", self.path);
        // A string looks like what it should be, but for its quotes.
        let but = match node {
            Node::Text(text) if !text.is_empty() && expected != GoDuration::EXPECTED => ", but a string",
            _ => "",
        };
        let advice = match node {
            Node::Null => "leave it out for its default",
            Node::Bool(_) | Node::Int(_) | Node::Float(_) if expected == String::EXPECTED => "put it in quotes",
            _ => "correct it",
        };
        self.findings.problem(Problem::new(path, node, format!("is not {expected}{but}"), advice));
    }

    /// kube-proxy decodes once more without them, and logs it.
    pub(crate) fn warn_of_others(self) {
        let mut told: Vec<&str> = Vec::new();
        for (key, _) in self.entries {
            if self.known.contains(&key.as_str()) || told.contains(&key.as_str()) {
                continue;
            }
            told.push(key);
            let advice = did_you_mean(key, self.known.iter().copied(), "remove it");
            let path = format!("{}{}", self.path, excerpt(key));
            let rule = "is not a field of KubeProxyConfiguration v1alpha1 and has no effect";
            self.findings.warning(Problem::without_value(path, rule, advice));
        }
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Null => Some(false),
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a string";

    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Null => Some(Self::new()),
            Node::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl Value for i32 {
    const EXPECTED: &'static str = "a whole number from -2147483648 to 2147483647";

    fn of(node: &Node) -> Option<Self> {
        whole(node)?.try_into().ok()
    }
}

impl Value for u32 {
    const EXPECTED: &'static str = "a whole number from 0 to 4294967295";

    fn of(node: &Node) -> Option<Self> {
        whole(node)?.try_into().ok()
    }
}

/// YAML's `1.0` is the number 1 once Kubernetes has made JSON of it.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
fn whole(node: &Node) -> Option<i128> {
    match node {
        Node::Null => Some(0),
        Node::Int(number) => Some(*number),
        Node::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => Some(*number as i128),
        _ => None,
    }
}

impl Value for f32 {
    const EXPECTED: &'static str = "a number";

    #[expect(clippy::cast_possible_truncation, reason = "as in Go")]
    fn of(node: &Node) -> Option<Self> {
        let number = match node {
            Node::Null => 0.0,
            Node::Int(number) => *number as Self,
            Node::Float(number) => *number as Self,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }
}

impl Value for GoDuration {
    const EXPECTED: &'static str =
        "a duration (numbers with the units h, m, s, ms, us or ns as a string, such as 30s or 1h30m)";

    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// A pointer in Go: null is nothing.
impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Null => Some(None),
            node => T::of(node).map(Some),
        }
    }
}
