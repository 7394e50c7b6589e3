use serde_json::json;

use super::*;

fn output(form: Form) -> Output {
    Output {
        form,
        now: Timestamp::from_millis(1_000_000_000_000),
        header: true,
        quiet: false,
        verbose: false,
        absolute_time: false,
        color: false,
        to_terminal: false,
        talks_to_terminal: false,
        may_ask: false,
    }
}

fn ago(seconds: i64) -> Value {
    Value::String(Timestamp::from_millis(1_000_000_000_000 - seconds * 1_000).to_string())
}

#[test]
fn times_are_relative_for_people_and_exact_for_scripts() {
    let check = |seconds: i64, text: &str| assert_eq!(output(Form::People).when(&ago(seconds)), text);
    check(0, "just now");
    check(59, "59s ago");
    check(125, "2m ago");
    check(7_200, "2h ago");
    check(3 * 86_400, "3d ago");
    check(-86_400, "in 1d");
    assert_eq!(output(Form::Plain).when(&ago(1)), ago(1).as_str().unwrap());
    assert_eq!(output(Form::People).when(&Value::Null), "–");
}

fn table() -> Table {
    let mut table = Table::new(&["name", "used by"]);
    table.row(["ServiceNow production".to_owned(), "4".to_owned()]);
    table.row(["evil\u{1b}[31m\tname".to_owned(), "1".to_owned()]);
    table
}

#[test]
fn tables_are_aligned_and_cannot_steer_a_terminal() {
    let pretty = "NAME                   USED BY\nServiceNow production  4\nevil [31m name         1\n";
    assert_eq!(table().pretty(true, true), pretty);
    assert_eq!(table().plain(true), "name\tused_by\nServiceNow production\t4\nevil [31m name\t1\n");
    assert_eq!(table().plain(false).lines().count(), 2);
}

#[test]
fn wide_tables_are_cut_on_a_terminal_only() {
    let mut table = Table::new(&["a", "b"]);
    table.row(["x".repeat(150), "y".repeat(20)]);
    assert_eq!(table.pretty(false, true).trim_end().chars().count(), 100);
    assert!(table.pretty(false, true).contains('…'));
    assert_eq!(table.pretty(false, false).trim_end().chars().count(), 172);
}

#[test]
fn details_show_secrets_as_set() {
    let credential = json!({
        "id": "crd_1", "etag": "\"7\"", "name": "Tool",
        "password": { "set": true, "updated_at": ago(60), "updated_by": "Ana" },
        "token": { "set": false }, "ends_on": null, "labels": { "team": "itsm" },
        "status": { "code": "working", "label": "Working", "reason": null },
        "custom_headers": [ { "name": "X-Key", "sent_with": "api_request", "value": { "set": true } } ],
    });
    let text = details(&output(Form::People), credential.as_object().unwrap());
    let expected = "id              crd_1\n\
                    name            Tool\n\
                    password        set, saved 1m ago by Ana\n\
                    token           not set\n\
                    ends_on         –\n\
                    labels          team=itsm\n\
                    status          Working\n\
                    custom_headers  X-Key (api_request)\n";
    assert_eq!(text, expected);
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let output = output(Form::People);
    assert!(output.confirm("Delete it?", true).is_ok());
    assert_eq!(output.confirm("Delete it?", false).unwrap_err().code, Code::Usage);
    assert!(output.confirm_name("It is used.", "Tool", Some("Tool")).is_ok());
    assert_eq!(output.confirm_name("It is used.", "Tool", Some("tool")).unwrap_err().code, Code::Failed);
    assert_eq!(output.confirm_name("It is used.", "Tool", None).unwrap_err().code, Code::Usage);
    assert!(output.ask_secret("token").is_err());
}
