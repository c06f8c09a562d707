//! kube-proxy's chains as iptables-legacy has written them. The kernel keeps these in tables of its own that nftables knows
//! nothing of, in a form that only the programs of iptables-legacy write; so these are called where they are, and where they
//! are not, what is there is told.

use std::{fs, path::Path};

use portolan_core::addr::Family;

use super::{
    Error, Trouble,
    chains::{Link, Plan, TABLES, is_kube_proxys},
    child,
};

/// Where distributions have them.
pub(super) const FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// The exit status of iptables where there is no such chain (OTHER_PROBLEM of xtables.h).
const NO_CHAIN: i32 = 1;

/// kube-proxy's part of one table. A link's `id` is the rule as iptables-save prints it, without `-A`.
#[derive(Debug)]
pub(super) struct LegacyTable {
    family: Family,
    name: &'static str,
    pub(super) plan: Plan<String>,
}

/// All tables that may have something of kube-proxy's.
pub(super) fn find(trouble: &mut Vec<Trouble>) -> Vec<LegacyTable> {
    let mut found = Vec::new();
    for (family, name) in tables(trouble) {
        match plan(family, name) {
            Ok(plan) => found.push(LegacyTable { family, name, plan }),
            Err(why) => trouble.push(Trouble(format!(
                "{} cannot be read: {why}; if a kube-proxy has used iptables-legacy on this node, its rules come before \
                 Portolan's: remove them with `kube-proxy --cleanup`, run from its image",
                title(family, name)
            ))),
        }
    }
    found
}

/// Whether a kube-proxy's rules are there: its canary, for one chain is soon listed.
pub(super) fn is_present() -> Result<bool, Error> {
    let canary = ["--wait", "5", "--table", "mangle", "--list-rules", "KUBE-PROXY-CANARY"];
    for (family, _) in tables(&mut Vec::new()).into_iter().filter(|(_, name)| *name == "mangle") {
        let Some(program) = program(family, "") else { continue };
        match child::run(&program, &canary, "") {
            Ok(_) => return Ok(true),
            Err(child::ChildError::Failed { status, .. }) if status.code() == Some(NO_CHAIN) => {}
            // Such as 4: somebody has the lock.
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// Those of kube-proxy's tables that exist at all: each comes to be when it is first asked for.
fn tables(trouble: &mut Vec<Trouble>) -> Vec<(Family, &'static str)> {
    let mut found = Vec::new();
    for family in Family::ALL {
        // Of this thread's network namespace.
        let file = match family {
            Family::V4 => "/proc/thread-self/net/ip_tables_names",
            Family::V6 => "/proc/thread-self/net/ip6_tables_names",
        };
        match fs::read_to_string(file) {
            Ok(names) => {
                let names: Vec<_> = names.lines().collect();
                found.extend(TABLES.into_iter().filter(|table| names.contains(table)).map(|table| (family, table)));
            }
            // The kernel cannot do it, or nothing has made it load the module.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => trouble.push(Trouble(Error::File(file, error).to_string())),
        }
    }
    found
}

fn plan(family: Family, table: &str) -> Result<Plan<String>, Error> {
    let program = program(family, "-save").ok_or(Error::Missing { program: stem(family) })?;
    let saved = child::run(&program, &["--table", table], "")?;
    Ok(parse(title(family, table), &saved))
}

fn parse(title: String, saved: &str) -> Plan<String> {
    let chain = |line: &str| Some(line.strip_prefix(':')?.split(' ').next()?.to_owned());
    Plan::new(title, saved.lines().filter_map(chain), saved.lines().filter_map(link).collect())
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
    is_kube_proxys(to).then(|| Link { from: from.to_owned(), to: to.to_owned(), id: rule.to_owned() })
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

fn program(family: Family, suffix: &str) -> Option<String> {
    let paths = FOLDERS.into_iter().map(|folder| format!("{folder}/{}{suffix}", stem(family)));
    paths.into_iter().find(|path| Path::new(path).exists())
}

impl LegacyTable {
    /// All of it at once.
    pub(super) fn remove(&self) -> Result<(), Error> {
        if self.plan.item().is_none() {
            return Ok(());
        }
        let program = program(self.family, "-restore").ok_or(Error::Missing { program: stem(self.family) })?;
        child::run(&program, &["--noflush", "--wait", "5"], &self.commands())?;
        Ok(())
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
        let table = LegacyTable { family: Family::V6, name: "nat", plan: parse(title(Family::V6, "nat"), saved) };
        let commands = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-A - [0:0]\n-D PREROUTING -m comment --comment \
                        \"kubernetes service portals\" -j KUBE-SERVICES\n-X KUBE-SERVICES\n-X KUBE-SVC-A\nCOMMIT\n";
        assert_eq!(table.commands(), commands);
        let item = table.plan.item().unwrap();
        assert_eq!(item.to_string(), "2 chains KUBE-* in table nat of ip6tables-legacy, of kube-proxy's iptables mode");
        let kept: Vec<_> = table.plan.kept().collect();
        assert!(kept.len() == 1 && kept[0].contains("KUBE-MARK-MASQ") && kept[0].contains("CNI-SETMARK"), "{kept:?}");
    }

    #[test]
    fn any_text_can_be_read() {
        for text in ["", ":", "-A", "-A ", "-A X -j", "-A X -j \"", ":\n-A\n-j KUBE-SERVICES", "-A \" -j KUBE-SERVICES"]
        {
            assert!(parse(String::new(), text).item().is_none(), "{text}");
        }
    }
}
