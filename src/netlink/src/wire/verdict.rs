//! Verdicts: what becomes of a packet, said by a rule or by an element of a verdict map.

use crate::{
    attr::{Attrs, Writer},
    uapi::data,
};

const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;
const RETURN: i32 = -5;

/// A verdict (`NF_*` and `NFT_*`); `S` is how it holds a chain's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<S> {
    /// The packet ends here.
    Drop,
    /// The packet goes on to the next base chain.
    Accept,
    /// Back to the rule after the jump.
    Return,
    /// On in a chain, and back at its end.
    Jump(S),
    /// On in a chain, and not back here at its end.
    Goto(S),
    /// Any other, by its number.
    Other(i32),
}

impl<S: AsRef<str>> Verdict<S> {
    /// The same with the name borrowed.
    pub fn as_deref(&self) -> Verdict<&str> {
        match self {
            Self::Drop => Verdict::Drop,
            Self::Accept => Verdict::Accept,
            Self::Return => Verdict::Return,
            Self::Jump(chain) => Verdict::Jump(chain.as_ref()),
            Self::Goto(chain) => Verdict::Goto(chain.as_ref()),
            Self::Other(code) => Verdict::Other(*code),
        }
    }

    /// Writes it as `struct nft_data` within an attribute of the given type.
    pub(crate) fn put(&self, w: &mut Writer<'_>, kind: u16) {
        let (code, chain) = match self {
            Self::Drop => (DROP, None),
            Self::Accept => (ACCEPT, None),
            Self::Return => (RETURN, None),
            Self::Jump(chain) => (JUMP, Some(chain)),
            Self::Goto(chain) => (GOTO, Some(chain)),
            Self::Other(code) => (*code, None),
        };
        w.nest(kind, |w| {
            w.nest(data::VERDICT, |w| {
                w.be32(data::VERDICT_CODE, code.cast_unsigned());
                if let Some(chain) = chain {
                    w.str(data::VERDICT_CHAIN, chain.as_ref());
                }
            });
        });
    }
}

impl<'a> Verdict<&'a str> {
    /// Reads it from the attributes of a `struct nft_data` that holds one.
    pub(crate) fn parse(data: Attrs<'a>) -> Option<Self> {
        let verdict = data.get(data::VERDICT)?.nested();
        let chain = verdict.get(data::VERDICT_CHAIN).map(|attr| attr.str());
        Some(match (verdict.get(data::VERDICT_CODE)?.be32()?.cast_signed(), chain) {
            (DROP, _) => Self::Drop,
            (ACCEPT, _) => Self::Accept,
            (RETURN, _) => Self::Return,
            (JUMP, chain) => Self::Jump(chain?),
            (GOTO, chain) => Self::Goto(chain?),
            (code, _) => Self::Other(code),
        })
    }

    /// The same with the name owned.
    #[must_use]
    pub fn to_owned(self) -> Verdict<String> {
        match self {
            Self::Drop => Verdict::Drop,
            Self::Accept => Verdict::Accept,
            Self::Return => Verdict::Return,
            Self::Jump(chain) => Verdict::Jump(chain.to_owned()),
            Self::Goto(chain) => Verdict::Goto(chain.to_owned()),
            Self::Other(code) => Verdict::Other(code),
        }
    }
}
