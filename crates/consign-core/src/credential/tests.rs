use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::catalog::{Input, Invalid, Tokens, row_secret_key, stored_rows};
use crate::vault::{KeyRing, OpenError};

mod again;
mod certificates;
mod clients;
mod moves;

pub(super) static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::new(&KeyRing::generate(), "installation"));

pub(super) const CERTIFICATE: &str = include_str!("../sign/tests/rsa.certificate.pem");
pub(super) const PRIVATE_KEY: &str = include_str!("../sign/tests/rsa.pkcs8.pem");

const MOVED: &str = "secret_needed_for_new_destination";

pub(super) fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap()
}

pub(super) fn later() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").unwrap()
}

/// `base` with the keys of `changes` laid over it.
pub(super) fn with(base: &Value, changes: &Value) -> Value {
    let mut whole = base.as_object().unwrap().clone();
    whole.extend(changes.as_object().unwrap().clone());
    Value::Object(whole)
}

/// A whole credential of a type, every secret typed.
pub(super) fn typed(kind: &str) -> Value {
    if matches!(kind, "password" | "ssh_key") {
        let server = json!({
            "name": "Payroll", "protocol": "sftp", "hostname": "sftp://sftp.example.org:2222/",
            "sftp_server_fingerprint": [include_str!("../ssh_key/keys/p256.pub").trim()],
            "authorization_type": kind, "username": "ana", "password": "open sesame",
        });
        let key = json!({
            "ssh_key": include_str!("../ssh_key/keys/p384.passphrase"), "passphrase": "correct horse",
        });
        return if kind == "password" { server } else { with(&server, &key) };
    }
    let common = json!({
        "name": "ServiceNow production", "protocol": "https", "url_address": "https://acme.example/",
        "authorization_type": kind, "custom_headers": [{ "name": "X-Api-Key", "value": "header 1" }],
    });
    let own = match kind {
        "basic" => json!({ "username": "ana", "password": "open sesame" }),
        "bearer" => json!({ "header_prefix": "Token", "token": "abc" }),
        "oauth2_client_credentials" => json!({
            "client_id": "client", "client_secret": "client secret 1",
            "access_token_url": "https://login.example/token", "scope": "read",
            "oauth_token_requests": [
                { "name": "resource", "value": "https://a.example" },
                { "name": "resource", "value": "row secret 1", "secret": true, "sent_in": "query" },
            ],
        }),
        "oauth2_authorization_code" => json!({
            "client_id": "client", "client_secret": "client secret 1",
            "authorization_code_url": "https://login.example/authorize",
            "access_token_url": "https://login.example/token",
            "authorization_parameters": [{ "name": "prompt", "value": "consent" }],
        }),
        "oauth2_saml_bearer" => json!({
            "certificate": CERTIFICATE, "private_key": PRIVATE_KEY, "name_id": "ana.silva",
            "recipient": "https://login.example/token", "issuer": "https://consign.example", "audience": "tool",
            "saml_attributes": [{ "name": "api key", "value": "a & b" }],
            "authentication_information": "header", "client_id": "client", "client_secret": "client secret 1",
        }),
        _ => json!({ "url_address": "https://acme.example/services/T0?k=1" }),
    };
    with(&common, &own)
}

pub(super) fn parse(sent: Value, mode: Mode<'_>) -> Result<Draft, Vec<Invalid>> {
    let Value::Object(sent) = sent else { panic!("not an object: {sent}") };
    Draft::parse(sent, mode, now())
}

pub(super) fn stored(kind: &str) -> Credential {
    let draft = parse(typed(kind), Mode::Create).unwrap();
    draft.seal(&VAULT, &Save { now: now(), by: "Ana Silva" }, CredentialId::new(now()), None)
}

pub(super) fn seal_again(draft: Draft, current: &Credential) -> Credential {
    draft.seal(&VAULT, &Save { now: later(), by: "ci" }, current.id, Some(current))
}

/// What a read shows; a saved secret is an object that says so.
pub(super) fn shown(credential: &Credential) -> Value {
    let saved = |key: &str| {
        credential.secrets.get(key).map_or(
            json!({ "set": false }),
            |secret| json!({ "set": true, "updated_at": secret.updated_at, "updated_by": secret.updated_by }),
        )
    };
    let mut value = json!({
        "id": credential.id, "etag": "\"1\"", "status": { "code": "working" }, "used_by_count": 2,
        "name": credential.name, "protocol": credential.authorization_type.protocol,
        "authorization_type": credential.authorization_type.kind, "ends_on": credential.ends_on,
        "labels": credential.labels, "max_concurrency": credential.max_concurrency,
        "max_per_second": credential.max_per_second.map(Rate::per_second),
    });
    match &credential.target {
        Target::Https(origin) => {
            value["url_address"] = json!(origin.to_string());
            value["custom_headers"] = credential.custom_headers.iter().map(|header| json!({
                "name": header.name, "sent_with": header.sent_with, "value": saved(&header.secret_key()),
            })).collect();
        }
        Target::Sftp(host) => {
            value["hostname"] = json!(host.address.to_string());
            value["sftp_server_fingerprint"] = json!(host.pins.lines());
            value["host_keys"] = json!([{ "type": "ssh-ed25519" }]);
            value["ssh_public_key"] = json!({ "line": credential.plain.get(auth::SSH_PUBLIC_KEY) });
        }
    }
    for field in credential.authorization_type.fields {
        let text = credential.plain.get(field.key);
        value[field.key] = match field.input {
            Input::Secret | Input::CertificateKey | Input::ClientKey | Input::PrivateKey(_) => {
                saved(field.key)
            }
            Input::Rows(_) => {
                let rows = stored_rows(text.map_or("", String::as_str)).unwrap();
                let shown = rows.iter().enumerate().map(|(index, row)| {
                    let value = row.value.as_ref().map_or_else(
                        || saved(&row_secret_key(field.key, &rows, index)),
                        |value| json!(value),
                    );
                    json!({ "name": row.name, "value": value, "secret": row.secret, "sent_in": row.sent_in })
                });
                shown.collect()
            }
            Input::Text
            | Input::Address
            | Input::Choice(_)
            | Input::Suggested(_)
            | Input::Certificate(_)
            | Input::ClientCertificate => {
                json!(text)
            }
        };
    }
    if credential.authorization_type.address_is_secret {
        value[URL_PATH] = saved(URL_PATH);
    }
    value
}

#[track_caller]
pub(super) fn refused(sent: Value, mode: Mode<'_>) -> Vec<(String, &'static str, String)> {
    let invalid = parse(sent, mode).expect_err("this was accepted");
    invalid.into_iter().map(|one| (one.field, one.code, one.message)).collect()
}

#[test]
fn what_was_read_can_be_sent_back_and_keeps_every_secret() {
    for entry in auth::AUTHORIZATION_TYPES {
        let extra = json!({
            "ends_on": "2027-02-12", "labels": { "env": "prod" }, "max_concurrency": 2, "max_per_second": 0.7,
        });
        let draft = parse(with(&typed(entry.kind), &extra), Mode::Create).unwrap();
        let current =
            draft.seal(&VAULT, &Save { now: now(), by: "Ana Silva" }, CredentialId::new(now()), None);
        let edited = with(&shown(&current), &json!({ "name": "Renamed" }));
        for mode in [Mode::Replace(&current), Mode::Patch(&current)] {
            let saved = seal_again(parse(edited.clone(), mode).unwrap(), &current);
            assert_eq!(saved.name.as_str(), "Renamed");
            assert_eq!((saved.revision, saved.created_at, saved.updated_at), (2, now(), later()));
            assert_eq!(
                with(&shown(&saved), &json!({ "name": current.name })),
                shown(&current),
                "{}",
                entry.kind
            );
            assert_eq!(saved.secrets.len(), current.secrets.len());
            for (key, secret) in &saved.secrets {
                assert_eq!(secret.sealed.as_stored(), current.secrets[key].sealed.as_stored(), "{key}");
                assert_eq!((secret.generation, secret.updated_by.as_str()), (1, "Ana Silva"));
            }
        }
    }
}

pub(super) fn open(credential: &Credential, key: &str) -> Result<Secret, OpenError> {
    let (id, binding) = (credential.id.to_string(), credential.binding());
    let secret = &credential.secrets[key];
    VAULT.open(&Credential::place(&id, key, secret.generation, &binding), &secret.sealed)
}

#[test]
fn what_a_tool_said_holds_while_nothing_about_the_sign_in_changes() {
    let headers = json!([{ "name": "X-Api-Key", "value": { "set": true }, "sent_with": "api_request" }]);
    for (kind, change, alike) in [
        ("basic", json!({ "name": "x", "labels": { "a": "b" }, "ends_on": "2027-01-01" }), true),
        ("basic", json!({ "max_concurrency": 1, "test_path": "/ping" }), true),
        ("basic", json!({ "password": "the same again" }), false),
        ("basic", json!({ "custom_headers": headers }), false),
        ("bearer", json!({ "header_prefix": "AR-JWT" }), false),
    ] {
        let mut current = stored(kind);
        current.seen =
            Status { code: StatusCode::SignInRefused, reason: "401".to_owned(), since: current.seen.since };
        let saved = seal_again(parse(change.clone(), Mode::Patch(&current)).unwrap(), &current);
        assert_eq!(saved.signs_in_like(&current), alike, "{change}");
        let code = if alike { StatusCode::SignInRefused } else { StatusCode::NotTested };
        assert_eq!(saved.seen.code, code, "{change}");
    }
}

#[test]
fn a_secret_path_is_replaced_with_the_address_and_removed_with_null() {
    let current = stored("none");
    assert_eq!(current.shown_address(), "https://acme.example/•••");
    assert_eq!(open(&current, URL_PATH).unwrap().expose(), "/services/T0?k=1");
    let changed = json!({ "url_address": "https://acme.example/services/T9" });
    let saved = seal_again(parse(changed, Mode::Patch(&current)).unwrap(), &current);
    assert_eq!(open(&saved, URL_PATH).unwrap().expose(), "/services/T9");
    assert_eq!(saved.secrets["custom_headers/x-api-key"].generation, 1);
    for gone in [json!({ "url_path": null }), json!({ "url_path": { "set": false } })] {
        assert!(!parse(gone, Mode::Patch(&current)).unwrap().secrets.contains_key(URL_PATH));
    }
    let apart = refused(json!({ "url_path": "/services/T9" }), Mode::Patch(&current));
    assert_eq!(apart[0].2, "Enter the path as part of the URL address");
}

#[test]
fn access_joins_the_proof_with_the_custom_headers() {
    let current = stored("bearer");
    let mut fields = Fields { plain: current.plain.clone(), ..Fields::default() };
    assert!(Access::join(&current, Proof::default(), &fields).is_none());
    for key in current.secrets.keys() {
        fields.secrets.insert(key.clone(), open(&current, key).unwrap());
    }
    let step = (current.authorization_type.parse)(&fields).unwrap().step(None, now());
    let auth::Step::Apply(proof) = step else { panic!("no proof") };
    let access = Access::join(&current, proof, &fields).unwrap();
    let headers: Vec<_> = access.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    assert_eq!(headers, [("authorization", "Token abc"), ("x-api-key", "header 1")]);
    assert!(access.headers.iter().all(|(_, value)| value.is_sensitive()) && access.path.is_none());
    assert!(!format!("{access:?} {current:?}").contains("header 1"));
}
