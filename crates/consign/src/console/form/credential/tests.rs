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

fn stored() -> Value {
    let secret = json!({ "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana Silva" });
    json!({
        "id": "crd_1", "etag": "\"7\"", "name": "Tool", "protocol": "https",
        "url_address": "https://tool.example/",
        "authorization_type": "basic", "username": "ana", "password": secret, "ends_on": null,
        "labels": { "team": "itsm" }, "max_concurrency": 2, "max_per_second": null,
        "custom_headers": [{ "name": "X-Api-Key", "sent_with": "both", "value": secret }],
    })
}

#[test]
fn a_form_says_the_same_as_a_body_of_the_api() {
    for kind in AUTHORIZATION_TYPES.iter().map(|entry| entry.kind) {
        let mut pairs: Vec<_> =
            BASIC.iter().copied().filter(|(key, _)| *key != "authorization_type").collect();
        pairs.push(("authorization_type", kind));
        for field in type_of(kind).unwrap().fields {
            if !pairs.iter().any(|(key, _)| *key == field.key) {
                pairs.push((field.key, "value"));
            }
        }
        let (form, kept) = read(&pairs);
        let draft = Draft::parse(form.sent(&kept, None), Mode::Create, NOW).unwrap();
        assert_eq!(draft.authorization_type.kind, kind);
        assert_eq!(draft.labels.len(), 2);
        for field in type_of(kind).unwrap().fields {
            assert_eq!(draft.secrets.contains_key(field.key), field.is_secret(), "{kind} {}", field.key);
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
        ["Enter a name", "Select a protocol", "Select an authorization type", "Enter the URL address"]
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
    assert_eq!(
        sent["custom_headers"],
        json!([{ "name": "X-Api-Key", "sent_with": "both", "value": { "set": true } }])
    );
    assert_eq!(sent["labels"], json!({ "team": "itsm" }));
    assert_eq!(sent["max_concurrency"], "2");
    let fields = form.fields(&Kept::default(), Some(&current), &[], "/x");
    assert_eq!(fields["of_type"][1]["set"]["by"], "Ana Silva");
    assert_eq!(fields["custom_headers"]["rows"][0]["set"]["by"], "Ana Silva");
    assert_eq!(fields["custom_headers"]["rows"].as_array().unwrap().len(), 1 + BLANK_ROWS);
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
    // What is no address is left alone, so that its sentence can be shown.
    let (form, kept) =
        read(&[("url_address", "http://acme.service-now.com/x"), ("authorization_type", "basic")]);
    assert_eq!(form.sent(&kept, None)["url_address"], "http://acme.service-now.com/x");
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

#[test]
fn rows_keep_their_values_while_others_come_and_go() {
    let pairs = [
        ("authorization_type", "basic"),
        ("custom_header_id", "stored:X-Old"),
        ("custom_header_name", "X-Old"),
        ("custom_header_value", ""),
        ("custom_header_id", ""),
        ("custom_header_name", "X-New"),
        ("custom_header_value", "one"),
        ("custom_header_id", ""),
        ("custom_header_name", ""),
        ("custom_header_value", ""),
        ("custom_header_id", ""),
        ("custom_header_name", ""),
        ("custom_header_value", "two"),
    ];
    let (form, mut kept) = read(&pairs);
    let ids: Vec<_> = form.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["stored:X-Old", "new:1", "new:2"]);
    assert_eq!(
        form.sent(&kept, None)["custom_headers"],
        json!([
            { "name": "X-Old", "value": { "set": true } },
            { "name": "X-New", "value": "one" },
            { "name": "", "value": "two" },
        ])
    );
    // The page comes back with the ids and without the values; the first row is removed.
    let again = [
        ("authorization_type", "basic"),
        ("remove_custom_header", "0"),
        ("custom_header_id", "stored:X-Old"),
        ("custom_header_name", "X-Old"),
        ("custom_header_value", ""),
        ("custom_header_id", "new:1"),
        ("custom_header_name", "X-New"),
        ("custom_header_value", ""),
    ];
    let form = CredentialForm::typed(&Form::from(&again[..]), &mut kept);
    assert_eq!(form.sent(&kept, None)["custom_headers"], json!([{ "name": "X-New", "value": "one" }]));
    assert!(!kept.has("custom_headers/new:2"));
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
