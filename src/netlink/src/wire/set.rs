//! Sets and maps, without their elements.

use super::{Expr, Fields};
use crate::{
    attr::{Attrs, Writer},
    error::Malformed,
    uapi::{NFTA_LIST_ELEM, set},
};

/// A named set, or a map where it has data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set {
    /// The table that it is in.
    pub table: String,
    /// Its name, at most 255 bytes.
    pub name: String,
    /// `uapi::set::F_*`; a map has [`crate::uapi::set::F_MAP`].
    pub flags: u32,
    /// nft's number for the type of the key. Means nothing to the kernel, only to `nft list`.
    pub key_type: u32,
    /// The key's length in bytes, at most 64.
    pub key_len: u32,
    /// What an element leads to, in a map.
    pub data: Option<SetData>,
    /// How many elements it takes; with it the kernel allocates all of its hash table at once. For a set that rules
    /// add to it keeps the lower 16 bits of it as a hint (`rhashtable_params`), so that 65,536 starts with the smallest
    /// table and 65,535 with one of 2 MB; without a size, the first rule that adds to it makes it 65,535.
    pub size: Option<u32>,
    /// The lengths in bytes of the fields of a concatenation; empty where they are not declared.
    pub fields: Vec<u32>,
    /// How long an element lives that is added without a timeout, in milliseconds.
    pub timeout: Option<u64>,
    /// What each element gets one of its own of, such as [`Expr::Counter`]. Elements that are added do not need to
    /// name it.
    pub exprs: Vec<Expr>,
    /// What nft keeps with it: byte order, `typeof`, comment.
    pub userdata: Vec<u8>,
}

/// What an element of a map leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetData {
    /// A verdict.
    Verdict,
    /// A value.
    Value {
        /// nft's number for its type.
        kind: u32,
        /// Its length in bytes, at most 64.
        len: u32,
    },
}

impl Set {
    /// Writes it for NEWSET. `id` tells the sets that one transaction makes from each other.
    pub fn put(&self, w: &mut Writer<'_>, id: u32) {
        w.str(set::TABLE, &self.table);
        w.str(set::NAME, &self.name);
        w.be32(set::FLAGS, self.flags);
        w.be32(set::KEY_TYPE, self.key_type);
        w.be32(set::KEY_LEN, self.key_len);
        match self.data {
            // The kernel sets the length of a verdict itself.
            Some(SetData::Verdict) => {
                w.be32(set::DATA_TYPE, set::DATA_VERDICT);
                w.be32(set::DATA_LEN, 0);
            }
            Some(SetData::Value { kind, len }) => {
                w.be32(set::DATA_TYPE, kind);
                w.be32(set::DATA_LEN, len);
            }
            None => {}
        }
        w.be32(set::ID, id);
        if self.size.is_some() || !self.fields.is_empty() {
            w.nest(set::DESC, |w| self.put_description(w));
        }
        if let Some(timeout) = self.timeout {
            w.be64(set::TIMEOUT, timeout);
        }
        if !self.userdata.is_empty() {
            w.bytes(set::USERDATA, &self.userdata);
        }
        match self.exprs.as_slice() {
            [] => {}
            [expr] => w.nest(set::EXPR, |w| expr.put(w)),
            exprs => w.nest(set::EXPRESSIONS, |w| {
                for expr in exprs {
                    w.nest(NFTA_LIST_ELEM, |w| expr.put(w));
                }
            }),
        }
    }

    fn put_description(&self, w: &mut Writer<'_>) {
        if let Some(size) = self.size {
            w.be32(set::DESC_SIZE, size);
        }
        if !self.fields.is_empty() {
            w.nest(set::DESC_CONCAT, |w| {
                for len in &self.fields {
                    w.nest(NFTA_LIST_ELEM, |w| w.be32(set::FIELD_LEN, *len));
                }
            });
        }
    }

    /// Reads it from a NEWSET message.
    ///
    /// # Errors
    /// It lacks a name or the length of its key.
    pub fn parse(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let fields = Fields::new("set", attrs);
        let description = attrs.get(set::DESC).map_or(Attrs::new(&[]), |attr| attr.nested());
        let concat = description.get(set::DESC_CONCAT).map_or(Attrs::new(&[]), |attr| attr.nested());
        let data = match attrs.get(set::DATA_TYPE).and_then(|attr| attr.be32()) {
            None => None,
            Some(set::DATA_VERDICT) => Some(SetData::Verdict),
            Some(kind) => Some(SetData::Value { kind, len: fields.be32(set::DATA_LEN, "data length")? }),
        };
        Ok(Self {
            table: fields.text(set::TABLE, "table")?,
            name: fields.text(set::NAME, "name")?,
            flags: fields.be32_or(set::FLAGS, 0),
            key_type: fields.be32_or(set::KEY_TYPE, 0),
            key_len: fields.be32(set::KEY_LEN, "key length")?,
            data,
            size: description.get(set::DESC_SIZE).and_then(|attr| attr.be32()),
            fields: concat
                .map(|field| Fields::new("set", field.nested()).be32(set::FIELD_LEN, "field length"))
                .collect::<Result<_, _>>()?,
            exprs: Self::parse_exprs(attrs)?,
            timeout: attrs.get(set::TIMEOUT).and_then(|attr| attr.be64()),
            userdata: fields.bytes(set::USERDATA),
        })
    }
    /// The kernel names one in a shorter way than several.
    fn parse_exprs(attrs: Attrs<'_>) -> Result<Vec<Expr>, Malformed> {
        match attrs.get(set::EXPR) {
            Some(expr) => Ok(vec![Expr::parse(expr.nested())?]),
            None => {
                let exprs = attrs.get(set::EXPRESSIONS).map_or(Attrs::new(&[]), |exprs| exprs.nested());
                exprs.map(|expr| Expr::parse(expr.nested())).collect()
            }
        }
    }
}
