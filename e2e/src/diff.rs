//! The difference of two texts by lines, for people.

/// Lines around a difference that are shown with it.
const CONTEXT: usize = 3;

/// How one line of the old text relates to the new one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Same,
    Removed,
    Added,
}

/// Lines of `old` that are gone begin with `-`, lines that are new with `+`; some equal lines stand around them. Empty
/// when the texts have the same lines.
#[must_use]
pub fn lines(old: &str, new: &str) -> String {
    let changes = changes(&old.lines().collect::<Vec<_>>(), &new.lines().collect::<Vec<_>>());
    let near_a_difference = |index: usize| {
        let around = index.saturating_sub(CONTEXT)..(index + CONTEXT + 1).min(changes.len());
        changes.get(around).is_some_and(|some| some.iter().any(|(change, _)| *change != Change::Same))
    };
    let mut text = String::new();
    let mut skipping = false;
    for (index, (change, line)) in changes.iter().enumerate() {
        if !near_a_difference(index) {
            skipping = true;
            continue;
        }
        if std::mem::take(&mut skipping) {
            text.push_str("  ...\n");
        }
        text.push_str(match change {
            Change::Same => "  ",
            Change::Removed => "- ",
            Change::Added => "+ ",
        });
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The longest common subsequence, by the table of its lengths; what is equal at both ends is left out of the table.
fn changes<'text>(old: &[&'text str], new: &[&'text str]) -> Vec<(Change, &'text str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (same, old) = old.split_at(head);
    let new = new.get(head..).unwrap_or_default();
    let mut changes: Vec<_> = same.iter().map(|line| (Change::Same, *line)).collect();
    let width = new.len() + 1;
    // length(i, j): of the common subsequence of old[i..] and new[j..].
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let at = |lengths: &[u32], i: usize, j: usize| lengths.get(i * width + j).copied().unwrap_or(0);
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let length = if a == b {
                at(&lengths, i + 1, j + 1) + 1
            } else {
                at(&lengths, i + 1, j).max(at(&lengths, i, j + 1))
            };
            if let Some(cell) = lengths.get_mut(i * width + j) {
                *cell = length;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    loop {
        let (change, line) = match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => (Change::Same, *a),
            (Some(a), Some(_)) if at(&lengths, i + 1, j) >= at(&lengths, i, j + 1) => (Change::Removed, *a),
            (_, Some(b)) => (Change::Added, *b),
            (Some(a), None) => (Change::Removed, *a),
            (None, None) => return changes,
        };
        i += usize::from(change != Change::Added);
        j += usize::from(change != Change::Removed);
        changes.push((change, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(lines("a\nb\n", "a\nb"), "");
    }

    #[test]
    fn a_changed_line_stands_in_its_surroundings() {
        assert_eq!(
            lines("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\nsix\n7\n8\n9\n10\n"),
            "  ...\n  3\n  4\n  5\n- 6\n+ six\n  7\n  8\n  9\n+ 10\n"
        );
    }

    #[test]
    fn texts_with_nothing_in_common() {
        assert_eq!(lines("a\n", "b\n"), "- a\n+ b\n");
        assert_eq!(lines("", "b\n"), "+ b\n");
        assert_eq!(lines("a\n", ""), "- a\n");
    }
}
