//! JSON files: one object, or a List whose items are read one by one.

use std::{
    fmt,
    io::{BufReader, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};

use super::{
    object::{ListOf, is_read, list_of},
    parse::Each,
    refused::{Place, Reason},
};
use portolan_core::text::excerpt;

const BUFFER_BYTES: usize = 64 * 1024;

/// What a JSON file is, without what it holds. That is all that is read of an object that is no business of a
/// service proxy, a PodList for instance.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with `apiVersion`, `kind` and `metadata`")]
pub(super) struct Outline {
    kind: Option<Value>,
    #[serde(rename = "apiVersion")]
    api_version: Option<Value>,
    metadata: Option<Value>,
}

/// Reads a file to its end: it is whole, and well-formed.
pub(super) fn outline(reader: impl Read) -> Result<Outline, Reason> {
    let mut json = deserializer(reader);
    Outline::deserialize(&mut json).and_then(|outline| json.end().map(|()| outline)).map_err(not_json)
}

/// Reads it again and calls `each` with the object, or with the items of the List.
pub(super) fn documents(reader: impl Read, outline: &Outline, each: Each<'_>) -> Result<(), Reason> {
    let kind = outline.kind.as_ref().and_then(Value::as_str).unwrap_or_default();
    if let Some(list) = list_of(kind) {
        return deserializer(reader).deserialize_map(ListFields { list, each }).map_err(not_json);
    }
    let document = if is_read(kind) {
        Value::deserialize(&mut deserializer(reader)).map_err(not_json)?
    } else {
        json!({ "kind": outline.kind, "apiVersion": outline.api_version, "metadata": outline.metadata })
    };
    each(Place::default(), document, ListOf::Any);
    Ok(())
}

fn deserializer<R: Read>(reader: R) -> serde_json::Deserializer<serde_json::de::IoRead<BufReader<R>>> {
    serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER_BYTES, reader))
}

fn not_json(error: serde_json::Error) -> Reason {
    if error.is_io() {
        return super::parse::unreadable(&error.into());
    }
    let at = (error.line() > 0).then(|| (error.line() as u64, error.column() as u64));
    let text = error.to_string();
    // The parser puts the place into the text as well.
    let message = text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    Reason::NotJson { at, message: excerpt(message) }
}

/// Passes over a List's other fields and takes its items.
struct ListFields<'a> {
    list: ListOf,
    each: Each<'a>,
}

impl<'de> Visitor<'de> for ListFields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a List")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(field) = fields.next_key::<String>()? {
            if field == "items" {
                fields.next_value_seed(Items { list: self.list, each: &mut *self.each })?;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// `items`: null, as Go writes an empty slice, or an array.
struct Items<'a> {
    list: ListOf,
    each: Each<'a>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of items")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(item) = items.next_element::<Value>()? {
            (self.each)(Place { document: None, item: Some(index) }, item, self.list);
            index += 1;
        }
        Ok(())
    }
}
