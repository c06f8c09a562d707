//! The one writer of nft syntax: what `portolan render` shows, what goldens hold, and what `nft -f` loads.
//!
//! It writes each table as `nft list` would, with the elements inside their sets, sorted. Every word comes from the
//! typed vocabulary: nothing that a user named can add a statement, since the only such text is a comment of checked
//! names.

use std::{
    fmt::{self, Write},
    net::SocketAddr,
};

use ipnet::IpNet;
use portolan_core::{addr::Family, desired::LocalDetector, text::Seconds};

use super::{
    field::Field,
    key::{Key, keyword},
    layout::Layout,
    rule::{Rule, Statement},
    shape::{self, DataKind},
    value::{Comment, Data, Hook, HookKind, HookPoint, Value},
};

/// Writes objects as a file for `nft -f`. They must be sorted by key, as a tracker gives them.
#[must_use]
pub fn text<'a, L: Layout>(objects: impl Iterator<Item = (&'a Key<L>, &'a Value<L>)>) -> String {
    let objects: Vec<_> = objects.collect();
    let mut out = String::new();
    for family in Family::ALL {
        let of_family: Vec<_> = objects.iter().filter(|(key, _)| key.family() == family).copied().collect();
        if !of_family.is_empty() {
            // Writing to a String cannot fail.
            let _ = table(&mut out, family, &of_family);
        }
    }
    out
}

fn table<L: Layout>(out: &mut String, family: Family, objects: &[(&Key<L>, &Value<L>)]) -> fmt::Result {
    writeln!(out, "table {} {} {{", keyword(family), L::TABLE)?;
    let mut separator = "";
    for (key, value) in objects {
        let write: &dyn Fn(&mut String) -> fmt::Result = match (key, value) {
            (Key::Set(_, name), Value::Set { size, counts }) => {
                &|out| set(out, family, *name, (*size, *counts), objects)
            }
            (Key::Clients(_, name), Value::Clients) => &|out| clients(out, family, name),
            _ => continue,
        };
        out.push_str(std::mem::replace(&mut separator, "\n"));
        write(out)?;
    }
    for (key, value) in objects {
        if let (Key::Chain(_, name), Value::Chain(hook)) = (key, value) {
            out.push_str(std::mem::replace(&mut separator, "\n"));
            chain(out, family, name, *hook, objects)?;
        }
    }
    writeln!(out, "}}")
}

fn set<L: Layout>(
    out: &mut String,
    family: Family,
    name: L::Set,
    (size, counts): (Option<u32>, bool),
    objects: &[(&Key<L>, &Value<L>)],
) -> fmt::Result {
    let shape = L::shape(name);
    let what = if shape.data == DataKind::None { "set" } else { "map" };
    writeln!(out, "\t{what} {name} {{")?;
    write!(out, "\t\ttypeof {}", Fields(family, &shape.key))?;
    match shape.data {
        DataKind::None => writeln!(out)?,
        DataKind::Verdict => writeln!(out, " : verdict")?,
        DataKind::Endpoint => writeln!(out, " : {}", Fields(family, &shape::ENDPOINT))?,
    }
    if let Some(size) = size {
        writeln!(out, "\t\tsize {size}")?;
    }
    if counts {
        writeln!(out, "\t\tcounter")?;
    }
    if shape.filled_by_packets {
        writeln!(out, "\t\tflags dynamic")?;
    }
    let mut separator = "\t\telements = { ";
    let from = objects.partition_point(|(key, _)| !is_element_of_or_after(key, name));
    for (key, value) in objects.iter().skip(from) {
        let (Key::Element(_, of, element), Value::Element(data, comment)) = (key, value) else { break };
        if *of != name {
            break;
        }
        write!(out, "{separator}{}", element.read(family, &shape.key))?;
        if let Some(comment) = comment {
            write!(out, " comment {}", Quoted(comment))?;
        }
        match data {
            Data::None => {}
            Data::Endpoint(addr, port) => write!(out, " : {addr} . {port}")?,
            Data::Jump(chain) => write!(out, " : jump {chain}")?,
            Data::Goto(chain) => write!(out, " : goto {chain}")?,
        }
        separator = ",\n\t\t\t     ";
    }
    if separator.starts_with(',') {
        writeln!(out, " }}")?;
    }
    writeln!(out, "\t}}")
}

/// A set that packets fill.
fn clients(out: &mut String, family: Family, name: &impl fmt::Display) -> fmt::Result {
    writeln!(out, "\tset {name} {{\n\t\ttypeof {}", Fields(family, &shape::CLIENT))?;
    writeln!(out, "\t\tsize {}\n\t\tflags dynamic,timeout\n\t}}", shape::CLIENTS)
}

fn is_element_of_or_after<L: Layout>(key: &Key<L>, name: L::Set) -> bool {
    matches!(key, Key::Element(_, of, _) if *of >= name)
}

fn chain<L: Layout>(
    out: &mut String,
    family: Family,
    name: &L::Chain,
    hook: Option<Hook>,
    objects: &[(&Key<L>, &Value<L>)],
) -> fmt::Result {
    writeln!(out, "\tchain {name} {{")?;
    if let Some(Hook { kind, point, priority }) = hook {
        let kind = match kind {
            HookKind::Nat => "nat",
            HookKind::Filter => "filter",
        };
        let point = match point {
            HookPoint::Prerouting => "prerouting",
            HookPoint::Input => "input",
            HookPoint::Forward => "forward",
            HookPoint::Output => "output",
            HookPoint::Postrouting => "postrouting",
        };
        writeln!(out, "\t\ttype {kind} hook {point} priority {priority}; policy accept;")?;
    }
    let rules = objects.iter().find_map(|(key, value)| match (key, value) {
        (Key::Rules(_, of), Value::Rules(rules)) if of == name => Some(rules),
        _ => None,
    });
    for rule in rules.into_iter().flat_map(|rules| rules.iter()) {
        writeln!(out, "\t\t{}", Line(family, rule))?;
    }
    writeln!(out, "\t}}")
}

/// A rule on one line.
pub(crate) struct Line<'a, L: Layout>(pub(crate) Family, pub(crate) &'a Rule<L>);

impl<L: Layout> fmt::Display for Line<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(family, rule) = self;
        for (index, statement) in rule.statements.iter().enumerate() {
            if index > 0 {
                f.write_char(' ')?;
            }
            write_statement(f, *family, statement)?;
        }
        rule.comment.map_or(Ok(()), |comment| write!(f, " comment \"{comment}\""))
    }
}

fn write_statement<L: Layout>(f: &mut fmt::Formatter<'_>, family: Family, statement: &Statement<L>) -> fmt::Result {
    let ip = keyword(family);
    match statement {
        Statement::In(fields, set) => write!(f, "{} @{set}", Fields(family, fields)),
        Statement::NotIn(fields, set) => write!(f, "{} != @{set}", Fields(family, fields)),
        Statement::LeavesAsItCame(set) => {
            let (itself, pair) = ([Field::LeavesBy; 2], [Field::CameBy, Field::LeavesBy]);
            write!(f, "add @{set} {{ {} }} {} @{set}", Fields(family, &itself), Fields(family, &pair))
        }
        Statement::Is(protocol) => write!(f, "meta l4proto {protocol}"),
        Statement::Within(field, net) => write!(f, "{} {}", Fields(family, &[*field]), Prefix(*net)),
        Statement::Outside(field, net) => write!(f, "{} != {}", Fields(family, &[*field]), Prefix(*net)),
        Statement::Local(Field::Source) => write!(f, "fib saddr type local"),
        Statement::Local(_) => write!(f, "fib daddr type local"),
        Statement::FromPod(detector) => write_detector(f, family, detector, ""),
        Statement::NotFromPod(detector) => write_detector(f, family, detector, "!= "),
        Statement::OneIn(modulus) => write!(f, "numgen random mod {modulus} 0"),
        Statement::Known(clients) => write!(f, "{} @{clients}", Fields(family, &shape::CLIENT)),
        Statement::Remember(clients, seconds) => {
            write!(
                f,
                "update @{clients} {{ {} timeout {} }}",
                Fields(family, &shape::CLIENT),
                Seconds((*seconds).into())
            )
        }
        Statement::NotNew => write!(f, "ct state != new"),
        Statement::Translated => write!(f, "ct status dnat"),
        Statement::Marked(bits) => write!(f, "meta mark & {bits:#010x} == {bits:#010x}"),
        Statement::Mark(bits) => write!(f, "meta mark set meta mark | {bits:#010x}"),
        Statement::Unmark(bits) => write!(f, "meta mark set meta mark ^ {bits:#010x}"),
        Statement::Lookup(fields, map) => write!(f, "{} vmap @{map}", Fields(family, fields)),
        Statement::Translate(fields, map) => write!(f, "dnat {ip} to {} map @{map}", Fields(family, fields)),
        Statement::TranslateTo(to) => write!(f, "dnat to {}", SocketAddr::new(to.addr, to.port)),
        Statement::Masquerade => write!(f, "masquerade fully-random"),
        Statement::Reject => write!(f, "reject"),
        Statement::RejectWithReset => write!(f, "reject with tcp reset"),
        Statement::Drop => write!(f, "drop"),
        Statement::Return => write!(f, "return"),
        Statement::Jump(chain) => write!(f, "jump {chain}"),
        Statement::Goto(chain) => write!(f, "goto {chain}"),
    }
}

fn write_detector(f: &mut fmt::Formatter<'_>, family: Family, detector: &LocalDetector, not: &str) -> fmt::Result {
    match detector {
        LocalDetector::Cidr(net) => write!(f, "{} {not}{}", Fields(family, &[Field::Source]), Prefix(*net)),
        LocalDetector::Interface(name) => write!(f, "iifname {not}\"{name}\""),
        LocalDetector::InterfacePrefix(prefix) => write!(f, "iifname {not}\"{prefix}*\""),
    }
}

/// A CIDR; an address alone is written as such.
struct Prefix(IpNet);

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

/// Fields as a concatenation.
struct Fields<'a>(Family, &'a [Field]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = keyword(self.0);
        for (index, field) in self.1.iter().enumerate() {
            if index > 0 {
                f.write_str(" . ")?;
            }
            match field {
                Field::Source => write!(f, "{ip} saddr"),
                Field::Destination => write!(f, "{ip} daddr"),
                Field::Protocol => f.write_str("meta l4proto"),
                Field::Port => f.write_str("th dport"),
                Field::Asked => write!(f, "ct original {ip} daddr"),
                Field::CameBy => f.write_str("iif"),
                Field::LeavesBy => f.write_str("oif"),
                Field::Random(modulus) => write!(f, "numgen random mod {modulus}"),
            }?;
        }
        Ok(())
    }
}

/// A comment between quotes. nft knows no escape inside them, so what would end the string or the line is left out;
/// names that were checked hold nothing of the kind.
struct Quoted<'a>(&'a Comment);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.0.as_str().chars().filter(|c| !c.is_control() && *c != '"').try_for_each(|c| f.write_char(c))?;
        f.write_char('"')
    }
}
