//! Values that do not stand in a document: out of the environment or out of a file. And secrets that do, and should not.

use std::path::Path;

use consign_core::auth::{self, AUTHORIZATION_TYPES};
use consign_core::catalog::Input;
use consign_core::client_certificate;
use consign_core::credential::PASSPHRASE;
use consign_core::secret::Secret;
use consign_core::target::Origin;
use serde_json::{Map, Value};

use crate::cli::secret::from_file;
use crate::config::variable;

/// Puts values from elsewhere at their places.
pub(super) struct Values<'a> {
    /// Where files are looked for.
    pub(super) folder: &'a Path,
    /// What could not be read.
    pub(super) faults: Vec<String>,
}

impl Values<'_> {
    /// Fills in what `{ value_from: … }` stands for; `place` is what the value is called, `field` its key.
    pub(super) fn fill(&mut self, place: &str, field: &str, value: &mut Value) {
        match value {
            Value::Object(object) => match object.get("value_from") {
                Some(from) if object.len() == 1 => match self.read(field, from) {
                    Ok(secret) => *value = secret.expose().into(),
                    Err(fault) => self.faults.push(format!("{place}: {fault}")),
                },
                Some(_) => self.faults.push(format!("{place}: value_from stands alone")),
                None => {
                    for (key, inner) in object.iter_mut() {
                        self.fill(&format!("{place}.{key}"), key, inner);
                    }
                }
            },
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.fill(&format!("{place}[{index}]"), field, item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn read(&self, field: &str, from: &Value) -> Result<Secret, String> {
        let form = || "value_from takes { env: NAME } or { file: PATH }".to_owned();
        let only = from.as_object().filter(|from| from.len() == 1).ok_or_else(form)?;
        let text = |key: &str| only.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        match (text("env"), text("file")) {
            (Some(name), _) => {
                variable(name).map(Secret::new).ok_or_else(|| format!("the variable {name} is not set"))
            }
            (None, Some(path)) => from_file(&self.folder.join(path), field)
                .map_err(|failure| failure.lines.first().cloned().unwrap_or_default()),
            (None, None) => Err(form()),
        }
    }
}

/// The fields of a credential that hold texts and are given as something else: whoever wrote `0x1F` did not mean `31`.
pub(super) fn unquoted(spec: &Map<String, Value>) -> Vec<String> {
    let is_text = |key: &str| {
        let mut fields = AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields);
        fields.any(|field| field.key == key && !matches!(field.input, Input::Rows(_)))
    };
    let wrong = spec.iter().filter(|(_, value)| matches!(value, Value::Number(_) | Value::Bool(_)));
    wrong.filter(|(key, _)| is_text(key)).map(|(key, _)| key.clone()).collect()
}

/// The secrets of a credential that stand in its document.
pub(super) fn literals(spec: &Map<String, Value>) -> Vec<String> {
    let is_literal = |value: Option<&Value>| {
        value.is_some_and(|value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_)))
    };
    let fields = || AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields);
    let mut found: Vec<String> = spec
        .keys()
        .filter(|key| {
            let key = key.as_str();
            [PASSPHRASE, client_certificate::PASSPHRASE].contains(&key)
                || fields().any(|field| field.key == key && field.is_secret())
        })
        .filter(|key| is_literal(spec.get(key.as_str())))
        .cloned()
        .collect();
    let rows = |key: &str| spec.get(key).and_then(Value::as_array).into_iter().flatten().enumerate();
    let headers = rows("custom_headers").filter(|(_, row)| is_literal(row.get("value")));
    found.extend(headers.map(|(index, _)| format!("custom_headers[{index}].value")));
    let mut keys: Vec<&str> = Vec::new();
    for field in fields().filter(|field| matches!(field.input, Input::Rows(_))) {
        if !keys.contains(&field.key) {
            keys.push(field.key);
        }
    }
    for key in keys {
        let secret = |row: &Value| row.get("secret").is_some_and(|said| *said != Value::Bool(false));
        let marked = rows(key).filter(|(_, row)| secret(row) && is_literal(row.get("value")));
        found.extend(marked.map(|(index, _)| format!("{key}[{index}].value")));
    }
    found.extend(has_secret_path(spec).then(|| "url_address".to_owned()));
    found
}

/// Whether the address of a type whose address is a secret says more than where the tool is.
fn has_secret_path(spec: &Map<String, Value>) -> bool {
    let text = |key: &str| spec.get(key).and_then(Value::as_str);
    let secret = text("authorization_type").and_then(auth::find).is_some_and(|entry| entry.address_is_secret);
    let Some(address) = text("url_address").filter(|_| secret) else { return false };
    Origin::parse_whole("URL address", address).map_or(true, |(_, path)| path.is_some())
}

#[cfg(test)]
mod tests;
