//! A value as given, in the file or as a text of the environment, and what it is read as.

use std::net::SocketAddr;
use std::path::PathBuf;

use consign_core::secret::Secret;
use toml::Value;

/// A value before it is judged. Faults say what is expected and never repeat the value: it may be a secret.
pub(super) enum Given {
    /// From the file.
    Toml(Value),
    /// From the environment or a `_file` twin.
    Text(String),
}

/// What is wrong with a value, to follow the name of its option.
pub(super) type Fault = String;

impl Given {
    pub(super) fn text(self) -> Result<String, Fault> {
        match self {
            Self::Text(text) | Self::Toml(Value::String(text)) => Ok(text.trim().to_owned()),
            Self::Toml(_) => Err("needs a text in quotation marks".to_owned()),
        }
    }

    /// A text, where an empty one means none.
    pub(super) fn optional(self) -> Result<Option<String>, Fault> {
        self.text().map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    pub(super) fn secret(self) -> Result<Option<Secret>, Fault> {
        self.optional().map(|text| text.map(Secret::new))
    }

    pub(super) fn path(self) -> Result<Option<PathBuf>, Fault> {
        self.optional().map(|text| text.map(PathBuf::from))
    }

    pub(super) fn address(self) -> Result<Option<SocketAddr>, Fault> {
        let wrong = || "needs an address and port, such as 127.0.0.1:8420".to_owned();
        self.optional()?.map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    pub(super) fn number(self, least: u64, most: u64) -> Result<u64, Fault> {
        let number = match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Toml(Value::Integer(number)) => u64::try_from(number).ok(),
            Self::Toml(_) => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("needs a whole number from {least} to {most}"))
    }

    pub(super) fn flag(self) -> Result<bool, Fault> {
        match self {
            Self::Toml(Value::Boolean(flag)) => Ok(flag),
            Self::Text(text) if text.trim() == "true" => Ok(true),
            Self::Text(text) if text.trim() == "false" => Ok(false),
            Self::Text(_) | Self::Toml(_) => Err("needs true or false".to_owned()),
        }
    }

    /// A list of texts; in the environment separated by commas.
    pub(super) fn list(self) -> Result<Vec<String>, Fault> {
        let wrong = || "needs a list of texts, such as [\"10.0.0.0/8:443\"]".to_owned();
        let rows = match self {
            Self::Text(text) => text.split(',').map(str::to_owned).collect(),
            Self::Toml(Value::Array(rows)) => {
                let texts = rows.into_iter().map(|row| match row {
                    Value::String(text) => Ok(text),
                    _ => Err(wrong()),
                });
                texts.collect::<Result<Vec<_>, _>>()?
            }
            Self::Toml(_) => return Err(wrong()),
        };
        Ok(rows.iter().map(|row| row.trim().to_owned()).filter(|row| !row.is_empty()).collect())
    }

    /// A list of whole numbers; in the environment separated by commas.
    pub(super) fn numbers(self, least: u64, most: u64) -> Result<Vec<u64>, Fault> {
        match self {
            Self::Text(text) => {
                text.split(',').map(|row| Self::Text(row.to_owned()).number(least, most)).collect()
            }
            Self::Toml(Value::Array(rows)) => {
                rows.into_iter().map(|row| Self::Toml(row).number(least, most)).collect()
            }
            Self::Toml(_) => Err("needs a list of whole numbers, such as [5, 300]".to_owned()),
        }
    }

    /// One of some words.
    pub(super) fn word(self, words: &[&'static str]) -> Result<&'static str, Fault> {
        let text = self.text()?;
        words
            .iter()
            .copied()
            .find(|word| *word == text)
            .ok_or_else(|| format!("needs one of {}", words.join(", ")))
    }
}
