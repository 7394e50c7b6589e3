//! `/openapi.json`: the hand-written `openapi.yaml` (OpenAPI 3.1), with schemas made of the catalogue.

use std::sync::OnceLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use consign_core::api_key;
use consign_core::auth::{AUTHORIZATION_TYPES, AuthorizationType, SSH_PUBLIC_KEY};
use consign_core::catalog::{Field, Input, Names, Protocol, Rows, SentIn};
use consign_core::client_certificate;
use consign_core::credential::key_pairs;
use consign_core::pin;
use consign_core::sign::{CERTIFICATE_YEARS_MAX, KeySize};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

/// The description as written.
pub(super) const WRITTEN: &str = include_str!("../../openapi.yaml");

struct Served {
    tag: HeaderValue,
    body: Bytes,
}

/// Serves the description. It is the same for everyone and holds nothing of this installation.
pub(super) async fn serve(headers: HeaderMap) -> Response {
    // Made when it is first asked for, so that a start is not slower for it.
    static SERVED: OnceLock<Served> = OnceLock::new();
    let served = SERVED.get_or_init(|| {
        let body = whole().to_string();
        let tag = format!("\"{}\"", &api_key::hash(&body)[..16]);
        Served { tag: HeaderValue::from_str(&tag).expect("hexadecimal digits"), body: body.into() }
    });
    let same = headers.get(IF_NONE_MATCH) == Some(&served.tag);
    let mut response = Response::new(if same { Body::empty() } else { Body::from(served.body.clone()) });
    if same {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let answer = response.headers_mut();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.oai.openapi+json;version=3.1"));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.insert(ETAG, served.tag.clone());
    response
}

/// The description with the schemas that are made.
pub(super) fn whole() -> Value {
    let mut description: Value = serde_saphyr::from_str(WRITTEN).expect("tests read the same text");
    let schemas = description.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    schemas.expect("the description has schemas").extend(credential_schemas());
    description["info"]["version"] = Value::from(env!("CARGO_PKG_VERSION"));
    description
}

/// What a schema of a credential is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    New,
    Replace,
    Read,
}

impl Use {
    const ALL: [Self; 3] = [Self::New, Self::Replace, Self::Read];

    const fn name(self) -> &'static str {
        match self {
            Self::New => "CredentialNew",
            Self::Replace => "CredentialReplace",
            Self::Read => "Credential",
        }
    }
}

/// One schema for each type and use, one choice for each use, and one for patches.
fn credential_schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    for usage in Use::ALL {
        let mut choices = Vec::new();
        let mut mapping = Map::new();
        for entry in AUTHORIZATION_TYPES {
            let name = format!("{}_{}", usage.name(), entry.kind);
            let reference = format!("#/components/schemas/{name}");
            choices.push(json!({ "$ref": reference }));
            mapping.insert(entry.kind.to_owned(), Value::from(reference));
            schemas.insert(name, schema(entry, usage));
        }
        let discriminator = json!({ "propertyName": "authorization_type", "mapping": mapping });
        schemas.insert(usage.name().to_owned(), json!({ "oneOf": choices, "discriminator": discriminator }));
    }
    schemas.insert("CredentialPatch".to_owned(), patch());
    schemas
}

fn schema(entry: &AuthorizationType, usage: Use) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["name", "protocol", "authorization_type"];
    let words = "Needed. It decides which authorization types there are.";
    let protocol = json!({ "const": entry.protocol.kind(), "description": words });
    properties.insert("protocol".to_owned(), protocol);
    properties.insert("authorization_type".to_owned(), json!({ "const": entry.kind }));
    for (key, schema, needed) in of_protocol(entry.protocol, usage) {
        properties.insert((*key).to_owned(), reference(schema));
        required.extend(needed.then_some(*key));
    }
    if entry.fields.iter().any(|field| matches!(field.input, Input::PrivateKey(_))) && usage != Use::New {
        properties.insert(SSH_PUBLIC_KEY.to_owned(), reference("SshPublicKey"));
    }
    if entry.address_is_secret && usage != Use::New {
        properties.insert("url_path".to_owned(), reference("SecretState"));
    }
    for field in entry.fields {
        properties.insert(field.key.to_owned(), property(field, usage));
        // Instead of a certificate and its key a new pair can be asked for.
        let pair = matches!(field.input, Input::Certificate(_) | Input::CertificateKey);
        let always =
            field.missing.is_some() && field.when.is_none() && field.default_text().is_empty() && !pair;
        let needed = always && (usage == Use::New || !field.is_secret());
        if needed || usage == Use::Read {
            required.push(field.key);
        }
    }
    if entry.protocol == Protocol::Https {
        match usage {
            Use::Read | Use::Replace => {
                let details = reference("ClientCertificateDetails");
                drop(properties.insert("client_certificate_details".to_owned(), details));
            }
            Use::New => {}
        }
        if usage != Use::Read {
            properties.insert(
                client_certificate::PASSPHRASE.to_owned(),
                passphrase(client_certificate::PRIVATE_KEY),
            );
        }
    }
    if key_pairs::fields(entry).is_some() {
        match usage {
            Use::Read => {
                drop(properties.insert("certificates".to_owned(), reference("CredentialCertificates")))
            }
            Use::New | Use::Replace => properties.extend(key_pair()),
        }
    }
    let mut parts = vec![reference("CredentialSettings")];
    if usage != Use::New {
        parts.push(reference("CredentialFacts"));
    }
    if usage == Use::Read {
        required.extend(["id", "etag", "status", "created_at", "updated_at"]);
        return json!({
            "title": entry.label,
            "allOf": parts,
            "required": required,
            "properties": properties,
        });
    }
    json!({
        "title": entry.label,
        "allOf": parts,
        "required": required,
        "properties": properties,
        "unevaluatedProperties": false,
    })
}

/// How a certificate and its key are asked for or read.
fn key_pair() -> Map<String, Value> {
    let bits: Vec<_> = KeySize::ALL.iter().map(|size| size.bits()).collect();
    let properties = json!({
        "key_pair": {
            "enum": ["generate", "own"], "title": "Key pair",
            "description": "`generate` creates a key pair and its certificate here, in place of `certificate` and `private_key`.",
        },
        "key_pair_bits": { "type": "integer", "enum": bits, "default": KeySize::default().bits(), "title": "Key length" },
        "key_pair_years": {
            "type": "integer", "minimum": 1, "maximum": CERTIFICATE_YEARS_MAX, "default": 3,
            "title": "Years until the certificate ends",
        },
        "private_key_passphrase": passphrase("private_key"),
    });
    properties.as_object().cloned().unwrap_or_default()
}

/// What opens a private key while it is read.
fn passphrase(of: &str) -> Value {
    let what = format!("Opens `{of}`, and is not kept.");
    json!({ "type": "string", "writeOnly": true, "title": "Passphrase", "description": what })
}

/// What every credential of a protocol has: key, schema, and whether it is required.
const fn of_protocol(protocol: Protocol, usage: Use) -> &'static [(&'static str, &'static str, bool)] {
    match (protocol, usage) {
        (Protocol::Https, Use::Read) => {
            &[("url_address", "UrlAddress", true), ("custom_headers", "CustomHeadersShown", true)]
        }
        (Protocol::Https, Use::New | Use::Replace) => {
            &[("url_address", "UrlAddress", true), ("custom_headers", "CustomHeaders", false)]
        }
        (Protocol::Sftp, Use::Read) => &[
            ("hostname", "Hostname", true),
            (pin::FIELD, "SftpServerFingerprint", true),
            ("host_keys", "HostKeys", true),
        ],
        (Protocol::Sftp, Use::Replace) => &[
            ("hostname", "Hostname", true),
            (pin::FIELD, "SftpServerFingerprint", true),
            ("host_keys_compared_with", "HostKeysComparedWith", false),
            ("host_keys", "HostKeys", false),
        ],
        (Protocol::Sftp, Use::New) => &[
            ("hostname", "Hostname", true),
            (pin::FIELD, "SftpServerFingerprint", true),
            ("host_keys_compared_with", "HostKeysComparedWith", false),
        ],
    }
}

fn property(field: &Field, usage: Use) -> Value {
    let mut shown = match field.input {
        Input::Text
        | Input::Secret
        | Input::Suggested(_)
        | Input::Certificate(_)
        | Input::CertificateKey
        | Input::ClientCertificate
        | Input::ClientKey
        | Input::PrivateKey(_) => {
            json!({ "type": "string", "maxLength": field.max_chars })
        }
        Input::Address => json!({ "type": "string", "format": "uri", "maxLength": field.max_chars }),
        Input::Choice(choices) => {
            json!({ "type": "string", "enum": choices.iter().map(|choice| choice.kind).collect::<Vec<_>>() })
        }
        Input::Rows(rules) => rows(rules, usage),
    };
    shown["title"] = Value::from(field.label);
    if !field.hint.is_empty() {
        shown["description"] = Value::from(field.hint);
    }
    if let Input::Suggested(choices) = field.input {
        shown["examples"] = choices.iter().map(|choice| choice.kind).collect();
    }
    if !field.default_text().is_empty() {
        shown["default"] = Value::from(field.default_text());
    }
    if field.missing.is_some() && usage != Use::Read && shown.get("maxLength").is_some() {
        shown["minLength"] = Value::from(1);
    }
    if !field.is_secret() {
        return shown;
    }
    shown["writeOnly"] = Value::Bool(true);
    match usage {
        Use::New => shown,
        Use::Read => reference("SecretState"),
        Use::Replace => json!({
            "description": "Left out, or as it was read: the stored one is kept.",
            "oneOf": [shown, reference("SecretState")],
        }),
    }
}

/// Rows of a name and a value. One that is marked as a secret is read as set or not set.
fn rows(rules: &Rows, usage: Use) -> Value {
    let text = json!({ "type": "string", "maxLength": rules.value_chars_max });
    let value = match usage {
        _ if !rules.secrets => text,
        Use::New => text,
        Use::Replace | Use::Read => json!({ "oneOf": [text, reference("SecretState")] }),
    };
    let places: Vec<_> = SentIn::ALL
        .iter()
        .filter(|place| rules.query || **place == SentIn::Body)
        .map(|place| place.kind())
        .collect();
    let mut properties = json!({
        "name": match rules.names {
            Names::Parameter => {
                json!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9._~-]+$" })
            }
            Names::Text => json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        },
        "value": value,
        "secret": { "type": "boolean", "default": false, "description": "Seals the value; it is never shown again." },
        "sent_in": { "enum": places, "default": SentIn::Body.kind() },
    });
    if !rules.secrets {
        properties["secret"] = json!({ "const": false });
    }
    json!({
        "type": if usage == Use::Read { json!("array") } else { json!(["array", "null"]) },
        "maxItems": rules.rows_max,
        "items": {
            "type": "object",
            "required": if usage == Use::Read { json!(["name", "value", "secret", "sent_in"]) } else { json!(["name"]) },
            "additionalProperties": false,
            "properties": properties,
        },
    })
}

/// Every member of every type, none of them needed.
fn patch() -> Value {
    let kinds: Vec<_> = AUTHORIZATION_TYPES.iter().map(|entry| entry.kind).collect();
    let mut properties = Map::new();
    properties.insert(
        "protocol".to_owned(),
        json!({ "enum": Protocol::ALL.iter().map(|protocol| protocol.kind()).collect::<Vec<_>>() }),
    );
    properties.insert("authorization_type".to_owned(), json!({ "enum": kinds }));
    for (key, schema, _) in Protocol::ALL.iter().flat_map(|protocol| of_protocol(*protocol, Use::Replace)) {
        properties.insert((*key).to_owned(), reference(schema));
    }
    properties.insert(SSH_PUBLIC_KEY.to_owned(), reference("SshPublicKey"));
    properties.insert("url_path".to_owned(), reference("SecretState"));
    for field in AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields) {
        properties.insert(field.key.to_owned(), property(field, Use::Replace));
    }
    properties.extend(key_pair());
    json!({
        "allOf": [reference("CredentialSettings"), reference("CredentialFacts")],
        "properties": properties,
        "unevaluatedProperties": false,
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
