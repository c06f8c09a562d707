//! What iptables-save prints, line by line, and as objects.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use portolan_core::addr::Family;

use crate::{
    key::{Key, Match},
    names::{BuiltIn, ChainName, Table},
    parse,
    rule::Rule,
    value::Value,
};

/// A line of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// `*nat`: what follows is in this table.
    Table(&'a str),
    /// `:KUBE-SERVICES - [0:0]`: the table has this chain.
    Chain(&'a str),
    /// `-A KUBE-SERVICES ...`: the next rule of the chain.
    Rule {
        /// The chain.
        chain: &'a str,
        /// What stands behind its name.
        rule: &'a str,
        /// How many packets have met it, where that was asked for (`-c`).
        packets: Option<u64>,
    },
    /// `COMMIT`: the table is complete.
    Commit,
}

/// The lines of a listing but for those that say nothing; a line that is none of these is an error.
pub fn lines(listing: &str) -> impl Iterator<Item = Result<Line<'_>, BadListing>> {
    let says_something = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let read = |line| self::line(line).ok_or_else(|| BadListing::Line(portolan_core::text::excerpt(line)));
    listing.lines().filter(says_something).map(read)
}

fn line(line: &str) -> Option<Line<'_>> {
    if line == "COMMIT" {
        return Some(Line::Commit);
    }
    if let Some(table) = line.strip_prefix('*') {
        return Some(Line::Table(table));
    }
    if let Some(chain) = line.strip_prefix(':') {
        return Some(Line::Chain(chain.split(' ').next()?));
    }
    let (packets, rule) = match line.strip_prefix('[') {
        Some(counted) => {
            let (counts, rule) = counted.split_once("] ")?;
            (Some(counts.split_once(':')?.0.parse().ok()?), rule)
        }
        None => (None, line),
    };
    let rule = rule.strip_prefix("-A ")?;
    let (chain, rule) = rule.split_once(' ').unwrap_or((rule, ""));
    Some(Line::Rule { chain, rule, packets })
}

/// That a listing cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadListing {
    /// A line is none that iptables-save prints.
    #[error("iptables-save printed a line that is no table, chain or rule: {0}")]
    Line(String),
    /// It ends in the middle of a table, or has a chain or rule in none.
    #[error("what iptables-save printed is not complete")]
    Incomplete,
}

/// Our objects in a listing of one family, in order of their keys; what tables of others have need not be understood.
/// `guards_loopback` says whether the chain KUBE-FIREWALL is
/// ours to keep: where it is not, the same chain is kubelet's.
///
/// # Errors
/// [`BadListing`], rather than to take what was not listed for what is not there.
pub fn objects(family: Family, listing: &str, guards_loopback: bool) -> Result<Vec<(Key, Value)>, BadListing> {
    let mut objects = BTreeMap::new();
    let mut current = Current::None;
    let mut found = Found::default();
    for line in lines(listing) {
        match (line, current) {
            (Ok(Line::Chain(_) | Line::Rule { .. }) | Err(_), Current::Others) => {}
            (Ok(Line::Commit), Current::Others) => current = Current::None,
            (Ok(Line::Table(table)), Current::None) => {
                current = Table::parse(table).map_or(Current::Others, Current::Ours);
            }
            (Ok(Line::Chain(chain)), Current::Ours(_)) => found.chain(chain),
            (Ok(Line::Rule { chain, rule, .. }), Current::Ours(_)) => found.rule(family, chain, rule),
            (Ok(Line::Commit), Current::Ours(table)) => {
                std::mem::take(&mut found).into_objects(family, table, guards_loopback, &mut objects);
                current = Current::None;
            }
            (Ok(_), _) => return Err(BadListing::Incomplete),
            (Err(bad), _) => return Err(bad),
        }
    }
    if current == Current::None { Ok(objects.into_iter().collect()) } else { Err(BadListing::Incomplete) }
}

/// A number that is another, but for one time in 2^64, where rules or chains in these listings are others. What counts packets
/// and what tells the time is left out.
pub(crate) fn sum(listings: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for line in listings.iter().flat_map(|listing| listing.lines()).filter(|line| !line.starts_with('#')) {
        let counted = if line.starts_with(':') { line.rfind(" [") } else { None };
        line.get(..counted.unwrap_or(line.len())).hash(&mut hasher);
    }
    hasher.finish()
}

/// The same of several sums.
pub(crate) fn sum_of(sums: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    sums.hash(&mut hasher);
    hasher.finish()
}

/// The table that a line is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    None,
    Ours(Table),
    Others,
}

/// What a table has of ours: chains, and the jumps to them, each with its rules in order.
#[derive(Debug, Default)]
struct Found {
    chains: BTreeMap<ChainName, Vec<Rule>>,
    jumps: BTreeMap<BuiltIn, Jumps>,
}

/// What a built-in chain has of ours. Where it stands among others' rules is their business, unless no packet gets there.
#[derive(Debug, Default)]
struct Jumps {
    rules: Vec<Rule>,
    /// A rule of others ends the chain for every packet.
    ended: bool,
    /// One of ours stands behind such a rule.
    unreachable: bool,
}

impl Found {
    fn chain(&mut self, name: &str) {
        if let Some(chain) = ChainName::parse(name) {
            self.chains.entry(chain).or_default();
        }
    }

    fn rule(&mut self, family: Family, chain: &str, text: &str) {
        if let Some(chain) = ChainName::parse(chain) {
            self.chains.entry(chain).or_default().push(parse::rule(family, text));
        } else if let Some(chain) = BuiltIn::parse(chain) {
            let (rule, jumps) = (parse::rule(family, text), self.jumps.entry(chain).or_default());
            if rule.chain().is_some_and(ChainName::is_entered) {
                jumps.rules.push(rule);
                jumps.unreachable |= jumps.ended;
            }
            jumps.ended |= ends_its_chain(text);
        }
    }

    fn into_objects(mut self, family: Family, table: Table, guards_loopback: bool, out: &mut BTreeMap<Key, Value>) {
        if !guards_loopback {
            self.chains.remove(&ChainName::Firewall);
            let is_another = |rule: &Rule| rule.chain() != Some(ChainName::Firewall);
            self.jumps.values_mut().for_each(|jumps| jumps.rules.retain(is_another));
        }
        for (chain, Jumps { rules, unreachable, .. }) in
            self.jumps.into_iter().filter(|(_, jumps)| !jumps.rules.is_empty())
        {
            let rules = rules.into();
            let value = if unreachable { Value::Misplaced(rules) } else { Value::Rules(rules) };
            out.insert(Key::Jumps(family, table, chain), value);
        }
        for (chain, rules) in self.chains {
            let key = Key::Chain(family, table, chain);
            if chain.dispatches() {
                out.insert(key, Value::Dispatch);
                let rules = dispatched(family, chain, rules);
                out.extend(rules.into_iter().map(|(of, value)| (Key::Rule(family, table, chain, of), value)));
            } else {
                out.insert(key, Value::Rules(rules.into()));
            }
        }
    }
}

/// Whether no packet comes to what stands behind a rule of a built-in chain: it asks nothing, and says what becomes of all.
fn ends_its_chain(rule: &str) -> bool {
    let mut words = rule.split(' ');
    words.next() == Some("-j")
        && matches!(words.next(), Some("ACCEPT" | "DROP" | "REJECT" | "RETURN" | "QUEUE" | "NFQUEUE"))
}

/// The rules of a dispatching chain, by what they match.
fn dispatched(family: Family, chain: ChainName, rules: Vec<Rule>) -> BTreeMap<Match, Value> {
    let mut objects: BTreeMap<Match, Value> = BTreeMap::new();
    let mut before_an_ordinary_one = false;
    for rule in rules.into_iter().rev() {
        let (of, comment) = Match::of(family, &rule);
        if chain == ChainName::Firewall && of != Match::Martian {
            continue;
        }
        let misplaced = of.is_last() && before_an_ordinary_one;
        // Others' rules go, wherever they stand.
        before_an_ordinary_one |= !of.is_last() && !matches!(of, Match::Other(_));
        let value = match objects.remove(&of) {
            None if misplaced => Value::Misplaced([rule].into()),
            None => Value::Rule(comment, rule.target),
            Some(twin) => {
                let twins = match twin {
                    Value::Misplaced(rules) => rules.to_vec(),
                    Value::Rule(comment, target) => vec![of.rule(comment.as_ref(), &target)],
                    Value::Dispatch | Value::Rules(_) => Vec::new(),
                };
                Value::Misplaced(std::iter::once(rule).chain(twins).collect())
            }
        };
        objects.insert(of, value);
    }
    objects
}

#[cfg(test)]
mod tests {
    use portolan_core::desired::Vip;

    use super::*;
    use crate::{names::Tree, rule::Target};

    const LISTING: &str = "\
# Generated by iptables-nft-save v1.8.9 (nf_tables) on Mon Nov 30 22:18:25 2026
*mangle
:PREROUTING ACCEPT [0:0]
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
# Completed on Mon Nov 30 22:18:25 2026
*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-10.96.0.0/12 - [0:0]
:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -d 192.0.2.7/32 -j KUBE-MARK-MASQ
-A CNI-HOSTPORT-DNAT -p tcp -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SERVICES -d 10.96.0.0/12 -j KUBE-SVC-10.96.0.0/12
-A KUBE-SVC-10.96.0.0/12 -d 10.96.0.1/32 -p tcp -m comment --comment \"default/kubernetes:https cluster IP\" -m tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y
-A KUBE-SVC-10.96.0.0/12 -p icmp -j ACCEPT
-A KUBE-SVC-10.96.0.0/12 -d 10.96.0.2/32 -j DROP
-A KUBE-SVC-10.96.0.0/12 -d 10.96.0.2/32 -j ACCEPT
COMMIT
";

    #[test]
    fn ours_are_found_among_others() {
        let family = Family::V4;
        let level = ChainName::parse("KUBE-SVC-10.96.0.0/12").unwrap();
        assert!(matches!(level, ChainName::Level(Tree::Services, _)));
        let service = ChainName::parse("KUBE-SVC-NPX46M4PTMTKRN6Y").unwrap();
        let text = |text| parse::rule(family, text);
        let chain = |chain| Key::Chain(family, Table::Nat, chain);
        let rule = |chain, of| Key::Rule(family, Table::Nat, chain, of);
        let net: ipnet::IpNet = "10.96.0.0/12".parse().unwrap();
        let vip = Vip { addr: "10.96.0.1".parse().unwrap(), protocol: portolan_core::addr::Protocol::Tcp, port: 443 };
        let mut expected = vec![
            (
                Key::Jumps(family, Table::Nat, BuiltIn::Prerouting),
                Value::Rules([text("-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES")].into()),
            ),
            (
                chain(ChainName::MarkMasquerade),
                Value::Rules([Rule::new([], Target::Mark(0x4000, 0x4000))].into()),
            ),
            (chain(ChainName::Services), Value::Dispatch),
            (
                rule(ChainName::Services, Match::Local(None)),
                Value::Misplaced(
                    [text("-m comment --comment \"kubernetes service nodeports\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")]
                        .into(),
                ),
            ),
            (rule(ChainName::Services, Match::Net(net)), Value::Rule(None, Target::Jump(level))),
            (chain(level), Value::Dispatch),
            (
                rule(level, Match::Vip(vip)),
                Value::Rule(Some("default/kubernetes:https cluster IP".into()), Target::Jump(service)),
            ),
            (
                rule(level, Match::Other("-p icmp -j ACCEPT".into())),
                Value::Rule(None, Target::Strange("-p icmp -j ACCEPT".into())),
            ),
            (
                rule(level, Match::Address("10.96.0.2".parse().unwrap())),
                Value::Misplaced([text("-d 10.96.0.2/32 -j DROP"), text("-d 10.96.0.2/32 -j ACCEPT")].into()),
            ),
            (chain(service), Value::Rules([].into())),
        ];
        expected.sort_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(objects(family, LISTING, false).unwrap(), expected);
    }

    #[test]
    fn the_chain_that_kubelet_has_too_is_left_alone_unless_it_is_ours_to_keep() {
        let listing = "\
*filter
:INPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
COMMIT
";
        assert_eq!(objects(Family::V4, listing, false), Ok(vec![]));
        let ours = objects(Family::V4, listing, true).unwrap();
        let keys: Vec<_> = ours.iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(
            keys,
            [
                "chain KUBE-FIREWALL in table filter of IPv4",
                "the rule for loopback addresses in chain KUBE-FIREWALL in table filter of IPv4",
                "the jumps in chain INPUT in table filter of IPv4",
            ]
        );
    }

    #[test]
    fn counters_are_read() {
        let read = line("[12:720] -A KUBE-SERVICES -d 10.96.0.0/12 -j KUBE-SVC-10.96.0.0/12");
        let rule = "-d 10.96.0.0/12 -j KUBE-SVC-10.96.0.0/12";
        assert_eq!(read, Some(Line::Rule { chain: "KUBE-SERVICES", rule, packets: Some(12) }));
        assert_eq!(
            line("[1:1] -A KUBE-SERVICES"),
            Some(Line::Rule { chain: "KUBE-SERVICES", rule: "", packets: Some(1) })
        );
    }

    #[test]
    fn a_sum_is_of_chains_and_rules_alone() {
        let of = |listing: &str| sum(&[listing.to_owned()]);
        let later =
            LISTING.replace("22:18:25", "22:18:26").replace(":PREROUTING ACCEPT [0:0]", ":PREROUTING ACCEPT [7:420]");
        assert_eq!(of(LISTING), of(&later));
        for (rules, others) in [
            ("-p icmp -j ACCEPT", "-p icmp -j DROP"),
            (":PREROUTING ACCEPT", ":PREROUTING DROP"),
            (":KUBE-SERVICES - [0:0]\n", ""),
            ("*mangle", "*raw"),
        ] {
            assert_ne!(of(LISTING), of(&LISTING.replace(rules, others)), "{rules}");
        }
    }

    #[test]
    fn what_tables_of_others_have_need_not_be_understood() {
        let others = "*raw\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n[unknown]\n-A KUBE-SERVICES\nCOMMIT\n";
        assert_eq!(objects(Family::V4, others, true), Ok(vec![]));
        assert_eq!(objects(Family::V4, &[others, LISTING].concat(), false), objects(Family::V4, LISTING, false));
        let ours = others.replace("*raw", "*nat");
        assert_eq!(objects(Family::V4, &ours, true), Err(BadListing::Line("[unknown]".to_owned())));
    }

    #[test]
    fn what_was_not_listed_is_not_taken_for_what_is_not_there() {
        for listing in [
            "*nat\n",
            "*nat\n:KUBE-SERVICES - [0:0]\n",
            ":KUBE-SERVICES - [0:0]\n",
            "COMMIT\n",
            "*nat\n*filter\nCOMMIT\n",
            "*raw\n*filter\nCOMMIT\n",
            "*raw\n",
        ] {
            assert_eq!(objects(Family::V4, listing, true), Err(BadListing::Incomplete), "{listing:?}");
        }
        for line in ["iptables-save v1.8.9: Permission denied", "[1] -A INPUT", "[x:1] -A INPUT", "-X KUBE-SERVICES"] {
            assert_eq!(objects(Family::V4, line, true), Err(BadListing::Line(line.to_owned())), "{line:?}");
        }
        assert_eq!(objects(Family::V4, "", true), Ok(vec![]));
    }
}
