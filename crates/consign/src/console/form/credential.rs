//! The form of a credential. Its fields come from the catalogue of authorization types; nothing here names a type.

use std::collections::BTreeMap;

use consign_core::auth::{self, AUTHORIZATION_TYPES, AuthorizationType};
use consign_core::catalog::{Field, Fields, Input, Invalid, Protocol, Tokens, in_sentence};
use consign_core::client_certificate;
use consign_core::credential::{PASSPHRASE, key_pairs};
use consign_core::pin;
use consign_core::secret::Secret;
use serde_json::{Map, Value, json};

use super::key_pair;
use super::rows::{CUSTOM_HEADERS, Row, RowKind};
use super::start::{self, Start};
use super::{Form, Kept, field, message_at, mixed_pem, saved, sftp, with};

mod address;

/// More choices than that are a drop-down.
const RADIOS_MAX: usize = 3;

/// A credential as it stands in the form. Secrets are not in it.
#[derive(Debug, Default)]
pub(in crate::console) struct CredentialForm {
    pub(super) texts: BTreeMap<&'static str, String>,
    /// Plain fields of all types, so that a changed mind loses nothing.
    pub(super) plain: BTreeMap<&'static str, String>,
    /// The rows of all types, and the custom headers, by field.
    pub(super) rows: BTreeMap<&'static str, Vec<Row>>,
    /// What was repaired while reading, by field.
    notes: Vec<(&'static str, String)>,
    /// The path that was cut off an address, to be put into a webhook.
    cut: Option<String>,
    pub(super) start: Start,
}

/// What opens a private key while it is read.
const PASSPHRASES: [&str; 2] = [PASSPHRASE, client_certificate::PASSPHRASE];

/// The fields of every credential but the address.
const TEXTS: &[&str] = &[
    "name",
    "protocol",
    "authorization_type",
    "test_path",
    "ends_on",
    "labels",
    "max_concurrency",
    "max_per_second",
];

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
        texts.insert("hostname", text("hostname"));
        let pins = credential[pin::FIELD].as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.insert(pin::FIELD, pins.collect::<Vec<_>>().join("\n"));
        let labels = credential["labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        texts.insert("labels", labels.collect::<Vec<_>>().join("\n"));
        let plain = all_fields().filter(|field| !field.is_secret() && credential[field.key].is_string());
        let rows = RowKind::all().into_iter().map(|kind| (kind.key, kind.stored(credential)));
        Self {
            texts,
            plain: plain.map(|field| (field.key, text(field.key))).collect(),
            rows: rows.collect(),
            ..Self::default()
        }
    }

    /// What was typed; secrets go into `kept`.
    pub(in crate::console) fn typed(form: &Form, kept: &mut Kept) -> Self {
        let keys = TEXTS.iter().chain(&sftp::TEXTS);
        let mut texts: BTreeMap<_, _> = keys.map(|key| (*key, form.lines(key))).collect();
        // A choice of the other protocol is none.
        let protocol = texts["protocol"].clone();
        let fits = |entry: &&AuthorizationType| protocol.is_empty() || entry.protocol.kind() == protocol;
        let of_protocol = |kind: &str| type_of(kind).filter(fits);
        let entry = of_protocol(form.text("authorization_type"));
        if entry.is_none() {
            texts.insert("authorization_type", String::new());
        }
        let plain = all_fields().filter(|field| !field.is_secret() && form.has(field.key));
        let mut plain: BTreeMap<_, _> = plain.map(|field| (field.key, form.lines(field.key))).collect();
        let mut notes = Vec::new();
        let keys = keys_among_certificates(&mut plain, &mut notes);
        plain.extend(offered(form));
        plain.extend(key_pair::typed(form));
        for field in all_fields().filter(|field| field.is_secret()) {
            kept.put(field.key, &form.lines(field.key));
        }
        for (field, key) in keys.iter().filter(|(field, _)| form.text(field).is_empty()) {
            kept.put(field, key.expose());
        }
        for passphrase in PASSPHRASES {
            kept.put(passphrase, form.text(passphrase));
        }
        let kinds = RowKind::all();
        let rows: BTreeMap<_, _> = kinds.iter().map(|kind| (kind.key, kind.typed(form, kept))).collect();
        let (address, cut) = address::typed(form, entry, kept, &mut notes);
        texts.insert("url_address", address);
        let asked = kinds.iter().filter(|kind| {
            kind.key == CUSTOM_HEADERS
                || entry.is_some_and(|entry| entry.fields.iter().any(|field| field.key == kind.key))
        });
        let row_keys: Vec<_> = asked
            .flat_map(|kind| rows[kind.key].iter().filter(|row| row.secret).map(|row| kind.kept_key(row)))
            .collect();
        kept.retain(|key| {
            let of_type = entry.is_some_and(|entry| {
                entry.fields.iter().any(|field| field.key == key)
                    || key == PASSPHRASE && key_pairs::fields(entry).is_some()
                    || key == client_certificate::PASSPHRASE && entry.protocol == Protocol::Https
            });
            let address = key == "url_address" && entry.is_some_and(|entry| entry.address_is_secret);
            of_type || address || row_keys.iter().any(|row| row == key)
        });
        let mut typed = Self { texts, plain, rows, notes, cut, start: Start::typed(form) };
        typed.follow();
        typed
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    pub(super) fn entry(&self) -> Option<&'static AuthorizationType> {
        type_of(self.text("authorization_type"))
    }

    /// The fields of the chosen type that its choices ask for.
    pub(super) fn asked(&self) -> Vec<&'static Field> {
        let Some(entry) = self.entry() else { return Vec::new() };
        let choices = entry.fields.iter().map(|field| (field.key.to_owned(), self.plain_or_prefill(field)));
        let choices = Fields { plain: choices.collect(), ..Fields::default() };
        entry.fields.iter().filter(|field| field.is_asked(&choices)).collect()
    }

    fn rows_of(&self, key: &str) -> &[Row] {
        self.rows.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether a person has to grant access to a credential of the chosen type.
    pub(in crate::console) fn is_granted(&self) -> bool {
        self.entry().is_some_and(|entry| entry.tokens == Tokens::Granted)
    }

    /// The chosen type as the page calls it.
    pub(in crate::console) fn type_label(&self) -> &'static str {
        self.entry().map_or("", |entry| entry.label)
    }

    /// The body of a request to the API that says the same.
    pub(in crate::console) fn sent(&self, kept: &Kept, current: Option<&Value>) -> Map<String, Value> {
        let mut sent = Map::new();
        for key in TEXTS.iter().filter(|key| **key != "labels") {
            sent.insert((*key).to_owned(), json!(self.text(key)));
        }
        sent.insert("labels".to_owned(), labels(self.text("labels")));
        if self.is_sftp() {
            self.sent_sftp(&mut sent);
        } else {
            sent.insert("url_address".to_owned(), json!(self.address(kept, current)));
        }
        let of_type = self.stored_of_type(current);
        for field in self.asked() {
            if let Input::Certificate(key) = field.input {
                sent.extend(key_pair::sent(&self.plain, kept, of_type, (field.key, key)));
                continue;
            }
            if field.input == Input::CertificateKey {
                continue;
            }
            if field.input == Input::ClientKey {
                let passphrase = kept.text(client_certificate::PASSPHRASE);
                let passphrase =
                    passphrase.map(|text| (client_certificate::PASSPHRASE.to_owned(), json!(text)));
                sent.extend(passphrase);
            }
            if let Some(kind) = RowKind::of(field) {
                let rows = kind.sent(self.rows_of(field.key), kept, of_type, true);
                sent.insert(field.key.to_owned(), rows);
                continue;
            }
            let value = if field.is_secret() {
                kept.text(field.key)
            } else {
                self.plain.get(field.key).map(String::as_str)
            };
            if let Some(value) = value {
                sent.insert(field.key.to_owned(), json!(value));
            }
        }
        if self.is_sftp() {
            return sent;
        }
        let with_tokens = self.entry().is_some_and(|entry| entry.tokens != Tokens::None);
        let headers =
            RowKind::custom_headers().sent(self.rows_of(CUSTOM_HEADERS), kept, current, with_tokens);
        sent.insert(CUSTOM_HEADERS.to_owned(), headers);
        sent
    }

    /// The stored credential, if it is of the chosen type: secrets of another one are not those of this one, even
    /// under the same key.
    fn stored_of_type<'a>(&self, current: Option<&'a Value>) -> Option<&'a Value> {
        current.filter(|current| current["authorization_type"] == self.text("authorization_type"))
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
        let known = |key: &str| entry.fields.iter().any(|field| field.key == key);
        let typed = Fields {
            plain: entry
                .fields
                .iter()
                .filter(|field| !field.is_secret())
                .map(|field| (field.key.to_owned(), self.plain_or_prefill(field)))
                .collect(),
            secrets: kept
                .iter()
                .filter(|(key, _)| known(key))
                .map(|(key, secret)| (key.to_owned(), Secret::new(secret.expose().to_owned())))
                .collect(),
        };
        warnings.extend((entry.warn)(&typed).into_iter().map(|warning| (warning.field, warning.message)));
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
        let warn = |key: &str| joined(&warnings, key);
        let text = |key: &str, label: &str, hint: &str| {
            with(field(key, label, hint, self.text(key), invalid), json!({ "warning": warn(key) }))
        };
        let optional = |key, label, hint| with(text(key, label, hint), json!({ "optional": true }));
        let changes = super::choices::CHANGES;
        let protocols: Vec<_> = Protocol::ALL
            .iter()
            .map(|protocol| json!({ "value": protocol.kind(), "label": protocol.label() }))
            .collect();
        let of_protocol = |entry: &&&AuthorizationType| (entry.protocol == Protocol::Sftp) == self.is_sftp();
        let types: Vec<_> = AUTHORIZATION_TYPES
            .iter()
            .filter(of_protocol)
            .map(|entry| json!({ "value": entry.kind, "label": entry.label }))
            .collect();
        let of_type =
            self.entry().map(|entry| self.type_fields(entry, kept, current, (invalid, &warnings), refresh));
        let more = ["test_path", "ends_on", "labels", "max_concurrency", "max_per_second"];
        let recognise = "Something you will recognise in a list, such as the tool and the environment.";
        let account = "Some tools allow one request at a time for an account.";
        let ends = "If the tool gave the password, token or secret an end date, \
                    we remind you 30, 14, 7 and 1 days before.";
        let harmless = "A path that needs sign-in and changes nothing.";
        let example = "Example: /api/now/table/sys_user?sysparm_limit=1";
        let harmless = match self.preset() {
            _ if self.is_sftp() => "A folder that a test looks into. Example: /inbox".to_owned(),
            Some(_) => harmless.to_owned(),
            None => format!("{harmless} {example}"),
        };
        let filled = |key: &&str| !message_at(invalid, key).is_empty() || !self.text(key).is_empty();
        let test_path = self.start.hint("test_path", &harmless, self.text("test_path"));
        let of_type_hint = self.type_hint(changes);
        json!({
            "name": text("name", "Name", recognise),
            "protocol": with(text("protocol", "Protocol", changes), json!({
                "options": protocols,
                "refresh": { "url": refresh, "target": start::PARTS },
            })),
            "sftp": if self.is_sftp() { self.sftp_fields(invalid) } else { Value::Null },
            "start_from": if current.is_none() && !self.is_sftp() { self.start_field(refresh) } else { Value::Null },
            "url_address": self.address_field(kept, current, invalid, &warn("url_address")),
            "authorization_type": with(text("authorization_type", if self.is_sftp() { "Authorization" } else { "Authorization type" }, &of_type_hint), json!({
                "options": types,
                "choose": "Select an authorization type",
                "refresh": { "url": refresh, "target": if current.is_none() { start::PARTS } else { "tool" } },
            })),
            "of_type": of_type.unwrap_or_default(),
            "others": self.others(),
            "tokens": self.entry().is_some_and(|entry| entry.tokens != Tokens::None),
            "granted": self.is_granted(),
            "custom_headers": with(
                field(CUSTOM_HEADERS, "Headers added to each request", "", Value::Null, invalid),
                with(
                    RowKind::custom_headers().fields(
                        self.rows_of(CUSTOM_HEADERS),
                        kept,
                        current,
                        invalid,
                        self.start.headers(),
                    ),
                    json!({ "optional": true }),
                ),
            ),
            "test_path": with(optional("test_path", "Test path", &test_path), json!({ "mono": true })),
            "ends_on": with(optional("ends_on", "Ends on", ends), json!({ "type": "date" })),
            "max_concurrency": optional("max_concurrency", "At most N at a time", account),
            "max_per_second": optional("max_per_second", "At most N per second", ""),
            "labels": with(optional("labels", "Labels", "key=value, one per line."), json!({ "mono": true })),
            "more_open": more.iter().any(filled),
        })
    }

    fn type_fields(
        &self,
        entry: &'static AuthorizationType,
        kept: &Kept,
        current: Option<&Value>,
        (invalid, warnings): (&[Invalid], &[(&str, String)]),
        refresh: &str,
    ) -> Value {
        // Secrets are saved for the host keys they were saved with.
        let stored = self.stored_of_type(current).filter(|_| !self.has_other_pins(current));
        let decides =
            |of: &Field| entry.fields.iter().any(|other| other.when.is_some_and(|when| when.field == of.key));
        let shown = self.asked().into_iter().filter(|of| of.input != Input::CertificateKey);
        let fields = shown.map(|of| {
            let typed = self.plain.get(of.key).map(String::as_str);
            let is_usual = self.start.is_usual(of.key, typed.unwrap_or_default());
            let hint = self.start.hint(of.key, of.hint, typed.unwrap_or_default());
            let parts = json!({
                "input": input(of),
                "optional": of.missing.is_none(),
                "prefill": of.prefill,
                "under": of.under,
                "changed": of.under.is_some() && self.is_changed(of, kept, invalid),
                "warning": if is_usual { String::new() } else { joined(warnings, of.key) },
            });
            let own = match of.input {
                Input::Text => json!({ "mono": false }),
                Input::Suggested(choices) => {
                    let options = choices.iter().map(|one| json!({ "value": one.kind, "label": one.label }));
                    json!({ "suggestions": options.collect::<Vec<_>>() })
                }
                Input::Certificate(key) => key_pair::fields(&self.plain, kept, stored, invalid, key),
                Input::CertificateKey => Value::Null,
                Input::ClientCertificate => json!({
                    "mono": true,
                    "details": stored.map_or(Value::Null, |stored| stored["client_certificate_details"].clone()),
                }),
                Input::ClientKey => json!({
                    "set": stored.map_or(Value::Null, |stored| saved(&stored[of.key])),
                    "entered": kept.has(of.key),
                    "passphrase": with(
                        field(
                            client_certificate::PASSPHRASE,
                            "Client certificate key passphrase",
                            "Only if the key has one. It is not kept.",
                            "",
                            invalid,
                        ),
                        json!({
                            // One that was refused would be refused again.
                            "entered": kept.has(client_certificate::PASSPHRASE)
                                && message_at(invalid, client_certificate::PASSPHRASE).is_empty(),
                            "optional": true,
                            "autocomplete": "off",
                        }),
                    ),
                }),
                Input::Address => {
                    json!({ "mono": true, "follows": typed.and_then(|typed| self.start.follows(typed)) })
                }
                Input::Secret | Input::PrivateKey(_) => json!({
                    "set": stored.map_or(Value::Null, |stored| saved(&stored[of.key])),
                    "entered": kept.has(of.key),
                    "preview": self.preview(entry),
                }),
                Input::Choice(choices) => {
                    let options = choices.iter().map(|one| json!({ "value": one.kind, "label": one.label }));
                    let refresh = decides(of).then(|| json!({ "url": refresh, "target": "tool" }));
                    json!({ "options": options.collect::<Vec<_>>(), "inline": true, "refresh": refresh })
                }
                Input::Rows(_) => RowKind::of(of).map_or(Value::Null, |kind| {
                    kind.fields(self.rows_of(of.key), kept, stored, invalid, &[])
                }),
            };
            with(with(field(of.key, of.label, &hint, typed, invalid), parts), own)
        });
        Value::Array(fields.collect())
    }

    /// Whether a field under a heading holds something that should be seen.
    fn is_changed(&self, of: &Field, kept: &Kept, invalid: &[Invalid]) -> bool {
        let typed = self.plain.get(of.key).map_or("", String::as_str);
        let rows = !self.rows_of(of.key).is_empty();
        !message_at(invalid, of.key).is_empty()
            || rows
            || kept.has(of.key)
            || !typed.is_empty() && typed != of.prefill
    }

    fn plain_or_prefill(&self, field: &Field) -> String {
        self.plain.get(field.key).map_or(field.prefill, String::as_str).to_owned()
    }

    /// The header that a prefix and a secret make together. The dots are a fixed text, not a length.
    fn preview(&self, entry: &AuthorizationType) -> Value {
        let Some(prefix) = entry.fields.iter().find(|field| field.key == "header_prefix") else {
            return Value::Null;
        };
        let typed = self.plain_or_prefill(prefix);
        let separator = if typed.is_empty() || typed.ends_with('=') { "" } else { " " };
        json!(format!("Authorization: {typed}{separator}••••••"))
    }

    /// What was typed for other types: it comes back when the choice does.
    fn others(&self) -> Value {
        let asked = self.asked();
        let pair = self.entry().is_some_and(|entry| key_pairs::fields(entry).is_some());
        let shown =
            |key: &str| asked.iter().any(|field| field.key == key) || pair && key_pair::KEYS.contains(&key);
        let others = self.plain.iter().filter(|(key, text)| !text.is_empty() && !shown(key));
        let others = others.map(|(key, text)| json!({ "name": key, "value": text }));
        let rows = RowKind::all().into_iter().filter(|kind| kind.key != CUSTOM_HEADERS && !shown(kind.key));
        others.chain(rows.flat_map(|kind| kind.hidden(self.rows_of(kind.key)))).collect()
    }
}

/// The private keys that were typed among certificates, for their own fields.
fn keys_among_certificates(
    plain: &mut BTreeMap<&'static str, String>,
    notes: &mut Vec<(&'static str, String)>,
) -> Vec<(&'static str, Secret)> {
    let mut keys = Vec::new();
    for field in all_fields() {
        let own = match field.input {
            Input::Certificate(key) => key,
            Input::ClientCertificate => client_certificate::PRIVATE_KEY,
            _ => continue,
        };
        if let Some((key, sentence)) = plain.get_mut(field.key).and_then(mixed_pem::take_keys) {
            keys.push((own, key));
            notes.push((field.key, sentence.to_owned()));
        }
    }
    keys
}

/// How a field is asked for.
fn input(field: &Field) -> &'static str {
    match field.input {
        Input::Text | Input::Address | Input::Suggested(_) => "text",
        Input::Certificate(_) | Input::CertificateKey => "key_pair",
        Input::ClientCertificate => "certificate",
        Input::ClientKey => "client_key",
        Input::Secret => "secret",
        Input::PrivateKey(_) => "private_key",
        Input::Choice(choices) if choices.len() <= RADIOS_MAX => "radio",
        Input::Choice(_) => "select",
        Input::Rows(_) => "rows",
    }
}

/// All that is worth saying about a field.
fn joined(warnings: &[(&str, String)], key: &str) -> String {
    let own = warnings.iter().filter(|(other, _)| *other == key).map(|(_, text)| text.as_str());
    own.collect::<Vec<_>>().join(" ")
}

/// The choice that a test found to work, taken by its button.
fn offered(form: &Form) -> Option<(&'static str, String)> {
    let (key, value) = form.text("use_offer").split_once('=')?;
    let field = all_fields().find(|field| field.key == key)?;
    let Input::Choice(choices) = field.input else { return None };
    choices.iter().any(|choice| choice.kind == value).then(|| (field.key, value.to_owned()))
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
