//! YAML streams, document by document. A List in YAML is in memory as a whole; large ones should be JSON.

use std::io::Read;

use serde_json::Value;
use serde_saphyr::{Options, UserMessageFormatter, options::NonFiniteFloatPolicy};

use super::{
    object::{ListOf, list_of},
    parse::Each,
    refused::{Place, Reason},
};
use portolan_core::text::excerpt;

/// Limits that no manifest meets and no file can use to take memory or time out of proportion to its size: aliases
/// multiply what they name, so that a few hundred bytes can stand for gigabytes.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            // A List of 100,000 Services is one document of some 5 million nodes.
            max_reader_input_bytes: Some(1 << 30),
            max_events: 50_000_000,
            max_nodes: 25_000_000,
            max_total_scalar_bytes: 1 << 30,
            max_aliases: 1_000,
            max_recorded_anchor_bytes: 64 * 1024,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        // Such a number in a document that Portolan does not read must not refuse the others.
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

/// Calls `each` with the documents of a stream and the items of its Lists.
pub(super) fn documents(mut reader: impl Read, each: Each<'_>) -> Result<(), Reason> {
    for (index, document) in serde_saphyr::read_with_options::<_, Value>(&mut reader, options()).enumerate() {
        let mut document = document.map_err(|error| not_yaml(&error))?;
        let place = Place { document: Some(index + 1), item: None };
        let Some(fields) = document.as_object_mut() else { return Err(Reason::NoManifest) };
        match fields.get("kind").and_then(Value::as_str).and_then(list_of) {
            Some(list) => match fields.remove("items") {
                Some(Value::Array(items)) => {
                    for (item, value) in items.into_iter().enumerate() {
                        each(Place { item: Some(item), ..place }, value, list);
                    }
                }
                None | Some(Value::Null) => {}
                Some(_) => {
                    return Err(Reason::NotYaml { at: None, message: format!("{place}: `items` is not a sequence") });
                }
            },
            None => each(place, document, ListOf::Any),
        }
    }
    Ok(())
}

fn not_yaml(error: &serde_saphyr::Error) -> Reason {
    let at = error.location().map(|at| (at.line(), at.column()));
    // The other formatter gives programmers advice.
    let text = error.without_snippet().render_with_formatter(&UserMessageFormatter);
    // The parser puts the place into the text as well.
    let text = text.lines().next().unwrap_or_default();
    let text = text.split_once(" at line ").map_or(text, |(message, _)| message);
    Reason::NotYaml { at, message: excerpt(text) }
}
