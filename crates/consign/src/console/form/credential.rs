//! The form of a credential. Its fields come from the catalogue of authorization types; nothing here names a
//! type, except for a warning that is about bytes on the wire.

use std::collections::BTreeMap;

use consign_core::auth::{self, AUTHORIZATION_TYPES, AuthorizationType};
use consign_core::catalog::{Field, Invalid, Protocol, in_sentence};
use consign_core::target::cut_to_origin;
use serde_json::{Map, Value, json};

use super::{Form, Kept, field, message_at, saved, with};

/// Rows that are there to be filled in; the script takes them away.
const BLANK_ROWS: usize = 3;
/// In front of the id of a row that is stored; the name of its header follows.
const STORED: &str = "stored:";

/// A credential as it stands in the form. Secrets are not in it.
#[derive(Debug, Default)]
pub(in crate::console) struct CredentialForm {
    texts: BTreeMap<&'static str, String>,
    /// Plain fields of all types, so that a changed mind loses nothing.
    plain: BTreeMap<&'static str, String>,
    rows: Vec<Row>,
    /// What was repaired while reading, by field.
    notes: Vec<(&'static str, String)>,
}

/// A custom header as it stands in the form.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    id: String,
    name: String,
    sent_with: String,
}

/// The fields of every credential but the address.
const TEXTS: &[&str] =
    &["name", "protocol", "authorization_type", "ends_on", "labels", "max_concurrency", "max_per_second"];

fn type_of(kind: &str) -> Option<&'static AuthorizationType> {
    auth::find(kind)
}

fn all_fields() -> impl Iterator<Item = &'static Field> {
    AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields)
}

impl CredentialForm {
    /// A new credential.
    pub(in crate::console) fn empty() -> Self {
        let texts = [("protocol", Protocol::Https.kind().to_owned())].into_iter().collect();
        Self { texts, ..Self::default() }
    }

    /// A stored credential.
    pub(in crate::console) fn stored(credential: &Value) -> Self {
        let text = |key: &str| match &credential[key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let mut texts: BTreeMap<_, _> = TEXTS.iter().map(|key| (*key, text(key))).collect();
        texts.insert("url_address", text("url_address"));
        let labels = credential["labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        texts.insert("labels", labels.collect::<Vec<_>>().join("\n"));
        let plain = all_fields().filter(|field| !field.is_secret() && credential[field.key].is_string());
        let rows = credential["custom_headers"].as_array().into_iter().flatten().map(|header| {
            let name = header["name"].as_str().unwrap_or_default().to_owned();
            let sent_with = header["sent_with"].as_str().unwrap_or_default().to_owned();
            Row { id: format!("{STORED}{name}"), name, sent_with }
        });
        Self {
            texts,
            plain: plain.map(|field| (field.key, text(field.key))).collect(),
            rows: rows.collect(),
            notes: Vec::new(),
        }
    }

    /// What was typed; secrets go into `kept`.
    pub(in crate::console) fn typed(form: &Form, kept: &mut Kept) -> Self {
        let mut texts: BTreeMap<_, _> = TEXTS.iter().map(|key| (*key, form.lines(key))).collect();
        let plain = all_fields().filter(|field| !field.is_secret() && form.has(field.key));
        let plain = plain.map(|field| (field.key, form.text(field.key).to_owned())).collect();
        for field in all_fields().filter(|field| field.is_secret()) {
            kept.put(field.key, form.text(field.key));
        }
        let rows = rows(form, kept);
        let entry = type_of(form.text("authorization_type"));
        let mut notes = Vec::new();
        texts.insert("url_address", address(form, entry, kept, &mut notes));
        let row_keys: Vec<_> = rows.iter().map(|row| secret_key(&row.id)).collect();
        kept.retain(|key| {
            let of_type = entry.is_some_and(|entry| entry.fields.iter().any(|field| field.key == key));
            let address = key == "url_address" && entry.is_some_and(|entry| entry.address_is_secret);
            of_type || address || row_keys.iter().any(|row| row == key)
        });
        Self { texts, plain, rows, notes }
    }

    fn text(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    fn entry(&self) -> Option<&'static AuthorizationType> {
        type_of(self.text("authorization_type"))
    }

    /// The body of a request to the API that says the same.
    pub(in crate::console) fn sent(&self, kept: &Kept, current: Option<&Value>) -> Map<String, Value> {
        let mut sent = Map::new();
        for key in TEXTS.iter().filter(|key| **key != "labels") {
            sent.insert((*key).to_owned(), json!(self.text(key)));
        }
        sent.insert("labels".to_owned(), labels(self.text("labels")));
        let secret_address = self.entry().is_some_and(|entry| entry.address_is_secret);
        let address = if secret_address {
            // Left empty, the stored one stays.
            let stored = current.and_then(|current| current["url_address"].as_str()).unwrap_or_default();
            kept.text("url_address").unwrap_or(stored)
        } else {
            self.text("url_address")
        };
        sent.insert("url_address".to_owned(), json!(address));
        for field in self.entry().iter().flat_map(|entry| entry.fields) {
            let value = if field.is_secret() {
                kept.text(field.key)
            } else {
                self.plain.get(field.key).map(String::as_str)
            };
            if let Some(value) = value {
                sent.insert(field.key.to_owned(), json!(value));
            }
        }
        sent.insert("custom_headers".to_owned(), self.rows.iter().map(|row| row.sent(kept)).collect());
        sent
    }

    /// What is worth saying, and no error: by field.
    pub(in crate::console) fn warnings(&self, kept: &Kept) -> Vec<(&str, String)> {
        let mut warnings: Vec<_> = self.notes.iter().map(|(key, note)| (*key, note.clone())).collect();
        let Some(entry) = self.entry() else { return warnings };
        for field in entry.fields.iter().filter(|field| field.is_secret()) {
            let typed = kept.text(field.key).unwrap_or_default();
            if typed.trim() != typed {
                let label = in_sentence(field.label);
                let sentence =
                    format!("The {label} starts or ends with a space. Keep it only if that is right.");
                warnings.push((field.key, sentence));
            }
        }
        if entry.kind == "basic" {
            let plain = self.plain.iter().map(|(key, text)| (*key, text.as_str()));
            let typed = plain.chain(kept.iter().map(|(key, secret)| (key, secret.expose())));
            let of_type = |key: &str| entry.fields.iter().find(|field| field.key == key);
            let other = typed.filter(|(_, text)| !text.is_ascii()).find_map(|(key, _)| of_type(key));
            let sentence = "Sent as UTF-8. Some tools expect another encoding.";
            warnings.extend(other.map(|field| (field.key, sentence.to_owned())));
        }
        warnings
    }

    /// The fields for the template. `refresh` is where the page asks for other fields.
    pub(in crate::console) fn fields(
        &self,
        kept: &Kept,
        current: Option<&Value>,
        invalid: &[Invalid],
        refresh: &str,
    ) -> Value {
        let warnings = self.warnings(kept);
        let warn = |key: &str| {
            warnings.iter().find(|(other, _)| *other == key).map_or("", |(_, text)| text.as_str())
        };
        let text = |key: &str, label: &str, hint: &str| {
            with(field(key, label, hint, self.text(key), invalid), json!({ "warning": warn(key) }))
        };
        let optional = |key, label, hint| with(text(key, label, hint), json!({ "optional": true }));
        let changes = "The fields below change with your choice.";
        let protocols: Vec<_> = Protocol::ALL
            .iter()
            .map(|protocol| json!({ "value": protocol.kind(), "label": protocol.label() }))
            .collect();
        let types: Vec<_> = AUTHORIZATION_TYPES
            .iter()
            .map(|entry| json!({ "value": entry.kind, "label": entry.label }))
            .collect();
        let of_type = self.entry().map(|entry| self.type_fields(entry, kept, current, invalid, &warnings));
        let more = ["ends_on", "labels", "max_concurrency", "max_per_second"];
        let recognise = "Something you will recognise in a list, such as the tool and the environment.";
        let account = "Some tools allow one request at a time for an account.";
        let ends = "If the tool gave the password, token or secret an end date, the list says so \
                    from 30 days before.";
        let filled = |key: &&str| !message_at(invalid, key).is_empty() || !self.text(key).is_empty();
        json!({
            "name": text("name", "Name", recognise),
            "protocol": with(text("protocol", "Protocol", changes), json!({ "options": protocols })),
            "url_address": self.address_field(kept, current, invalid, warn("url_address")),
            "authorization_type": with(text("authorization_type", "Authorization type", changes), json!({
                "options": types,
                "choose": "Select an authorization type",
                "refresh": { "url": refresh, "target": "tool" },
            })),
            "of_type": of_type.unwrap_or_default(),
            "others": self.others(),
            "custom_headers": self.header_rows(kept, current, invalid),
            "ends_on": with(optional("ends_on", "Ends on", ends), json!({ "type": "date" })),
            "max_concurrency": optional("max_concurrency", "At most N at a time", account),
            "max_per_second": optional("max_per_second", "At most N per second", ""),
            "labels": with(optional("labels", "Labels", "key=value, one per line."), json!({ "mono": true })),
            "more_open": more.iter().any(filled),
        })
    }

    fn address_field(
        &self,
        kept: &Kept,
        current: Option<&Value>,
        invalid: &[Invalid],
        warning: &str,
    ) -> Value {
        if !self.entry().is_some_and(|entry| entry.address_is_secret) {
            let hint = "The start of the address only, up to the first slash after the host. \
                        The rest belongs in the webhook.";
            let plain = field("url_address", "URL address", hint, self.text("url_address"), invalid);
            return with(
                plain,
                json!({ "placeholder": "https://host:port/", "mono": true, "warning": warning }),
            );
        }
        let hint = "The whole address the tool gave you. Anyone who has this address can post to it. \
                    We hide everything after the host.";
        let stored = current.filter(|current| current["url_path"]["set"] == json!(true));
        let preview =
            stored.map(|current| format!("{}•••", current["url_address"].as_str().unwrap_or_default()));
        with(
            field("url_address", "URL address", hint, "", invalid),
            json!({
                "secret": true,
                "set": stored.map_or(Value::Null, |current| saved(&current["url_path"])),
                "entered": kept.has("url_address"),
                "preview": preview,
                "warning": warning,
            }),
        )
    }

    fn type_fields(
        &self,
        entry: &'static AuthorizationType,
        kept: &Kept,
        current: Option<&Value>,
        invalid: &[Invalid],
        warnings: &[(&str, String)],
    ) -> Value {
        // Secrets of another type are not those of this one, even under the same key.
        let stored = current.filter(|current| current["authorization_type"] == entry.kind);
        let fields = entry.fields.iter().map(|of| {
            let value = self.plain.get(of.key).map_or(Value::Null, |text| json!(text));
            let warning = warnings.iter().find(|(key, _)| *key == of.key).map(|(_, text)| text.as_str());
            with(
                field(of.key, of.label, of.hint, value, invalid),
                json!({
                    "secret": of.is_secret(),
                    "mono": false,
                    "optional": of.missing.is_none(),
                    "prefill": of.prefill,
                    "warning": warning.unwrap_or_default(),
                    "set": stored.map_or(Value::Null, |stored| saved(&stored[of.key])),
                    "entered": kept.has(of.key),
                    "preview": if of.is_secret() { self.preview(entry) } else { Value::Null },
                }),
            )
        });
        Value::Array(fields.collect())
    }

    /// The header that a prefix and a secret make together. The dots are a fixed text, not a length.
    fn preview(&self, entry: &AuthorizationType) -> Value {
        let Some(prefix) = entry.fields.iter().find(|field| field.key == "header_prefix") else {
            return Value::Null;
        };
        let typed = self.plain.get(prefix.key).map_or(prefix.prefill, String::as_str);
        let separator = if typed.is_empty() || typed.ends_with('=') { "" } else { " " };
        json!(format!("Authorization: {typed}{separator}••••••"))
    }

    /// What was typed for other types: it comes back when the choice does.
    fn others(&self) -> Value {
        let shown =
            |key: &str| self.entry().is_some_and(|entry| entry.fields.iter().any(|field| field.key == key));
        let others = self.plain.iter().filter(|(key, text)| !text.is_empty() && !shown(key));
        Value::Array(others.map(|(key, text)| json!({ "name": key, "value": text })).collect())
    }

    fn header_rows(&self, kept: &Kept, current: Option<&Value>, invalid: &[Invalid]) -> Value {
        let rows = self.rows.iter().enumerate().map(|(index, row)| {
            let at = |part: &str| message_at(invalid, &format!("custom_headers/{index}/{part}"));
            let underscore = row.name.contains('_');
            json!({
                "id": row.id,
                "name": row.name,
                "set": row.saved(current),
                "entered": kept.has(&secret_key(&row.id)),
                "sent_with": row.sent_with,
                "name_error": at("name"),
                "value_error": at("value"),
                "warning": if underscore { "Some proxies drop header names with an underscore." } else { "" },
            })
        });
        let rows: Vec<_> = rows.chain((0..BLANK_ROWS).map(|_| json!({}))).collect();
        let labelled = field("custom_headers", "Headers added to each request", "", Value::Null, invalid);
        with(labelled, json!({ "optional": true, "rows": rows }))
    }
}

impl Row {
    fn sent(&self, kept: &Kept) -> Value {
        let mut sent = json!({ "name": self.name });
        if !self.sent_with.is_empty() {
            sent["sent_with"] = json!(self.sent_with);
        }
        if let Some(value) = kept.text(&secret_key(&self.id)) {
            sent["value"] = json!(value);
        } else if self.id.starts_with(STORED) {
            sent["value"] = json!({ "set": true });
        }
        sent
    }

    fn saved(&self, current: Option<&Value>) -> Value {
        let Some(name) = self.id.strip_prefix(STORED) else { return Value::Null };
        let headers = current.and_then(|current| current["custom_headers"].as_array()).into_iter().flatten();
        let stored = headers.into_iter().find(|header| header["name"] == name);
        stored.map_or(Value::Null, |stored| saved(&stored["value"]))
    }
}

/// The key under which the typed value of a row is kept.
fn secret_key(id: &str) -> String {
    format!("custom_headers/{id}")
}

/// The rows that hold something. A row that came without an id gets one, so that its value can be kept.
fn rows(form: &Form, kept: &mut Kept) -> Vec<Row> {
    let (ids, names) = (form.all("custom_header_id"), form.all("custom_header_name"));
    let (values, sent_with) = (form.all("custom_header_value"), form.all("custom_header_sent_with"));
    let removed: Option<usize> = form.text("remove_custom_header").parse().ok();
    let mut rows = Vec::new();
    for (index, name) in names.iter().enumerate().filter(|(index, _)| Some(*index) != removed) {
        let at = |list: &[&str]| list.get(index).copied().unwrap_or_default().to_owned();
        let (mut id, value) = (at(&ids), at(&values));
        if id.is_empty() && name.is_empty() && value.is_empty() {
            continue;
        }
        if id.is_empty() {
            let free =
                |id: &String| !ids.contains(&id.as_str()) && rows.iter().all(|row: &Row| row.id != *id);
            id = (1..).map(|number| format!("new:{number}")).find(free).unwrap_or_default();
        }
        kept.put(&secret_key(&id), &value);
        rows.push(Row { id, name: (*name).to_owned(), sent_with: at(&sent_with) });
    }
    rows
}

/// The address as typed. Spaces around it go, and a full address is cut to its start; both are said.
fn address(
    form: &Form,
    entry: Option<&'static AuthorizationType>,
    kept: &mut Kept,
    notes: &mut Vec<(&'static str, String)>,
) -> String {
    const KEY: &str = "url_address";
    let typed = form.text(KEY);
    let trimmed = typed.trim();
    if trimmed != typed && !trimmed.is_empty() {
        notes.push((KEY, "We removed the spaces around the address.".to_owned()));
    }
    let Some(entry) = entry else { return trimmed.to_owned() };
    if entry.address_is_secret {
        kept.put(KEY, trimmed);
        return String::new();
    }
    let typed = if trimmed.is_empty() { kept.text(KEY).unwrap_or_default() } else { trimmed };
    let Some((origin, rest)) = cut_to_origin(typed) else { return typed.to_owned() };
    if !trimmed.is_empty() {
        notes.push((KEY, format!("We kept {origin}. You will need {rest} in the webhook.")));
    }
    origin
}

/// Lines of `key=value` as an object; a line without `=` has no value, which the rule of labels names.
fn labels(text: &str) -> Value {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pairs = lines.map(|line| match line.split_once('=') {
        Some((key, value)) => (key.trim().to_owned(), json!(value.trim())),
        None => (line.to_owned(), Value::Null),
    });
    Value::Object(pairs.collect())
}

#[cfg(test)]
mod tests;
