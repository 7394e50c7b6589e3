//! Reading what a person or program sends for a credential: one reader for form, API and CLI.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Credential, CustomHeader, Rate, URL_PATH};
use crate::auth::{self, AUTHORIZATION_TYPES, AuthorizationType};
use crate::catalog::{Fault, Fields, Input, Invalid, Protocol, Reader, Tokens, is_mask, mask, unknown_field};
use crate::client_certificate::{CERTIFICATE_KEY, SENT_WITH_KEY};
use crate::json::merge;
use crate::name::Name;
use crate::secret::Secret;
use crate::target::{Origin, Target};
use crate::time::Timestamp;

mod client_certificate;
mod common;
mod destination;
mod headers;
mod key_pair;
mod private_key;
mod rows;
mod sftp;

pub use destination::NEEDED_AGAIN;
pub use key_pair::{KeyPairWish, NextPair, PASSPHRASE};

/// Free labels of a credential.
pub type Labels = BTreeMap<String, String>;

/// Keys that every credential takes.
const COMMON: &[&str] = &[
    "name",
    "protocol",
    "authorization_type",
    "test_path",
    "ends_on",
    "labels",
    "max_concurrency",
    "max_per_second",
];

/// Keys that every credential of a protocol takes.
const fn keys_of(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Https => &["url_address", "custom_headers"],
        Protocol::Sftp => sftp::KEYS,
    }
}

/// Keys of an answer that may come back in a request and say nothing.
const READ_ONLY: &[&str] = &[
    "id",
    "etag",
    "status",
    "last_used_at",
    "used_by_count",
    "created_at",
    "updated_at",
    "authorization_type_label",
    "managed_by",
];

/// The same, for types whose proof is a token.
const READ_ONLY_OF_TOKENS: &[&str] = &["redirect_url", "token"];

/// The same, for some types.
const READ_ONLY_OF_SOME: [&[&str]; 4] =
    [READ_ONLY_OF_TOKENS, key_pair::READ_ONLY, client_certificate::READ_ONLY, sftp::READ_ONLY];

/// How what is sent relates to what is stored.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// A new credential.
    Create,
    /// All of it anew; absent secrets are kept.
    Replace(&'a Credential),
    /// RFC 7396: absent keys stay as they are.
    Patch(&'a Credential),
}

impl<'a> Mode<'a> {
    fn current(self) -> Option<&'a Credential> {
        match self {
            Self::Create => None,
            Self::Replace(current) | Self::Patch(current) => Some(current),
        }
    }
}

/// What becomes of one secret; those not listed are destroyed.
#[derive(Debug)]
pub enum Change {
    /// The stored one stays.
    Keep,
    /// A new one was typed.
    Replace(Secret),
}

/// A credential as sent: judged, not yet sealed.
#[derive(Debug)]
pub struct Draft {
    /// The name.
    pub name: Name,
    /// Where the tool is.
    pub target: Target,
    /// What new host keys were compared with, in the words of whoever did it; empty when they did not say.
    pub compared_with: String,
    /// The chosen type.
    pub authorization_type: &'static AuthorizationType,
    /// Plain fields of the type.
    pub plain: BTreeMap<String, String>,
    /// Custom headers, in order.
    pub custom_headers: Vec<CustomHeader>,
    /// What becomes of each secret.
    pub secrets: BTreeMap<String, Change>,
    /// A key pair to be created with the save.
    pub new_key_pair: Option<KeyPairWish>,
    /// Where a test asks.
    pub test_path: Option<String>,
    /// The end date.
    pub ends_on: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Limit of simultaneous requests.
    pub max_concurrency: Option<u32>,
    /// Limit of requests a second.
    pub max_per_second: Option<Rate>,
}

/// Whether reading this, or saving it, takes a processor long: it holds a private key, or asks for one.
pub fn takes_long(sent: &Map<String, Value>) -> bool {
    key_pair::is_asked(sent) || private_key::is_typed(sent)
}

impl Draft {
    /// Whether answers about a credential, of whatever type, have a key that nobody can set.
    pub fn is_read_only(key: &str) -> bool {
        READ_ONLY.contains(&key) || READ_ONLY_OF_SOME.iter().any(|keys| keys.contains(&key))
    }

    /// Reads a credential. `sent` is the body of a request, or a form turned into one.
    ///
    /// # Errors
    /// Every value that was not accepted, with its sentence.
    pub fn parse(sent: Map<String, Value>, mode: Mode<'_>, now: Timestamp) -> Result<Self, Vec<Invalid>> {
        let reader = Reader::new(complete(sent, mode));
        let mut reading = Reading { reader, current: mode.current(), now, new_key_pair: None };
        let draft = reading.read();
        let invalid = reading.reader.into_invalid();
        match draft {
            Some(draft) if invalid.is_empty() => Ok(draft),
            _ => Err(invalid),
        }
    }
}

/// For a patch, what is not sent is taken from what is stored, secrets apart.
fn complete(mut sent: Map<String, Value>, mode: Mode<'_>) -> Map<String, Value> {
    let Mode::Patch(current) = mode else { return sent };
    let mut whole = Map::new();
    let text = |text: &str| Value::String(text.to_owned());
    whole.insert("name".to_owned(), text(current.name.as_str()));
    whole.insert("protocol".to_owned(), text(current.authorization_type.protocol.kind()));
    match &current.target {
        Target::Https(origin) => {
            whole.insert("url_address".to_owned(), text(&origin.to_string()));
            let headers = current.custom_headers.iter().map(|header| {
                serde_json::json!({ "name": header.name, "sent_with": header.sent_with.kind(), "value": { "set": true } })
            });
            whole.insert("custom_headers".to_owned(), headers.collect());
        }
        Target::Sftp(host) => whole.extend(sftp::shown(host)),
    }
    whole.insert("authorization_type".to_owned(), text(current.authorization_type.kind));
    whole.insert("test_path".to_owned(), current.test_path.as_deref().map_or(Value::Null, text));
    whole.insert("ends_on".to_owned(), current.ends_on.as_deref().map_or(Value::Null, text));
    whole.insert("labels".to_owned(), current.labels.iter().map(|(k, v)| (k.clone(), text(v))).collect());
    whole.insert("max_concurrency".to_owned(), current.max_concurrency.map_or(Value::Null, Value::from));
    let rate = current.max_per_second.map(Rate::per_second);
    whole.insert("max_per_second".to_owned(), rate.map_or(Value::Null, Value::from));
    let same_type = sent
        .get("authorization_type")
        .is_none_or(|kind| kind.as_str() == Some(current.authorization_type.kind));
    if same_type {
        let fields = current.authorization_type.fields.iter().filter_map(|field| {
            let stored = current.plain.get(field.key)?;
            let value =
                if matches!(field.input, Input::Rows(_)) { rows::shown(stored) } else { text(stored) };
            Some((field.key.to_owned(), value))
        });
        whole.extend(fields);
    } else if let Some(new) = sent.get("authorization_type").and_then(Value::as_str).and_then(auth::find) {
        // The client certificate belongs to the way there, whoever lets us in.
        let stays = |key: &str| new.fields.iter().any(|field| field.key == key);
        let kept = [CERTIFICATE_KEY, SENT_WITH_KEY].into_iter().filter(|key| stays(key));
        whole.extend(kept.filter_map(|key| Some((key.to_owned(), text(current.plain.get(key)?)))));
    }
    // RFC 7396: labels are an object and merge by key; everything else replaces, and `null` says that a secret goes.
    if let (Some(Value::Object(new)), Some(Value::Object(old))) = (sent.get("labels"), whole.get("labels")) {
        let mut merged = old.clone();
        merge(&mut merged, new.clone());
        sent.insert("labels".to_owned(), Value::Object(merged));
    }
    whole.extend(sent);
    whole
}

/// What a request says about one secret.
enum Given {
    /// Nothing, or `{ "set": true }` sent back: the stored one stays.
    Kept,
    /// `null`: remove it.
    Removed,
    /// A text.
    Typed(Secret),
    /// Neither; its fault is noted.
    Refused,
}

struct Reading<'a> {
    reader: Reader,
    current: Option<&'a Credential>,
    now: Timestamp,
    new_key_pair: Option<KeyPairWish>,
}

impl Reading<'_> {
    fn read(&mut self) -> Option<Draft> {
        let name = self.reader.text("name", "Name");
        let name = self.reader.accept("name", Name::parse(&name));
        let protocol = self.protocol();
        let authorization_type = self.authorization_type(protocol);
        let secret_address = authorization_type.is_some_and(|entry| entry.address_is_secret);
        let (target, url_path, compared_with) = if protocol == Some(Protocol::Sftp) {
            let (target, compared_with) = self.sftp_host();
            (target, None, compared_with)
        } else {
            let (origin, url_path) = self.address(secret_address);
            (origin.map(Target::Https), url_path, String::new())
        };
        let test_path = self.test_path(protocol, target.as_ref());
        let ends_on = self.ends_on();
        let labels = self.labels();
        let max_concurrency = self.max_concurrency();
        let rate = Rate::parse(&self.reader.take("max_per_second"));
        let max_per_second = self.reader.accept("max_per_second", rate).flatten();

        let mut typed = Fields::default();
        let mut secrets = BTreeMap::new();
        if let Some(entry) = authorization_type {
            self.type_fields(entry, &mut typed, &mut secrets);
            let crossed = (entry.check)(&typed);
            // A rule between two fields says more than the rule of one of them.
            self.reader.forgive(|one| crossed.iter().any(|other| other.field == one.field));
            self.reader.refuse_all(crossed);
        }
        if secret_address {
            self.url_path(url_path, &mut secrets);
        }
        let custom_headers = if protocol == Some(Protocol::Sftp) {
            Vec::new()
        } else {
            self.custom_headers(&mut typed, &mut secrets)
        };
        self.unknown(protocol, authorization_type);

        let (authorization_type, target) = (authorization_type?, target?);
        let kept: Vec<String> = secrets
            .iter()
            .filter(|(_, change)| matches!(change, Change::Keep))
            .map(|(key, _)| key.clone())
            .collect();
        self.destination(authorization_type, &target, &typed.plain, &custom_headers, &kept);
        self.keep_other_key_pairs(authorization_type, &target, &mut typed, &mut secrets);
        typed.plain.extend(self.shown(authorization_type, &typed));
        for (key, secret) in std::mem::take(&mut typed.secrets) {
            secrets.insert(key, Change::Replace(secret));
        }
        Some(Draft {
            name: name?,
            target,
            compared_with,
            authorization_type,
            plain: typed.plain,
            custom_headers,
            secrets,
            new_key_pair: self.new_key_pair,
            test_path,
            ends_on,
            labels,
            max_concurrency,
            max_per_second,
        })
    }

    fn protocol(&mut self) -> Option<Protocol> {
        let protocol = self.reader.text("protocol", "Protocol");
        let found = Protocol::find(&protocol);
        if found.is_none() {
            let known = Protocol::ALL.iter().map(|protocol| protocol.kind()).collect::<Vec<_>>().join(" or ");
            let fault = if protocol.is_empty() {
                Fault::new("missing", format!("Select a protocol: {known}"))
            } else {
                Fault::new("unknown", format!("“{protocol}” is not a protocol. Choose {known}"))
            };
            self.reader.refuse("protocol", fault);
        }
        found
    }

    fn authorization_type(&mut self, protocol: Option<Protocol>) -> Option<&'static AuthorizationType> {
        let kind = self.reader.text("authorization_type", "Authorization type");
        let fits = |entry: &&AuthorizationType| protocol.is_none_or(|protocol| entry.protocol == protocol);
        let found = auth::find(&kind).filter(fits);
        if found.is_none() {
            let fault = if kind.is_empty() {
                Fault::new("missing", "Select an authorization type")
            } else {
                let known = AUTHORIZATION_TYPES.iter().copied().filter(fits).map(|entry| entry.kind);
                let known = known.collect::<Vec<_>>().join(", ");
                let of = match (auth::find(&kind), protocol) {
                    (Some(_), Some(protocol)) => format!(" for {}", protocol.short()),
                    _ => String::new(),
                };
                let sentence = format!("“{kind}” is not an authorization type{of}. Choose one of {known}");
                Fault::new("unknown", sentence)
            };
            self.reader.refuse("authorization_type", fault);
        }
        found
    }

    fn address(&mut self, secret_address: bool) -> (Option<Origin>, Option<Secret>) {
        let text = self.reader.text("url_address", "URL address");
        let parsed = if secret_address && has_masked_path(&text) {
            Err(mask("whole address"))
        } else if secret_address {
            Origin::parse_whole("URL address", &text)
        } else {
            Origin::parse("URL address", &text).map(|origin| (origin, None))
        };
        match self.reader.accept("url_address", parsed) {
            Some((origin, path)) => (Some(origin), path),
            None => (None, None),
        }
    }

    /// The secret path is typed as part of the address; the bare origin sent back keeps the stored one, and asks for
    /// the whole address when it is another origin.
    fn url_path(&mut self, path: Option<Secret>, secrets: &mut BTreeMap<String, Change>) {
        let stored = self.current.is_some_and(|current| current.secrets.contains_key(URL_PATH));
        let given = self.given(URL_PATH, "Path of the URL address");
        match (path, given) {
            (_, Given::Typed(_)) => {
                let sentence = "Enter the path as part of the URL address";
                self.reader.refuse(URL_PATH, Fault::new("bad_form", sentence));
            }
            (Some(path), _) => {
                secrets.insert(URL_PATH.to_owned(), Change::Replace(path));
            }
            (None, Given::Kept) if stored => {
                secrets.insert(URL_PATH.to_owned(), Change::Keep);
            }
            (None, Given::Kept | Given::Removed | Given::Refused) => {}
        }
    }

    fn type_fields(
        &mut self,
        entry: &'static AuthorizationType,
        typed: &mut Fields,
        secrets: &mut BTreeMap<String, Change>,
    ) {
        let choices = self.choices(entry);
        for field in entry.fields {
            if let Input::Rows(rows) = field.input {
                self.rows(entry, field, rows, typed, secrets);
                continue;
            }
            if let Input::Certificate(key) = field.input {
                self.key_pair(entry, (field, key), typed, secrets);
                continue;
            }
            if field.input == Input::ClientCertificate {
                self.client_certificate(entry, field, typed, secrets);
                continue;
            }
            // They were read with their certificate.
            if matches!(field.input, Input::CertificateKey | Input::ClientKey) || field.key == SENT_WITH_KEY {
                continue;
            }
            // What the choices do not ask for is not there, whatever was sent.
            if !field.is_asked(&choices) {
                self.reader.take(field.key);
                continue;
            }
            if !field.is_secret() {
                let absent = !self.reader.has(field.key);
                let text = self.plain_text(field.key, field.label);
                let text = if absent { field.default_text().to_owned() } else { text };
                self.reader.accept(field.key, field.judge(&text));
                typed.plain.insert(field.key.to_owned(), text);
                continue;
            }
            let stored = self.current.is_some_and(|current| {
                current.authorization_type.kind == entry.kind && current.secrets.contains_key(field.key)
            });
            match self.given(field.key, field.label) {
                Given::Kept if stored => {
                    secrets.insert(field.key.to_owned(), Change::Keep);
                }
                Given::Kept | Given::Removed => {
                    self.reader.accept(field.key, field.judge(""));
                }
                Given::Typed(secret) => {
                    self.reader.accept(field.key, field.judge(secret.expose()));
                    typed.secrets.insert(field.key.to_owned(), secret);
                }
                Given::Refused => {}
            }
        }
        self.private_keys(entry, typed, secrets);
    }

    /// The choices as they were sent, each not judged yet: they decide which fields there are.
    fn choices(&self, entry: &'static AuthorizationType) -> Fields {
        let mut choices = Fields::default();
        for field in entry.fields.iter().filter(|field| matches!(field.input, Input::Choice(_))) {
            let sent = self.reader.peek(field.key).map(|value| value.as_str().unwrap_or_default());
            let text = sent.unwrap_or_else(|| field.default_text());
            choices.plain.insert(field.key.to_owned(), text.to_owned());
        }
        choices
    }

    /// A plain field: a text, or a number or switch as a program writes it.
    fn plain_text(&mut self, key: &str, label: &str) -> String {
        match self.reader.take(key) {
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => if flag { "on" } else { "off" }.to_owned(),
            value => self.reader.text_of(value, key, label),
        }
    }

    fn given(&mut self, key: &str, label: &str) -> Given {
        match self.reader.take_if_sent(key) {
            None => Given::Kept,
            Some(value) => self.given_value(value, key, label),
        }
    }

    fn given_value(&mut self, value: Value, key: &str, label: &str) -> Given {
        match value {
            Value::Null => Given::Removed,
            Value::String(text) => Given::Typed(Secret::new(text)),
            Value::Object(shown) if shown.get("set") == Some(&Value::Bool(true)) => Given::Kept,
            Value::Object(shown) if shown.get("set") == Some(&Value::Bool(false)) => Given::Removed,
            _ => {
                self.reader.refuse(key, Fault::new("bad_form", format!("{label} must be text")));
                Given::Refused
            }
        }
    }

    /// What is left over was never asked for.
    fn unknown(&mut self, protocol: Option<Protocol>, entry: Option<&'static AuthorizationType>) {
        let of_protocol = keys_of(protocol.unwrap_or(Protocol::Https));
        let of_web = protocol != Some(Protocol::Sftp);
        let known: Vec<&str> = COMMON
            .iter()
            .chain(of_protocol)
            .copied()
            .chain(entry.iter().flat_map(|e| e.fields).map(|field| field.key))
            .chain(
                entry
                    .filter(|entry| key_pair::has_one(entry))
                    .iter()
                    .flat_map(|_| key_pair::KEYS.iter().copied()),
            )
            .chain(client_certificate::KEYS.iter().copied().filter(|_| of_web))
            .collect();
        let with_token = entry.is_some_and(|entry| entry.tokens != Tokens::None);
        let with_key = entry.is_some_and(key_pair::has_one);
        let read_only = |key: &str| {
            READ_ONLY.contains(&key)
                || with_token && READ_ONLY_OF_TOKENS.contains(&key)
                || with_key && key_pair::READ_ONLY.contains(&key)
                || of_web && client_certificate::READ_ONLY.contains(&key)
                || protocol == Some(Protocol::Sftp) && sftp::READ_ONLY.contains(&key)
        };
        let foreign = |key: &str| Protocol::ALL.iter().any(|other| keys_of(*other).contains(&key));
        let left: Vec<String> = self.reader.left().filter(|key| !read_only(key)).map(str::to_owned).collect();
        for key in left {
            let owner = AUTHORIZATION_TYPES.iter().find(|e| e.fields.iter().any(|field| field.key == key));
            let invalid = match (owner, entry) {
                (None, _) if foreign(&key) => {
                    let protocol = protocol.unwrap_or(Protocol::Https).short();
                    Fault::new("unknown_field", format!("“{key}” does not belong to {protocol}")).at(key)
                }
                (Some(_), Some(entry)) => {
                    let sentence = format!("“{key}” does not belong to {}", entry.label);
                    Fault::new("unknown_field", sentence).at(key)
                }
                _ => unknown_field(&key, &known),
            };
            self.reader.refuse_all(vec![invalid]);
        }
    }
}

/// An address as it is shown, with a mask where the secret path was.
fn has_masked_path(address: &str) -> bool {
    let rest = address.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    rest.is_some_and(|(_, path)| is_mask(path))
}

#[cfg(test)]
mod tests;
