use super::*;

#[test]
fn the_query_of_a_list_keeps_its_filters_and_starts_anew() {
    let form = Form::from(&[("q", "a b&c"), ("state", ""), ("after", "ff"), ("type", "x")][..]);
    assert_eq!(form.query("/list", &[]), "/list?q=a%20b%26c&type=x");
    assert_eq!(form.query("/list", &[("before", "0a")]), "/list?q=a%20b%26c&type=x&before=0a");
    assert_eq!(form.query("/list", &[("type", "")]), "/list?q=a%20b%26c");
    assert_eq!(Form::default().query("/list", &[]), "/list");
}

#[test]
fn the_version_of_a_form_is_what_must_be_unchanged() {
    let revision = |etag: &str| Form::from(&[("etag", etag)][..]).if_match();
    assert_eq!(revision("\"7\""), IfMatch::Revision(7));
    assert_eq!(revision("*"), IfMatch::Revision(0));
    assert_eq!(Form::default().if_match(), IfMatch::Revision(0));
}

#[test]
fn errors_lead_to_their_fields() {
    let invalid = [consign_core::catalog::Fault::new("missing", "Enter a name").at("custom_headers/0/name")];
    assert_eq!(errors(&invalid), json!([{ "field": "custom_headers.0.name", "message": "Enter a name" }]));
    assert_eq!(message_at(&invalid, "custom_headers/0/name"), "Enter a name");
    assert_eq!(message_at(&invalid, "name"), "");
}

#[test]
fn a_saved_secret_tells_when_and_by_whom_and_nothing_else() {
    let secret = json!({ "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana Silva" });
    let shown = json!({ "at": "2026-11-03T10:12:00Z", "by": "Ana Silva" });
    assert_eq!(saved(&secret), shown);
    assert_eq!(saved(&json!({ "set": false })), Value::Null);
    assert_eq!(saved(&Value::Null), Value::Null);
}
