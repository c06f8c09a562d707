//! Elements of sets and maps: written from borrowed parts, read as borrowed parts, with no allocation for either.

use super::{Counter, Verdict, userdata};
use crate::{
    attr::{Attr, Attrs, Writer},
    error::Malformed,
    uapi::{data, elem, rule},
};

/// `NFT_SET_ELEM_CATCHALL`
const CATCH_ALL: u32 = 2;

/// What an element leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data<'a> {
    /// Nothing: an element of a set.
    None,
    /// A value.
    Value(&'a [u8]),
    /// A verdict.
    Verdict(Verdict<&'a str>),
}

/// An element to be written. Each field of its key and value starts at a multiple of 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// As long as the set's key; empty for the one element that catches all else.
    pub key: &'a [u8],
    /// In a concatenation of ranges: the key whose fields are the last ones of each range, where `key` has the first.
    /// A field that is one value has it in both.
    pub key_end: Option<&'a [u8]>,
    /// As the set says.
    pub data: Data<'a>,
    /// What `nft list` shows beside it.
    pub comment: Option<&'a str>,
}

impl<'a> Element<'a> {
    /// A key alone: an element of a set, or one to be deleted.
    #[must_use]
    pub const fn of(key: &'a [u8]) -> Self {
        Self { key, key_end: None, data: Data::None, comment: None }
    }

    /// The ranges between two keys alone.
    #[must_use]
    pub const fn range(key: &'a [u8], key_end: &'a [u8]) -> Self {
        Self { key_end: Some(key_end), ..Self::of(key) }
    }

    /// Writes it for NEWSETELEM and DELSETELEM.
    pub fn put(&self, w: &mut Writer<'_>) {
        if self.key.is_empty() {
            w.be32(elem::FLAGS, CATCH_ALL);
        } else {
            w.nest(elem::KEY, |w| w.bytes(data::VALUE, self.key));
        }
        if let Some(key_end) = self.key_end {
            w.nest(elem::KEY_END, |w| w.bytes(data::VALUE, key_end));
        }
        match &self.data {
            Data::None => {}
            Data::Value(value) => w.nest(elem::DATA, |w| w.bytes(data::VALUE, value)),
            Data::Verdict(verdict) => verdict.put(w, elem::DATA),
        }
        if let Some(comment) = self.comment {
            userdata::put_comment(w, elem::USERDATA, comment);
        }
    }
}

/// An element as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedElement<'a> {
    /// Its key; empty for the one element that catches all else.
    pub key: &'a [u8],
    /// The last key of its ranges, in a concatenation of ranges.
    pub key_end: Option<&'a [u8]>,
    /// What it leads to.
    pub data: Data<'a>,
    /// `NFT_SET_ELEM_*`: 1 ends a range, 2 catches all else.
    pub flags: u32,
    /// How long it lives, in milliseconds.
    pub timeout: Option<u64>,
    /// How long it still lives, in milliseconds.
    pub expiration: Option<u64>,
    /// What nft keeps with it; see [`super::userdata`].
    pub userdata: &'a [u8],
    /// What it counted, in a set whose elements have counters.
    pub counter: Option<Counter>,
    /// Whether it carries more, such as a limit or a reference to a stateful object.
    pub has_more: bool,
}

impl<'a> ListedElement<'a> {
    /// The elements in a NEWSETELEM message.
    pub fn parse_list(attrs: Attrs<'a>) -> impl Iterator<Item = Result<Self, Malformed>> {
        let list = attrs.get(elem::LIST_ELEMENTS).map_or(Attrs::new(&[]), |list| list.nested());
        list.map(|element| Self::parse(element.nested()))
    }

    /// One element from its own attributes.
    ///
    /// # Errors
    /// Its key or data is none.
    pub fn parse(attrs: Attrs<'a>) -> Result<Self, Malformed> {
        let mut element = Self {
            key: &[],
            key_end: None,
            data: Data::None,
            flags: 0,
            timeout: None,
            expiration: None,
            userdata: &[],
            counter: None,
            has_more: false,
        };
        for attr in attrs {
            match attr.kind {
                elem::KEY => element.key = value(attr, "key")?,
                elem::KEY_END => element.key_end = Some(value(attr, "end of range")?),
                elem::DATA => element.data = Self::parse_data(attr)?,
                elem::FLAGS => element.flags = attr.be32().ok_or(malformed("flags"))?,
                elem::TIMEOUT => element.timeout = Some(attr.be64().ok_or(malformed("timeout"))?),
                elem::EXPIRATION => element.expiration = Some(attr.be64().ok_or(malformed("expiration"))?),
                elem::USERDATA => element.userdata = attr.value,
                elem::EXPR if element.read_counter(attr.nested()) => {}
                elem::PAD => {}
                _ => element.has_more = true,
            }
        }
        Ok(element)
    }

    /// Whether an expression of it is a counter, which it then has.
    fn read_counter(&mut self, expr: Attrs<'_>) -> bool {
        let name = expr.get(rule::EXPR_NAME).filter(|name| name.str() == Counter::NAME);
        let data = name.and(expr.get(rule::EXPR_DATA));
        self.counter = data.and_then(|data| Counter::parse(data.nested()));
        self.counter.is_some()
    }

    fn parse_data(attr: Attr<'a>) -> Result<Data<'a>, Malformed> {
        let attrs = attr.nested();
        match attrs.get(data::VALUE) {
            Some(value) => Ok(Data::Value(value.value)),
            None => Verdict::parse(attrs).map(Data::Verdict).ok_or(malformed("data")),
        }
    }

    /// Whether it is nothing but its keys, data and user data, which [`Element`] can write, and a count.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.flags == 0 && self.timeout.is_none() && self.expiration.is_none() && !self.has_more
    }

    /// What `nft list` shows beside it.
    #[must_use]
    pub fn comment(&self) -> Option<&'a str> {
        userdata::read_comment(self.userdata)
    }
}

const fn malformed(attribute: &'static str) -> Malformed {
    Malformed { object: "set element", attribute }
}

fn value<'a>(attr: Attr<'a>, attribute: &'static str) -> Result<&'a [u8], Malformed> {
    attr.nested().get(data::VALUE).map(|value| value.value).ok_or(malformed(attribute))
}
