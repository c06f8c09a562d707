//! Rules as text: what iptables-restore takes, and exactly what iptables-save prints (1.8.9, both variants), so that what is
//! read back is what was written. The only place where this syntax is written.

use std::{
    fmt::{self, Write},
    net::IpAddr,
};

use portolan_core::addr::Family;

use crate::{
    key::Key,
    names::{BuiltIn, ChainName, Part, Table},
    rule::{AddressSide, Condition, Is, Link, RejectWith, Rule, State, Target},
    value::Value,
};

/// All objects of one family as iptables-restore takes them: tables, chains, rules. What is last in its chain stands there.
#[must_use]
pub fn tables<'a>(family: Family, objects: impl IntoIterator<Item = (&'a Key, &'a Value)>) -> String {
    let objects: Vec<_> = objects.into_iter().filter(|(key, _)| key.family() == family).collect();
    let mut out = String::new();
    for table in Table::ALL {
        let of_table = || objects.iter().filter(|(key, _)| key.table() == table);
        let chains = of_table().filter_map(|(key, _)| match key {
            Key::Chain(_, _, chain) => Some(format!(":{chain} - [0:0]")),
            _ => None,
        });
        let mut rules: Vec<_> = of_table().flat_map(|(key, value)| lines(key, value)).collect();
        rules.sort_by_key(|(place, _)| *place);
        let rules = rules.into_iter().map(|(_, line)| line);
        let lines = std::iter::once(format!("*{table}")).chain(chains).chain(rules).chain(["COMMIT".to_owned()]);
        lines.for_each(|line| out.extend([&*line, "\n"]));
    }
    out
}

/// The rules that an object is, with the chain of each and whether it is last there, by which they are sorted.
fn lines<'a>(key: &'a Key, value: &'a Value) -> Vec<((Place, bool), String)> {
    let family = key.family();
    let line = |place: Place, last, rule: &Rule| ((place, last), format!("-A {place} {}", Text(family, rule)));
    match (key, value) {
        (Key::Jumps(_, _, chain), Value::Rules(rules)) => {
            rules.iter().map(|rule| line(Place::BuiltIn(*chain), false, rule)).collect()
        }
        (Key::Chain(_, _, chain), Value::Rules(rules)) => {
            rules.iter().map(|rule| line(Place::Ours(*chain), false, rule)).collect()
        }
        (Key::Rule(_, _, chain, of), Value::Rule(comment, target)) => {
            vec![line(Place::Ours(*chain), of.is_last(), &of.rule(comment.as_ref(), target))]
        }
        (Key::Rule(_, _, chain, of), Value::Misplaced(rules)) => {
            rules.iter().map(|rule| line(Place::Ours(*chain), of.is_last(), rule)).collect()
        }
        _ => Vec::new(),
    }
}

/// The chain of a rule, whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    BuiltIn(BuiltIn),
    Ours(ChainName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(chain) => write!(f, "{chain}"),
            Self::Ours(chain) => write!(f, "{chain}"),
        }
    }
}

/// A rule behind the name of its chain: `-d 10.96.0.10/32 ... -j KUBE-SVC-TCOU7JCQXEZGVUNU`.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(pub Family, pub &'a Rule);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(family, rule) = *self;
        let mut words = Words { f, first: true };
        rule.conditions.iter().try_for_each(|condition| write_condition(&mut words, family, condition))?;
        write_target(&mut words, family, &rule.target)
    }
}

/// Puts a blank between words.
struct Words<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    first: bool,
}

impl Words<'_, '_> {
    fn word(&mut self, word: impl fmt::Display) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.f.write_char(' ')?;
        }
        write!(self.f, "{word}")
    }

    fn words<const N: usize>(&mut self, words: [&str; N]) -> fmt::Result {
        words.into_iter().try_for_each(|word| self.word(word))
    }

    fn not(&mut self, is: Is) -> fmt::Result {
        match is {
            Is::In => Ok(()),
            Is::Not => self.word("!"),
        }
    }
}

fn write_condition(out: &mut Words<'_, '_>, family: Family, condition: &Condition) -> fmt::Result {
    match condition {
        Condition::Within(side, is, net) => {
            out.not(*is)?;
            out.word(match side {
                AddressSide::Source => "-s",
                AddressSide::Destination => "-d",
            })?;
            out.word(net)
        }
        Condition::CameBy(is, link) => {
            out.not(*is)?;
            match link {
                Link::Named(name) => out.word(format_args!("-i {name}")),
                Link::Beginning(name) => out.word(format_args!("-i {name}+")),
            }
        }
        Condition::Protocol(is, protocol) => {
            out.not(*is)?;
            out.word(format_args!("-p {protocol}"))
        }
        Condition::Comment(text) => {
            out.words(["-m comment --comment"])?;
            out.word(Quoted(text))
        }
        Condition::Port(protocol, None) => out.word(format_args!("-m {protocol}")),
        Condition::Port(protocol, Some(port)) => out.word(format_args!("-m {protocol} --dport {port}")),
        Condition::State(is, state) => {
            out.words(["-m conntrack"])?;
            out.not(*is)?;
            out.words(["--ctstate", state_name(*state)])
        }
        Condition::Local(side, is) => {
            out.words(["-m addrtype"])?;
            out.not(*is)?;
            out.words(match side {
                AddressSide::Source => ["--src-type LOCAL"],
                AddressSide::Destination => ["--dst-type LOCAL"],
            })
        }
        Condition::Marked(is, value, mask) => {
            out.words(["-m mark"])?;
            out.not(*is)?;
            out.word(format_args!("--mark {value:#x}/{mask:#x}"))
        }
        Condition::Chance(chance) => {
            let share = f64::from(*chance) / f64::from(CERTAIN);
            out.word(format_args!("-m statistic --mode random --probability {share:.11}"))
        }
        Condition::Known(endpoint, seconds) => {
            out.word(format_args!("-m recent --rcheck --seconds {seconds} --reap"))?;
            write_list(out, family, ChainName::Of(Part::Endpoint, *endpoint))
        }
        Condition::Remember(endpoint) => {
            out.words(["-m recent --set"])?;
            write_list(out, family, ChainName::Of(Part::Endpoint, *endpoint))
        }
    }
}

/// What [`Condition::Chance`] would be if it were certain.
pub(crate) const CERTAIN: u32 = 1 << 31;

/// The list of an endpoint's clients, each by its whole address.
fn write_list(out: &mut Words<'_, '_>, family: Family, name: ChainName) -> fmt::Result {
    let whole: IpAddr = match family {
        Family::V4 => [0xff; 4].into(),
        Family::V6 => [0xff; 16].into(),
    };
    out.word(format_args!("--name {name} --mask {whole} --rsource"))
}

pub(crate) const fn state_name(state: State) -> &'static str {
    match state {
        State::New => "NEW",
        State::Invalid => "INVALID",
        State::Known => "RELATED,ESTABLISHED",
        State::KnownOrTranslated => "RELATED,ESTABLISHED,DNAT",
        State::Translated => "DNAT",
    }
}

fn write_target(out: &mut Words<'_, '_>, family: Family, target: &Target) -> fmt::Result {
    match target {
        Target::Jump(chain) => out.word(format_args!("-j {chain}")),
        Target::Accept => out.word("-j ACCEPT"),
        Target::Drop => out.word("-j DROP"),
        Target::Return => out.word("-j RETURN"),
        Target::Reject(with) => out.word(format_args!("-j REJECT --reject-with {}", reject_name(family, *with))),
        Target::SendTo(endpoint) => out.word(format_args!("-j DNAT --to-destination {endpoint}")),
        Target::Mark(value, mask) => out.word(format_args!("-j MARK --set-xmark {value:#x}/{mask:#x}")),
        Target::Masquerade => out.word("-j MASQUERADE --random-fully"),
        Target::None => Ok(()),
        Target::Strange(text) => out.word(text),
    }
}

pub(crate) const fn reject_name(family: Family, with: RejectWith) -> &'static str {
    match (with, family) {
        (RejectWith::Reset, _) => "tcp-reset",
        (RejectWith::PortUnreachable, Family::V4) => "icmp-port-unreachable",
        (RejectWith::PortUnreachable, Family::V6) => "icmp6-port-unreachable",
    }
}

/// A word as iptables-save prints it (`xtables_save_string`): in quotes unless it is plain, and then with what would end
/// them escaped. iptables-restore reads line by line, so a control character, which no comment of ours has, is not written
/// as it is.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' | '\'' => write!(f, "\\{character}")?,
                character if character.is_control() => f.write_char('?')?,
                character => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}
