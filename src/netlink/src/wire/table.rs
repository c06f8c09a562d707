//! Tables.

use super::Fields;
use crate::{
    attr::{Attrs, Writer},
    error::Malformed,
    uapi::table,
};

/// A table, the root of everything else. Its family is in the message's header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name, at most 255 bytes.
    pub name: String,
    /// `NFT_TABLE_F_*`: 1 is dormant (nothing in it acts), 2 is owned by a process, 4 outlives its owner.
    pub flags: u32,
    /// What nft keeps with it, for instance a comment; see [`super::userdata`].
    pub userdata: Vec<u8>,
}

impl Table {
    /// Writes it for NEWTABLE.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.str(table::NAME, &self.name);
        w.be32(table::FLAGS, self.flags);
        if !self.userdata.is_empty() {
            w.bytes(table::USERDATA, &self.userdata);
        }
    }

    /// Reads it from a NEWTABLE message.
    ///
    /// # Errors
    /// It has no name.
    pub fn parse(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let fields = Fields::new("table", attrs);
        Ok(Self {
            name: fields.text(table::NAME, "name")?,
            flags: fields.be32_or(table::FLAGS, 0),
            userdata: fields.bytes(table::USERDATA),
        })
    }
}
