use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    fields: Fields,
}

fn check(line: &[&str], expected: Option<Value>) {
    let body = Line::parse_from([&["x"], line].concat()).fields.body();
    assert_eq!(body.ok().map(Value::Object), expected, "{line:?}");
}

#[test]
fn flags_become_keys_of_the_api() {
    check(&[], Some(json!({})));
    check(
        &[
            "--path",
            "/x",
            "--event-type",
            "device.*",
            "--event-type",
            "user.*",
            "--header",
            "X-Team=a=b",
            "--template",
            "{}",
        ],
        Some(json!({
            "path": "/x", "event_types": ["device.*", "user.*"],
            "headers": [ { "name": "X-Team", "value": "a=b" } ],
            "template": "{}", "payload": "template",
        })),
    );
    check(
        &[
            "--retry-schedule-seconds",
            "5,300",
            "--idempotency-header",
            "false",
            "--max-per-second",
            "0.5",
            "--output",
            "n=/a",
        ],
        Some(json!({
            "outputs": [ { "name": "n", "pointer": "/a" } ], "retry_schedule_seconds": [5, 300],
            "max_per_second": 0.5, "idempotency_header": false,
        })),
    );
    check(&["--header", "X-Team"], None);
    check(&["--template", "@/nowhere/at/all"], None);
}
