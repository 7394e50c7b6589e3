//! Reading columns. What cannot be read is damage, named by its column, never by its value.

use std::str::FromStr;
use std::sync::Arc;

use consign_core::time::Timestamp;

use crate::StoreError;
use crate::db::Value;

/// A number of things as the database keeps it.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A row of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    columns: Arc<[Box<str>]>,
    values: Vec<Value>,
}

impl Row {
    /// The values of these columns.
    pub(crate) fn new(columns: Arc<[Box<str>]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    /// The names of its columns.
    #[cfg(test)]
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(AsRef::as_ref)
    }

    /// A text.
    pub(crate) fn text(&self, column: &str) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| damaged(column))
    }

    /// A text that may be absent.
    pub(crate) fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        match self.value(column)? {
            Value::Text(text) => Ok(text.clone()),
            Value::Number(None) | Value::Bytes(None) => Ok(None),
            Value::Number(Some(_)) | Value::Bytes(Some(_)) => Err(damaged(column)),
        }
    }

    /// A whole number.
    pub(crate) fn number(&self, column: &str) -> Result<i64, StoreError> {
        self.optional_number(column)?.ok_or_else(|| damaged(column))
    }

    /// A whole number that may be absent.
    pub(crate) fn optional_number(&self, column: &str) -> Result<Option<i64>, StoreError> {
        match self.value(column)? {
            Value::Number(number) => Ok(*number),
            Value::Text(None) | Value::Bytes(None) => Ok(None),
            Value::Text(Some(_)) | Value::Bytes(Some(_)) => Err(damaged(column)),
        }
    }

    /// Bytes that may be absent.
    pub(crate) fn optional_bytes(&self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self.value(column)? {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            Value::Number(None) | Value::Text(None) => Ok(None),
            Value::Number(Some(_)) | Value::Text(Some(_)) => Err(damaged(column)),
        }
    }

    /// Bytes that may be absent, taken out of the row: large ones are not copied.
    pub(crate) fn take_bytes(&mut self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let place = self.columns.iter().position(|name| **name == *column);
        match place.and_then(|place| self.values.get_mut(place)) {
            Some(Value::Bytes(bytes)) => Ok(bytes.take()),
            Some(Value::Number(None) | Value::Text(None)) => Ok(None),
            Some(Value::Number(Some(_)) | Value::Text(Some(_))) | None => Err(damaged(column)),
        }
    }

    fn value(&self, column: &str) -> Result<&Value, StoreError> {
        let place = self.columns.iter().position(|name| **name == *column);
        place.and_then(|place| self.values.get(place)).ok_or_else(|| damaged(column))
    }

    /// A number of things.
    pub(crate) fn count<T: TryFrom<i64>>(&self, column: &str) -> Result<T, StoreError> {
        T::try_from(self.number(column)?).map_err(|_| damaged(column))
    }

    /// A number of things that may be absent.
    pub(crate) fn optional_count<T: TryFrom<i64>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let number = self.optional_number(column)?;
        number.map(|number| T::try_from(number).map_err(|_| damaged(column))).transpose()
    }

    /// Yes or no.
    pub(crate) fn flag(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.number(column)? != 0)
    }

    /// A time.
    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_millis(self.number(column)?))
    }

    /// A time that may be absent.
    pub(crate) fn optional_time(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_number(column)?.map(Timestamp::from_millis))
    }

    /// An id.
    pub(crate) fn id<T: FromStr>(&self, column: &str) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(|_| damaged(column))
    }

    /// An id that may be absent.
    pub(crate) fn optional_id<T: FromStr>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(|text| text.parse().map_err(|_| damaged(column))).transpose()
    }

    /// A word of a closed set.
    pub(crate) fn word<T>(&self, column: &str, find: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        find(&self.text(column)?).ok_or_else(|| damaged(column))
    }

    /// A word of a closed set that may be absent.
    pub(crate) fn optional_word<T>(
        &self,
        column: &str,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(|text| find(&text).ok_or_else(|| damaged(column))).transpose()
    }

    /// JSON text.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|_| damaged(column))
    }
}

/// The damage of a column.
pub(crate) fn damaged(column: &str) -> StoreError {
    StoreError::Damaged(format!("column {column}"))
}

/// The milliseconds of a time that may be absent.
pub(crate) fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::millis)
}

/// JSON text of a value whose serialisation cannot fail.
pub(crate) fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("maps with text keys and lists are JSON")
}

/// A pattern for `like … escape '!'` that finds a text anywhere.
pub(crate) fn anywhere(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
