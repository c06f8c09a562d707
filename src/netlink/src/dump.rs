//! Reading the kernel's state.
//!
//! A dump comes in many datagrams, and others may commit between two of them: then it may lack objects or have them
//! twice. The kernel marks such an answer with NLM_F_DUMP_INTR, but not when it lists the elements of a set (measured
//! on 6.18); there the generation in the header of each message differs. Either way it is thrown away and asked for
//! again.

use std::io;

use crate::{
    Connection,
    attr::{Attrs, Writer},
    channel::{Answer, Answers},
    error::{DumpError, Malformed},
    message,
    uapi::{NFGEN_HEADER, chain, elem, msg, rule, set, table},
    wire::{Chain, ListedElement, Rule, Set, Table},
};

/// A set of 200,000 elements takes 0.6 s to read, and a node's ruleset changes a few times a second at worst.
const ATTEMPTS: u32 = 16;

enum Pass {
    Complete,
    Interrupted,
}

impl Connection {
    /// Lists objects: `msg_type` is one of `uapi::msg::GET*`, `request` writes the attributes that choose them.
    /// `read` gets the attributes of each message and adds to a state that starts anew with each attempt.
    ///
    /// # Errors
    /// [`DumpError::NotFound`] when a table or set that the request names is not there; the first error of `read`;
    /// see [`DumpError`] for the others.
    pub fn dump<S: Default>(
        &mut self,
        msg_type: u8,
        family: u8,
        request: impl Fn(&mut Writer<'_>),
        mut read: impl FnMut(&mut S, Attrs<'_>) -> Result<(), Malformed>,
    ) -> Result<S, DumpError> {
        for _ in 0..ATTEMPTS {
            let mut state = S::default();
            let pass = self.dump_once(msg_type, family, &request, |attrs| read(&mut state, attrs))?;
            if let Pass::Complete = pass {
                return Ok(state);
            }
        }
        Err(DumpError::Interrupted { attempts: ATTEMPTS })
    }

    fn dump_once(
        &mut self,
        msg_type: u8,
        family: u8,
        request: &impl Fn(&mut Writer<'_>),
        mut read: impl FnMut(Attrs<'_>) -> Result<(), Malformed>,
    ) -> Result<Pass, DumpError> {
        let head = message::nfgen(family, 0);
        let (mut changed, mut generation, mut end) = (false, None, None);
        // The kernel reads on when we do: what it has listed is understood when it has listed all, or others would change
        // something meanwhile all the time.
        let (mut listed, mut ends) = (Vec::new(), Vec::new());
        self.channel.ask(
            |requests| requests.add(message::nftables(msg_type), 0, Answers::List, &head, request),
            |answer| match answer {
                Answer::Object(object) => {
                    let this = object.generation();
                    changed |= this.is_some_and(|this| *generation.get_or_insert(this) != this);
                    listed.extend_from_slice(object.payload);
                    ends.push(listed.len());
                }
                Answer::Done => end = Some(Ok(Pass::Complete)),
                Answer::Interrupted => end = Some(Ok(Pass::Interrupted)),
                Answer::Refused(errno, _) => end = Some(Err(DumpError::from_errno(errno))),
                Answer::Lost => {}
            },
        )?;
        match end {
            None => Err(DumpError::Io(io::ErrorKind::UnexpectedEof.into())),
            Some(Ok(Pass::Complete)) if !changed => {
                let mut start = 0;
                for end in ends {
                    let payload = listed.get(start..end).unwrap_or_default();
                    read(Attrs::new(payload.get(NFGEN_HEADER..).unwrap_or_default()))?;
                    start = end;
                }
                Ok(Pass::Complete)
            }
            Some(Ok(_)) => Ok(Pass::Interrupted),
            Some(Err(error)) => Err(error),
        }
    }

    /// The tables of a family, of whatever owner.
    ///
    /// # Errors
    /// As [`Connection::dump`].
    pub fn tables(&mut self, family: u8) -> Result<Vec<Table>, DumpError> {
        self.dump(
            msg::GETTABLE,
            family,
            |_| {},
            |tables: &mut Vec<_>, attrs| {
                tables.push(Table::parse(attrs)?);
                Ok(())
            },
        )
    }

    /// One table; `None` when it is not there.
    ///
    /// # Errors
    /// As [`Connection::dump`].
    pub fn table(&mut self, family: u8, name: &str) -> Result<Option<Table>, DumpError> {
        self.dump(
            msg::GETTABLE,
            family,
            |_| {},
            |found, attrs| {
                if attrs.get(table::NAME).is_some_and(|attr| attr.str() == name) {
                    *found = Some(Table::parse(attrs)?);
                }
                Ok(())
            },
        )
    }

    /// The chains of a table; none where there is no such table.
    ///
    /// # Errors
    /// As [`Connection::dump`].
    pub fn chains(&mut self, family: u8, table: &str) -> Result<Vec<Chain>, DumpError> {
        // The kernel lists the chains of all tables, whatever the request says.
        self.dump(
            msg::GETCHAIN,
            family,
            |_| {},
            |chains: &mut Vec<_>, attrs| {
                if attrs.get(chain::TABLE).is_some_and(|attr| attr.str() == table) {
                    chains.push(Chain::parse(attrs)?);
                }
                Ok(())
            },
        )
    }

    /// Whether a table has a chain of this name; without listing any other one.
    ///
    /// # Errors
    /// As [`Connection::dump`].
    pub fn has_chain(&mut self, family: u8, table: &str, name: &str) -> Result<bool, DumpError> {
        let request = |w: &mut Writer<'_>| {
            w.str(chain::TABLE, table);
            w.str(chain::NAME, name);
        };
        match self.get(msg::GETCHAIN, family, request, |_| true) {
            Err(error) if error.is_not_found() => Ok(false),
            result => result,
        }
    }

    /// The rules of a table, chain by chain, in their order; none where there is no such table.
    ///
    /// # Errors
    /// As [`Connection::dump`].
    pub fn rules(&mut self, family: u8, table: &str) -> Result<Vec<Rule>, DumpError> {
        self.each_rule(family, table, Vec::push)
    }

    /// As [`Connection::rules`], each given to `read` with a state that starts anew with each attempt: a kube-proxy can
    /// have a hundred thousand rules, of which little is wanted.
    ///
    /// # Errors
    /// As [`Connection::dump`].
    pub fn each_rule<S: Default>(
        &mut self,
        family: u8,
        table: &str,
        mut read: impl FnMut(&mut S, Rule),
    ) -> Result<S, DumpError> {
        self.dump(
            msg::GETRULE,
            family,
            |w| w.str(rule::TABLE, table),
            |state, attrs| {
                read(state, Rule::parse(attrs)?);
                Ok(())
            },
        )
    }

    /// The sets and maps of a table, without their elements.
    ///
    /// # Errors
    /// As [`Connection::dump`]; [`DumpError::NotFound`] where there is no such table.
    pub fn sets(&mut self, family: u8, table: &str) -> Result<Vec<Set>, DumpError> {
        self.dump(
            msg::GETSET,
            family,
            |w| w.str(set::TABLE, table),
            |sets: &mut Vec<_>, attrs| {
                sets.push(Set::parse(attrs)?);
                Ok(())
            },
        )
    }

    /// The elements of a set or map, each given to `read` with a state that starts anew with each attempt. The
    /// kernel's time grows with the square of their number: about 10 ms for 30,000, 0.6 s for 200,000.
    ///
    /// # Errors
    /// As [`Connection::dump`]; [`DumpError::NotFound`] where there is no such table or set.
    pub fn elements<S: Default>(
        &mut self,
        family: u8,
        table: &str,
        set: &str,
        mut read: impl FnMut(&mut S, &ListedElement<'_>) -> Result<(), Malformed>,
    ) -> Result<S, DumpError> {
        self.dump(
            msg::GETSETELEM,
            family,
            |w| {
                w.str(elem::LIST_TABLE, table);
                w.str(elem::LIST_SET, set);
            },
            |state, attrs| ListedElement::parse_list(attrs).try_for_each(|element| read(state, &element?)),
        )
    }
}
