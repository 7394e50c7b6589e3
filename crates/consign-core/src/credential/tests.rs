use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::catalog::Invalid;
use crate::vault::{KeyRing, OpenError};

static VAULT: LazyLock<Vault> = LazyLock::new(|| Vault::new(&KeyRing::generate(), "installation"));

const MOVED: &str = "secret_needed_for_new_destination";

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").unwrap()
}

fn later() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").unwrap()
}

/// `base` with the keys of `changes` laid over it.
fn with(base: &Value, changes: &Value) -> Value {
    let mut whole = base.as_object().unwrap().clone();
    whole.extend(changes.as_object().unwrap().clone());
    Value::Object(whole)
}

/// A whole credential of a type, every secret typed.
fn typed(kind: &str) -> Value {
    let common = json!({
        "name": "ServiceNow production", "protocol": "https", "url_address": "https://acme.example/",
        "authorization_type": kind, "custom_headers": [{ "name": "X-Api-Key", "value": "header 1" }],
    });
    let own = match kind {
        "basic" => json!({ "username": "ana", "password": "open sesame" }),
        "bearer" => json!({ "header_prefix": "Token", "token": "abc" }),
        _ => json!({ "url_address": "https://acme.example/services/T0?k=1" }),
    };
    with(&common, &own)
}

fn parse(sent: Value, mode: Mode<'_>) -> Result<Draft, Vec<Invalid>> {
    let Value::Object(sent) = sent else { panic!("not an object: {sent}") };
    Draft::parse(sent, mode, now())
}

fn stored(kind: &str) -> Credential {
    let draft = parse(typed(kind), Mode::Create).unwrap();
    draft.seal(&VAULT, &Save { now: now(), by: "Ana Silva" }, None)
}

fn seal_again(draft: Draft, current: &Credential) -> Credential {
    draft.seal(&VAULT, &Save { now: later(), by: "ci" }, Some(current))
}

/// What a read shows; a saved secret is an object that says so.
fn shown(credential: &Credential) -> Value {
    let saved = |key: &str| {
        credential.secrets.get(key).map_or(
            json!({ "set": false }),
            |secret| json!({ "set": true, "updated_at": secret.updated_at, "updated_by": secret.updated_by }),
        )
    };
    let mut value = json!({
        "id": credential.id, "etag": "\"1\"", "status": { "code": "working" }, "used_by_count": 2,
        "name": credential.name, "protocol": "https", "url_address": credential.origin.to_string(),
        "authorization_type": credential.authorization_type.kind, "ends_on": credential.ends_on,
        "labels": credential.labels, "max_concurrency": credential.max_concurrency,
        "max_per_second": credential.max_per_second.map(Rate::per_second),
        "custom_headers": credential.custom_headers.iter().map(|header| json!({
            "name": header.name, "sent_with": header.sent_with, "value": saved(&header.secret_key()),
        })).collect::<Vec<_>>(),
    });
    for field in credential.authorization_type.fields {
        value[field.key] =
            if field.is_secret() { saved(field.key) } else { json!(credential.plain.get(field.key)) };
    }
    if credential.authorization_type.address_is_secret {
        value[URL_PATH] = saved(URL_PATH);
    }
    value
}

#[track_caller]
fn refused(sent: Value, mode: Mode<'_>) -> Vec<(String, &'static str, String)> {
    let invalid = parse(sent, mode).expect_err("this was accepted");
    invalid.into_iter().map(|one| (one.field, one.code, one.message)).collect()
}

#[track_caller]
fn check(changes: Value, field: &str, code: &str, message: &str) {
    let found = refused(with(&typed("basic"), &changes), Mode::Create);
    assert_eq!(
        found.iter().map(|(f, c, m)| (f.as_str(), *c, m.as_str())).collect::<Vec<_>>(),
        [(field, code, message)]
    );
}

#[test]
fn common_fields_and_their_sentences() {
    let typed = with(
        &typed("basic"),
        &json!({
            "name": "  Jira  ", "ends_on": "2026-11-22", "labels": { "env": "prod", "team/a.b-c_1": "" },
            "max_concurrency": 64, "max_per_second": 0.1,
        }),
    );
    let draft = parse(whole, Mode::Create).unwrap();
    assert_eq!((draft.name.as_str(), draft.ends_on.as_deref()), ("Jira", Some("2026-11-22")));
    assert_eq!((draft.max_concurrency, draft.max_per_second), (Some(64), Rate::from_thousandths(100)));
    assert_eq!(draft.labels.keys().collect::<Vec<_>>(), ["env", "team/a.b-c_1"]);

    check(json!({ "name": " " }), "name", "missing", "Enter a name");
    check(json!({ "name": "x".repeat(81) }), "name", "too_long", "Name must be 80 characters or fewer");
    check(json!({ "name": "a\tb" }), "name", "bad_characters", "Name must not include line breaks or tabs");
    let number = refused(with(&typed("basic"), &json!({ "name": 7 })), Mode::Create);
    assert_eq!((number[0].1, number[0].2.as_str()), ("bad_form", "Name must be text"));
    check(json!({ "protocol": null }), "protocol", "missing", "Select a protocol");
    check(json!({ "protocol": "http" }), "protocol", "unknown", "“http” is not a protocol. Choose https");
    check(json!({ "url_address": "" }), "url_address", "missing", "Enter the URL address");
    check(
        json!({ "url_address": "http://a.example/" }),
        "url_address",
        "https_needed",
        "URL address must start with https://",
    );
    let path = "URL address must end after the host or port. Put “/api” in the webhook";
    check(json!({ "url_address": "https://a.example/api" }), "url_address", "path_given", path);
    check(json!({ "username": "" }), "username", "missing", "Enter a username");
    check(json!({ "password": null }), "password", "missing", "Enter a password");
    check(json!({ "password": "" }), "password", "missing", "Enter a password");
    check(json!({ "password": 7 }), "password", "bad_form", "Password must be text");
    check(json!({ "password": { "set": false } }), "password", "missing", "Enter a password");
    check(json!({ "password": { "set": true } }), "password", "missing", "Enter a password");
    check(
        json!({ "password": "a\u{7}" }),
        "password",
        "bad_characters",
        "Password must not include control characters",
    );
    let long = "Password must be 1,024 characters or fewer";
    check(json!({ "password": "x".repeat(1_025) }), "password", "too_long", long);
}

#[test]
fn types_are_chosen_from_the_list() {
    let chosen = |kind: Value| {
        refused(
            json!({ "name": "a", "protocol": "https", "url_address": "https://a.example/", "authorization_type": kind }),
            Mode::Create,
        )
    };
    let missing = ("authorization_type".to_owned(), "missing", "Select an authorization type".to_owned());
    assert_eq!(chosen(Value::Null), [missing]);
    let sentence = "“Basic” is not an authorization type. Choose one of basic, bearer, none".to_owned();
    assert_eq!(chosen(json!("Basic")), [("authorization_type".to_owned(), "unknown", sentence)]);
}

#[test]
fn end_dates() {
    for (day, code, message) in [
        ("2026-11-21", "past_date", "Ends on must be today or later"),
        ("2027-02-30", "bad_form", "Ends on must be a date such as 2027-02-12"),
        ("2027-W06-5", "bad_form", "Ends on must be a date such as 2027-02-12"),
        ("12.02.2027", "bad_form", "Ends on must be a date such as 2027-02-12"),
        ("2027-02-12T00:00:00Z", "bad_form", "Ends on must be a date such as 2027-02-12"),
    ] {
        check(json!({ "ends_on": day }), "ends_on", code, message);
    }
    // A day that has passed meanwhile may stay as it is.
    let ended = Credential { ends_on: Some("2026-01-01".to_owned()), ..stored("basic") };
    assert_eq!(parse(shown(&ended), Mode::Replace(&ended)).unwrap().ends_on.as_deref(), Some("2026-01-01"));
    assert_eq!(refused(json!({ "ends_on": "2026-01-02" }), Mode::Patch(&ended))[0].1, "past_date");
    assert_eq!(parse(json!({ "ends_on": null }), Mode::Patch(&ended)).unwrap().ends_on, None);
}

#[test]
fn limits_and_labels() {
    for wrong in [json!(0), json!(65), json!(-1), json!(1.5), json!("many"), json!(true)] {
        check(
            json!({ "max_concurrency": wrong }),
            "max_concurrency",
            "out_of_range",
            "Enter a number from 1 to 64",
        );
    }
    for wrong in [json!(0), json!(0.09), json!(1_000.1), json!("NaN"), json!("inf"), json!([])] {
        check(
            json!({ "max_per_second": wrong }),
            "max_per_second",
            "out_of_range",
            "Enter a number from 0.1 to 1,000",
        );
    }
    for (value, thousandths) in
        [(json!("2.5"), Some(2_500)), (json!(1_000), Some(1_000_000)), (json!(" "), None)]
    {
        assert_eq!(Rate::parse(&value).unwrap().map(Rate::thousandths), thousandths, "{value}");
    }
    let form = "Label must look like key=value";
    for wrong in [
        json!([]),
        json!("a=b"),
        json!({ "": "x" }),
        json!({ "Env": "x" }),
        json!({ "a b": "x" }),
        json!({ "a": 1 }),
        json!({ "a": null }),
        json!({ "a".repeat(64): "x" }),
        json!({ "a": "x".repeat(64) }),
        json!({ "a": "x\ny" }),
    ] {
        check(json!({ "labels": wrong }), "labels", "bad_form", form);
    }
    let many: Map<String, Value> = (0..17).map(|n| (format!("k{n}"), json!("v"))).collect();
    check(json!({ "labels": many }), "labels", "too_many", "Add 16 labels or fewer");
}

#[test]
fn unknown_fields_are_refused_with_the_nearest_known_one() {
    check(
        json!({ "pasword": "x" }),
        "pasword",
        "unknown_field",
        "“pasword” is not known. Did you mean password?",
    );
    check(json!({ "lables": {} }), "lables", "unknown_field", "“lables” is not known. Did you mean labels?");
    check(json!({ "zzzzzz": 1 }), "zzzzzz", "unknown_field", "“zzzzzz” is not known");
    check(json!({ "token": "x" }), "token", "unknown_field", "“token” does not belong to Basic");
    check(json!({ "url_path": "/x" }), "url_path", "unknown_field", "“url_path” is not known");
    // What an answer says about a credential may come back.
    assert!(
        parse(
            with(&typed("basic"), &json!({ "id": "x", "etag": "\"9\"", "last_used_at": null })),
            Mode::Create
        )
        .is_ok()
    );
}

#[track_caller]
fn check_headers(rows: Value, expected: &[(&str, &str, &str)]) {
    let found = refused(with(&typed("basic"), &json!({ "custom_headers": rows })), Mode::Create);
    let found: Vec<_> = found.iter().map(|(f, c, m)| (f.as_str(), *c, m.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn custom_headers_and_their_sentences() {
    let row = |name: &str, value: &str| json!({ "name": name, "value": value });
    let named = "Enter a name for custom header 2 or remove it";
    check_headers(json!([row("A", "x"), row("", "x")]), &[("custom_headers/1/name", "missing", named)]);
    check_headers(json!([row("A", "")]), &[("custom_headers/0/value", "missing", "Enter a value for A")]);
    check_headers(json!([{ "name": "A" }]), &[("custom_headers/0/value", "missing", "Enter a value for A")]);
    check_headers(
        json!([{ "name": "A", "value": null }]),
        &[("custom_headers/0/value", "missing", "Enter a value for A")],
    );
    check_headers(
        json!([row("A", "x"), row("a", "y")]),
        &[("custom_headers/1/name", "listed_twice", "a is listed twice")],
    );
    for name in
        ["Authorization", "host", "X-Forwarded-Proto", "Idempotency-Key", "Webhook-Id", "Proxy-Authorization"]
    {
        let automatic = format!("{name} is set automatically");
        check_headers(json!([row(name, "x")]), &[("custom_headers/0/name", "reserved", &automatic)]);
    }
    let plain = "X Key must use letters, digits and hyphens only";
    check_headers(json!([row("X Key", "x")]), &[("custom_headers/0/name", "bad_characters", plain)]);
    for value in ["a\nb", "é", " a", "a ", "\t"] {
        let plain = "The value of A must use plain characters on one line";
        check_headers(json!([row("A", value)]), &[("custom_headers/0/value", "bad_characters", plain)]);
    }
    let mask = "This looks like a mask, not a value of A. Leave it out to keep the saved one";
    check_headers(json!([row("A", "••••")]), &[("custom_headers/0/value", "mask_value", mask)]);
    let rows: Vec<_> = (0..21).map(|n| row(&format!("H{n}"), "x")).collect();
    check_headers(json!(rows), &[("custom_headers", "too_many", "Add 20 custom headers or fewer")]);
    let rows: Vec<_> = (0..5).map(|n| row(&format!("H{n}"), &"x".repeat(4_000))).collect();
    let large = "Custom headers must be 16,384 bytes or fewer in all";
    check_headers(json!(rows), &[("custom_headers", "too_long", large)]);
    let words = "Sent with must be token_request, api_request or both";
    let when = json!([{ "name": "A", "value": "x", "sent_with": "always" }]);
    check_headers(when, &[("custom_headers/0/sent_with", "unknown", words)]);
    let nearest = "“vaule” is not known. Did you mean value?";
    let mistyped = json!([{ "name": "A", "value": "x", "vaule": "y" }]);
    check_headers(mistyped, &[("custom_headers/0/vaule", "unknown_field", nearest)]);
    check_headers(json!(["A: x"]), &[("custom_headers/0", "bad_form", "A custom header must be an object")]);
    check_headers(json!({}), &[("custom_headers", "bad_form", "Custom headers must be a list")]);
}

#[test]
fn a_kept_value_belongs_to_its_header_by_name() {
    let current = stored("basic");
    let renamed = json!({ "custom_headers": [{ "name": "X-Other", "value": { "set": true } }] });
    assert_eq!(refused(renamed, Mode::Patch(&current))[0].2, "Enter a value for X-Other");
    let recased = json!({ "custom_headers": [{ "name": "x-API-key", "sent_with": "api_request" }] });
    let draft = parse(recased, Mode::Patch(&current)).unwrap();
    assert_eq!(
        draft.custom_headers,
        [CustomHeader { name: "x-API-key".to_owned(), sent_with: SentWith::ApiRequest }]
    );
    assert!(matches!(draft.secrets["custom_headers/x-api-key"], Change::Keep));
    for none in [json!([]), Value::Null] {
        let draft = parse(json!({ "custom_headers": none }), Mode::Patch(&current)).unwrap();
        assert_eq!(draft.secrets.keys().collect::<Vec<_>>(), ["password"]);
    }
}

#[test]
fn masks_are_never_values() {
    let mask =
        |what: &str| format!("This looks like a mask, not a {what}. Leave it out to keep the saved one");
    for (kind, key, what) in [("basic", "password", "password"), ("bearer", "token", "token")] {
        let current = stored(kind);
        for text in ["*", "********", "•", "••••••", "**••"] {
            let found = refused(json!({ key: text }), Mode::Patch(&current));
            assert_eq!(found, [(key.to_owned(), "mask_value", mask(what))]);
        }
    }
    let current = stored("none");
    for address in
        [current.shown_address().as_str(), "https://acme.example/***", "https://other.example/••••"]
    {
        let found = refused(json!({ "url_address": address }), Mode::Patch(&current));
        assert_eq!(found, [("url_address".to_owned(), "mask_value", mask("whole address"))]);
    }
}

#[test]
fn what_was_read_can_be_sent_back_and_keeps_every_secret() {
    for entry in auth::AUTHORIZATION_TYPES {
        let extra = json!({
            "ends_on": "2027-02-12", "labels": { "env": "prod" }, "max_concurrency": 2, "max_per_second": 0.7,
        });
        let draft = parse(with(&typed(entry.kind), &extra), Mode::Create).unwrap();
        let current = draft.seal(&VAULT, &Save { now: now(), by: "Ana Silva" }, None);
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
            assert_eq!(saved.secrets.len(), 2);
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
        assert_eq!(saved.secrets.contains_key(URL_PATH), false, "{from} to {to}");
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
fn a_patch_merges_labels_by_key() {
    let current = Credential {
        labels: [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..stored("basic")
    };
    let labels = |sent: Value| parse(json!({ "labels": sent }), Mode::Patch(&current)).unwrap().labels;
    let pairs = |labels: &Labels| labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    assert_eq!(pairs(&labels(json!({ "b": null, "c": "3", "d": null }))), ["a=1", "c=3"]);
    assert!(labels(Value::Null).is_empty());
}

#[test]
fn a_secret_kept_behind_the_rules_does_not_open_at_the_new_address() {
    let current = stored("basic");
    let mut draft = parse(json!({}), Mode::Patch(&current)).unwrap();
    draft.origin = Origin::parse("URL address", "https://other.example/").unwrap();
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
    let auth::Step::Apply(proof) = (current.authorization_type.parse)(&fields).unwrap().step(now());
    let access = Access::join(&current, proof, &fields).unwrap();
    let headers: Vec<_> = access.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    assert_eq!(headers, [("authorization", "Token abc"), ("x-api-key", "header 1")]);
    assert!(access.headers.iter().all(|(_, value)| value.is_sensitive()) && access.path.is_none());
    assert!(!format!("{access:?} {current:?}").contains("header 1"));
}

#[track_caller]
fn check_status(seen: StatusCode, ends_on: &str, code: StatusCode, reason: &str) {
    let seen = Status { code: seen, reason: "as seen".to_owned(), since: now() };
    let credential = Credential { seen, ends_on: Some(ends_on.to_owned()), ..stored("basic") };
    let status = credential.status(now());
    assert_eq!((status.code, status.reason.as_str()), (code, reason));
}

#[test]
fn an_end_date_outranks_working_and_a_failure_outranks_an_end_date() {
    check_status(StatusCode::Working, "2026-11-21", StatusCode::Ended, "ended on 2026-11-21");
    check_status(StatusCode::Working, "2026-11-22", StatusCode::EndsSoon, "ends today");
    check_status(StatusCode::NotTested, "2026-11-23", StatusCode::EndsSoon, "ends tomorrow");
    check_status(StatusCode::Working, "2026-12-22", StatusCode::EndsSoon, "ends in 30 days");
    check_status(StatusCode::Working, "2026-12-23", StatusCode::Working, "as seen");
    for pressing in [StatusCode::Locked, StatusCode::SignInRefused, StatusCode::CannotReach] {
        check_status(pressing, "2026-11-21", pressing, "as seen");
    }
    assert_eq!(stored("basic").status(later()).code, StatusCode::NotTested);
}

#[test]
fn statuses_have_words_and_consequences() {
    for code in StatusCode::ALL {
        assert_eq!(StatusCode::find(code.kind()), Some(*code));
        assert_eq!(serde_json::to_value(code).unwrap(), code.kind());
        assert_eq!(code.action().is_some(), code.needs_attention(), "{}", code.label());
    }
    let holding: Vec<_> =
        StatusCode::ALL.iter().filter(|code| code.holds()).map(|code| code.kind()).collect();
    assert_eq!(holding, ["locked", "sign_in_refused"]);
    assert!(SentWith::ALL.iter().all(|choice| SentWith::find(choice.kind()) == Some(*choice)));
    assert_eq!(
        (stored_type("basic").unwrap().kind, stored_type("kerberos").unwrap_err().as_str()),
        ("basic", "kerberos")
    );
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
