//! How likely something is, exactly: one half is not 0.49999.

use std::fmt;

/// A fraction between 0 and 1, in lowest terms.
///
/// Denominators beyond 64 bits, which only rules that nobody writes have, are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chance {
    numerator: u64,
    denominator: u64,
}

impl Chance {
    /// What always happens.
    pub const CERTAIN: Self = Self { numerator: 1, denominator: 1 };

    fn new(numerator: u128, denominator: u128) -> Self {
        let divisor = gcd(numerator, denominator).max(1);
        let (numerator, denominator) = (numerator / divisor, denominator / divisor);
        let excess = u64::BITS.saturating_sub(denominator.leading_zeros());
        let fit = |number: u128| u64::try_from(number >> excess).unwrap_or(u64::MAX);
        Self { numerator: fit(numerator), denominator: fit(denominator) }
    }

    /// That this happens, and then one of `cases` out of so many.
    #[must_use]
    pub fn times(self, cases: u32, of: u32) -> Self {
        let product = |a: u64, b: u32| u128::from(a) * u128::from(b);
        Self::new(product(self.numerator, cases), product(self.denominator, of))
    }

    /// That one of two things happens, of which never both do.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let sum = product(self.numerator, other.denominator).saturating_add(product(other.numerator, self.denominator));
        Self::new(sum, product(self.denominator, other.denominator))
    }
}

const fn gcd(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// `1/3`; `1` for what is certain.
impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.numerator, self.denominator) {
            (numerator, 1) => write!(f, "{numerator}"),
            (numerator, denominator) => write!(f, "{numerator}/{denominator}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_exact() {
        // Picking one of three in turn: one in three, then one in two of the rest, then the rest.
        let first = Chance::CERTAIN.times(1, 3);
        let rest = Chance::CERTAIN.times(2, 3);
        let second = rest.times(1, 2);
        assert_eq!((first, second), (second, first));
        assert_eq!(first.to_string(), "1/3");
        assert_eq!(first.plus(second).to_string(), "2/3");
        assert_eq!(first.plus(second).plus(rest.times(1, 2)), Chance::CERTAIN);
        assert_eq!(Chance::CERTAIN.to_string(), "1");
    }

    #[test]
    fn chances_that_nobody_writes_are_rounded() {
        let tiny = (0..9).fold(Chance::CERTAIN, |chance, _| chance.times(1, u32::MAX));
        assert_eq!(tiny.plus(tiny).numerator, 0);
        let most = (0..9).fold(Chance::CERTAIN, |chance, _| chance.times(u32::MAX - 1, u32::MAX));
        assert!(most.numerator < most.denominator && most.numerator > most.denominator / 2);
        assert!(most.plus(tiny).numerator <= most.denominator);
    }
}
