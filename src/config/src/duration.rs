//! Durations as Go writes and reads them: `24h0m0s`, `1.5s`, `300ms`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};

/// A duration as Go's `time.Duration` holds it: nanoseconds, of either sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

/// That a text is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a duration (numbers with the units h, m, s, ms, us or ns, such as 30s or 1h30m)")]
pub struct NotADuration;

const NANOSECOND: u64 = 1;
const MICROSECOND: u64 = 1_000 * NANOSECOND;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

impl GoDuration {
    /// None at all.
    pub const ZERO: Self = Self(0);

    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds as i64 * 1_000_000_000)
    }

    /// So many nanoseconds, as Go writes a duration into a number.
    #[must_use]
    pub const fn nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// The nanoseconds.
    #[must_use]
    pub const fn as_nanoseconds(self) -> i64 {
        self.0
    }

    /// This one, or another in place of zero: how Kubernetes fills in defaults.
    #[must_use]
    pub const fn or(self, default: Self) -> Self {
        if self.0 == 0 { default } else { self }
    }

    /// As a length of time; a negative one, which validation refuses, is none.
    #[must_use]
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

/// `time.ParseDuration`
impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if digits == "0" {
            return Ok(Self::ZERO);
        }
        let nanoseconds = magnitude(digits).ok_or(NotADuration)?;
        let nanoseconds =
            if negative { 0_i64.checked_sub_unsigned(nanoseconds) } else { i64::try_from(nanoseconds).ok() };
        nanoseconds.map(Self).ok_or(NotADuration)
    }
}

/// The sum of "number unit" pairs, of which there is at least one.
fn magnitude(mut text: &str) -> Option<u64> {
    let mut sum = 0_u64;
    loop {
        let number = take(&mut text, |c| c.is_ascii_digit() || c == '.');
        let unit = match take(&mut text, |c| !c.is_ascii_digit() && c != '.') {
            "ns" => NANOSECOND,
            "us" | "µs" | "μs" => MICROSECOND,
            "ms" => MILLISECOND,
            "s" => SECOND,
            "m" => MINUTE,
            "h" => HOUR,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        sum = sum.checked_add(whole.checked_mul(unit)?)?.checked_add(part_of(fraction, unit))?;
        if text.is_empty() {
            return Some(sum);
        }
    }
}

/// What the digits behind the point are of a unit. Go counts in floating point, and so `0.3333333333333333333h` is
/// 20m.
#[expect(clippy::cast_possible_truncation, reason = "as in Go")]
fn part_of(digits: &str, unit: u64) -> u64 {
    let (mut sum, mut scale) = (0_u64, 1.0_f64);
    for digit in digits.bytes() {
        // What would not fit into Go's integer is left out there too.
        if sum > i64::MAX as u64 / 10 {
            break;
        }
        sum = sum * 10 + u64::from(digit - b'0');
        scale *= 10.0;
    }
    (sum as f64 * (unit as f64 / scale)) as u64
}

fn take<'a>(text: &mut &'a str, wanted: impl Fn(char) -> bool) -> &'a str {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// `time.Duration.String`
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let (unit, name) = match all {
            0 => return f.write_str("0s"),
            _ if all >= SECOND => (SECOND, "s"),
            _ if all >= MILLISECOND => (MILLISECOND, "ms"),
            _ if all >= MICROSECOND => (MICROSECOND, "µs"),
            _ => (NANOSECOND, "ns"),
        };
        if all >= HOUR {
            write!(f, "{}h", all / HOUR)?;
        }
        if all >= MINUTE {
            write!(f, "{}m", all % HOUR / MINUTE)?;
        }
        let rest = if unit == SECOND { all % MINUTE } else { all };
        write!(f, "{}", rest / unit)?;
        if rest % unit > 0 {
            let width = unit.ilog10() as usize;
            f.write_str(format!(".{:0width$}", rest % unit).trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_go_reads_and_writes_them() {
        // Seen from Go 1.26: time.ParseDuration and String.
        for (text, written) in [
            ("0", "0s"),
            ("0s", "0s"),
            ("-0", "0s"),
            ("+5s", "5s"),
            ("30s", "30s"),
            ("24h", "24h0m0s"),
            ("15m", "15m0s"),
            ("1h", "1h0m0s"),
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            (".5s", "500ms"),
            ("1.s", "1s"),
            ("2h22m", "2h22m0s"),
            ("1h15m30.918s", "1h15m30.918s"),
            ("100ns", "100ns"),
            ("1500ns", "1.5µs"),
            ("3us", "3µs"),
            ("3µs", "3µs"),
            ("3μs", "3µs"),
            ("-1.5s", "-1.5s"),
            ("1ms1ms", "2ms"),
            ("9223372036854775807ns", "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", "-2562047h47m16.854775808s"),
            ("0.3333333333333333333h", "20m0s"),
            ("1.0000000001s", "1s"),
        ] {
            assert_eq!(text.parse::<GoDuration>().map(|read| read.to_string()).as_deref(), Ok(written), "{text}");
        }
        for text in [
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1.5.1s",
            " 1s",
            "1s ",
            "1d",
            "1 s",
            "30 seconds",
            "1S",
            "1e3s",
            "--1s",
            "9223372036854775808ns",
            "9223372036s854775808ns",
            "3000000h",
            "1_000s",
            "٣s",
        ] {
            assert_eq!(text.parse::<GoDuration>(), Err(NotADuration), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanoseconds: i64) {
            let duration = GoDuration::nanoseconds(nanoseconds);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_does_harm(text: String) {
            let _ = text.parse::<GoDuration>();
        }
    }
}
