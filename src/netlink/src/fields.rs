//! Reading the attributes that an object must have.

use crate::{
    attr::{Attr, Attrs},
    error::Malformed,
};

/// The attributes of an object; what cannot be read is told by the object's name and its own.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    object: &'static str,
    attrs: Attrs<'a>,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(object: &'static str, attrs: Attrs<'a>) -> Self {
        Self { object, attrs }
    }

    /// The attributes that one of them is made of.
    pub(crate) fn nested(self, kind: u16, attribute: &'static str) -> Result<Self, Malformed> {
        Ok(Self { attrs: self.need(kind, attribute)?.nested(), ..self })
    }

    pub(crate) const fn malformed(self, attribute: &'static str) -> Malformed {
        Malformed { object: self.object, attribute }
    }

    pub(crate) fn get(self, kind: u16) -> Option<Attr<'a>> {
        self.attrs.get(kind)
    }

    pub(crate) fn need(self, kind: u16, attribute: &'static str) -> Result<Attr<'a>, Malformed> {
        self.get(kind).ok_or(self.malformed(attribute))
    }

    pub(crate) fn read<T>(
        self,
        kind: u16,
        attribute: &'static str,
        read: impl FnOnce(Attr<'a>) -> Option<T>,
    ) -> Result<T, Malformed> {
        self.get(kind).and_then(read).ok_or(self.malformed(attribute))
    }

    pub(crate) fn text(self, kind: u16, attribute: &'static str) -> Result<String, Malformed> {
        self.need(kind, attribute).map(|attr| attr.str().to_owned())
    }

    pub(crate) fn be32(self, kind: u16, attribute: &'static str) -> Result<u32, Malformed> {
        self.read(kind, attribute, |attr| attr.be32())
    }

    /// In the machine's byte order.
    pub(crate) fn u32(self, kind: u16, attribute: &'static str) -> Result<u32, Malformed> {
        self.read(kind, attribute, |attr| attr.u32())
    }

    /// An attribute that may be missing.
    pub(crate) fn be32_or(self, kind: u16, default: u32) -> u32 {
        self.get(kind).and_then(|attr| attr.be32()).unwrap_or(default)
    }

    /// An attribute that may be missing.
    pub(crate) fn bytes(self, kind: u16) -> Vec<u8> {
        self.get(kind).map(|attr| attr.value.to_vec()).unwrap_or_default()
    }
}
