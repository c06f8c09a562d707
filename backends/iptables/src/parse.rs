//! The reverse of [`text`](mod@crate::text): a rule from what iptables-save prints. What is not understood stays text.

use std::{borrow::Cow, net::SocketAddr, str::FromStr};

use ipnet::IpNet;
use portolan_core::addr::{Family, Protocol};

use crate::{
    names::{ChainName, Part},
    rule::{AddressSide, Condition, Is, Link, RejectWith, Rule, State, Target},
    text::{CERTAIN, reject_name, state_name},
};

/// The rule that stands behind the name of a chain.
#[must_use]
pub fn rule(family: Family, text: &str) -> Rule {
    words(text)
        .and_then(|words| understand(family, &words))
        .unwrap_or_else(|| Rule::new([], Target::Strange(text.into())))
}

/// The words of a line. Those in quotes may have blanks, and `\` before what is to be taken as it is; `None` where a quote
/// does not end.
fn words(text: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(' ');
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => until_quote(quoted)?,
            None => {
                let (word, behind) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
                (Cow::Borrowed(word), behind)
            }
        };
        words.push(word);
        rest = behind.trim_start_matches(' ');
    }
    Some(words)
}

/// What stands before the quote that ends it, and what stands behind that.
fn until_quote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut word = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((word.into(), characters.as_str())),
            '\\' => word.push(characters.next()?),
            character => word.push(character),
        }
    }
}

/// Words from left to right.
struct Reader<'a> {
    rest: &'a [Cow<'a, str>],
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.rest.first().is_some_and(|next| *next == word);
        if is {
            self.next();
        }
        is
    }

    /// The word behind this one, if this one is next.
    fn after(&mut self, word: &str) -> Option<&'a str> {
        if self.next_is(word) { self.next() } else { None }
    }

    fn read<T: FromStr>(&mut self) -> Option<T> {
        self.next()?.parse().ok()
    }

    fn is(&mut self) -> Is {
        if self.next_is("!") { Is::Not } else { Is::In }
    }
}

fn understand(family: Family, words: &[Cow<'_, str>]) -> Option<Rule> {
    let mut reader = Reader { rest: words };
    let mut conditions = Vec::new();
    loop {
        let target = match reader.rest.first().map(|word| &**word) {
            None => Target::None,
            Some("-j") => target(family, &mut reader)?,
            Some(_) => {
                conditions.push(condition(&mut reader)?);
                continue;
            }
        };
        let ends = reader.rest.is_empty();
        return ends.then(|| Rule::new(conditions, target));
    }
}

fn condition(reader: &mut Reader<'_>) -> Option<Condition> {
    let is = reader.is();
    Some(match reader.next()? {
        "-s" => Condition::Within(AddressSide::Source, is, network(reader)?),
        "-d" => Condition::Within(AddressSide::Destination, is, network(reader)?),
        "-i" => Condition::CameBy(is, link(reader.next()?)?),
        "-p" => Condition::Protocol(is, protocol(reader.next()?)?),
        "-m" if is == Is::In => matched(reader)?,
        _ => return None,
    })
}

fn network(reader: &mut Reader<'_>) -> Option<IpNet> {
    let text = reader.next()?;
    text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
}

fn link(text: &str) -> Option<Link> {
    match text.strip_suffix('+') {
        Some(beginning) => Some(Link::Beginning(beginning.parse().ok()?)),
        None => Some(Link::Named(text.parse().ok()?)),
    }
}

fn protocol(text: &str) -> Option<Protocol> {
    Some(match text {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    })
}

fn matched(reader: &mut Reader<'_>) -> Option<Condition> {
    Some(match reader.next()? {
        "comment" => Condition::Comment(reader.after("--comment")?.into()),
        "conntrack" => {
            let is = reader.is();
            let name = reader.after("--ctstate")?;
            Condition::State(is, STATES.into_iter().find(|state| state_name(*state) == name)?)
        }
        "addrtype" => {
            let is = reader.is();
            let side = match reader.next()? {
                "--src-type" => AddressSide::Source,
                "--dst-type" => AddressSide::Destination,
                _ => return None,
            };
            reader.next_is("LOCAL").then_some(Condition::Local(side, is))?
        }
        "mark" => {
            let is = reader.is();
            let (value, mask) = value_and_mask(reader.after("--mark")?)?;
            Condition::Marked(is, value, mask)
        }
        "statistic" => {
            let random = reader.after("--mode")? == "random";
            let share: f64 = reader.after("--probability").filter(|_| random)?.parse().ok()?;
            Condition::Chance(units(share)?)
        }
        "recent" => recent(reader)?,
        name => {
            let protocol = protocol(name)?;
            let port = if reader.next_is("--dport") { Some(reader.read()?) } else { None };
            Condition::Port(protocol, port)
        }
    })
}

const STATES: [State; 5] = [State::New, State::Invalid, State::Known, State::KnownOrTranslated, State::Translated];

fn recent(reader: &mut Reader<'_>) -> Option<Condition> {
    let known = reader.next_is("--rcheck");
    let seconds: Option<u32> = if known {
        reader.next_is("--seconds").then_some(())?;
        let seconds = reader.read()?;
        reader.next_is("--reap").then_some(seconds)
    } else {
        reader.next_is("--set").then_some(0)
    };
    let (seconds, name) = (seconds?, reader.after("--name")?);
    let Some(ChainName::Of(Part::Endpoint, endpoint)) = ChainName::parse(name) else { return None };
    let mask = reader.after("--mask").unwrap_or(MASKS[0]);
    let by_source = reader.next_is("--rsource") && MASKS.contains(&mask);
    by_source.then_some(if known { Condition::Known(endpoint, seconds) } else { Condition::Remember(endpoint) })
}

/// That all of a client's address counts.
const MASKS: [&str; 2] = ["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];

/// A chance as the kernel stores it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a number between 0 and 2^31")]
pub(crate) fn units(share: f64) -> Option<u32> {
    (0.0..=1.0).contains(&share).then(|| (share * f64::from(CERTAIN)).round() as u32)
}

fn value_and_mask(text: &str) -> Option<(u32, u32)> {
    let (value, mask) = text.split_once('/')?;
    let hexadecimal = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    Some((hexadecimal(value)?, hexadecimal(mask)?))
}

fn target(family: Family, reader: &mut Reader<'_>) -> Option<Target> {
    Some(match reader.after("-j")? {
        "ACCEPT" => Target::Accept,
        "DROP" => Target::Drop,
        "RETURN" => Target::Return,
        "REJECT" => {
            let name = reader.after("--reject-with")?;
            let both = [RejectWith::PortUnreachable, RejectWith::Reset].into_iter();
            Target::Reject(both.into_iter().find(|with| reject_name(family, *with) == name)?)
        }
        "DNAT" => Target::SendTo(reader.after("--to-destination")?.parse::<SocketAddr>().ok()?),
        "MARK" => {
            let (value, mask) = value_and_mask(reader.after("--set-xmark")?)?;
            Target::Mark(value, mask)
        }
        "MASQUERADE" => reader.next_is("--random-fully").then_some(Target::Masquerade)?,
        name => Target::Jump(ChainName::parse(name)?),
    })
}
