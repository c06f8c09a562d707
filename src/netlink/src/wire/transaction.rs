//! A transaction in words of tables, chains, rules, sets and elements.

use super::{Chain, Element, Rule, Set, Table};
use crate::{
    Transaction,
    uapi::{chain, flag, msg, rule, set, table},
};

/// `op` is the number that a refusal comes back with; `family` is one of `uapi::NFPROTO_*`.
///
/// Adding what is there already is no error, except a rule (it is added once more), a chain or a set with other
/// parameters, and an element with other data or a range that begins or ends in another one (EEXIST). Deleting what is not there is one (ENOENT).
impl Transaction {
    /// Adds a table.
    pub fn add_table(&mut self, op: usize, family: u8, table: &Table) {
        self.message(op, msg::NEWTABLE, flag::CREATE, family, |w| table.put(w));
    }

    /// Deletes a table with everything in it.
    pub fn delete_table(&mut self, op: usize, family: u8, name: &str) {
        self.message(op, msg::DELTABLE, 0, family, |w| w.str(table::NAME, name));
    }

    /// Adds a chain.
    pub fn add_chain(&mut self, op: usize, family: u8, chain: &Chain) {
        self.message(op, msg::NEWCHAIN, flag::CREATE, family, |w| chain.put(w));
    }

    /// Deletes a chain with its rules; EBUSY while a rule or an element leads to it.
    pub fn delete_chain(&mut self, op: usize, family: u8, table: &str, name: &str) {
        self.message(op, msg::DELCHAIN, 0, family, |w| {
            w.str(chain::TABLE, table);
            w.str(chain::NAME, name);
        });
    }

    /// Adds a rule as the last of its chain.
    pub fn add_rule(&mut self, op: usize, family: u8, rule: &Rule) {
        self.message(op, msg::NEWRULE, flag::CREATE | flag::APPEND, family, |w| rule.put(w));
    }

    /// Deletes the rule that has this handle.
    pub fn delete_rule(&mut self, op: usize, family: u8, table: &str, chain: &str, handle: u64) {
        self.message(op, msg::DELRULE, 0, family, |w| {
            w.str(rule::TABLE, table);
            w.str(rule::CHAIN, chain);
            w.be64(rule::HANDLE, handle);
        });
    }

    /// Deletes all rules of a chain.
    pub fn flush_chain(&mut self, op: usize, family: u8, table: &str, chain: &str) {
        self.message(op, msg::DELRULE, 0, family, |w| {
            w.str(rule::TABLE, table);
            w.str(rule::CHAIN, chain);
        });
    }

    /// Adds a set or map.
    pub fn add_set(&mut self, op: usize, family: u8, set: &Set) {
        let id = self.next_set_id();
        self.message(op, msg::NEWSET, flag::CREATE, family, |w| set.put(w, id));
    }

    /// Deletes a set with its elements; EBUSY while a rule names it.
    pub fn delete_set(&mut self, op: usize, family: u8, table: &str, name: &str) {
        self.message(op, msg::DELSET, 0, family, |w| {
            w.str(set::TABLE, table);
            w.str(set::NAME, name);
        });
    }

    /// Adds elements; the k-th is operation `first_op + k`.
    pub fn add_elements<'a>(
        &mut self,
        first_op: usize,
        family: u8,
        table: &str,
        set: &str,
        elements: impl IntoIterator<Item = Element<'a>>,
    ) {
        self.elements(first_op, msg::NEWSETELEM, flag::CREATE, family, table, set, elements, |w, e| e.put(w));
    }

    /// Deletes elements by their keys; the k-th is operation `first_op + k`. A range is found by any key in it, its end
    /// is not looked at.
    pub fn delete_elements<'a>(
        &mut self,
        first_op: usize,
        family: u8,
        table: &str,
        set: &str,
        elements: impl IntoIterator<Item = Element<'a>>,
    ) {
        self.elements(first_op, msg::DELSETELEM, 0, family, table, set, elements, |w, e| e.put(w));
    }
}
