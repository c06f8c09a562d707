//! Requests that are sent together: written one after the other into one buffer, each with what it is answered with.

use crate::{
    attr::{EncodeError, Writer},
    message,
    uapi::flag,
};

/// What the kernel answers beside that it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Nothing: something is changed.
    None,
    /// One object, which is the end of the answer.
    One,
    /// A list of objects (NLM_F_DUMP).
    List,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    answers: Answers,
}

/// Requests in the order in which the kernel works on them. They are numbered from 0 on.
#[derive(Debug, Default)]
pub struct Requests {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    error: Option<EncodeError>,
}

impl Requests {
    /// Adds a request. `flags` beside those that every request of its kind has, and `head`, which stands before the
    /// attributes, are the protocol's. Gives its number.
    pub fn add(
        &mut self,
        kind: u16,
        flags: u16,
        answers: Answers,
        head: &[u8],
        content: impl FnOnce(&mut Writer<'_>),
    ) -> usize {
        let number = self.entries.len();
        let list = if answers == Answers::List { flag::DUMP } else { 0 };
        let start = message::begin(&mut self.bytes, kind, flags | list, head);
        content(&mut Writer::new(&mut self.bytes, &mut self.error));
        if let Err(error) = message::end(&mut self.bytes, start) {
            self.error.get_or_insert(error);
        }
        self.entries.push(Entry { start, answers });
        number
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What could not be written.
    pub(crate) const fn error(&self) -> Option<EncodeError> {
        self.error
    }

    /// What a request is answered with.
    pub(crate) fn answers(&self, number: usize) -> Option<Answers> {
        self.entries.get(number).map(|entry| entry.answers)
    }

    /// Where a request, or all of them, ends.
    pub(crate) fn end_of(&self, number: usize) -> usize {
        self.entries.get(number.saturating_add(1)).map_or(self.bytes.len(), |next| next.start)
    }

    /// The requests `first..end` as they are sent, with sequence numbers from `sequence` on. The last one asks to be
    /// acknowledged where nothing else would end its answer.
    pub(crate) fn part(&mut self, first: usize, end: usize, sequence: u32) -> &[u8] {
        let Self { bytes, entries, .. } = self;
        let part = entries.get(first..end).unwrap_or_default();
        let mut number = sequence;
        for entry in part {
            message::set_sequence(bytes, entry.start, number);
            number = number.wrapping_add(1);
        }
        if let Some(Entry { start, answers: Answers::None }) = part.last() {
            message::add_flags(bytes, *start, flag::ACK);
        }
        let start = part.first().map_or(bytes.len(), |entry| entry.start);
        let end = entries.get(end).map_or(bytes.len(), |next| next.start);
        bytes.get(start..end).unwrap_or_default()
    }
}
