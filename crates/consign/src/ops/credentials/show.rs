//! What may be shown of a credential, and of the types that one can be of.

use consign_core::auth::{AUTHORIZATION_TYPES, SSH_PUBLIC_KEY};
use consign_core::catalog::{Entry, Field, Input, Protocol, SentIn, Tokens, row_secret_key, stored_rows};
use consign_core::credential::{Credential, NextAction, Rate, Refuser, StoredSecret, Which, key_pairs};
use consign_core::id::CredentialId;
use consign_core::pin::{self, HostKeyPin, KeyType};
use consign_core::sign::Certificate;
use consign_core::ssh_key::{self, PublicHalf};
use consign_core::target::Target;
use consign_core::time::Timestamp;
use consign_store::tokens::{FailureKind, TokenRow};
use serde_json::{Map, Value, json};

/// What is shown of a credential and does not stand in its record.
pub(super) struct Beside<'a> {
    /// How many connectors use it.
    pub(super) used_by: u64,
    /// Its tokens.
    pub(super) token: Option<&'a TokenRow>,
    /// Under which this server is reached.
    pub(super) public_url: &'a str,
    /// When.
    pub(super) now: Timestamp,
}

/// Where a tool sends people back to: each credential has an address of its own (RFC 9700 section 4.4).
pub fn redirect_url(public_url: &str, id: CredentialId) -> String {
    format!("{public_url}/oauth/callback/{id}")
}

/// What may be shown of a credential: never a secret, never a mask.
pub(super) fn show(credential: &Credential, beside: &Beside<'_>) -> Value {
    let entry = credential.authorization_type;
    let text = |time: Timestamp| time.to_string();
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    put("id", json!(credential.id));
    put("etag", json!(format!("\"{}\"", credential.revision)));
    put("name", json!(credential.name));
    put("protocol", json!(entry.protocol.kind()));
    match &credential.target {
        Target::Https(origin) => put("url_address", json!(origin.to_string())),
        Target::Sftp(host) => {
            put("hostname", json!(host.address.to_string()));
            put(pin::FIELD, json!(host.pins.lines()));
            put("host_keys", host.pins.iter().map(host_key).collect())
        }
    };
    if entry.address_is_secret {
        put("url_path", set(credential.secrets.get("url_path")));
    }
    put("authorization_type", json!(entry.kind));
    put("authorization_type_label", json!(entry.label));
    for field in entry.fields {
        put(field.key, value_of(credential, field));
    }
    if entry.protocol == Protocol::Https {
        let headers = credential.custom_headers.iter().map(|header| {
            let value = set(credential.secrets.get(&header.secret_key()));
            json!({ "name": header.name, "sent_with": header.sent_with.kind(), "value": value })
        });
        put("custom_headers", headers.collect());
        put("client_certificate_details", json!(credential.client_certificate().map(|own| details(&own))));
    }
    if key_pairs::fields(entry).is_some() {
        put("certificates", certificates(credential, beside.now));
    }
    if let Some(half) = credential.plain.get(SSH_PUBLIC_KEY).and_then(|line| ssh_key::describe(line)) {
        put(SSH_PUBLIC_KEY, public_half(&half));
    }
    if entry.tokens == Tokens::Granted {
        put("redirect_url", json!(redirect_url(beside.public_url, credential.id)));
    }
    if entry.tokens != Tokens::None {
        put("token", token(beside.token));
    }
    put("test_path", json!(credential.test_path));
    put("ends_on", json!(credential.ends_on));
    put("labels", json!(credential.labels));
    put("max_concurrency", json!(credential.max_concurrency));
    put("max_per_second", json!(credential.max_per_second.map(Rate::per_second)));
    let status = credential.status(beside.now);
    let action = status.code.action(entry.tokens, refused_by(beside.token));
    put(
        "status",
        json!({
            "code": status.code.kind(),
            "label": status.code.label(),
            "reason": status.reason,
            "since": text(status.since),
            "action": action.map(NextAction::label),
            "action_code": action,
            "needs_attention": status.code.needs_attention(),
            "away": away(beside.token, beside.now),
        }),
    );
    put("last_used_at", json!(credential.last_used_at.map(text)));
    put("used_by_count", json!(beside.used_by));
    put("managed_by", json!(credential.managed_by));
    put("created_at", json!(text(credential.created_at)));
    put("updated_at", json!(text(credential.updated_at)));
    Value::Object(shown)
}

/// Who refused the sign-in of a credential, when it was refused.
pub(in crate::ops) fn refused_by(row: Option<&TokenRow>) -> Refuser {
    let failure = row.and_then(|row| row.failure.as_ref());
    match failure.map(|failure| failure.kind) {
        Some(FailureKind::Refused) => Refuser::TokenAddress,
        Some(FailureKind::Transient | FailureKind::GrantEnded) | None => Refuser::Tool,
    }
}

/// What may be shown of the certificates: all but the private keys.
fn certificates(credential: &Credential, now: Timestamp) -> Value {
    let shown = |which| credential.certificate(which, now).map(|certificate| details(&certificate));
    let until = credential.step_back_until().filter(|until| *until > now);
    json!({
        "present": shown(Which::Present),
        "next": shown(Which::Next),
        "previous": shown(Which::Previous),
        "step_back_until": until.map(|until| until.to_string()),
    })
}

/// What a certificate says.
fn details(certificate: &Certificate) -> Value {
    json!({
        "subject": certificate.subject,
        "fingerprint": certificate.fingerprint(),
        "key": certificate.key,
        "begins_at": certificate.begins.to_string(),
        "ends_at": certificate.ends.to_string(),
    })
}

/// A pinned host key, with who said that it is the right one.
fn host_key(pin: &HostKeyPin) -> Value {
    let confirmed = pin.confirmed.as_ref();
    json!({
        "type": pin.key_type.map(KeyType::kind),
        "fingerprint": pin.fingerprint.to_string(),
        "confirmed_by": confirmed.map(|confirmed| &confirmed.by),
        "confirmed_at": confirmed.map(|confirmed| confirmed.time().to_string()),
        "compared_with": confirmed.map(|confirmed| &confirmed.compared_with),
    })
}

fn public_half(half: &PublicHalf) -> Value {
    json!({
        "line": half.line, "type": half.key_type, "bits": half.bits, "fingerprint": half.fingerprint,
    })
}

fn value_of(credential: &Credential, field: &Field) -> Value {
    let plain = || credential.plain.get(field.key).map_or("", String::as_str);
    match field.input {
        Input::Secret | Input::CertificateKey | Input::ClientKey | Input::PrivateKey(_) => {
            set(credential.secrets.get(field.key))
        }
        Input::Choice(_) => {
            json!(credential.plain.get(field.key).map_or_else(|| field.default_text(), String::as_str))
        }
        Input::Text
        | Input::Address
        | Input::Suggested(_)
        | Input::Certificate(_)
        | Input::ClientCertificate => json!(plain()),
        Input::Rows(_) => {
            let rows = stored_rows(plain()).unwrap_or_default();
            let shown = rows.iter().enumerate().map(|(index, row)| {
                let value = match &row.value {
                    Some(value) => json!(value),
                    None => set(credential.secrets.get(&row_secret_key(field.key, &rows, index))),
                };
                json!({ "name": row.name, "value": value, "secret": row.secret, "sent_in": row.sent_in })
            });
            shown.collect()
        }
    }
}

/// Until when nothing is sent for want of a token, and why; `null` when no token is waited for.
pub(in crate::ops) fn away(row: Option<&TokenRow>, now: Timestamp) -> Value {
    row.and_then(|row| row.away(now))
        .map_or(Value::Null, |(until, reason)| json!({ "until": until, "reason": reason }))
}

/// A token without the token. Once it was dropped, and until there is another one, nothing is left of it but what a
/// person granted.
pub(in crate::ops) fn token(row: Option<&TokenRow>) -> Value {
    let token = row.and_then(|row| row.token.as_ref());
    let Some(token) = token.filter(|token| token.access.is_some() || token.refresh.is_some()) else {
        return Value::Null;
    };
    let ends_at = token.facts.ends_at.filter(|_| token.access.is_some());
    let text = |time: Timestamp| time.to_string();
    json!({
        "type": "Bearer",
        "obtained_at": text(token.facts.obtained_at),
        "ends_at": ends_at.map(text),
        "renewable": token.refresh.is_some(),
        "refresh_ends_at": token.facts.refresh_ends_at.map(text),
        "scope": token.facts.scope,
    })
}

fn set(secret: Option<&StoredSecret>) -> Value {
    match secret {
        Some(secret) => {
            json!({ "set": true, "updated_at": secret.updated_at.to_string(), "updated_by": secret.updated_by })
        }
        None => json!({ "set": false }),
    }
}

/// What a person can choose and fill in.
pub fn catalogue() -> Value {
    AUTHORIZATION_TYPES.iter().map(|entry| describe(entry)).collect()
}

fn describe<T>(entry: &Entry<T>) -> Value {
    let fields = entry.fields.iter().map(|field| {
        json!({
            "key": field.key,
            "label": field.label,
            "hint": field.hint,
            "input": input(field),
            "choices": choices(field),
            "secret": field.is_secret(),
            "optional": field.missing.is_none(),
            "when": field.when.map(|when| json!({ "field": when.field, "is_not": when.is_not })),
            "under": field.under,
            "prefill": field.prefill,
            "max_chars": field.max_chars,
        })
    });
    json!({
        "kind": entry.kind,
        "label": entry.label,
        "protocol": entry.protocol.kind(),
        "address_is_secret": entry.address_is_secret,
        "needs_approval": entry.tokens == Tokens::Granted,
        "fields": fields.collect::<Vec<_>>(),
    })
}

const fn input(field: &Field) -> &'static str {
    match field.input {
        Input::Text => "text",
        Input::Secret => "secret",
        Input::CertificateKey | Input::ClientKey | Input::PrivateKey(_) => "private_key",
        Input::Address => "address",
        Input::Choice(_) => "choice",
        Input::Rows(_) => "rows",
        Input::Suggested(_) => "suggested",
        Input::Certificate(_) | Input::ClientCertificate => "certificate",
    }
}

/// The choices of a field; of rows, those of where they go.
fn choices(field: &Field) -> Value {
    match field.input {
        Input::Choice(choices) | Input::Suggested(choices) => {
            choices.iter().map(|choice| json!({ "value": choice.kind, "label": choice.label })).collect()
        }
        Input::Rows(rows) if rows.query => {
            SentIn::ALL.iter().map(|place| json!({ "value": place.kind(), "label": place.label() })).collect()
        }
        Input::Text
        | Input::Secret
        | Input::Address
        | Input::Rows(_)
        | Input::Certificate(_)
        | Input::CertificateKey
        | Input::ClientCertificate
        | Input::ClientKey
        | Input::PrivateKey(_) => json!([]),
    }
}
