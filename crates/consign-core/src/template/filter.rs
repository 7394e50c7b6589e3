//! Filters: what happens to a value between its path and its place.

use std::borrow::Cow;

use serde_json::Value;

use super::fact::read_literal;
use crate::time::Timestamp;

/// Numbers below this are seconds since 1970, others milliseconds: the border is the year 5138, and March
/// 1973.
const SECONDS_MAX: f64 = 1e11;

/// One filter of a placeholder.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    /// In place of a missing value or `null`.
    Default(Value),
    /// The first characters of a string.
    Truncate(usize),
    /// A string in capital letters.
    Upper,
    /// A string in small letters.
    Lower,
    /// A point in time in another form.
    Date(DateForm),
    /// The value as JSON text.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateForm {
    Iso,
    Unix,
    UnixMs,
}

impl Filter {
    /// Reads a filter with its argument, and gives back what follows. The error says what is expected.
    pub(super) fn read(text: &str) -> Result<(Self, &str), &'static str> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let (argument, rest) = match rest.strip_prefix('(') {
            Some(inner) => {
                let (value, after) = read_literal(inner.trim_start())
                    .ok_or("a text in quotation marks or a number is expected")?;
                (Some(value), after.trim_start().strip_prefix(')').ok_or(") is expected")?)
            }
            None => (None, rest),
        };
        let filter = match (name, argument) {
            ("default", Some(value)) => Self::Default(value),
            ("truncate", Some(Value::Number(length))) => {
                let length = length.as_u64().and_then(|length| usize::try_from(length).ok());
                Self::Truncate(length.ok_or("truncate needs a number of characters")?)
            }
            ("upper", None) => Self::Upper,
            ("lower", None) => Self::Lower,
            ("json", None) => Self::Json,
            ("date", Some(Value::String(form))) => Self::Date(match form.as_str() {
                "iso" => DateForm::Iso,
                "unix" => DateForm::Unix,
                "unix_ms" => DateForm::UnixMs,
                _ => return Err("date needs \"iso\", \"unix\" or \"unix_ms\""),
            }),
            ("default", None) => return Err("default needs a value, such as default(\"x\")"),
            ("truncate", _) => return Err("truncate needs a number of characters"),
            ("date", _) => return Err("date needs \"iso\", \"unix\" or \"unix_ms\""),
            ("upper" | "lower" | "json", Some(_)) => return Err("this filter takes no value"),
            _ => return Err("this filter is not known"),
        };
        Ok((filter, rest))
    }

    /// The value after the filter. What a filter is not made for passes unchanged, except that a date that
    /// cannot be read is missing.
    pub(super) fn apply<'a>(&self, value: Option<Cow<'a, Value>>) -> Option<Cow<'a, Value>> {
        let Some(value) = value else {
            return match self {
                Self::Default(value) => Some(Cow::Owned(value.clone())),
                Self::Json => Some(Cow::Owned(Value::from("null"))),
                Self::Truncate(_) | Self::Upper | Self::Lower | Self::Date(_) => None,
            };
        };
        let changed = match (self, value.as_ref()) {
            (Self::Truncate(length), Value::String(text)) => {
                text.char_indices().nth(*length).map(|(end, _)| Value::from(&text[..end]))
            }
            (Self::Upper, Value::String(text)) => Some(Value::String(text.to_uppercase())),
            (Self::Lower, Value::String(text)) => Some(Value::String(text.to_lowercase())),
            (Self::Date(form), value) => Some(form.write(read_time(value)?)),
            (Self::Json, value) => Some(Value::String(value.to_string())),
            (Self::Default(_) | Self::Truncate(_) | Self::Upper | Self::Lower, _) => None,
        };
        Some(changed.map_or(value, Cow::Owned))
    }
}

impl DateForm {
    fn write(self, time: Timestamp) -> Value {
        match self {
            Self::Iso => Value::String(time.to_string()),
            Self::Unix => Value::from(time.millis().div_euclid(1_000)),
            Self::UnixMs => Value::from(time.millis()),
        }
    }
}

fn read_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => Timestamp::parse_rfc3339(text),
        Value::Number(number) => {
            let count = number.as_f64()?;
            let millis = if count.abs() < SECONDS_MAX { count * 1_000.0 } else { count };
            // Beyond the range of the calendar it stays at the border.
            Some(Timestamp::from_millis(millis as i64))
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
