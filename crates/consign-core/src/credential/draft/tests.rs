use serde_json::json;

use super::*;
use crate::credential::SentWith;
use crate::credential::tests::{parse, refused, shown, stored, typed, with};

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
    let whole = with(
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
    check(json!({ "protocol": null }), "protocol", "missing", "Select a protocol: https");
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
    let sentence = "“Basic” is not an authorization type. Choose one of basic, bearer, oauth2_client_credentials, oauth2_authorization_code, oauth2_saml_bearer, none".to_owned();
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
    let long = "The value of A must be 4,096 characters or fewer";
    check_headers(json!([row("A", &"x".repeat(4_097))]), &[("custom_headers/0/value", "too_long", long)]);
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
fn what_rows_do_not_have_is_refused_and_not_dropped() {
    let check = |changes: Value, field: &str, message: &str| {
        let found = refused(with(&typed("oauth2_saml_bearer"), &changes), Mode::Create);
        let found: Vec<_> = found.iter().map(|(f, c, m)| (f.as_str(), *c, m.as_str())).collect();
        assert_eq!(found, [(field, "unsupported", message)]);
    };
    let secret = "Secret is not for SAML Attributes: their values are stored and shown as text. Leave it out";
    for said in [json!(true), json!("on")] {
        let row = json!({ "saml_attributes": [{ "name": "api_key", "value": "hidden", "secret": said }] });
        check(row, "saml_attributes/0/secret", secret);
    }
    let place = "Sent in is not for SAML Attributes: they all travel in the same place. Leave it out";
    for said in ["query", "header"] {
        let row = json!({ "saml_attributes": [{ "name": "api_key", "value": "x", "sent_in": said }] });
        check(row, "saml_attributes/0/sent_in", place);
    }
    // What an answer shows comes back.
    let row =
        json!({ "saml_attributes": [{ "name": "a", "value": " x ", "secret": false, "sent_in": "body" }] });
    assert!(parse(with(&typed("oauth2_saml_bearer"), &row), Mode::Create).is_ok());
}

#[test]
fn names_in_an_assertion_have_no_blanks_at_their_ends() {
    for (key, label) in [
        ("name_id", "Name ID"),
        ("issuer", "Issuer"),
        ("audience", "Audience"),
        ("name_qualifier", "Name qualifier"),
        ("authn_context_class_ref", "Authentication context"),
    ] {
        let sentence = format!("{label} must not start or end with a space");
        for text in [" x", "x ", "x\u{a0}"] {
            let found = refused(with(&typed("oauth2_saml_bearer"), &json!({ key: text })), Mode::Create);
            assert_eq!(found, [(key.to_owned(), "bad_characters", sentence.clone())]);
        }
    }
    let row = json!({ "saml_attributes": [{ "name": "api_key ", "value": "x" }] });
    let found = refused(with(&typed("oauth2_saml_bearer"), &row), Mode::Create);
    assert_eq!(found[0].2, "The name of row 1 must not start or end with a space");
}
