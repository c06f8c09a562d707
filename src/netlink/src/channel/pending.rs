//! Which answers are still to come, and which request one is for.

use nix::errno::Errno;

use super::{Answer, Answers, Requests};
use crate::{
    message::Messages,
    uapi::{NLMSG_DONE, flag},
};

/// Why an answer is not what it seems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Others changed what is listed.
    Interrupted,
    /// The kernel had to drop some of the answers.
    Lost,
}

/// Answers that are still to come, to the requests `next..end`; that of number `base` has the first sequence number.
#[derive(Debug)]
pub(super) struct Pending {
    next: usize,
    end: usize,
    base: usize,
    pub(super) sequence: u32,
    flaw: Option<Flaw>,
}

impl Pending {
    /// None of the requests `first..end` has been answered.
    pub(super) const fn of(first: usize, end: usize, sequence: u32) -> Self {
        Self { next: first, end, base: first, sequence, flaw: None }
    }

    /// Some answer will not come.
    pub(super) const fn lose(&mut self) {
        self.flaw = Some(Flaw::Lost);
    }

    /// The first sequence number that is not of these.
    pub(super) fn after(&self) -> u32 {
        // Wrapping around is what these numbers do.
        #[expect(clippy::cast_possible_truncation, reason = "a part has less than 64 KiB")]
        self.sequence.wrapping_add(self.end.saturating_sub(self.base) as u32)
    }

    pub(super) const fn is_over(&self) -> bool {
        self.next >= self.end
    }

    /// Reads a datagram, whatever it is.
    pub(super) fn read(&mut self, datagram: &[u8], requests: &Requests, hear: &mut impl FnMut(usize, Answer<'_>)) {
        for message in Messages::new(datagram) {
            let ahead = usize::try_from(message.sequence.wrapping_sub(self.sequence)).unwrap_or(usize::MAX);
            let number = self.base.saturating_add(ahead);
            // An answer to an earlier request, or to none.
            if !(self.next..self.end).contains(&number) {
                continue;
            }
            while self.next < number {
                self.finish(if self.flaw == Some(Flaw::Lost) { Answer::Lost } else { Answer::Done }, hear);
            }
            if message.flags & flag::DUMP_INTR != 0 && requests.answers(number) == Some(Answers::List) {
                self.flaw.get_or_insert(Flaw::Interrupted);
            }
            let ack = message.ack();
            match (ack, message.kind, message.errno()) {
                (Some(ack), ..) if ack.errno != 0 => {
                    self.finish(Answer::Refused(Errno::from_raw(ack.errno), ack.text), hear);
                }
                (None, NLMSG_DONE, Some(errno)) if errno != 0 => {
                    self.finish(Answer::Refused(Errno::from_raw(errno), None), hear);
                }
                (Some(_), ..) | (None, NLMSG_DONE, _) => {
                    self.finish(if self.flaw.is_some() { Answer::Interrupted } else { Answer::Done }, hear);
                }
                (None, ..) => {
                    hear(number, Answer::Object(message));
                    if requests.answers(number) == Some(Answers::One) {
                        self.finish(Answer::Done, hear);
                    }
                }
            }
        }
    }

    /// Nothing more comes.
    pub(super) fn give_up(&mut self, hear: &mut impl FnMut(usize, Answer<'_>)) {
        while !self.is_over() {
            self.finish(Answer::Lost, hear);
        }
    }

    fn finish(&mut self, answer: Answer<'_>, hear: &mut impl FnMut(usize, Answer<'_>)) {
        hear(self.next, answer);
        self.next = self.next.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::uapi::NLMSG_ERROR;

    /// Three changes, one object, a list.
    fn requests() -> Requests {
        let mut requests = Requests::default();
        for answers in [Answers::None, Answers::None, Answers::None, Answers::One, Answers::List] {
            requests.add(20, 0, answers, &[], |_| {});
        }
        requests
    }

    /// A message to the request with a sequence number, which has that of the first request and more.
    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(16 + payload.len()).expect("short").to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn ack(sequence: u32, errno: i32) -> Vec<u8> {
        message(NLMSG_ERROR, 0x100, sequence, &[(-errno).to_ne_bytes().as_slice(), &[0; 16]].concat())
    }

    const FIRST: u32 = u32::MAX - 1;

    fn number(request: u32) -> u32 {
        FIRST.wrapping_add(request)
    }

    /// What is heard of datagrams, and whether all was answered. `None` stands for ENOBUFS.
    fn heard(datagrams: &[Option<Vec<u8>>]) -> (Vec<String>, bool) {
        let requests = requests();
        let (mut pending, mut heard) = (Pending::of(0, 5, FIRST), Vec::new());
        let mut hear = |number: usize, answer: Answer<'_>| {
            let what = match answer {
                Answer::Object(object) => format!("object {:?}", object.payload),
                other => format!("{other:?}"),
            };
            heard.push(format!("{number} {what}"));
        };
        for datagram in datagrams {
            match datagram {
                Some(bytes) => pending.read(bytes, &requests, &mut hear),
                None => pending.lose(),
            }
        }
        let over = pending.is_over();
        pending.give_up(&mut hear);
        (heard, over)
    }

    #[test]
    fn what_is_silent_was_done_when_a_later_one_is_answered() {
        let datagrams = [
            Some(ack(number(1), 17)),
            Some(message(30, 0, number(3), &[1])),
            Some([message(31, 2, number(4), &[2; 4]), message(31, 2, number(4), &[3; 4])].concat()),
            Some(message(NLMSG_DONE, 2, number(4), &[0; 4])),
        ];
        let expected = [
            "0 Done",
            "1 Refused(EEXIST, None)",
            "2 Done",
            "3 object [1]",
            "3 Done",
            "4 object [2, 2, 2, 2]",
            "4 object [3, 3, 3, 3]",
            "4 Done",
        ];
        assert_eq!(heard(&datagrams), (expected.map(str::to_owned).into(), true));
    }

    #[test]
    fn what_was_asked_before_is_not_taken_for_an_answer() {
        let datagrams = [
            Some(ack(FIRST.wrapping_sub(1), 1)),
            Some(ack(number(5), 1)),
            Some(ack(number(2), 0)),
            Some(ack(number(2), 1)),
            Some(ack(number(0), 1)),
        ];
        let expected = ["0 Done", "1 Done", "2 Done", "3 Lost", "4 Lost"];
        assert_eq!(heard(&datagrams), (expected.map(str::to_owned).into(), false));
    }

    #[test]
    fn a_list_that_was_disturbed_or_refused_is_told() {
        let interrupted = [Some(message(31, 2 | flag::DUMP_INTR, number(4), &[])), Some(ack(number(4), 0))];
        assert_eq!(heard(&interrupted).0.last().expect("heard"), "4 Interrupted");
        let at_its_end = [Some(message(NLMSG_DONE, 2, number(4), &(-2_i32).to_ne_bytes()))];
        assert_eq!(heard(&at_its_end).0.last().expect("heard"), "4 Refused(ENOENT, None)");
    }

    /// A change of which nothing is heard may have been refused.
    #[test]
    fn what_is_silent_is_lost_where_answers_were_dropped() {
        let datagrams = [Some(ack(number(0), 0)), None, Some(ack(number(2), 2)), Some(ack(number(4), 0))];
        let expected = ["0 Done", "1 Lost", "2 Refused(ENOENT, None)", "3 Lost", "4 Interrupted"];
        assert_eq!(heard(&datagrams), (expected.map(str::to_owned).into(), true));
    }

    proptest! {
        /// Each request gets one last answer, in their order, whatever comes.
        #[test]
        fn every_request_is_answered_once(
            messages in prop::collection::vec((0..5_u32, 0..40_u16, 0..64_u16, prop::collection::vec(0..9_u8, 0..24)), 0..16)
        ) {
            let datagrams: Vec<_> = messages.iter().map(|(to, kind, flags, payload)|
                Some(message(*kind, *flags, number(*to), payload))).collect();
            let (heard, _) = heard(&datagrams);
            let last: Vec<_> = heard.iter().filter(|line| !line.contains("object")).map(|line| line[..1].to_owned()).collect();
            prop_assert_eq!(last, ["0", "1", "2", "3", "4"]);
        }

        #[test]
        fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            heard(&[Some(bytes)]);
        }
    }
}
