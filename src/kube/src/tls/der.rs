//! DER, as strictly as Go's `cryptobyte`: one way to write everything, and nothing is read past its end.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// `[n]`, of simple content.
pub(super) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// `[n]`, with elements inside.
pub(super) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// What is still to be read.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

/// One element.
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Der<'a> {
    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next element, of whatever kind.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let bytes = self.0;
        let (&tag, rest) = bytes.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |length: usize, &digit| length << 8 | usize::from(digit));
            // Shorter ways to write it come first; no certificate has more than four bytes for a length.
            let is_shortest = (1..=4).contains(&digits.len()) && digits.first() != Some(&0) && length >= 0x80;
            (is_shortest.then_some(length)?, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = bytes.get(..bytes.len() - rest.len())?;
        // Tags of several bytes are nowhere in a certificate.
        (tag & 0x1f != 0x1f).then(|| {
            self.0 = rest;
            Element { tag, content, whole }
        })
    }

    /// The content of the next element, which must be of this kind.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// The same, where the element may be missing; the outer `None` is for one that cannot be read.
    #[expect(clippy::option_option, reason = "missing and broken are two things")]
    pub(super) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) { self.take(tag).map(Some) } else { Some(None) }
    }

    /// The content of what is a sequence and nothing else.
    pub(super) fn only(bytes: &'a [u8], tag: u8) -> Option<Self> {
        let mut der = Self(bytes);
        let content = der.take(tag)?;
        der.is_empty().then_some(Self(content))
    }

    /// Whole bytes of a bit string.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        let (&unused, bytes) = self.take(BIT_STRING)?.split_first()?;
        (unused == 0).then_some(bytes)
    }
}
