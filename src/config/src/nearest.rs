//! The name that somebody meant.

/// "did you mean ...?" for the known name that is nearest to a wrong one, or else another advice.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>, else_advice: &str) -> String {
    match nearest(wrong, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => else_advice.to_owned(),
    }
}

/// The known name with the fewest edits, if they are few enough for its length to be a mistake of typing.
fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a name that is longer than all of them.
    if wrong.len() > 100 {
        return None;
    }
    let wrong = wrong.to_lowercase();
    let with_distance = known.into_iter().map(|name| (edits(&wrong, &name.to_lowercase()), name));
    let (distance, name) = with_distance.min()?;
    (distance <= 1 + name.len() / 5 && distance < wrong.trim_start_matches('-').len()).then_some(name)
}

/// How many letters are put in, left out or replaced to come from one to the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.chars().enumerate() {
        let mut line = vec![row + 1];
        let mut left = row + 1;
        for (other, steps) in to.iter().zip(above.windows(2)) {
            let (diagonal, up) = match steps {
                [diagonal, up] => (*diagonal, *up),
                _ => (0, 0),
            };
            left = (diagonal + usize::from(letter != *other)).min(up + 1).min(left + 1);
            line.push(left);
        }
        above = line;
    }
    above.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_of_typing_are_recognised_and_others_are_not() {
        let known = ["masqueradeBit", "masqueradeAll", "mode", "syncPeriod", "minSyncPeriod"];
        for (wrong, meant) in [
            ("masquaradeAll", Some("masqueradeAll")),
            ("Mode", Some("mode")),
            ("mod", Some("mode")),
            ("sync-period", Some("syncPeriod")),
            ("synchronisationPeriod", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, known), meant, "{wrong}");
        }
        assert_eq!([edits("", "abc"), edits("kitten", "sitting"), edits("same", "same")], [3, 3, 0]);
    }
}
