//! Values that the file and the flags of several commands share, parsed once into the types that the model wants.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use portolan_core::{
    addr::{Family, PerFamily, read_cidr},
    model::NodePortAddresses,
};

/// A value, or an entry of a list, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry:?} {rule}: {}", .rule.advice())]
pub struct ValueError {
    /// The value or entry.
    pub entry: String,
    /// The rule.
    pub rule: Rule,
}

/// A rule that a value can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Blanks only, where a node's name should be.
    Blank,
    /// Not of the form address/prefix length.
    NotACidr,
    /// Nothing between two commas.
    Empty,
    /// Nobody is left who is no pod.
    EveryAddress,
    /// The detector knows one CIDR for each family.
    SecondOfFamily(Family),
    /// No bit of a mark.
    NotABit,
    /// Neither a CIDR nor a keyword of `nodePortAddresses`.
    NotNodePortAddresses,
    /// A keyword that is in the list already.
    KeywordTwice,
}

/// The text follows the value: "`x` is not ...".
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("is blank, and no node has such a name"),
            Self::NotACidr => f.write_str("is not a CIDR (an address, `/` and the length of a prefix)"),
            Self::Empty => f.write_str("is an empty entry of the list"),
            Self::EveryAddress => f.write_str("is every address of its IP family"),
            Self::SecondOfFamily(family) => write!(f, "is a second {family} CIDR"),
            Self::NotABit => f.write_str("is not the number of a bit of the packet mark"),
            Self::NotNodePortAddresses => f.write_str(
                "is neither a CIDR (an address, `/` and the length of a prefix) nor one of the keywords `primary`, \
                 `localhost` and `all`",
            ),
            Self::KeywordTwice => f.write_str("is in the list twice"),
        }
    }
}

impl Rule {
    /// What to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Blank => "give the name of this node's Node object, or leave it out for the host's name",
            Self::NotACidr => "give one such as 10.0.0.0/8 or fd00::/48",
            Self::Empty => "leave it out",
            Self::EveryAddress => "give the CIDR of the pods",
            Self::SecondOfFamily(_) => "give at most one for each IP family",
            Self::NotABit => "give one from 0 to 31",
            Self::NotNodePortAddresses => "give a keyword, in lower case, or a CIDR such as 10.0.0.0/8 or fd00::/48",
            Self::KeywordTwice => "give each keyword once",
        }
    }

    fn of(self, entry: &str) -> ValueError {
        ValueError { entry: entry.to_owned(), rule: self }
    }
}

/// A node's name: not blank, lower-case, as kube-proxy and the kubelet make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname(pub String);

impl FromStr for Hostname {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let name = text.trim().to_lowercase();
        if name.is_empty() { Err(Rule::Blank.of(text)) } else { Ok(Self(name)) }
    }
}

/// The pods' addresses: at most one CIDR for each IP family, and at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterCidr(pub PerFamily<Option<IpNet>>);

impl FromStr for ClusterCidr {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let mut cidrs = PerFamily::<Option<IpNet>>::default();
        for entry in text.split(',') {
            let cidr = cidr(entry)?;
            if cidr.prefix_len() == 0 {
                return Err(Rule::EveryAddress.of(entry));
            }
            let family = Family::of(cidr.addr());
            if cidrs.get_mut(family).replace(cidr).is_some() {
                return Err(Rule::SecondOfFamily(family).of(entry.trim()));
            }
        }
        Ok(Self(cidrs))
    }
}

/// The one bit of the packet mark that says "masquerade": 0 to 31.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MasqueradeBit(u8);

impl MasqueradeBit {
    /// The mark with this bit alone.
    #[must_use]
    pub const fn mark(self) -> u32 {
        1 << self.0
    }
}

impl FromStr for MasqueradeBit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.trim().parse().ok().and_then(|bit: i32| bit.try_into().ok()).ok_or_else(|| Rule::NotABit.of(text))
    }
}

impl TryFrom<i32> for MasqueradeBit {
    type Error = ValueError;

    fn try_from(bit: i32) -> Result<Self, ValueError> {
        let small = u8::try_from(bit).ok().filter(|bit| *bit < 32);
        small.map(Self).ok_or_else(|| Rule::NotABit.of(&bit.to_string()))
    }
}

/// Which of the node's addresses have NodePorts: those inside CIDRs, for some of which there are keywords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePortList(pub NodePortAddresses);

impl NodePortList {
    /// From the entries of a list, of which there is at least one.
    ///
    /// # Errors
    /// All entries that break a rule, each with its place in the list.
    pub fn of(entries: &[String]) -> Result<Self, Vec<(usize, ValueError)>> {
        let (mut primary, mut cidrs, mut wrong) = (false, Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let keyword = Keyword::of(entry);
            if keyword.is_some() && entries.iter().take(index).any(|before| Keyword::of(before) == keyword) {
                wrong.push((index, Rule::KeywordTwice.of(entry.trim())));
                continue;
            }
            match keyword {
                Some(Keyword::Primary) => primary = true,
                Some(Keyword::Localhost) => cidrs.extend(LOCALHOST),
                Some(Keyword::All) => cidrs.extend(ALL),
                None => match cidr(entry) {
                    Ok(cidr) => cidrs.push(cidr),
                    Err(ValueError { entry, rule: Rule::NotACidr }) => {
                        wrong.push((index, Rule::NotNodePortAddresses.of(&entry)));
                    }
                    Err(error) => wrong.push((index, error)),
                },
            }
        }
        if wrong.is_empty() { Ok(Self(NodePortAddresses { primary, cidrs })) } else { Err(wrong) }
    }
}

/// A word in the place of CIDRs, or of the Node's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Primary,
    Localhost,
    All,
}

/// What kube-proxy takes `localhost` for.
const LOCALHOST: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];
/// What kube-proxy takes `all` for.
const ALL: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

impl Keyword {
    fn of(entry: &str) -> Option<Self> {
        match entry.trim() {
            "primary" => Some(Self::Primary),
            "localhost" => Some(Self::Localhost),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

impl FromStr for NodePortList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let entries: Vec<String> = text.split(',').map(str::to_owned).collect();
        Self::of(&entries).map_err(|wrong| {
            let first = wrong.into_iter().next().map(|(_, error)| error);
            first.unwrap_or_else(|| Rule::Empty.of(text))
        })
    }
}

/// Host bits are cut off and leading zeros are decimal, as kube-proxy's parser has it.
pub(crate) fn cidr(entry: &str) -> Result<IpNet, ValueError> {
    match entry.trim() {
        "" => Err(Rule::Empty.of(entry)),
        entry => read_cidr(entry).map(|read| read.cidr).ok_or_else(|| Rule::NotACidr.of(entry)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_case_and_host_bits_do_not_matter() {
        assert_eq!(" Node-A\n".parse::<Hostname>().unwrap(), Hostname("node-a".into()));
        let ClusterCidr(cidrs) = " fd00::1/48 , 10.1.2.3/8 ".parse().unwrap();
        assert_eq!(cidrs.v4, Some("10.0.0.0/8".parse().unwrap()));
        assert_eq!(cidrs.v6, Some("fd00::/48".parse().unwrap()));
        assert_eq!(" primary ".parse::<NodePortList>().unwrap().0, NodePortAddresses::PRIMARY);
    }

    #[test]
    fn keywords_stand_for_cidrs_and_may_be_mixed() {
        let list = |text: &str| text.parse::<NodePortList>().unwrap().0;
        let chosen = |primary, cidrs: &[&str]| {
            let cidrs = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
            NodePortAddresses { primary, cidrs }
        };
        assert_eq!(list("all"), chosen(false, &["0.0.0.0/0", "::/0"]));
        assert_eq!(list("localhost"), chosen(false, &["127.0.0.0/8", "::1/128"]));
        assert_eq!(list("localhost,primary"), chosen(true, &["127.0.0.0/8", "::1/128"]));
        assert_eq!(list("10.0.0.1/8,primary,10.0.0.0/8"), chosen(true, &["10.0.0.0/8", "10.0.0.0/8"]));
    }

    #[test]
    fn every_wrong_entry_is_told_with_its_place() {
        let entries = ["all", "primary", "", "Primary", " primary", "localhost", "all"].map(str::to_owned);
        let wrong = NodePortList::of(&entries).unwrap_err();
        let rules: Vec<_> = wrong.iter().map(|(index, error)| (*index, error.rule)).collect();
        let twice = |index| (index, Rule::KeywordTwice);
        assert_eq!(rules, [(2, Rule::Empty), (3, Rule::NotNodePortAddresses), twice(4), twice(6)]);
    }
}
