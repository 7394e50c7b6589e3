//! Limits of a credential or connector: so many at a time, so many a second.

use serde_json::Value;

use crate::catalog::Fault;

/// A rate of requests, in thousandths of a request a second: 0.1 to 1,000 a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(u32);

impl Rate {
    /// From thousandths of a request a second, as the database keeps it.
    pub fn from_thousandths(thousandths: i64) -> Option<Self> {
        u32::try_from(thousandths).ok().filter(|rate| (100..=1_000_000).contains(rate)).map(Self)
    }

    /// Thousandths of a request a second.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// Requests a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }

    /// Reads a number of requests a second; `null` and an empty text mean none.
    ///
    /// # Errors
    /// `out_of_range`.
    pub fn parse(value: &Value) -> Result<Option<Self>, Fault> {
        let number = match value {
            Value::Null => return Ok(None),
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let rate = number.filter(|rate: &f64| (0.1..=1_000.0).contains(rate));
        #[expect(clippy::cast_possible_truncation, reason = "judged to be at most 1,000,000")]
        let rate = rate.and_then(|rate| Self::from_thousandths((rate * 1_000.0).round() as i64));
        rate.map(Some).ok_or_else(|| Fault::new("out_of_range", "Enter a number from 0.1 to 1,000"))
    }
}

/// Reads a whole number within a range; `null` and an empty text mean none.
///
/// # Errors
/// `out_of_range` with the sentence given.
pub fn parse_count(
    value: &Value,
    range: std::ops::RangeInclusive<u32>,
    sentence: &str,
) -> Result<Option<u32>, Fault> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    number
        .filter(|number| range.contains(number))
        .map(Some)
        .ok_or_else(|| Fault::new("out_of_range", sentence))
}
