//! The one time that all of the result carries: whole seconds since the epoch that tar can say.

use std::fmt;
use std::str::FromStr;

use super::fault::{Fault, FromNode, quoted, text};
use super::node::Node;
use crate::error::{Error, Result};

/// A time in whole seconds since 1970-01-01T00:00:00Z, at most [`Timestamp::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The last time that eleven octal digits of a ustar header can say, in the year 2242.
    pub const MAX: Self = Self(0o777_7777_7777);

    /// The value of the environment variable `SOURCE_DATE_EPOCH`, as reproducible-builds.org
    /// specifies it: decimal seconds since the epoch.
    pub fn from_source_date_epoch(value: &str) -> Result<Self> {
        Self::from_digits(value).ok_or_else(|| {
            Error::usage(format!(
                "SOURCE_DATE_EPOCH: expected whole seconds since the epoch from 0 to {}, found {}",
                Self::MAX.0,
                quoted(value)
            ))
            .hint("set it to digits such as `git log -1 --format=%ct` prints, or unset it")
        })
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// The time as RFC 3339 writes it, in UTC: `1970-01-01T00:00:00Z`.
    pub fn rfc3339(self) -> String {
        i64::try_from(self.0)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .map_or_else(|| self.0.to_string(), |time| time.to_string())
    }

    fn from_digits(digits: &str) -> Option<Self> {
        digits
            .parse()
            .ok()
            .filter(|seconds| *seconds <= Self::MAX.0 && digits.bytes().all(|b| b.is_ascii_digit()))
            .map(Self)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

const TIME: &str = "a time such as \"2026-01-31T12:00:00Z\" or whole seconds since the epoch";

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::usage(format!("expected {TIME}, found {}", quoted(text)));
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Self::from_digits(text).ok_or_else(|| out_of_range(text));
        }
        if !is_rfc3339(text) {
            return Err(bad());
        }
        if text.contains('.') {
            return Err(bad().hint("leave the fraction of the second out"));
        }
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|error: jiff::Error| bad().because(error))?;
        u64::try_from(time.as_second())
            .ok()
            .filter(|seconds| *seconds <= Self::MAX.0)
            .map(Self)
            .ok_or_else(|| out_of_range(text))
    }
}

fn out_of_range(text: &str) -> Error {
    Error::usage(format!(
        "expected a time from {} to {}, found {}",
        Timestamp::EPOCH,
        Timestamp::MAX,
        quoted(text)
    ))
}

/// Whether `text` has the shape of RFC 3339's `date-time`; the parser of the time takes more.
fn is_rfc3339(text: &str) -> bool {
    fn shaped(text: &str, shape: &str) -> bool {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(found, want)| {
                if want == b'0' {
                    found.is_ascii_digit()
                } else {
                    found == want
                }
            })
    }
    let Some((time, zone)) = text.is_ascii().then(|| text.split_at_checked(19)).flatten() else {
        return false;
    };
    let digits = zone
        .strip_prefix('.')
        .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let zone = match digits {
        Some(after) if after.len() + 1 < zone.len() => after,
        Some(_) => return false,
        None => zone,
    };
    shaped(time, "0000-00-00T00:00:00")
        && (zone == "Z" || shaped(zone, "+00:00") || shaped(zone, "-00:00"))
}

impl FromNode for Timestamp {
    fn from_node(node: Node) -> Result<Self, Fault> {
        match node {
            Node::Integer(digits) => {
                Self::from_digits(&digits).ok_or_else(|| Fault::from(out_of_range(&digits)))
            }
            other => Ok(text(other, TIME)?.parse()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (given, seconds, shown) in [
            ("0", 0, "1970-01-01T00:00:00Z"),
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            (
                "2026-01-31T12:00:00+02:00",
                1_769_853_600,
                "2026-01-31T10:00:00Z",
            ),
            ("8589934591", 8_589_934_591, "2242-03-16T12:56:31Z"),
        ] {
            let time: Timestamp = given.parse().expect(given);
            assert_eq!((time.seconds(), time.rfc3339().as_str()), (seconds, shown));
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "-1",
            "8589934592",
            "99999999999999999999999",
            "2026-01-31",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:00",
            "2026-02-30T12:00:00Z",
            "2026-01-31T12:00:00.5Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00Z[UTC]",
            "1969-12-31T23:59:59Z",
            "2242-03-16T12:56:32Z",
            "２026-01-31T12:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn source_date_epoch_is_digits() {
        let time = Timestamp::from_source_date_epoch("1700000000").expect("digits");
        assert_eq!(time.rfc3339(), "2023-11-14T22:13:20Z");
        for value in [
            "",
            " 1",
            "+1",
            "-1",
            "1.0",
            "2026-01-31T12:00:00Z",
            "8589934592",
        ] {
            let error = Timestamp::from_source_date_epoch(value).expect_err(value);
            assert_eq!(
                error.to_string(),
                format!(
                    "SOURCE_DATE_EPOCH: expected whole seconds since the epoch from 0 to 8589934591, found `{value}`"
                )
            );
            assert_eq!(error.kind(), crate::error::Kind::Usage);
        }
    }
}
