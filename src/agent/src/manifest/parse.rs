//! From a file's bytes to documents, one at a time.
//!
//! A file is read twice: first to its end, to see that it is whole and what it holds, then to hand its documents out.
//! So a file with a mistake at its end changes nothing, although none of it is kept in memory. The first reading also
//! tells the kind of a `List`, which `kubectl get -o json` writes behind the items.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::Path,
};

use serde_json::Value;

use super::{
    json,
    object::ListOf,
    refused::{Place, Reason},
    yaml,
};
use portolan_core::text::excerpt;

/// What is called with every document and every item of a List.
pub(super) type Each<'a> = &'a mut dyn FnMut(Place, Value, ListOf);

/// Calls `each` with what a file holds. When the file is refused, nothing or, where it changed between the two
/// readings, a part of it has been handed out.
pub(super) fn parse(file: &mut File, name: &Path, each: Each<'_>) -> Result<(), Reason> {
    if is_json(file, name).map_err(|error| unreadable(&error))? {
        let outline = json::outline(&mut *file)?;
        file.rewind().map_err(|error| unreadable(&error))?;
        json::documents(file, &outline, each)
    } else {
        yaml::documents(&mut *file, &mut |_, _, _| {})?;
        file.rewind().map_err(|error| unreadable(&error))?;
        yaml::documents(file, each)
    }
}

pub(super) fn unreadable(error: &io::Error) -> Reason {
    Reason::Unreadable(excerpt(&error.to_string()))
}

/// By the name; a name that does not tell, by the first character. JSON is YAML too, but only JSON is read item by
/// item.
fn is_json(file: &mut File, name: &Path) -> io::Result<bool> {
    match name.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Ok(true),
        Some("yaml" | "yml") => Ok(false),
        _ => {
            let mut start = BufReader::new(&mut *file).take(1024);
            let blank = |buffer: &[u8]| buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let json = loop {
                let buffer = start.fill_buf()?;
                let skip = blank(buffer);
                match buffer.get(skip) {
                    Some(first) => break *first == b'{',
                    None if buffer.is_empty() => break false,
                    None => start.consume(skip),
                }
            };
            file.rewind()?;
            Ok(json)
        }
    }
}
