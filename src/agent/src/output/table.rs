//! Columns under a heading, as wide as their widest entry.

use std::io::{self, Write};

/// Two blanks between columns, none behind the last.
pub(super) fn table<const N: usize>(out: &mut dyn Write, heading: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut widths = heading.map(|text| text.chars().count());
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let mut line = |cells: [&str; N]| {
        let padded: String = cells.iter().zip(widths).map(|(text, width)| format!("{text:width$}  ")).collect();
        writeln!(out, "{}", padded.trim_end())
    };
    line(heading)?;
    rows.iter().try_for_each(|row| line(row.each_ref().map(String::as_str)))
}
