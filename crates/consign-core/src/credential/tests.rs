use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::catalog::{Input, Invalid, Tokens, row_secret_key, stored_rows};
use crate::vault::{KeyRing, OpenError};

static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::new(&KeyRing::generate(), "installation"));

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
            Input::Secret | Input::PrivateKey(_) => saved(field.key),
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
            Input::Text | Input::Address | Input::Choice(_) => json!(text),
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

/// Laid over a saved credential of `kind`, with the same change beside every secret accepted.
#[track_caller]
fn check_move(kind: &str, change: Value, secrets: Value, expected: &[(&str, &str)]) {
    let current = stored(kind);
    let header = json!({ "custom_headers": [{ "name": "X-Api-Key", "value": "header 2" }] });
    for mode in [Mode::Patch(&current), Mode::Replace(&current)] {
        let sent = match mode {
            Mode::Replace(_) => with(&shown(&current), &change),
            Mode::Create | Mode::Patch(_) => change.clone(),
        };
        let found = refused(sent.clone(), mode);
        let wanted: Vec<_> = expected
            .iter()
            .map(|(field, message)| ((*field).to_owned(), MOVED, (*message).to_owned()))
            .collect();
        assert_eq!(found, wanted);
        let only_header = refused(with(&sent, &header), mode);
        assert!(
            only_header.iter().all(|(_, code, _)| *code == MOVED) && only_header.len() == expected.len() - 1
        );

        let draft = parse(with(&with(&sent, &header), &secrets), mode).unwrap();
        assert!(draft.secrets.values().all(|change| matches!(change, Change::Replace(_))));
        let saved = seal_again(draft, &current);
        for (key, secret) in &saved.secrets {
            assert_eq!((secret.generation, secret.updated_by.as_str()), (2, "ci"));
            open(&saved, key).unwrap();
        }
        assert_eq!(saved.seen, Status::not_tested(later()));
    }
}

fn open(credential: &Credential, key: &str) -> Result<Secret, OpenError> {
    let (id, binding) = (credential.id.to_string(), credential.binding());
    let secret = &credential.secrets[key];
    VAULT.open(&Credential::place(&id, key, secret.generation, &binding), &secret.sealed)
}

#[test]
fn a_new_address_asks_for_every_secret() {
    let moved = "You changed the address, so saved secrets are not sent to the new one";
    let header = format!("Enter the value of X-Api-Key again. {moved}");
    let header = ("custom_headers/0/value", header.as_str());
    for address in
        ["https://other.example/", "https://acme.example:8443/", "https://acme.example.evil.example/"]
    {
        let change = json!({ "url_address": address });
        let password = format!("Enter the password again. {moved}");
        check_move("basic", change.clone(), json!({ "password": "new" }), &[header, ("password", &password)]);
        let token = format!("Enter the token again. {moved}");
        check_move("bearer", change.clone(), json!({ "token": "new" }), &[header, ("token", &token)]);
        let whole = format!("Enter the whole address again. {moved}");
        let new = json!({ "url_address": format!("{address}services/T1") });
        check_move("none", change, new, &[header, ("url_address", &whole)]);
    }
}

#[test]
fn a_new_username_asks_for_every_secret() {
    let moved = "You changed the username, so the saved one is not used with it";
    let header = format!("Enter the value of X-Api-Key again. {moved}");
    let password = format!("Enter the password again. {moved}");
    let expected = [("custom_headers/0/value", header.as_str()), ("password", password.as_str())];
    check_move("basic", json!({ "username": "bob" }), json!({ "password": "new" }), &expected);
    check_move("basic", json!({ "username": "Ana" }), json!({ "password": "new" }), &expected);
}

#[test]
fn a_new_token_address_asks_for_every_secret() {
    let saved_ones =
        |label: &str| format!("You changed the {label}, so saved secrets are not sent to the new one");
    for (kind, key, label) in [
        ("oauth2_client_credentials", "access_token_url", "Access Token URL"),
        ("oauth2_authorization_code", "access_token_url", "Access token URL"),
        ("oauth2_authorization_code", "authorization_code_url", "Authorization code URL"),
    ] {
        let current = stored(kind);
        let why = saved_ones(label);
        let mut expected = vec![
            ("client_secret".to_owned(), MOVED, format!("Enter the client secret again. {why}")),
            (
                "custom_headers/0/value".to_owned(),
                MOVED,
                format!("Enter the value of X-Api-Key again. {why}"),
            ),
        ];
        if kind == "oauth2_client_credentials" {
            let row = format!("Enter the value of resource again. {why}");
            expected.push(("oauth_token_requests/1/value".to_owned(), MOVED, row));
        }
        // Not only the host counts: another path on the same one may be somebody else's.
        for address in
            ["https://evil.example/token", "https://login.example/other", "https://login.example/token?x=1"]
        {
            let change = json!({ key: address });
            assert_eq!(refused(change.clone(), Mode::Patch(&current)), expected, "{kind} {address}");
            let whole = with(&typed(kind), &change);
            let moved = seal_again(parse(whole, Mode::Replace(&current)).unwrap(), &current);
            assert!(moved.secrets.keys().all(|key| open(&moved, key).is_ok()));
            let granted = current.authorization_type.tokens == Tokens::Granted;
            let status = if granted { Status::not_authorized(later()) } else { Status::not_tested(later()) };
            assert_eq!(moved.seen, status);
        }
    }
}

#[test]
fn rows_keep_their_secrets_by_name_and_order() {
    let current = stored("oauth2_client_credentials");
    assert_eq!(open(&current, "oauth_token_requests/resource/1").unwrap().expose(), "row secret 1");
    let kept = json!({ "set": true });
    let more = json!({ "oauth_token_requests": [
        { "name": "company", "value": "ACME" },
        { "name": "resource", "value": "https://b.example" },
        { "name": "resource", "value": kept, "secret": true, "sent_in": "query" },
    ] });
    let saved = seal_again(parse(more, Mode::Patch(&current)).unwrap(), &current);
    assert_eq!(open(&saved, "oauth_token_requests/resource/1").unwrap().expose(), "row secret 1");
    assert_eq!(saved.secrets["oauth_token_requests/resource/1"].generation, 1);
    let first = json!({ "oauth_token_requests": [{ "name": "resource", "value": kept, "secret": true }] });
    let found = refused(first, Mode::Patch(&current));
    let sentence = "Enter a value for resource".to_owned();
    assert_eq!(found, [("oauth_token_requests/0/value".to_owned(), "missing", sentence)]);
    let none =
        seal_again(parse(json!({ "oauth_token_requests": [] }), Mode::Patch(&current)).unwrap(), &current);
    assert!(none.secrets.keys().all(|key| !key.starts_with("oauth_token_requests")));
}

#[test]
fn rows_have_rules_and_sentences() {
    let row = |row: Value| {
        let sent = with(&typed("oauth2_client_credentials"), &json!({ "oauth_token_requests": [row] }));
        match parse(sent, Mode::Create) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.into_iter().map(|one| (one.field, one.code, one.message)).collect(),
        }
    };
    let at = |part: &str, code: &'static str, message: &str| {
        vec![(format!("oauth_token_requests/0/{part}"), code, message.to_owned())]
    };
    assert_eq!(row(json!({ "name": "a.b_c~d-e", "value": "" })), []);
    let nameless = "Enter a name for row 1 or remove it";
    assert_eq!(row(json!({ "value": "x" })), at("name", "missing", nameless));
    for name in ["grant_type", "client_secret", "code_verifier", "client_id", "scope"] {
        let sentence = format!("“{name}” is set automatically");
        assert_eq!(row(json!({ "name": name, "value": "x" })), at("name", "reserved", &sentence));
    }
    let odd = "“a b” must use letters, digits and . _ ~ - only";
    assert_eq!(row(json!({ "name": "a b", "value": "x" })), at("name", "bad_characters", odd));
    let mask = "This looks like a mask, not a value of a. Leave it out to keep the saved one";
    assert_eq!(row(json!({ "name": "a", "value": "****", "secret": true })), at("value", "mask_value", mask));
    assert_eq!(row(json!({ "name": "a", "value": "****" })), [], "it is no secret");
    let long = "The value of a must be 2,048 characters or fewer";
    assert_eq!(row(json!({ "name": "a", "value": "x".repeat(2_049) })), at("value", "too_long", long));
    let control = "The value of a must not include control characters";
    assert_eq!(row(json!({ "name": "a", "value": "x\ny" })), at("value", "bad_characters", control));
    let place = "Sent in must be body or query";
    assert_eq!(row(json!({ "name": "a", "value": "x", "sent_in": "head" })), at("sent_in", "unknown", place));
    let many: Vec<_> = (0..21).map(|n| json!({ "name": format!("p{n}"), "value": "x" })).collect();
    let sent = with(&typed("oauth2_client_credentials"), &json!({ "oauth_token_requests": many }));
    assert_eq!(refused(sent, Mode::Create)[0].2, "Add 20 rows or fewer");
}

#[test]
fn fields_of_a_client_have_rules_and_sentences() {
    let check = |changes: Value, field: &str, code: &str, message: &str| {
        let found = refused(with(&typed("oauth2_authorization_code"), &changes), Mode::Create);
        let found: Vec<_> = found.iter().map(|(f, c, m)| (f.as_str(), *c, m.as_str())).collect();
        assert_eq!(found, [(field, code, message)]);
    };
    check(json!({ "client_id": "" }), "client_id", "missing", "Enter the client ID");
    check(json!({ "client_id": "é" }), "client_id", "bad_characters", "Client ID must use plain characters");
    check(json!({ "client_secret": null }), "client_secret", "missing", "Enter the client secret");
    let copied = "Client secret must use plain characters. Check for a line break copied with it";
    check(json!({ "client_secret": "a\n" }), "client_secret", "bad_characters", copied);
    check(json!({ "access_token_url": "" }), "access_token_url", "missing", "Enter the Access Token URL");
    let code_url = "Enter the Authorization code URL";
    check(json!({ "authorization_code_url": "" }), "authorization_code_url", "missing", code_url);
    let secure = "Access Token URL must start with https://";
    check(json!({ "access_token_url": "http://a.example/t" }), "access_token_url", "https_needed", secure);
    let fragment = "Access Token URL must not include #";
    check(
        json!({ "access_token_url": "https://a.example/t#" }),
        "access_token_url",
        "fragment_given",
        fragment,
    );
    let own = "Replace “{tenant}” in the Access Token URL with your own value";
    check(
        json!({ "access_token_url": "https://a.example/{tenant}/t" }),
        "access_token_url",
        "placeholder_left",
        own,
    );
    let quoted = "Scope must not include quotation marks or backslashes";
    check(json!({ "scope": "a\"b" }), "scope", "bad_characters", quoted);
    check(
        json!({ "authentication_information": "" }),
        "authentication_information",
        "missing",
        "Select Header or Body",
    );
    check(
        json!({ "authentication_information": "cookie" }),
        "authentication_information",
        "unknown",
        "Authentication information must be one of header, body, header_raw",
    );
    check(
        json!({ "authentication_information": "header_raw", "client_id": "a:b" }),
        "client_id",
        "bad_characters",
        "Client ID must not include a colon (:)",
    );
    for life in [json!("0"), json!("31536001"), json!("+5"), json!("x"), json!(-1), json!(1.5)] {
        let sentence = "Enter a number of seconds";
        check(json!({ "token_lifetime_seconds": life }), "token_lifetime_seconds", "out_of_range", sentence);
    }
    let number = with(&typed("oauth2_authorization_code"), &json!({ "token_lifetime_seconds": 600 }));
    assert_eq!(parse(number, Mode::Create).unwrap().plain["token_lifetime_seconds"], "600");
    check(json!({ "test_path": "api" }), "test_path", "slash_needed", "Test path must start with /");
    check(
        json!({ "test_path": "//evil.example" }),
        "test_path",
        "other_host",
        "Test path must stay on acme.example",
    );
}

#[test]
fn a_new_client_secret_is_no_approval() {
    let current = stored("oauth2_authorization_code");
    assert_eq!(current.seen.code, StatusCode::NotAuthorized);
    let secret = json!({ "client_secret": "client secret 2" });
    let saved = seal_again(parse(secret, Mode::Patch(&current)).unwrap(), &current);
    assert_eq!(saved.seen, current.seen);
}

#[test]
fn each_request_gets_the_headers_meant_for_it() {
    let rows = json!({ "custom_headers": [
        { "name": "X-Both", "value": "1" },
        { "name": "X-Token", "value": "2", "sent_with": "token_request" },
        { "name": "X-Api", "value": "3", "sent_with": "api_request" },
    ] });
    for (kind, api, token) in [
        ("oauth2_client_credentials", vec!["x-both", "x-api"], vec!["authorization", "x-both", "x-token"]),
        ("bearer", vec!["x-both", "x-token", "x-api"], vec![]),
    ] {
        let draft = parse(with(&typed(kind), &rows), Mode::Create).unwrap();
        let current = draft.seal(&VAULT, &Save { now: now(), by: "Ana" }, CredentialId::new(now()), None);
        let mut fields = Fields { plain: current.plain.clone(), ..Fields::default() };
        for key in current.secrets.keys() {
            fields.secrets.insert(key.clone(), open(&current, key).unwrap());
        }
        let names =
            |access: Access| access.headers.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(Access::join(&current, Proof::default(), &fields).unwrap()), api, "{kind}");
        let step = (current.authorization_type.parse)(&fields).unwrap().step(None, now());
        if let auth::Step::Fetch { exchange, .. } = step {
            let access = Access::join_exchange(&current, &exchange, &fields).unwrap();
            assert_eq!(access.origin.to_string(), "https://login.example/");
            assert_eq!(access.path.as_ref().unwrap().expose(), "/token?resource=row+secret+1");
            assert_eq!(names(access), token, "{kind}");
        }
    }
}

#[test]
fn a_new_type_asks_for_its_own_secret_and_the_kept_ones() {
    let moved = "Enter the value of X-Api-Key again. You changed the authorization type, so the saved one is not used with it";
    for (from, to, own) in [
        ("basic", "bearer", json!({ "token": "abc" })),
        ("basic", "none", json!({})),
        ("bearer", "basic", json!({ "username": "ana", "password": "p" })),
        ("bearer", "none", json!({})),
        ("none", "basic", json!({ "username": "ana", "password": "p" })),
        ("none", "bearer", json!({ "token": "abc" })),
    ] {
        let current = stored(from);
        let change = with(&json!({ "authorization_type": to }), &own);
        let found = refused(change.clone(), Mode::Patch(&current));
        assert_eq!(found, [("custom_headers/0/value".to_owned(), MOVED, moved.to_owned())], "{from} to {to}");
        let header = json!({ "custom_headers": [{ "name": "X-Api-Key", "value": "header 2" }] });
        let saved = seal_again(parse(with(&change, &header), Mode::Patch(&current)).unwrap(), &current);
        assert_eq!(saved.authorization_type.kind, to);
        assert!(saved.secrets.keys().all(|key| open(&saved, key).is_ok()), "{from} to {to}");
        assert!(!saved.secrets.contains_key(URL_PATH), "{from} to {to}");
    }
    let missing = refused(json!({ "authorization_type": "bearer" }), Mode::Patch(&stored("basic")));
    assert_eq!(missing[0], ("token".to_owned(), "missing", "Enter a token".to_owned()));
    let changed = json!({ "authorization_type": "bearer", "token": "abc", "custom_headers": [] });
    assert_eq!(parse(changed, Mode::Patch(&stored("basic"))).unwrap().plain["header_prefix"], "Bearer");
}

#[test]
fn the_row_that_was_sent_is_named() {
    let change = json!({ "url_address": "https://other.example/", "password": "new", "custom_headers": [
        { "name": "X-New", "value": "x" }, { "name": "X-API-KEY", "value": { "set": true } },
    ] });
    let found = refused(change, Mode::Patch(&stored("basic")));
    assert_eq!((found.len(), found[0].0.as_str()), (1, "custom_headers/1/value"));
    assert!(found[0].2.starts_with("Enter the value of X-API-KEY again. "));
}

#[test]
fn what_does_not_bind_keeps_the_secrets() {
    let same = [
        ("basic", json!({ "url_address": "https://ACME.example:443", "name": "x", "labels": { "a": "b" } })),
        ("basic", json!({ "ends_on": "2027-01-01", "max_concurrency": 1, "max_per_second": 3 })),
        ("bearer", json!({ "header_prefix": "AR-JWT" })),
        ("none", json!({ "url_address": "https://acme.example" })),
    ];
    for (kind, change) in same {
        let current = stored(kind);
        let draft = parse(change.clone(), Mode::Patch(&current)).unwrap();
        assert!(draft.secrets.values().all(|change| matches!(change, Change::Keep)), "{change}");
        let saved = seal_again(draft, &current);
        assert!(saved.secrets.len() == 2 && saved.secrets.keys().all(|key| open(&saved, key).is_ok()));
        assert_eq!(saved.seen, current.seen);
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
fn a_secret_kept_behind_the_rules_does_not_open_at_the_new_address() {
    let current = stored("basic");
    let mut draft = parse(json!({}), Mode::Patch(&current)).unwrap();
    draft.target = Target::Https(Origin::parse("URL address", "https://other.example/").unwrap());
    let saved = seal_again(draft, &current);
    for key in saved.secrets.keys() {
        assert_eq!(open(&saved, key).unwrap_err(), OpenError::Misplaced);
    }
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

/// One key of a patch: absent, or one of these.
fn maybe(values: Vec<Value>) -> impl Strategy<Value = Option<Value>> {
    proptest::option::of(proptest::sample::select(values))
}

fn patches() -> impl Strategy<Value = Value> {
    let secret = || vec![Value::Null, json!({ "set": true }), json!({ "set": false }), json!("typed")];
    let address =
        ["https://acme.example/", "https://b.example/", "https://acme.example:8443", "https://b.example/x"];
    let kinds = ["basic", "bearer", "none"];
    let rows = ["X-Api-Key", "x-api-key", "X-New"]
        .iter()
        .flat_map(|name| secret().into_iter().map(move |value| json!([{ "name": name, "value": value }])));
    let keys = (
        maybe(address.iter().map(|text| json!(text)).collect()),
        maybe(kinds.iter().map(|kind| json!(kind)).collect()),
        maybe(vec![json!("ana"), json!("bob"), Value::Null]),
        maybe(secret()),
        maybe(secret()),
        maybe(vec![Value::Null, json!({ "set": true }), json!({ "set": false })]),
        maybe(rows.chain([json!([]), Value::Null]).collect()),
    );
    keys.prop_map(|(address, kind, username, password, token, path, headers)| {
        let names = [
            "url_address",
            "authorization_type",
            "username",
            "password",
            "token",
            "url_path",
            "custom_headers",
        ];
        let values = [address, kind, username, password, token, path, headers];
        names.into_iter().zip(values).filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    })
}

proptest! {
    /// Whatever is kept, removed or replaced: no secret that was saved for one destination goes to another.
    #[test]
    fn no_kept_secret_gets_a_new_binding(
        kind in proptest::sample::select(vec!["basic", "bearer", "none"]), patch in patches(), whole in any::<bool>(),
    ) {
        let current = stored(kind);
        let sent = if whole { with(&shown(&current), &patch) } else { patch };
        let mode = if whole { Mode::Replace(&current) } else { Mode::Patch(&current) };
        let Ok(draft) = parse(sent, mode) else { return Ok(()) };
        let saved = seal_again(draft, &current);
        let moved = saved.binding() != current.binding();
        for (key, secret) in &saved.secrets {
            prop_assert!(open(&saved, key).is_ok(), "{key}");
            let kept = current.secrets.get(key).is_some_and(|old| old.sealed == secret.sealed);
            prop_assert_eq!(secret.generation, if kept { 1 } else { 2 });
            prop_assert!(!(kept && moved), "{key} was kept");
        }
    }
}
