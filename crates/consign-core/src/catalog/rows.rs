//! Rows of a name and a value: extra parameters of a request. A value may be a secret of its own.

use serde::{Deserialize, Serialize};

use super::{Absent, Fields};
use crate::secret::Secret;

/// What the rows of a field may hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Rows {
    /// What a row is called on the button that adds one.
    pub what: &'static str,
    /// Whether a value can be marked as a secret.
    pub secrets: bool,
    /// Whether a row can go into the query of the address.
    pub query: bool,
    /// The most rows.
    pub rows_max: usize,
    /// The most characters of a value.
    pub value_chars_max: usize,
    /// What a name is made of.
    pub names: Names,
    /// The most bytes of all names and values.
    pub bytes_max: usize,
    /// Names that the request sets itself.
    pub reserved: &'static [&'static str],
    /// Fields whose own parameter of the same name is set while they are filled.
    pub reserved_while_filled: &'static [&'static str],
}

/// What the name of a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Letters, digits and four marks, up to 64.
    Parameter,
    /// Any text that can be written into XML, up to 256 characters.
    Text,
}

/// A row as it is stored and shown. The value of a secret one is among the secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The name of the parameter; it may repeat.
    pub name: String,
    /// The value; absent when it is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether the value is a secret.
    #[serde(default)]
    pub secret: bool,
    /// Where it goes.
    #[serde(default)]
    pub sent_in: SentIn,
}

/// Where a parameter of a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SentIn {
    /// The form in the body.
    #[default]
    Body,
    /// The query of the address.
    Query,
}

impl SentIn {
    /// All, in screen order.
    pub const ALL: &'static [Self] = &[Self::Body, Self::Query];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Query => "query",
        }
    }

    /// The choice on the screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Body => "Body",
            Self::Query => "Query of the address",
        }
    }

    /// Reads the stored word.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|choice| choice.kind() == kind)
    }
}

/// A parameter with its value at hand, secret or not.
#[derive(Debug)]
pub struct Parameter {
    /// The name.
    pub name: String,
    /// The value.
    pub value: Secret,
    /// Where it goes.
    pub sent_in: SentIn,
}

/// The rows in the stored text of a field; `None` when it is damaged.
pub fn stored_rows(text: &str) -> Option<Vec<Row>> {
    if text.is_empty() { Some(Vec::new()) } else { serde_json::from_str(text).ok() }
}

/// The key among the secrets for the value of the row at `index`: names may repeat, so their order counts.
pub fn row_secret_key(field: &str, rows: &[Row], index: usize) -> String {
    let name = &rows[index].name;
    let before = rows[..index].iter().filter(|row| row.name == *name).count();
    format!("{field}/{name}/{before}")
}

impl Fields {
    /// The rows of a field with their values.
    ///
    /// # Errors
    /// The field, when its text is damaged or the value of a secret row is not at hand.
    pub fn parameters(&self, field: &'static str) -> Result<Vec<Parameter>, Absent> {
        let rows = stored_rows(self.text(field)).ok_or(Absent(field))?;
        let parameters = rows.iter().enumerate().map(|(index, row)| {
            let value = match &row.value {
                Some(value) => value.clone(),
                None => {
                    let secret = self.secret(&row_secret_key(field, &rows, index));
                    secret.ok_or(Absent(field))?.expose().to_owned()
                }
            };
            Ok(Parameter { name: row.name.clone(), value: Secret::new(value), sent_in: row.sent_in })
        });
        parameters.collect()
    }
}
