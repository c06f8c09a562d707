//! An answer without what may differ: times, versions, lengths, and the separator that kube-proxy draws by lot.

use anyhow::Result;
use portolan_e2e::http::{Request, Response};
use serde_json::{Value, json};

/// Whose value is another each time, or another program's.
const HEADERS: [&str; 2] = ["Date", "Process-Start-Time-Unix"];

/// How long a body is and how it is cut up says nothing about it.
const FRAMING: [&str; 2] = ["Content-Length", "Transfer-Encoding"];

/// Fields of JSON and YAML, and their names on the page for people.
const FIELDS: [&str; 10] = [
    "lastUpdated",
    "currentTime",
    "startTime",
    "uptimeSeconds",
    "goVersion",
    "binaryVersion",
    "Started",
    "Up",
    "Go version",
    "Binary version",
];

/// Masks it.
pub(crate) fn masked(request: &Request<'_>, mut answer: Response) -> Result<Response> {
    answer.headers.retain(|name, _| !FRAMING.contains(&name.as_str()));
    for (_, value) in answer.headers.iter_mut().filter(|(name, _)| HEADERS.contains(&name.as_str())) {
        "masked".clone_into(value);
    }
    let path = request.target.split('?').next().unwrap_or_default();
    let kind = answer.headers.get("Content-Type").map_or("", String::as_str);
    let body = &answer.body;
    answer.body = if body.is_empty() {
        String::new()
    } else if kind.starts_with("application/json") {
        // But for the long one, objects are compared as text: their fields have an order, and people read them.
        if path == "/configz" { serde_json::from_str::<Value>(body)?.to_string() } else { lines(body, masked_line) }
    } else if kind.starts_with("application/yaml") {
        let mut object: Value = serde_saphyr::from_str(body)?;
        for (_, value) in
            object.as_object_mut().into_iter().flatten().filter(|(name, _)| FIELDS.contains(&name.as_str()))
        {
            *value = json!("masked");
        }
        object.to_string()
    } else if ["/statusz", "/flagz"].contains(&path) {
        lines(body, separated)
    } else if path == "/metrics" {
        // Compared family by family.
        String::new()
    } else if path == "/metrics/slis" {
        lines(body, |line| line.split("process_start_time_seconds 1").next().unwrap_or_default().to_owned())
    } else {
        body.clone()
    };
    Ok(answer)
}

fn lines(body: &str, masked: impl Fn(&str) -> String) -> String {
    body.split('\n').map(masked).collect::<Vec<_>>().join("\n")
}

/// JSON: each value behind a masked name, up to the comma or brace.
fn masked_line(line: &str) -> String {
    let mut line = line.to_owned();
    for field in FIELDS {
        let pieces: Vec<_> = line.split(&format!("\"{field}\":")).map(str::to_owned).collect();
        let Some((first, rest)) = pieces.split_first() else { continue };
        let rest = rest.iter().map(|piece| piece.find([',', '}']).map_or("", |end| &piece[end..]));
        line = rest.fold(first.clone(), |line, rest| format!("{line}\"{field}\":masked{rest}"));
    }
    line
}

/// `name<separator>value`, the separator being one of `:`, `: `, `=` and a blank.
fn separated(line: &str) -> String {
    // The sentence above the list, and what has a blank in its name.
    if line.starts_with("Warning") || line.ends_with('z') {
        return line.to_owned();
    }
    let names = FIELDS.iter().copied().chain(["Emulation version", "Paths"]);
    let name = names.filter(|name| line.starts_with(name)).max_by_key(|name| name.len());
    let end = name.map_or_else(|| line.find([':', '=', ' ']).unwrap_or(line.len()), str::len);
    let (name, value) = line.split_at(end);
    let value = if FIELDS.contains(&name) { "masked" } else { value.trim_start_matches([':', '=', ' ']) };
    format!("{name} {value}")
}
