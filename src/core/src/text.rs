//! Foreign text made safe to print, since a file name or a kernel comment may hold anything; and times as people read them.

use std::fmt;

/// So many bytes are shown of a value of unknown length.
const LIMIT: usize = 100;

/// The text on one line, with control and invisible characters escaped as in a Rust string.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|character| push(&mut out, character));
    out
}

/// The same, cut with `…` after about 100 bytes.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LIMIT));
    for character in text.chars() {
        if out.len() >= LIMIT {
            out.push('…');
            break;
        }
        push(&mut out, character);
    }
    out
}

fn push(out: &mut String, character: char) {
    match character {
        // Escaped by `escape_debug`, but harmless in a line of text.
        '\'' | '"' | '\\' => out.push(character),
        _ => out.extend(character.escape_debug()),
    }
}

/// A time in seconds as people read it, and nft too: `3h`, `1d2h3m4s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            if left >= length {
                write!(f, "{}{unit}", left / length)?;
            }
            left %= length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_whatever_it_holds() {
        assert_eq!(printable("it's \"/etc/a b\".yaml"), "it's \"/etc/a b\".yaml");
        assert_eq!(printable("a\nb\u{1b}[31m\u{202e}"), "a\\nb\\u{1b}[31m\\u{202e}");
        assert_eq!(excerpt(&"é".repeat(51)), format!("{}…", "é".repeat(50)));
        assert_eq!(excerpt(&"é".repeat(50)), "é".repeat(50));
    }
}
