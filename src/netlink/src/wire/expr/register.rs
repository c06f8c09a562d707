//! Registers: where expressions leave values for the next ones.
//!
//! nf_tables has 64 bytes of them with two sets of names (`enum nft_registers`):
//!
//! ```text
//!   word        0   1   2   3   4   5  ...  15
//!   16 bytes  | 1             | 2     ...       |   NFT_REG_1 .. NFT_REG_4
//!    4 bytes  | 8 | 9 |10 |11 |12 |13 ... |23   |   NFT_REG32_00 .. NFT_REG32_15
//! ```
//!
//! The kernel lists a register that starts at a multiple of 16 bytes under its first name, whatever it was sent
//! under (`nft_dump_register`). So a [`Register`] is always made by its word and always has the name of a listing.

/// A place for a value, or the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(u32);

impl Register {
    /// Where a verdict goes.
    pub const VERDICT: Self = Self(0);
    /// The first word.
    pub const FIRST: Self = Self::word(0);

    /// The register that starts at a word of 4 bytes, 0 to 15; a higher number is one that the kernel refuses.
    #[must_use]
    pub const fn word(word: u32) -> Self {
        if word.is_multiple_of(4) && word < 16 { Self(1 + word / 4) } else { Self(word.saturating_add(8)) }
    }

    /// From its number on the wire.
    pub(super) const fn parse(number: u32) -> Self {
        match number {
            8.. => Self::word(number - 8),
            _ => Self(number),
        }
    }

    /// Its number on the wire.
    pub(super) const fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        assert_eq!([0, 1, 4, 5, 12, 15].map(|word| Register::word(word).number()), [1, 9, 2, 13, 4, 23]);
        assert_eq!(Register::parse(8), Register::parse(1));
        assert_eq!(Register::parse(0), Register::VERDICT);
        assert_eq!(Register::parse(u32::MAX), Register::word(u32::MAX - 8));
    }
}
