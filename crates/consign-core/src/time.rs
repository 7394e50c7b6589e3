//! Points in time, as milliseconds since 1970 in UTC. The core never asks what time it is.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970, as the database keeps them.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later; stays at the end of time instead of overflowing.
    pub fn plus(self, wait: Duration) -> Self {
        let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// This much earlier.
    pub fn minus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// How long ago `earlier` was; nothing when it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 date and time.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let parsed: jiff::Timestamp = text.parse().ok()?;
        Some(Self(parsed.as_millisecond()))
    }

    /// The calendar day in UTC, as `2026-11-22`.
    pub fn day(self) -> String {
        let mut text = self.to_string();
        text.truncate(10);
        text
    }
}

/// RFC 3339 in UTC with milliseconds only where there are any: `2026-11-22T14:02:00Z`.
/// A span as people say it: "184 ms", "1.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h".
pub fn in_words(span: Duration) -> String {
    let both = |(more, unit): (u64, &str), (less, part): (u64, &str)| match less {
        0 => format!("{more} {unit}"),
        _ => format!("{more} {unit} {less} {part}"),
    };
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{seconds}.{} s", span.subsec_millis() / 100),
        60..3_600 => both((seconds / 60, "min"), (seconds % 60, "s")),
        3_600..86_400 => both((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        _ => both((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clamped = self.0.clamp(-377_705_023_201_000, 253_402_207_200_000);
        match jiff::Timestamp::from_millisecond(clamped) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
