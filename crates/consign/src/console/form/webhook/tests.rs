use super::*;
use crate::console::form::Choice;
use consign_core::connector::WebhookDraft;

#[test]
fn a_stored_webhook_comes_back_as_it_was() {
    let typed = [
        ("name", "Incidents"),
        ("credential", "crd_1"),
        ("method", "PUT"),
        ("path", "/api/{{ data.device }}"),
        ("event_types", "device.score.low\r\nticket.*"),
        ("only_when", "data.score < 3"),
        ("payload", "template"),
        ("template", "{ \"a\":\r\n {{ data.a }} }"),
        ("content_type", "application/json"),
        ("headers", "x-tenant: acme"),
        ("signature", "ed25519"),
        ("success_when", "status_and_json"),
        ("outputs", "number = /result/number"),
        ("retry_schedule_seconds", "5, 300"),
        ("retry_client_errors", "on"),
        ("when_no_answer", "hold"),
        ("timeout_seconds", "30"),
        ("max_concurrency", "2"),
        ("max_per_second", "0.5"),
    ];
    let mut sent = WebhookForm::typed(&Form::from(&typed[..])).sent();
    let name = sent.remove("name");
    for key in ["description", "credential"] {
        sent.remove(key);
    }
    let webhook = WebhookDraft::parse_stored(sent.clone()).unwrap();
    let mut shown = webhook.to_json();
    shown["name"] = name.unwrap_or_default();
    let mut again = WebhookForm::stored(&shown).sent();
    for key in ["name", "description", "credential"] {
        again.remove(key);
    }
    assert_eq!(Value::from(again), Value::from(sent));
}

#[test]
fn a_field_is_as_high_as_it_has_lines() {
    for (lines, rows) in [("", 2), ("a", 2), ("a\nb\nc", 3), (&*"a\n".repeat(20), 8)] {
        assert_eq!(rows_of(lines), rows, "{lines}");
    }
}

#[test]
fn waits_are_numbers_or_refused_by_their_rule() {
    for (text, expected) in [
        ("", Value::Null),
        ("none", json!([])),
        (" None ", json!([])),
        ("5,300", json!([5, 300])),
        ("5 300", json!([5, 300])),
        ("5 min", json!([5, "min"])),
    ] {
        assert_eq!(waits(text), expected, "{text}");
    }
}

#[test]
fn the_whole_address_is_shown_before_it_is_used() {
    let choices = Choices(vec![Choice {
        is_sftp: false,
        id: "crd_1".to_owned(),
        name: "Desk".to_owned(),
        status: String::new(),
        address: "https://acme.service-now.com/".to_owned(),
    }]);
    let preview = |credential: &str, path: &str| {
        let typed = [("credential", credential), ("path", path), ("method", "POST")];
        WebhookForm::typed(&Form::from(&typed[..])).preview(&choices)
    };
    assert_eq!(preview("crd_1", "/api/now"), "POST https://acme.service-now.com/api/now");
    assert_eq!(preview("desk", "/api/now"), "POST https://acme.service-now.com/api/now");
    assert_eq!(preview("crd_1", ""), "POST https://acme.service-now.com/");
    assert_eq!(preview("", "/api/now"), "");
}

#[test]
fn faults_of_rows_stand_at_their_field() {
    let fault =
        consign_core::catalog::Fault::new("reserved", "Host is set automatically").at("headers/0/name");
    let whole = at_whole_fields(&[fault]);
    let fields = WebhookForm::empty("").fields(&Choices(Vec::new()), &whole, "/x");
    assert_eq!(fields["delivery"]["headers"]["error"], "Host is set automatically");
    assert_eq!(fields["delivery_open"], true);
}
