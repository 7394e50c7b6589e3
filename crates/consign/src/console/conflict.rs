//! Two people edited the same thing: who changed it, both versions beside each other, and the choice.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::errors::Failure;
use super::form::without_row_secrets;
use super::visit::Signed;
use crate::ops::audit::{self, Saved};

/// A save that came too late.
pub(super) struct Conflict<'a> {
    /// "this credential", "these settings".
    pub(super) what: &'static str,
    /// The entry of the navigation.
    pub(super) place: &'static str,
    /// The page of the thing, where the form goes as well.
    pub(super) address: String,
    /// What it is called.
    pub(super) name: &'a str,
    /// Where its last save is found.
    pub(super) saved: Saved<'a>,
    /// The field for the password again, where saving asks for it; null.
    pub(super) password: Value,
    /// As it is stored now.
    pub(super) theirs: &'a Value,
    /// The fields of its form, as the page of the form has them: what they and their choices are called.
    pub(super) fields: Value,
}

/// What a form sends about itself, and what was typed as a secret: neither is put into the page.
const NOT_CARRIED: &[&str] = &["csrf", "etag", "seen_at", "once", "password"];

impl<'a> Conflict<'a> {
    /// Of a credential or a connector: what it is called, the entry of the navigation, and its page.
    pub(super) fn of(
        (what, place, address): (&'static str, &'static str, String),
        theirs: &'a Value,
        fields: Value,
    ) -> Self {
        let text = |key: &str| theirs[key].as_str().unwrap_or_default();
        let (name, saved) = (text("name"), Saved::Configured(text("id")));
        Self { what, place, address, name, saved, password: Value::Null, theirs, fields }
    }

    /// The page of the choice. `mine` is what was to be saved.
    pub(super) async fn page(&self, visit: &Signed, mine: &Map<String, Value>) -> Result<Response, Failure> {
        let last = audit::last_save(visit.app(), &visit.actor, self.saved).await?;
        let secret = |name: &str| {
            self.is_secret(name) || (name == "url_address" && self.theirs.get("url_path").is_some())
        };
        // Typed secrets are in the session.
        let carried = without_row_secrets(&visit.form).into_iter();
        let carried = carried.filter(|(name, _)| !NOT_CARRIED.contains(name) && !secret(name));
        let hidden = carried.map(|(name, value)| json!({ "name": name, "value": value }));
        let context = json!({
            "what": self.what,
            "address": self.address,
            "name": self.name,
            "etag": self.theirs["etag"],
            "seen_at": self.theirs["updated_at"].as_str().unwrap_or_default(),
            "password": self.password,
            "who": last.as_ref().and_then(|last| last["actor"].as_str()).unwrap_or("Someone"),
            "at": last.as_ref().map_or(&self.theirs["updated_at"], |last| &last["at"]),
            "rows": self.rows(mine, visit.form.text("seen_at"), |id| {
                let snapshot = visit.app().engine.snapshot();
                Some(snapshot.credential(id.parse().ok()?)?.name.to_string())
            }),
            "hidden": hidden.collect::<Vec<_>>(),
        });
        let named = (self.place, "Changed by someone else");
        Ok(visit.page(StatusCode::CONFLICT, "conflict.html", named, context).await)
    }

    /// Whether a field of the form is a secret, so that its value must not come back in the page.
    fn is_secret(&self, name: &str) -> bool {
        let entries = consign_core::auth::AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields);
        entries.into_iter().any(|field| field.key == name && field.is_secret())
    }

    /// The fields that differ. Of a secret only that it was replaced is told; a credential is told by its name.
    fn rows(
        &self,
        mine: &Map<String, Value>,
        seen_at: &str,
        name_of: impl Fn(&str) -> Option<String>,
    ) -> Vec<Value> {
        let mut rows = Vec::new();
        for (key, mine) in mine {
            let theirs = &self.theirs[key.as_str()];
            let parts = mine.as_object().into_iter().flatten();
            let parts: Vec<_> = parts
                .map(|(part, mine)| (format!("{key}.{part}"), &theirs[part.as_str()], mine))
                .filter(|(key, ..)| self.field(key).is_some())
                .collect();
            if parts.is_empty() {
                rows.extend(self.row(key, theirs, mine, &name_of));
            }
            for (key, theirs, mine) in parts {
                rows.extend(self.row(&key, theirs, mine, &name_of));
            }
        }
        let secrets =
            self.theirs.as_object().into_iter().flatten().filter(|(_, value)| value.get("set").is_some());
        for (key, theirs) in secrets {
            let replaced = theirs["updated_at"].as_str().is_some_and(|at| at > seen_at);
            let typed = mine.get(key).is_some_and(Value::is_string);
            if replaced || typed {
                let word = |it: bool| if it { "replaced" } else { "–" };
                rows.push(json!({ "field": self.label(key), "theirs": word(replaced), "mine": word(typed) }));
            }
        }
        rows
    }

    /// A field, where both differ in it.
    fn row(
        &self,
        key: &str,
        theirs: &Value,
        mine: &Value,
        name_of: impl Fn(&str) -> Option<String>,
    ) -> Option<Value> {
        if self.is_secret(key) || theirs.get("set").is_some() {
            return None;
        }
        let in_mine = compared(mine);
        // Among many a credential is chosen by its name.
        let is_named = key == "credential" && theirs["name"] == in_mine.as_str();
        if is_named
            || compared(theirs) == in_mine
            || (key == "url_address" && self.theirs.get("url_path").is_some())
        {
            return None;
        }
        let mine =
            if key == "credential" { name_of(&in_mine).unwrap_or(in_mine) } else { self.words(key, mine) };
        Some(json!({ "field": self.label(key), "theirs": self.words(key, theirs), "mine": mine }))
    }

    /// The field of the form with this key.
    fn field(&self, key: &str) -> Option<&Value> {
        found(&self.fields, key)
    }

    /// What a field is called in the form; what is in no form now by its key.
    fn label(&self, key: &str) -> String {
        let shown = self.field(key).and_then(|field| field["label"].as_str());
        shown.map_or_else(|| label(key), str::to_owned)
    }

    /// A value as the form says it: a choice by its words.
    fn words(&self, key: &str, value: &Value) -> String {
        match value {
            Value::String(text) => {
                let choices = self.field(key).and_then(|field| field["options"].as_array());
                let choice = choices.into_iter().flatten().find(|choice| choice["value"] == *text);
                let label = choice.and_then(|choice| choice["label"].as_str());
                label.unwrap_or(text).to_owned()
            }
            Value::Array(all) => all.iter().map(|one| self.words(key, one)).collect::<Vec<_>>().join(", "),
            _ => words(value),
        }
    }
}

/// Fields that are told by their labels alone.
pub(super) fn labelled(labels: &[(&str, &str)]) -> Value {
    labels.iter().map(|(key, label)| json!({ "key": key, "label": label })).collect()
}

/// A field among those of a form, however deep it lies.
fn found<'a>(fields: &'a Value, key: &str) -> Option<&'a Value> {
    match fields {
        Value::Object(field) if fields["key"] == key && field.contains_key("label") => Some(fields),
        Value::Object(parts) => parts.values().find_map(|part| found(part, key)),
        Value::Array(parts) => parts.iter().find_map(|part| found(part, key)),
        _ => None,
    }
}

/// What a value is compared by: a form sends the id alone of what is stored with its name.
fn compared(value: &Value) -> String {
    if let Some(all) = value.as_array() {
        return all.iter().map(compared).collect::<Vec<_>>().join(", ");
    }
    value.get("id").and_then(Value::as_str).map_or_else(|| words(value), str::to_owned)
}

/// A value as a person reads it.
fn words(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => if *flag { "on" } else { "off" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(rows) => rows.iter().map(words).collect::<Vec<_>>().join(", "),
        // A row: its value is shown when it is said to be no secret.
        Value::Object(row) if row.contains_key("name") => {
            let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
            if row.get("secret") == Some(&Value::Bool(false)) {
                format!("{}={}", text("name"), text("value"))
            } else {
                text("name").to_owned()
            }
        }
        Value::Object(shown) => match shown.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => shown
                .iter()
                .map(|(key, value)| format!("{key}={}", words(value)))
                .collect::<Vec<_>>()
                .join(", "),
        },
    }
}

/// "url_address" as "Url address": near enough to the label to find the field.
fn label(key: &str) -> String {
    let fields = consign_core::auth::AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields);
    if let Some(field) = fields.into_iter().find(|field| field.key == key) {
        return field.label.to_owned();
    }
    let text = key.replace('_', " ").replacen("url", "URL", 1);
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}

#[cfg(test)]
mod tests;
