use super::*;

fn rows(theirs: &Value, mine: &Value) -> Vec<Value> {
    let conflict =
        Conflict { what: "webhook", place: "webhooks", address: "/webhooks/con_1".to_owned(), theirs };
    let name_of = |id: &str| (id == "crd_2").then(|| "Backup desk".to_owned());
    conflict.rows(mine.as_object().unwrap(), "2026-11-22T14:00:00Z", name_of)
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
    let none = json!({ "credential": null });
    let chosen = json!({ "field": "Credential", "theirs": "", "mine": "Backup desk" });
    assert_eq!(rows(&none, &json!({ "credential": "crd_2" })), [chosen]);
}
