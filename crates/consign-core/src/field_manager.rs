//! Who manages an object from a file: the name under which the file is applied, and whose an object is after a change.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::catalog::Fault;

const CHARS_MAX: usize = 64;

/// A name of 1 to 64 small letters, digits, dots, hyphens and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldManager(String);

impl FieldManager {
    /// Reads a name.
    ///
    /// # Errors
    /// `bad_form`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        let sentence = "A field manager is 1 to 64 characters of a to z, 0 to 9, dot, hyphen and underscore";
        Err(Fault::new("bad_form", sentence))
    }

    /// As read from the database.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for FieldManager {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A file that is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applying {
    /// Under this name.
    pub manager: FieldManager,
    /// It takes what another one manages.
    pub force: bool,
    /// Only to see what it would change.
    pub dry_run: bool,
}

/// Whose an object is once it was changed; `applying` is absent when somebody changes it by hand, which changes no
/// owner.
///
/// # Errors
/// The manager that has it, when another one applies a file and may not take it.
pub fn owner_after(
    applying: Option<&Applying>,
    owner: Option<&FieldManager>,
) -> Result<Option<FieldManager>, FieldManager> {
    match (applying, owner) {
        (None, owner) => Ok(owner.cloned()),
        (Some(applying), Some(owner)) if !applying.force && *owner != applying.manager => Err(owner.clone()),
        (Some(applying), _) => Ok(Some(applying.manager.clone())),
    }
}

#[cfg(test)]
mod tests;
