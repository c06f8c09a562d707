//! From a batch to what iptables-restore is told, and from its complaints back to the operations.
//!
//! ```text
//!   *filter                                    each table is committed by itself:
//!   ...                                        what refuses is there before what sends on is gone
//!   COMMIT
//!   *nat
//!   :KUBE-SVC-TCOU7JCQXEZGVUNU - [0:0]         a chain that is named here is made, or emptied
//!   -D KUBE-SVC-10.96.5.0/24 -d 10.96.5.9/32 ...
//!   -A KUBE-SVC-TCOU7JCQXEZGVUNU ...
//!   -I KUBE-SVC-10.96.5.0/24 1 -d 10.96.5.7/32 ...
//!   -X KUBE-SVC-ERIFXISQEP7F7OF4
//!   COMMIT
//!   *filter                                    what refuses goes when what sends on is there
//!   ...
//!   COMMIT
//! ```
//!
//! Chains of others and chains that do not change are not named, so with `--noflush` they stay as they are.

use std::{collections::BTreeSet, fmt::Write as _, ops::Range};

use portolan_core::{
    addr::Family,
    object::{Batch, Cause, Op, Refusal},
};

use crate::{
    dialect::Iptables,
    key::{Key, Match},
    names::Table,
    rule::Rule,
    text::Text,
    value::Value,
};

/// What one run of iptables-restore is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) text: String,
    /// For each line the operation that it is of.
    lines: Vec<Option<usize>>,
    tables: Vec<Part>,
}

/// What a script says about one table.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// Numbers of lines, from `*nat` to `COMMIT`, counted from 1.
    lines: Range<usize>,
    ops: Vec<usize>,
}

/// What became of a script that was not carried out whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// Something was refused, with all of its table and of the tables behind; those before were committed.
    Refused { refusals: Vec<Refusal>, carried_out: Vec<usize> },
    /// It does not say where it stopped.
    Nowhere,
}

impl Script {
    /// What the programs of one family are told of a batch.
    pub(crate) fn new(batch: &Batch<Iptables>, family: Family) -> Self {
        let mut script = Self::default();
        let of_family = batch.ops.iter().enumerate().filter(|(_, op)| op.key().family() == family);
        let (nat, filter): (Vec<_>, Vec<_>) = of_family.partition(|(_, op)| op.key().table() == Table::Nat);
        let (removed, made) = filter.into_iter().partition(|(_, op)| matches!(op, Op::Remove(..)));
        for (table, ops) in [(Table::Filter, made), (Table::Nat, nat), (Table::Filter, removed)] {
            if !ops.is_empty() {
                script.table(family, table, &ops);
            }
        }
        script
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The operations in it.
    pub(crate) fn ops(&self) -> impl Iterator<Item = usize> {
        self.tables.iter().flat_map(|table| &table.ops).copied()
    }

    /// How many commits it makes.
    pub(crate) fn commits(&self) -> usize {
        self.tables.len()
    }

    fn line(&mut self, op: Option<usize>, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
        self.lines.push(op);
    }

    fn table(&mut self, family: Family, table: Table, ops: &[(usize, &Op<Iptables>)]) {
        let first = self.lines.len() + 1;
        self.line(None, format_args!("*{table}"));
        let mut emptied = BTreeSet::new();
        for (number, op) in ops {
            if let Key::Chain(_, _, chain) = op.key() {
                self.line(Some(*number), format_args!(":{chain} - [0:0]"));
                emptied.insert(*chain);
            }
        }
        for (number, op) in ops {
            match op.key() {
                Key::Rule(_, _, chain, _) if emptied.contains(chain) => {}
                Key::Rule(_, _, chain, of) => self.delete(*number, family, chain, was(of, op)),
                Key::Jumps(_, _, chain) => self.delete(*number, family, chain, was(&Match::NotLocal, op)),
                Key::Chain(..) => {}
            }
        }
        for (number, op) in ops {
            if let (Key::Chain(_, _, chain), Some(Value::Rules(rules))) = (op.key(), to_be(op)) {
                for rule in &**rules {
                    self.line(Some(*number), format_args!("-A {chain} {}", Text(family, rule)));
                }
            }
        }
        for (number, op) in ops {
            match (op.key(), to_be(op)) {
                (Key::Rule(_, _, chain, of), Some(Value::Rule(comment, target))) => {
                    let rule = of.rule(comment.as_ref(), target);
                    let place = if of.is_last() { Place::Last } else { Place::First };
                    self.add(*number, family, place, chain, &rule);
                }
                // The first is inserted last, so that it stands first.
                (Key::Jumps(_, _, chain), Some(Value::Rules(rules))) => {
                    rules.iter().rev().for_each(|rule| self.add(*number, family, Place::First, chain, rule));
                }
                _ => {}
            }
        }
        for (number, op) in ops {
            if let (Key::Chain(_, _, chain), None) = (op.key(), to_be(op)) {
                self.line(Some(*number), format_args!("-X {chain}"));
            }
        }
        self.line(None, format_args!("COMMIT"));
        let ops = ops.iter().map(|(number, _)| *number).collect();
        self.tables.push(Part { lines: first..self.lines.len() + 1, ops });
    }

    fn add(&mut self, op: usize, family: Family, place: Place, chain: &impl std::fmt::Display, rule: &Rule) {
        let rule = Text(family, rule);
        match place {
            Place::First => self.line(Some(op), format_args!("-I {chain} 1 {rule}")),
            Place::Last => self.line(Some(op), format_args!("-A {chain} {rule}")),
        }
    }

    fn delete(&mut self, op: usize, family: Family, chain: &impl std::fmt::Display, rules: Vec<Rule>) {
        for rule in rules {
            self.line(Some(op), format_args!("-D {chain} {}", Text(family, &rule)));
        }
    }

    /// What a run that ended badly tells.
    pub(crate) fn understand(&self, complaint: &str) -> Complaint {
        let refused = refused_lines(complaint);
        let Some(part) = refused.first().and_then(|refused| self.part(refused.line)) else { return Complaint::Nowhere };
        let refusals = refused.into_iter().map(|refused| self.refusal(refused)).collect();
        let before = self.tables.iter().take(part);
        Complaint::Refused { refusals, carried_out: before.flat_map(|part| part.ops.clone()).collect() }
    }

    /// The number of the table that a line is in. Nothing was begun where the line says which table it is.
    fn part(&self, line: usize) -> Option<usize> {
        self.tables.iter().position(|part| part.lines.contains(&line) && part.lines.start != line)
    }

    fn refusal(&self, RefusedLine { line, cause }: RefusedLine) -> Refusal {
        let op = line.checked_sub(1).and_then(|index| *self.lines.get(index)?);
        let cause = match cause {
            // Of iptables-legacy, which gives no reason. What it finds out by itself before the commit is that a chain or rule
            // is not there, or not unused; what the kernel dislikes it hears at the commit.
            None if op.is_some() => Cause::Missing,
            None => Cause::Other(
                "the kernel did not take the changes to a table, and iptables-legacy does not say why".into(),
            ),
            Some(cause) => cause,
        };
        Refusal { op, cause }
    }
}

#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Last,
}

/// What the object is to be; none for one that goes.
const fn to_be(op: &Op<Iptables>) -> Option<&Value> {
    match op {
        Op::Add(_, value) | Op::Replace(_, value, _) => Some(value),
        Op::Remove(..) | Op::Rebuild(_) => None,
    }
}

/// The rules that are there of an object that consists of some.
fn was(of: &Match, op: &Op<Iptables>) -> Vec<Rule> {
    let value = match op {
        Op::Remove(_, value) => value,
        Op::Replace(_, _, value) => value,
        Op::Add(..) | Op::Rebuild(_) => return Vec::new(),
    };
    match value {
        Value::Dispatch => Vec::new(),
        Value::Rule(comment, target) => vec![of.rule(comment.as_ref(), target)],
        Value::Rules(rules) | Value::Misplaced(rules) => rules.to_vec(),
    }
}

/// A line that iptables-restore names, and why; none where it does not say.
#[derive(Debug, PartialEq, Eq)]
struct RefusedLine {
    line: usize,
    cause: Option<Cause>,
}

/// What iptables-restore says when it refuses, in the forms of 1.6.2 to 1.8.13, of both kinds:
///
/// ```text
/// line 4: RULE_APPEND failed (Invalid argument): rule in chain KUBE-A       nft, by the kernel; there may be several
/// iptables-nft-restore: line 3 failed: Bad rule (does a matching rule exist in that chain?).          nft, by itself
/// iptables-restore: line 6 failed                                    legacy, by itself, or at COMMIT by the kernel
/// iptables-restore v1.8.9 (legacy): host/network `10.0.0.300' not found            both, a line that is not understood
/// Error occurred at line: 3
/// ```
fn refused_lines(complaint: &str) -> Vec<RefusedLine> {
    let mut refused = Vec::new();
    let mut before = "";
    for line in complaint.lines().map(str::trim) {
        if let Some(number) = line.strip_prefix("Error occurred at line: ").and_then(|number| number.parse().ok()) {
            let why = before.split_once("): ").map_or(before, |(_, why)| why);
            refused.push(RefusedLine { line: number, cause: Some(cause(why)) });
        } else if let Some((number, rest)) = after_line(line) {
            let why = rest.strip_prefix(" failed").map(|why| why.trim_start_matches(": ").trim_end_matches('.'));
            let by_kernel = || rest.strip_prefix(": ");
            let cause = match why {
                Some("") => None,
                Some(why) => Some(cause(why)),
                None => by_kernel().map(cause),
            };
            refused.push(RefusedLine { line: number, cause });
        }
        if !line.is_empty() {
            before = line;
        }
    }
    refused
}

/// The number behind `line `, at the beginning or behind the name of the program, and what stands behind it.
fn after_line(text: &str) -> Option<(usize, &str)> {
    let rest = text.strip_prefix("line ").or_else(|| Some(text.split_once("restore: line ")?.1))?;
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at_checked(end)?;
    Some((number.parse().ok()?, rest))
}

fn cause(why: &str) -> Cause {
    let known = CAUSES.iter().find(|(part, _)| why.contains(part));
    known.map_or_else(|| Cause::Other(portolan_core::text::excerpt(why)), |(_, cause)| cause.clone())
}

/// What says that there is something else than we thought.
const CAUSES: [(&str, Cause); 7] = [
    ("does a matching rule exist", Cause::Missing),
    ("No chain/target/match by that name", Cause::Missing),
    ("does not exist", Cause::Missing),
    ("(No such file or directory)", Cause::Missing),
    ("Chain already exists", Cause::Exists),
    ("(File exists)", Cause::Exists),
    ("(Device or resource busy)", Cause::Busy),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_say_of_a_refusal_is_understood() {
        let refused = |line, cause| RefusedLine { line, cause };
        let other = |why: &str| Some(Cause::Other(why.into()));
        for (complaint, expected) in [
            (
                "iptables-nft-restore v1.8.9 (nf_tables): \nline 4: RULE_APPEND failed (Invalid argument): rule in chain KUBE-A\n\
                 line 5: CHAIN_DEL failed (Device or resource busy): chain KUBE-B\n",
                vec![
                    refused(4, other("RULE_APPEND failed (Invalid argument): rule in chain KUBE-A")),
                    refused(5, Some(Cause::Busy)),
                ],
            ),
            (
                "iptables-nft-restore: line 3 failed: Bad rule (does a matching rule exist in that chain?).\n",
                vec![refused(3, Some(Cause::Missing))],
            ),
            ("ip6tables-restore: line 6 failed\n", vec![refused(6, None)]),
            (
                "iptables-restore v1.8.9 (legacy): host/network `10.0.0.300' not found\nError occurred at line: 3\n\
                 Try `iptables-restore -h' or 'iptables-restore --help' for more information.\n",
                vec![refused(3, other("host/network `10.0.0.300' not found"))],
            ),
            (
                "iptables-nft-restore v1.8.9 (nf_tables): Chain 'KUBE-NOPE' does not exist\nError occurred at line: 4\n",
                vec![refused(4, Some(Cause::Missing))],
            ),
            (
                "iptables-nft-restore v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied\n",
                vec![],
            ),
            ("Killed\nline\nline x failed\nline 99999999999999999999999 failed", vec![]),
        ] {
            assert_eq!(refused_lines(complaint), expected, "{complaint}");
        }
    }
}
