//! /statusz and /flagz: the same page for people, as text, and for programs, as an API object in JSON or YAML.
//!
//! ```text
//!   Accept: application/json;g=config.k8s.io;v=v1beta1;as=Statusz
//!           '-- form --------' '-- which object: both must be there, or neither and text --'
//! ```

use std::collections::BTreeMap;

use hyper::{
    StatusCode,
    header::{ACCEPT, HeaderValue, USER_AGENT, WARNING},
};
use serde::Serialize;

use super::{
    answer::{Answer, JSON, TEXT, answer, with},
    negotiate::{Clause, Form, OFFERED, clauses},
    serve::Asked,
};

/// The group of both kinds.
const GROUP: &str = "config.k8s.io";

/// The version that is to stay, and the one that will go.
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];

/// Both pages call the component so, whoever takes its place: tools ask for it by this name.
const COMPONENT: &str = "kube-proxy";

/// One of the pages.
pub(super) struct Page<'page, Fields> {
    /// Its name in the path: `statusz`.
    pub(super) name: &'page str,
    /// Its kind as an object: `Statusz`.
    pub(super) kind: &'page str,
    /// What the object has, beside what all objects have.
    pub(super) fields: Fields,
    /// The lines for people.
    pub(super) lines: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'page, Fields> {
    kind: &'page str,
    api_version: String,
    metadata: BTreeMap<&'static str, &'static str>,
    #[serde(flatten)]
    fields: &'page Fields,
}

/// Kubernetes' `Status` of a refusal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    kind: &'static str,
    api_version: &'static str,
    metadata: BTreeMap<&'static str, &'static str>,
    status: &'static str,
    message: String,
    reason: &'static str,
    code: u16,
}

impl<Fields: Serialize> Page<'_, Fields> {
    /// The page as it was asked for.
    pub(super) fn answer(&self, asked: &Asked) -> Answer {
        let accept = asked.header(&ACCEPT);
        if accept.trim().is_empty() {
            return self.text();
        }
        let clauses = clauses(accept);
        let found = clauses.iter().find_map(|clause| Some((clause, self.form(clause)?)));
        match found {
            None => refusal(asked, &clauses),
            Some((_, (Form::Text, _))) => self.text(),
            Some((clause, (form, version))) => self.object(form, version, is_pretty(asked, clause)),
        }
    }

    /// The first form that is offered and that a clause takes, and the version of the object in it.
    fn form(&self, clause: &Clause<'_>) -> Option<(Form, &'static str)> {
        let wanted = ["g", "v", "as"].map(|name| clause.parameter(name));
        let refused = ["stream", "sv"].iter().any(|name| clause.parameter(name).is_some());
        let version = VERSIONS.iter().find(|version| wanted == [Some(GROUP), Some(**version), Some(self.kind)]);
        let offered = OFFERED.iter().filter(|(main, sub, _)| !refused && clause.takes(main, sub));
        let mut fitting = offered.filter_map(|(.., form)| match (form, version) {
            (Form::Text, _) => wanted.iter().all(Option::is_none).then_some((Form::Text, "")),
            (form, Some(version)) => Some((*form, *version)),
            (_, None) => None,
        });
        fitting.next()
    }

    fn text(&self) -> Answer {
        let Self { name, lines, .. } = self;
        let text = format!(
            "\n{COMPONENT} {name}\nWarning: This endpoint is not meant to be machine parseable, has no formatting \
             compatibility guarantees and is for debugging purposes only.\n{lines}"
        );
        answer(StatusCode::OK, TEXT, text)
    }

    fn object(&self, form: Form, version: &str, pretty: bool) -> Answer {
        let object = Object {
            kind: self.kind,
            api_version: format!("{GROUP}/{version}"),
            metadata: BTreeMap::from([("name", COMPONENT)]),
            fields: &self.fields,
        };
        let kind = format!("{};g={GROUP};v={version};as={}", form.media_type(), self.kind);
        let answer = written(StatusCode::OK, form, &kind, &object, pretty);
        if version == VERSIONS[0] {
            return answer;
        }
        let warning =
            format!("299 - \"This version of the {} endpoint is deprecated. Please use a newer version.\"", self.name);
        match HeaderValue::from_str(&warning) {
            Ok(warning) => with(answer, WARNING, warning),
            Err(_) => answer,
        }
    }
}

/// No clause can be satisfied; said in a form that one of them takes, where there is one.
fn refusal(asked: &Asked, clauses: &[Clause<'_>]) -> Answer {
    let offered = OFFERED.map(|(.., form)| form.media_type()).join(", ");
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: BTreeMap::new(),
        status: "Failure",
        message: format!("only the following media types are accepted: {offered}"),
        reason: "NotAcceptable",
        code: StatusCode::NOT_ACCEPTABLE.as_u16(),
    };
    let takes = |clause: &Clause<'_>, (main, sub, form): (&str, &str, Form)| {
        let converts = ["g", "v", "as", "sv"].iter().any(|name| clause.parameter(name).is_some());
        // A Status can be streamed; that nobody streams it does not matter.
        let streams = clause.parameter("stream").is_none_or(|stream| stream == "watch" && form == Form::Json);
        clause.takes(main, sub) && !converts && streams
    };
    let forms = clauses.iter().find_map(|clause| {
        let (.., form) = OFFERED.into_iter().find(|offered| takes(clause, *offered))?;
        Some((form, is_pretty(asked, clause)))
    });
    let (form, pretty) = forms.unwrap_or((Form::Json, true));
    written(StatusCode::NOT_ACCEPTABLE, form, form.media_type(), &status, pretty)
}

fn written(status: StatusCode, form: Form, kind: &str, object: &impl Serialize, pretty: bool) -> Answer {
    let text = match form {
        Form::Yaml => serde_saphyr::to_string(object).map_err(|error| error.to_string()),
        _ if pretty => serde_json::to_string_pretty(object).map_err(|error| error.to_string()),
        _ => serde_json::to_string(object).map(|text| text + "\n").map_err(|error| error.to_string()),
    };
    match text {
        Ok(text) => answer(status, HeaderValue::from_str(kind).unwrap_or(JSON), text),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error),
    }
}

/// Whether somebody will read it: asked for, or likely, as the client is curl or a browser.
fn is_pretty(asked: &Asked, clause: &Clause<'_>) -> bool {
    if clause.parameter("pretty") == Some("1") {
        return true;
    }
    if let Some(given) = asked.query("pretty").find(|given| !given.is_empty()) {
        return ["1", "t", "T", "true", "TRUE", "True"].contains(&given);
    }
    let agent = asked.header(&USER_AGENT);
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
}
