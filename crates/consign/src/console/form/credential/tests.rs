use super::*;
use consign_core::credential::{Draft, Mode};
use consign_core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_764_000_000_000);

fn read(pairs: &[(&str, &str)]) -> (CredentialForm, Kept) {
    let mut kept = Kept::default();
    let form = CredentialForm::typed(&Form::from(pairs), &mut kept);
    (form, kept)
}

const BASIC: &[(&str, &str)] = &[
    ("name", "Tool"),
    ("protocol", "https"),
    ("url_address", "https://tool.example/"),
    ("authorization_type", "basic"),
    ("username", "ana"),
    ("password", "open sesame"),
    ("labels", "team=itsm\r\nstage=production\r\n"),
];

const CERTIFICATE: &str = include_str!("../../../../../consign-core/src/sign/tests/rsa.certificate.pem");
const PRIVATE_KEY: &str = include_str!("../../../../../consign-core/src/sign/tests/rsa.pkcs8.pem");

/// A text that the rule of a field takes.
fn usual(field: &Field) -> &'static str {
    if field.default_text().is_empty() { "5" } else { field.default_text() }
}

fn stored() -> Value {
    let secret = json!({ "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana Silva" });
    json!({
        "id": "crd_1", "etag": "\"7\"", "name": "Tool", "protocol": "https",
        "url_address": "https://tool.example/",
        "authorization_type": "basic", "username": "ana", "password": secret, "test_path": "/me",
        "ends_on": null,
        "labels": { "team": "itsm" }, "max_concurrency": 2, "max_per_second": null,
        "custom_headers": [{ "name": "X-Api-Key", "sent_with": "both", "value": secret }],
    })
}

#[test]
fn a_form_says_the_same_as_a_body_of_the_api() {
    let web = AUTHORIZATION_TYPES.iter().filter(|entry| entry.protocol == Protocol::Https);
    for kind in web.map(|entry| entry.kind) {
        let mut pairs: Vec<_> =
            BASIC.iter().copied().filter(|(key, _)| *key != "authorization_type").collect();
        pairs.push(("authorization_type", kind));
        for field in type_of(kind).unwrap().fields {
            if !pairs.iter().any(|(key, _)| *key == field.key) {
                match field.input {
                    Input::Text | Input::Secret | Input::PrivateKey(_) => {
                        pairs.push((field.key, usual(field)))
                    }
                    Input::Suggested(choices) => pairs.push((field.key, choices[0].kind)),
                    Input::Certificate(_) | Input::ClientCertificate => pairs.push((field.key, CERTIFICATE)),
                    Input::CertificateKey | Input::ClientKey => pairs.push((field.key, PRIVATE_KEY)),
                    Input::Address => pairs.push((field.key, "https://login.example/token")),
                    Input::Choice(choices) => pairs.push((field.key, choices[0].kind)),
                    Input::Rows(_) => {}
                }
            }
        }
        let (form, kept) = read(&pairs);
        let draft = Draft::parse(form.sent(&kept, None), Mode::Create, NOW).unwrap();
        assert_eq!(draft.authorization_type.kind, kind);
        assert_eq!(draft.labels.len(), 2);
        for field in type_of(kind).unwrap().fields {
            // Nothing proves the client in an assertion, and its secret is asked for where something does.
            let asked = kind != "oauth2_saml_bearer" || field.when.is_none();
            let there = field.is_secret() && asked;
            assert_eq!(draft.secrets.contains_key(field.key), there, "{kind} {}", field.key);
        }
    }
}

#[test]
fn nothing_typed_gives_the_sentences_of_the_rules() {
    let (form, kept) = read(&[]);
    let invalid = Draft::parse(form.sent(&kept, None), Mode::Create, NOW).unwrap_err();
    let found: Vec<_> = invalid.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "Enter a name",
            "Select a protocol: https or sftp",
            "Select an authorization type",
            "Enter the URL address"
        ]
    );
}

#[test]
fn typed_secrets_are_never_in_the_fields() {
    let (form, kept) = read(BASIC);
    let fields = form.fields(&kept, None, &[], "/x");
    assert!(!fields.to_string().contains("sesame"));
    assert_eq!(fields["of_type"][1]["entered"], true);
    assert_eq!(fields["of_type"][0]["value"], "ana");
}

#[test]
fn a_secret_left_empty_keeps_what_was_typed_before() {
    let (_, mut kept) = read(BASIC);
    let again: Vec<_> =
        BASIC.iter().copied().filter(|(key, _)| *key != "password").chain([("password", "")]).collect();
    let form = CredentialForm::typed(&Form::from(&again[..]), &mut kept);
    assert_eq!(form.sent(&kept, None)["password"], "open sesame");
}

#[test]
fn another_type_forgets_the_secrets_and_keeps_the_texts() {
    let (_, mut kept) = read(BASIC);
    let form = Form::from(
        &[("authorization_type", "bearer"), ("username", "ana"), ("url_address", "https://a.example/")][..],
    );
    let form = CredentialForm::typed(&form, &mut kept);
    assert!(!kept.has("password"));
    let fields = form.fields(&kept, None, &[], "/x");
    assert_eq!(fields["others"], json!([{ "name": "username", "value": "ana" }]));
    assert_eq!(fields["of_type"][0]["prefill"], "Bearer");
    assert_eq!(fields["of_type"][1]["preview"], "Authorization: Bearer ••••••");
    assert!(!form.sent(&kept, None).contains_key("username"));
}

#[test]
fn an_untouched_edit_keeps_every_secret() {
    let current = stored();
    let form = CredentialForm::stored(&current);
    let sent = form.sent(&Kept::default(), Some(&current));
    assert!(!sent.contains_key("password"));
    assert_eq!(sent["custom_headers"], json!([{ "name": "X-Api-Key", "value": { "set": true } }]));
    assert_eq!(sent["labels"], json!({ "team": "itsm" }));
    assert_eq!(sent["max_concurrency"], "2");
    assert_eq!(sent["test_path"], "/me");
    let fields = form.fields(&Kept::default(), Some(&current), &[], "/x");
    assert_eq!(fields["of_type"][1]["set"]["by"], "Ana Silva");
    assert_eq!(fields["custom_headers"]["rows"][0]["set"]["by"], "Ana Silva");
    assert_eq!(fields["custom_headers"]["rows"].as_array().unwrap().len(), 1 + 3);
}

#[test]
fn a_full_address_is_cut_and_said() {
    let (form, kept) = read(&[
        ("url_address", " https://acme.service-now.com/api/now/table/incident "),
        ("authorization_type", "basic"),
    ]);
    assert_eq!(form.sent(&kept, None)["url_address"], "https://acme.service-now.com/");
    let notes: Vec<_> = form.warnings(&kept).into_iter().map(|(_, note)| note).collect();
    assert_eq!(
        notes,
        [
            "We removed the spaces around the address.",
            "We kept https://acme.service-now.com/. You will need /api/now/table/incident in the webhook.",
        ]
    );
    let fields = form.fields(&kept, None, &[], "/x");
    assert_eq!(fields["url_address"]["cut"], "/api/now/table/incident", "to be copied from there");
    // What is no address is left alone, so that its sentence can be shown.
    let (form, kept) =
        read(&[("url_address", "http://acme.service-now.com/x"), ("authorization_type", "basic")]);
    assert_eq!(form.sent(&kept, None)["url_address"], "http://acme.service-now.com/x");
}

#[test]
fn where_an_address_led_and_leads_is_told_without_its_path() {
    let check = |current: &Value, typed: &[(&str, &str)], expected: Option<(&str, &str)>| {
        let (form, kept) = read(typed);
        let expected = expected.map(|(old, new)| (old.to_owned(), new.to_owned()));
        assert_eq!(form.moved(&kept, current), expected, "{typed:?}");
    };
    let tool = json!({ "protocol": "https", "url_address": "https://tool.example/" });
    let basic = |address| [("protocol", "https"), ("authorization_type", "basic"), ("url_address", address)];
    check(&tool, &basic("https://tool.example"), None);
    check(&tool, &basic("no address"), None);
    let other = Some(("https://tool.example/", "https://other.example:8443/"));
    check(&tool, &basic("https://other.example:8443/in"), other);
    let whole = |address| [("protocol", "https"), ("authorization_type", "none"), ("url_address", address)];
    check(&tool, &whole("https://other.example:8443/T0/B1"), other);
    check(&tool, &whole(""), None);
    let server = json!({ "protocol": "sftp", "hostname": "sftp://files.example:22/" });
    let files = |address| [("protocol", "sftp"), ("hostname", address)];
    check(&server, &files("sftp://files.example:22"), None);
    let other = Some(("sftp://files.example:22/", "sftp://files.example:2222/"));
    check(&server, &files("sftp://files.example:2222/"), other);
    check(&tool, &files("sftp://files.example:22"), None);
}

#[test]
fn an_address_that_is_a_secret_is_treated_as_one() {
    let (form, kept) =
        read(&[("url_address", "https://hooks.example/T0/B1"), ("authorization_type", "none")]);
    assert_eq!(form.sent(&kept, None)["url_address"], "https://hooks.example/T0/B1");
    let fields = form.fields(&kept, None, &[], "/x");
    assert!(!fields.to_string().contains("T0"));
    assert_eq!(fields["url_address"]["entered"], true);
    // Left empty in an edit, the stored one stays.
    let current = json!({
        "url_address": "https://hooks.example/",
        "url_path": { "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana" },
    });
    let (form, kept) = read(&[("url_address", ""), ("authorization_type", "none")]);
    assert_eq!(form.sent(&kept, Some(&current))["url_address"], "https://hooks.example/");
    let fields = form.fields(&kept, Some(&current), &[], "/x");
    assert_eq!(fields["url_address"]["preview"], "https://hooks.example/•••");
}

const CLIENT: &[(&str, &str)] = &[
    ("name", "Tool"),
    ("protocol", "https"),
    ("url_address", "https://tool.example/"),
    ("authorization_type", "oauth2_client_credentials"),
    ("client_id", "id"),
    ("client_secret", "s/1"),
    ("access_token_url", "https://login.example/token"),
    ("authentication_information", "header"),
    ("custom_headers.id", "new:1"),
    ("custom_headers.name", "X-Tenant"),
    ("custom_headers.value", "one"),
    ("custom_headers.sent_with", "token_request"),
    ("oauth_token_requests.id", "new:1"),
    ("oauth_token_requests.name", "resource"),
    ("oauth_token_requests.value", "shown"),
    ("oauth_token_requests.sent_in", "query"),
    ("oauth_token_requests.id", "new:2"),
    ("oauth_token_requests.name", "api_key"),
    ("oauth_token_requests.value", "hidden"),
    ("oauth_token_requests.sent_in", "body"),
    ("oauth_token_requests.secret", "new:2"),
];

#[test]
fn rows_of_a_type_go_where_they_belong_and_secret_ones_are_never_in_the_fields() {
    let (form, kept) = read(CLIENT);
    let sent = form.sent(&kept, None);
    assert_eq!(
        sent["oauth_token_requests"],
        json!([
            { "name": "resource", "value": "shown", "secret": false, "sent_in": "query" },
            { "name": "api_key", "value": "hidden", "secret": true, "sent_in": "body" },
        ])
    );
    assert_eq!(
        sent["custom_headers"],
        json!([{ "name": "X-Tenant", "sent_with": "token_request", "value": "one" }])
    );
    let draft = Draft::parse(sent, Mode::Create, NOW).unwrap();
    assert_eq!(draft.secrets.len(), 3, "{:?}", draft.secrets.keys());
    let fields = form.fields(&kept, None, &[], "/x").to_string();
    assert!(fields.contains("shown") && !fields.contains("hidden") && !fields.contains("s/1"));

    // Another type and back: what is no secret is still there.
    let fields = |kind: &'static str| {
        let mut pairs: Vec<_> = CLIENT.to_vec();
        pairs.retain(|(key, _)| *key != "authorization_type");
        pairs.push(("authorization_type", kind));
        let (form, kept) = read(&pairs);
        form.fields(&kept, None, &[], "/x")
    };
    let others = fields("bearer")["others"].to_string();
    assert!(others.contains("oauth_token_requests.name") && others.contains("resource"));
    assert!(others.contains("shown") && !others.contains("hidden"), "{others}");
    assert_eq!(fields("bearer")["tokens"], false);
    assert_eq!(fields("oauth2_client_credentials")["tokens"], true);
    assert_eq!(fields("oauth2_client_credentials")["granted"], false);
    assert_eq!(fields("oauth2_authorization_code")["granted"], true);
}

#[test]
fn where_headers_go_is_only_said_for_types_with_a_token_request() {
    let mut pairs: Vec<_> = CLIENT.to_vec();
    pairs.retain(|(key, _)| *key != "authorization_type");
    pairs.push(("authorization_type", "bearer"));
    let (form, kept) = read(&pairs);
    assert_eq!(form.sent(&kept, None)["custom_headers"], json!([{ "name": "X-Tenant", "value": "one" }]));
}

#[test]
fn every_input_is_asked_for_in_its_way() {
    let (form, kept) = read(CLIENT);
    let fields = form.fields(&kept, None, &[], "/x");
    let of = |key: &str| {
        let found = fields["of_type"].as_array().unwrap().iter().find(|field| field["key"] == key);
        found.unwrap_or_else(|| panic!("no {key}")).clone()
    };
    assert_eq!(of("client_id")["input"], "text");
    assert_eq!(of("client_secret")["input"], "secret");
    assert_eq!(
        (&of("access_token_url")["input"], &of("access_token_url")["mono"]),
        (&json!("text"), &json!(true))
    );
    assert_eq!(of("authentication_information")["input"], "select");
    assert_eq!(of("authentication_information")["options"][1], json!({ "value": "body", "label": "Body" }));
    assert_eq!(of("oauth_token_requests")["input"], "rows");
}

#[test]
fn the_choice_that_a_test_offers_is_taken_and_no_other() {
    let choice = |offer: &'static str| {
        let mut pairs = CLIENT.to_vec();
        pairs.push(("use_offer", offer));
        let (form, kept) = read(&pairs);
        form.sent(&kept, None)["authentication_information"].clone()
    };
    assert_eq!(choice("authentication_information=body"), "body");
    assert_eq!(choice("authentication_information=nowhere"), "header");
    assert_eq!(choice("client_id=other"), "header");
}

#[test]
fn what_is_worth_saying_is_said() {
    let check = |pairs: &[(&str, &str)], expected: &[&str]| {
        let (form, kept) = read(pairs);
        let found: Vec<_> = form.warnings(&kept).into_iter().map(|(_, sentence)| sentence).collect();
        assert_eq!(found, expected);
    };
    check(BASIC, &[]);
    check(
        &[("authorization_type", "basic"), ("password", " x ")],
        &["The password starts or ends with a space. Keep it only if that is right."],
    );
    check(
        &[("authorization_type", "basic"), ("password", "pässword")],
        &["Sent as UTF-8. Some tools expect another encoding."],
    );
    check(&[("authorization_type", "bearer"), ("token", "ä")], &[]);
    check(
        CLIENT,
        &[
            "The client secret has special characters (/). In the header they are URL-encoded, as the OAuth standard \
           asks. If the tool answers 400 or 401, test with Body.",
        ],
    );
}

#[test]
fn a_label_without_a_value_is_refused_by_its_rule() {
    let mut pairs = BASIC.to_vec();
    pairs.retain(|(key, _)| *key != "labels");
    pairs.push(("labels", "team"));
    let (form, kept) = read(&pairs);
    let invalid = Draft::parse(form.sent(&kept, None), Mode::Create, NOW).unwrap_err();
    assert_eq!(invalid[0].message, "Label must look like key=value");
}
