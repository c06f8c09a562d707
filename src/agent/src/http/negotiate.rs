//! Which form of a page a client wants, by its header Accept: as the Go libraries under kube-proxy read it.

/// The order in which Kubernetes offers the forms.
pub(super) const OFFERED: [(&str, &str, Form); 3] =
    [("application", "json", Form::Json), ("application", "yaml", Form::Yaml), ("text", "plain", Form::Text)];

/// More clauses than this are not read; no client has as many.
const MOST_CLAUSES: usize = 12;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// As an API object.
    Json,
    /// The same.
    Yaml,
}

impl Form {
    /// Its media type.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// One of the types that a client takes: `application/json;v=v1beta1;q=0.5`.
#[derive(Debug, PartialEq)]
pub(super) struct Clause<'header> {
    main: &'header str,
    sub: &'header str,
    quality: f64,
    parameters: Vec<(&'header str, &'header str)>,
}

impl<'header> Clause<'header> {
    /// What it asks for.
    pub(super) fn parameter(&self, name: &str) -> Option<&'header str> {
        self.parameters.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// Whether this type is meant by name.
    pub(super) fn is(&self, main: &str, sub: &str) -> bool {
        self.main == main && self.sub == sub
    }

    /// Whether this type is meant, by name or by `*`.
    pub(super) fn takes(&self, main: &str, sub: &str) -> bool {
        self.is(main, sub) || self.is(main, "*") || self.is("*", "*")
    }

    fn parse(text: &'header str) -> Option<Self> {
        let mut parts = text.split(';');
        let range = parts.next()?;
        let (main, sub) = range.split_once('/').unwrap_or((range, ""));
        let (main, sub) = match (main.trim_matches(' '), sub) {
            ("*", "") => ("*", "*"),
            (_, sub) if sub.is_empty() || sub.contains('/') => return None,
            (main, sub) => (main, sub.trim_matches(' ')),
        };
        let (mut quality, mut parameters) = (1.0, Vec::new());
        let pairs = parts.filter_map(|part| part.split_once('='));
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty() && !value.contains('=')) {
            match name.trim_matches(' ') {
                "q" => quality = value.trim_matches(' ').parse().unwrap_or(0.0),
                name => parameters.push((name, value.trim_matches(' '))),
            }
        }
        Some(Self { main, sub, quality, parameters })
    }

    fn before(&self, other: &Self) -> bool {
        self.quality > other.quality || (self.main != "*" && other.main == "*") || (self.sub != "*" && other.sub == "*")
    }
}

/// The clauses, the most wanted first.
pub(super) fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut sorted: Vec<Clause<'_>> = Vec::new();
    for clause in accept.split(',').filter_map(|clause| Clause::parse(clause.trim_matches(' '))).take(MOST_CLAUSES) {
        // Go's own insertion sort, step by step: its order is none where a wildcard has the higher quality.
        let place = sorted.iter().rposition(|other| !clause.before(other)).map_or(0, |last| last + 1);
        sorted.insert(place, clause);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(accept: &str) -> Vec<String> {
        clauses(accept).iter().map(|clause| format!("{}/{}", clause.main, clause.sub)).collect()
    }

    #[test]
    fn the_most_wanted_comes_first() {
        assert_eq!(order("text/html;q=0.5, */*;q=0.1, application/json"), ["application/json", "text/html", "*/*"]);
        assert_eq!(order("*/*, text/plain"), ["text/plain", "*/*"]);
        assert_eq!(order("a/b, c/d"), ["a/b", "c/d"]);
    }

    #[test]
    fn nonsense_is_no_clause() {
        assert_eq!(order("garbage, a/b/c, , *, text/"), ["*/*"]);
        assert_eq!(order(&"a/b,".repeat(1000)).len(), MOST_CLAUSES);
    }

    #[test]
    fn the_last_of_repeated_parameters_counts() {
        let [clause] = &clauses("application/json; v=1;v = 2 ;x")[..] else { panic!() };
        assert_eq!((clause.parameter("v"), clause.parameter("x")), (Some("2"), None));
    }
}
