//! A new destination asks for every secret, and no saved one goes there.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

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
fn a_secret_kept_behind_the_rules_does_not_open_at_the_new_address() {
    let current = stored("basic");
    let mut draft = parse(json!({}), Mode::Patch(&current)).unwrap();
    draft.target = Target::Https(Origin::parse("URL address", "https://other.example/").unwrap());
    let saved = seal_again(draft, &current);
    for key in saved.secrets.keys() {
        assert_eq!(open(&saved, key).unwrap_err(), OpenError::Misplaced);
    }
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
