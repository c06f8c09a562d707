//! Chains of a proxy as iptables-legacy has written them. The kernel keeps these in tables of its own that nftables knows
//! nothing of, in a form that only the programs of iptables-legacy write; so these are called where they are, and where they
//! are not, what is there is told.
#![expect(clippy::disallowed_methods, reason = "which tables there are is read from a file of the kernel")]

use std::{fs, io};

use portolan_core::{
    addr::Family,
    inspect::{Removal, Trouble},
    object::BackendError,
};

use super::{
    Error, Wanted,
    chains::{CANARY, Link, Plan, Read, TABLES, is_a_proxys},
};
use crate::programs::{Tools, Variant, complaint_of};

/// The part of one table that was left. A link's `id` is the rule as iptables-save prints it, without `-A`.
#[derive(Debug)]
pub(super) struct LegacyTable {
    family: Family,
    name: &'static str,
    pub(super) plan: Plan<String>,
}

/// What to do where the programs are not there.
const ADVICE: &str = "if a kube-proxy has used iptables-legacy on this node, its rules come before Portolan's: remove them with \
                      `kube-proxy --cleanup`, run from its image";

/// All tables that may have something of it.
pub(super) fn find(wanted: Wanted, removal: &mut Removal) -> Vec<LegacyTable> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let names = tables(family).unwrap_or_else(|error| {
            removal.troubled(format!("the tables of {} cannot be looked for", stem(family)), error);
            Vec::new()
        });
        let mut tables = Vec::new();
        for name in names {
            match tools(family).and_then(|tools| Ok(tools.save(name)?)) {
                Ok(saved) => tables.push(parse(family, name, &saved)),
                // Then no Portolan has written anything here.
                Err(Error::Missing { .. }) if wanted == Wanted::Portolans => {}
                Err(error) => removal.trouble.push(Trouble {
                    what: format!("{} cannot be read", title(family, name)),
                    source: BackendError::new(error),
                    advice: Some(ADVICE),
                }),
            }
        }
        let which = wanted.of(Variant::Legacy, &tables);
        found.extend(tables.into_iter().map(|Read { family, name, chains, links }| LegacyTable {
            family,
            name,
            plan: Plan::new(title(family, name), which, chains, links),
        }));
    }
    found
}

/// Whether the canary of a kube-proxy that runs is there, in a table that is small.
pub(super) fn is_present() -> Result<bool, Error> {
    for family in Family::ALL {
        if !tables(family).is_ok_and(|tables| tables.contains(&"mangle")) {
            continue;
        }
        let Some(tools) = Tools::find(Variant::Legacy, family) else { continue };
        if tools.save("mangle")?.lines().filter_map(chain).any(|chain| chain == CANARY) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Those of a proxy's tables that exist at all: each comes to be when it is first asked for.
pub(crate) fn tables(family: Family) -> io::Result<Vec<&'static str>> {
    // Of this thread's network namespace.
    let file = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    match fs::read_to_string(file) {
        Ok(names) => {
            let names: Vec<_> = names.lines().collect();
            Ok(TABLES.into_iter().filter(|table| names.contains(table)).collect())
        }
        // The kernel cannot do it, or nothing has made it load the module.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Which chains of the kernel's built-in ones end a packet that is for the node itself, unless a rule accepts it. Where the
/// programs are not there, nobody can say.
#[must_use]
pub fn closed_inputs() -> Vec<String> {
    let is_closed = |family: &Family| {
        tables(*family).is_ok_and(|tables| tables.contains(&"filter"))
            && tools(*family).is_ok_and(|tools| tools.save("filter").is_ok_and(|saved| is_input_closed(&saved)))
    };
    let closed = Family::ALL.into_iter().filter(is_closed);
    closed.map(|family| format!("chain INPUT of {}", stem(family))).collect()
}

fn is_input_closed(saved: &str) -> bool {
    let last = saved.lines().rfind(|line| line.starts_with("-A INPUT "));
    saved.lines().any(|line| line.starts_with(":INPUT DROP "))
        || last.is_some_and(|rule| rule == "-A INPUT -j DROP" || rule.starts_with("-A INPUT -j REJECT"))
}

fn tools(family: Family) -> Result<Tools, Error> {
    Tools::find(Variant::Legacy, family).ok_or(Error::Missing { program: stem(family) })
}

fn parse(family: Family, name: &'static str, saved: &str) -> Read<String> {
    let chains = saved.lines().filter_map(chain).map(ToOwned::to_owned).collect();
    Read { family, name, chains, links: saved.lines().filter_map(link).collect() }
}

/// `:KUBE-SERVICES - [0:0]`
fn chain(line: &str) -> Option<&str> {
    line.strip_prefix(':')?.split(' ').next()
}

/// `-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`
fn link(line: &str) -> Option<Link<String>> {
    let rule = line.strip_prefix("-A ")?;
    let from = rule.split(' ').next()?;
    // What stands in quotes is a comment, and may say anything.
    let bare = rule.replace("\\\"", "");
    let words: Vec<_> = bare.split('"').step_by(2).flat_map(|part| part.split(' ')).collect();
    let to = words.windows(2).find_map(|pair| match pair {
        ["-j" | "-g", chain] => Some(*chain),
        _ => None,
    })?;
    is_a_proxys(to).then(|| Link { from: from.to_owned(), to: to.to_owned(), id: rule.to_owned() })
}

/// As it is told to people.
fn title(family: Family, table: &str) -> String {
    format!("table {table} of {}", stem(family))
}

const fn stem(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables-legacy",
        Family::V6 => "ip6tables-legacy",
    }
}

impl LegacyTable {
    /// All of it at once.
    pub(super) fn remove(&self) -> Result<(), Error> {
        if self.plan.words().is_none() {
            return Ok(());
        }
        let finished = tools(self.family)?.restore(&[], &self.commands())?;
        if finished.status.success() { Ok(()) } else { Err(Error::Restore(complaint_of(&finished))) }
    }

    /// A line for a chain empties it.
    fn commands(&self) -> String {
        let empty = self.plan.remove.iter().map(|chain| format!(":{chain} - [0:0]\n"));
        let unlink = self.plan.unlink.iter().map(|link| format!("-D {}\n", link.id));
        let delete = self.plan.remove.iter().map(|chain| format!("-X {chain}\n"));
        format!("*{}\n{}COMMIT\n", self.name, empty.chain(unlink).chain(delete).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predecessor::chains::Which;

    #[test]
    fn what_iptables_save_prints_becomes_what_iptables_restore_reads() {
        let saved = r#"# Generated by iptables-save
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
:CNI-SETMARK - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m comment --comment "not \" -j KUBE-SERVICES" -j CNI-SETMARK
-A CNI-SETMARK -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -g KUBE-SVC-A
COMMIT
"#;
        let Read { family, name, chains, links } = parse(Family::V6, "nat", saved);
        let table = LegacyTable { family, name, plan: Plan::new(title(family, name), Which::All, chains, links) };
        let commands = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-A - [0:0]\n-D PREROUTING -m comment --comment \
                        \"kubernetes service portals\" -j KUBE-SERVICES\n-X KUBE-SERVICES\n-X KUBE-SVC-A\nCOMMIT\n";
        assert_eq!(table.commands(), commands);
        let words = table.plan.words().unwrap();
        assert_eq!(words, "2 chains KUBE-* in table nat of ip6tables-legacy, of iptables mode");
        let kept: Vec<_> = table.plan.kept().collect();
        assert!(kept.len() == 1 && kept[0].contains("KUBE-MARK-MASQ") && kept[0].contains("CNI-SETMARK"), "{kept:?}");
    }

    #[test]
    fn an_input_is_closed_by_its_policy_or_its_last_rule() {
        let closed = [
            ":INPUT DROP [0:0]",
            ":INPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable\n",
            ":INPUT ACCEPT [0:0]\n-A INPUT -j DROP\n-A FORWARD -j ACCEPT\n",
        ];
        let open =
            ["", ":INPUT ACCEPT [0:0]", ":INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1/32 -j DROP\n:FORWARD DROP [0:0]\n"];
        assert!(closed.into_iter().all(is_input_closed) && !open.into_iter().any(is_input_closed));
    }

    #[test]
    fn any_text_can_be_read() {
        for text in ["", ":", "-A", "-A ", "-A X -j", "-A X -j \"", ":\n-A\n-j KUBE-SERVICES", "-A \" -j KUBE-SERVICES"]
        {
            let Read { chains, links, .. } = parse(Family::V4, "nat", text);
            assert!(Plan::new(String::new(), Which::All, chains, links).words().is_none(), "{text}");
        }
    }
}
