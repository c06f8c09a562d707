//! Rules.

use super::{Expr, Fields};
use crate::{
    attr::{Attrs, Writer},
    error::Malformed,
    uapi::{NFTA_LIST_ELEM, rule},
};

/// A rule: expressions that are run one after the other until one of them says stop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The table that it is in.
    pub table: String,
    /// The chain that it is in.
    pub chain: String,
    /// The kernel's number for it, unique in the table; `None` for one that is to be made.
    pub handle: Option<u64>,
    /// What it does.
    pub exprs: Vec<Expr>,
    /// What nft keeps with it, for instance a comment; see [`super::userdata`].
    pub userdata: Vec<u8>,
}

impl Rule {
    /// Writes it for NEWRULE.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.str(rule::TABLE, &self.table);
        w.str(rule::CHAIN, &self.chain);
        if let Some(handle) = self.handle {
            w.be64(rule::HANDLE, handle);
        }
        w.nest(rule::EXPRESSIONS, |w| {
            for expr in &self.exprs {
                w.nest(NFTA_LIST_ELEM, |w| expr.put(w));
            }
        });
        if !self.userdata.is_empty() {
            w.bytes(rule::USERDATA, &self.userdata);
        }
    }

    /// Reads it from a NEWRULE message.
    ///
    /// # Errors
    /// It lacks a chain, or an expression its name.
    pub fn parse(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let fields = Fields::new("rule", attrs);
        let exprs = attrs.get(rule::EXPRESSIONS).map_or(Attrs::new(&[]), |exprs| exprs.nested());
        Ok(Self {
            table: fields.text(rule::TABLE, "table")?,
            chain: fields.text(rule::CHAIN, "chain")?,
            handle: attrs.get(rule::HANDLE).and_then(|attr| attr.be64()),
            exprs: exprs.map(|expr| Expr::parse(expr.nested())).collect::<Result<_, _>>()?,
            userdata: fields.bytes(rule::USERDATA),
        })
    }
}
