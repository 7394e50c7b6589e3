//! Names that people give to credentials and connectors, unique without regard to case.

use std::fmt;

use serde::{Serialize, Serializer};
use unicode_normalization::UnicodeNormalization as _;

use crate::catalog::{Fault, too_long};

const NAME_CHARS_MAX: usize = 80;

/// A name of 1 to 80 characters without control characters, trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Reads a typed name.
    ///
    /// # Errors
    /// `missing`, `too_long` or `bad_characters`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text: String = text.trim().nfc().collect();
        if text.is_empty() {
            return Err(Fault::new("missing", "Enter a name"));
        }
        if text.chars().any(char::is_control) {
            return Err(Fault::new("bad_characters", "Name must not include line breaks or tabs"));
        }
        if text.chars().count() > NAME_CHARS_MAX {
            return Err(too_long("Name", NAME_CHARS_MAX));
        }
        Ok(Self(text))
    }

    /// As read from the database.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What must be unique: the name without regard to case.
    pub fn key(&self) -> String {
        self.0.to_lowercase().nfc().collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
