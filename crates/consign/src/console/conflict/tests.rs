use consign_core::time::Timestamp;

use super::*;
use crate::console::form::{Around, Choices, CredentialForm, ExporterForm, GatewayForm, Kept, WebhookForm};

static NONE: Choices = Choices(Vec::new());

fn rows_of(fields: Value, theirs: &Value, mine: &Value) -> Vec<Value> {
    let place = ("this webhook", "webhooks", "/webhooks/con_1".to_owned());
    let conflict = Conflict::of(place, theirs, fields);
    let name_of = |id: &str| (id == "crd_2").then(|| "Backup desk".to_owned());
    conflict.rows(mine.as_object().unwrap(), "2026-11-22T14:00:00Z", name_of)
}

fn rows(theirs: &Value, mine: &Value) -> Vec<Value> {
    rows_of(WebhookForm::empty("").fields(&NONE, &[], ""), theirs, mine)
}

#[test]
fn the_same_credential_is_no_difference_and_another_one_has_its_name() {
    let theirs = json!({ "description": "theirs", "credential": { "id": "crd_1", "name": "Desk" } });
    let only = json!({ "field": "Description", "theirs": "theirs", "mine": "mine" });
    assert_eq!(rows(&theirs, &json!({ "description": "mine", "credential": "crd_1" })), [only]);
    let other = json!({ "field": "Credential", "theirs": "Desk", "mine": "Backup desk" });
    assert_eq!(rows(&theirs, &json!({ "credential": "crd_2" })), [other]);
    let gone = json!({ "field": "Credential", "theirs": "Desk", "mine": "crd_3" });
    assert_eq!(rows(&theirs, &json!({ "credential": "crd_3" })), [gone], "a deleted one has no name");
    let by_name = json!({ "description": "theirs", "credential": "Desk" });
    assert_eq!(rows(&theirs, &by_name), Vec::<Value>::new(), "among many it is chosen by its name");
    let none = json!({ "credential": null });
    let chosen = json!({ "field": "Credential", "theirs": "", "mine": "Backup desk" });
    assert_eq!(rows(&none, &json!({ "credential": "crd_2" })), [chosen]);
}

#[test]
fn fields_and_choices_are_called_as_in_the_form() {
    let theirs = json!({ "max_concurrency": 4, "success_when": "status", "when_no_answer": "retry" });
    let mine =
        json!({ "max_concurrency": "2", "success_when": "status_and_json", "when_no_answer": "retry" });
    let wanted = [
        json!({ "field": "At most N at a time", "theirs": "4", "mine": "2" }),
        json!({ "field": "Counts as delivered", "theirs": "Any 2xx", "mine": "2xx with a JSON answer" }),
    ];
    assert_eq!(rows(&theirs, &mine), wanted);

    let fields = CredentialForm::empty().fields(&Kept::default(), None, &[], "");
    let theirs = json!({ "authorization_type": "basic", "labels": { "team": "a" } });
    let mine = json!({ "authorization_type": "bearer", "labels": { "team": "b" } });
    let shown = rows_of(fields, &theirs, &mine);
    let label = |kind: &str| consign_core::auth::find(kind).unwrap().label;
    assert_eq!((&shown[0]["theirs"], &shown[0]["mine"]), (&json!(label("basic")), &json!(label("bearer"))));
    assert_eq!(shown[1], json!({ "field": "Labels", "theirs": "team=a", "mine": "team=b" }));
    assert_eq!(shown.len(), 2);
}

#[test]
fn parts_that_have_fields_of_their_own_differ_one_by_one() {
    let fields = ExporterForm::empty("").fields(&NONE, &[], "", Timestamp::from_millis(0));
    let csv = |delimiter: &str, header: bool| json!({ "csv": { "delimiter": delimiter, "header": header } });
    let shown = rows_of(fields.clone(), &csv("comma", true), &csv("tab", true));
    assert_eq!(shown, [json!({ "field": "Delimiter", "theirs": "Comma", "mine": "Tab" })]);
    let shown = rows_of(fields, &csv("comma", true), &csv("comma", false));
    assert_eq!(shown, [json!({ "field": "Header row", "theirs": "on", "mine": "off" })]);
}

#[test]
fn the_same_keys_are_no_difference_and_others_have_their_names() {
    let callers = [json!({ "id": "key_1", "name": "Desk", "key": "csg_1", "ended": false })];
    let around = Around { choices: &NONE, callers: &callers, public_url: "" };
    let fields = || GatewayForm::empty("").fields(&around, &[]);
    let theirs = json!({ "api_keys": [{ "id": "key_1", "name": "Desk" }] });
    assert!(rows_of(fields(), &theirs, &json!({ "api_keys": ["key_1"] })).is_empty());
    let none = json!({ "field": "API keys", "theirs": "", "mine": "Desk" });
    assert_eq!(rows_of(fields(), &json!({ "api_keys": [] }), &json!({ "api_keys": ["key_1"] })), [none]);
}
