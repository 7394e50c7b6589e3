//! Templates with one scope, faults at saving, and any value in any hole.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::time::Timestamp;

const ID: &str = "evt_01KZAB0000000000000000000Z";

fn scope(data: &Value) -> Scope<'_> {
    let event = EventFacts {
        id: ID.parse().unwrap(),
        event_type: "device.score.low",
        source: "lab \"7\"",
        subject: None,
        time: Timestamp::parse_rfc3339("2026-11-22T14:02:00Z").unwrap(),
    };
    Scope { event, data, delivery_id: "dlv_1", connector_name: "Incidents" }
}

fn data() -> Value {
    json!({
        "device": "LAP \"17\"\\\n", "score": 2, "ratio": 0.25, "on": true, "nothing": null,
        "empty": "", "dot": ".", "dots": "..",
        "tags": ["slow", "old"], "a b": {"é": "ß"}, "path": "a/b?c=d&e#f", "up": "../../x",
        "when": "2026-11-22T16:02:00.5+02:00",
        "unix": 1_795_356_120, "long": "äöüabc",
    })
}

#[track_caller]
fn check(shape: Shape, text: &str, expected: &str) {
    let data = data();
    let template = Template::parse(text, shape).unwrap_or_else(|fault| panic!("{text}: {}", fault.message));
    let rendered = template.render(&scope(&data)).unwrap();
    assert_eq!(rendered, expected, "{text}");
    if shape == Shape::Json {
        serde_json::from_str::<Value>(&rendered).unwrap();
    }
}

#[test]
fn json_values_and_strings() {
    let json = |text, expected| check(Shape::Json, text, expected);
    json("{}", "{}");
    json(
        r#"{ "short_description": "Device {{ data.device }} is slow",
            "urgency": {{ data.urgency | default(3) }}, "correlation_id": "{{ event.id }}" }"#,
        r#"{ "short_description": "Device LAP \"17\"\\\n is slow",
            "urgency": 3, "correlation_id": "evt_01KZAB0000000000000000000Z" }"#,
    );
    json("{{ data.device }}", "\"LAP \\\"17\\\"\\\\\\n\"");
    json("[{{data.score}},{{ data.ratio }}, {{data.on}},{{data.tags}}]", "[2,0.25, true,[\"slow\",\"old\"]]");
    json(
        "\"{{data.score}} {{ data.ratio }} {{data.on}} {{data.tags}}\"",
        "\"2 0.25 true [\\\"slow\\\",\\\"old\\\"]\"",
    );
    json(
        "[{{ data.missing }}, \"{{ data.missing }}\", {{ data.nothing }}, \"{{ data.nothing }}\"]",
        "[null, \"\", null, \"\"]",
    );
    json("{\"a\":{\"b\":{{data.score}}}}", "{\"a\":{\"b\":2}}");
    json("{\"{{ event.type }}\": 1}", "{\"device.score.low\": 1}");
    json("\"\\\\{{ event.id }}\\\"\"", "\"\\\\evt_01KZAB0000000000000000000Z\\\"\"");
    json(
        "[{{delivery.id}}, {{connector.name}}, {{event.source}}, {{event.subject}}, {{event.time}}]",
        "[\"dlv_1\", \"Incidents\", \"lab \\\"7\\\"\", null, \"2026-11-22T14:02:00Z\"]",
    );
    json("{{ data.tags.0 }}", "\"slow\"");
    json("{{ data[\"a b\"][\"é\"] }}", "\"ß\"");
    json("{{ data[\"a b\"].é }}", "\"ß\"");
    json("{{ data.tags[1] }}", "\"old\"");
    json("\"{{{ data.score }}}\"", "\"{2}\"");
}

#[test]
fn filters() {
    let json = |text, expected| check(Shape::Json, text, expected);
    json("{{ data.missing | default(\"x}})\") }}", "\"x}})\"");
    json("{{ data.nothing | default( [1, 2] ) }}", "[1,2]");
    json("{{ data.score | default(9) }}", "2");
    json("{{ data.missing | default(null) }}", "null");
    json("{{ data.long | truncate(4) | upper }}", "\"ÄÖÜA\"");
    json("{{ data.long | truncate(100) | lower}}", "\"äöüabc\"");
    json("{{ data.score | truncate(0) | upper }}", "2");
    json("{{ data.when | date(\"iso\") }}", "\"2026-11-22T14:02:00.5Z\"");
    json("{{ data.when | date(\"unix\") }}", "1795356120");
    json("\"{{ data.when | date(\"unix_ms\") }}\"", "\"1795356120500\"");
    json("{{ data.unix | date(\"iso\") }}", "\"2026-11-22T14:02:00Z\"");
    json("{{ data.device | date(\"unix\") | default(0) }}", "0");
    json("{{ data.tags | json }}", "[\"slow\",\"old\"]");
    json("\"{{ data.tags | json }}\"", "\"[\\\"slow\\\",\\\"old\\\"]\"");
    json("\"{{ data.missing | json }}\"", "\"null\"");
    check(Shape::Text, "{{ data.device | json }}", "\"LAP \\\"17\\\"\\\\\\n\"");
}

#[test]
fn text_and_forms() {
    check(
        Shape::Text,
        "Device {{ data.score }}: {{ data.missing }}{{ event.source }} }} \"",
        "Device 2: lab \"7\" }} \"",
    );
    check(Shape::Form, "a={{ data.path }}&b={{ data.missing }}", "a=a%2Fb%3Fc%3Dd%26e%23f&b=");
    check(Shape::Form, "q={{ data.device }}", "q=LAP%20%2217%22%5C%0A");
}

#[test]
fn paths() {
    check(Shape::Path, "/api/now/table/incident", "/api/now/table/incident");
    check(
        Shape::Path,
        "/x/{{ data.path }}?id={{ event.id }}&s={{ data.score }}",
        "/x/a%2Fb%3Fc%3Dd%26e%23f?id=evt_01KZAB0000000000000000000Z&s=2",
    );
    check(Shape::Path, "/entry/HPD:Form(1)/{{ data.tags.0 | upper }}", "/entry/HPD:Form(1)/SLOW");
    check(Shape::Path, "/a b/{{ data.long }}", "/a%20b/%C3%A4%C3%B6%C3%BCabc");
}

#[track_caller]
fn check_refused(shape: Shape, text: &str, expected: &RenderFault) {
    let data = data();
    assert_eq!(&Template::parse(text, shape).unwrap().render(&scope(&data)).unwrap_err(), expected, "{text}");
}

#[test]
fn events_that_do_not_fit() {
    check_refused(Shape::Path, "/{{ data.missing }}", &RenderFault::EmptyPart("data.missing".to_owned()));
    check_refused(Shape::Path, "/x?a={{ data.empty }}", &RenderFault::EmptyPart("data.empty".to_owned()));
    check_refused(Shape::Path, "/a/{{ data.dot }}", &RenderFault::DotPart("data.dot".to_owned()));
    check_refused(Shape::Path, "/a/{{ data.dots }}/b", &RenderFault::DotPart("data.dots".to_owned()));
    check_refused(Shape::Path, "/a/{{ data.up }}", &RenderFault::Path(PathFault::BadCharacters));
    let big = json!({ "text": "x".repeat(600_000) });
    let twice = Template::parse("{{ data.text }}{{ data.text }}", Shape::Text).unwrap();
    assert_eq!(twice.render(&scope(&big)), Err(RenderFault::TooLarge));
    assert_eq!(RenderFault::TooLarge.to_string(), "it is larger than 1 MiB");
}

#[track_caller]
fn check_fault(shape: Shape, text: &str, code: &str, message: &str) {
    let fault = Template::parse(text, shape).unwrap_err();
    assert_eq!((fault.code, fault.message.as_str()), (code, message), "{text}");
}

#[test]
fn faults_at_saving() {
    let unknown = |path: &str| format!("“{path}” in the template is not known. Start with event. or data.");
    for path in
        ["user.name", "event.name", "event", "event.id.x", "delivery", "name", "connector.id", "datax.y"]
    {
        check_fault(Shape::Json, &format!("{{{{ {path} }}}}"), "unknown_path", &unknown(path));
    }
    check_fault(
        Shape::Path,
        "/{{ a.b }}",
        "unknown_path",
        "“a.b” in the path is not known. Start with event. or data.",
    );
    check_fault(Shape::Json, "{{ 'x' }}", "unknown_path", &unknown("'x'"));
    check_fault(
        Shape::Json,
        "{\"a\":\n1,\n}",
        "bad_form",
        "The template is not JSON: line 3, trailing comma",
    );
    check_fault(Shape::Json, "", "bad_form", "The template is not JSON: line 1, EOF while parsing a value");
    let grammar = |text: &str, at: &str, what: &str| {
        check_fault(Shape::Text, text, "bad_form", &format!("The template has an error at “{at}”: {what}"));
    };
    grammar("{{ }}", "}}", "a name such as event.id is expected");
    grammar("{{", "end", "a name such as event.id is expected");
    grammar("{{ event.id", "end", "| or }} is expected");
    grammar("{{ event.id }", "}", "| or }} is expected");
    grammar("{{ event.id\n}}", "}}", "| or }} is expected");
    grammar("{{ data.a. }}", ". }}", "| or }} is expected");
    grammar("{{ data.a | }}", "}}", "this filter is not known");
    grammar("{{ data.a | shout }}", "shout }}", "this filter is not known");
    grammar("{{ data.a | default }}", "default }}", "default needs a value, such as default(\"x\")");
    grammar(
        "{{ data.a | default(x) }}",
        "default(x) }}",
        "a text in quotation marks or a number is expected",
    );
    grammar("{{ data.a | default(1 }}", "default(1 }}", ") is expected");
    grammar("{{ data.a | truncate(\"4\") }}", "truncate(\"4\") }}", "truncate needs a number of characters");
    grammar("{{ data.a | truncate(-4) }}", "truncate(-4) }}", "truncate needs a number of characters");
    grammar("{{ data.a | date(\"x\") }}", "date(\"x\") }}", "date needs \"iso\", \"unix\" or \"unix_ms\"");
    grammar("{{ data.a | upper(1) }}", "upper(1) }}", "this filter takes no value");
    assert_eq!(Template::parse(&" ".repeat((1 << 20) + 1), Shape::Text).unwrap_err().code, "too_long");
}

#[test]
fn paths_with_holes_can_be_checked() {
    let filled = |text: &str| Template::parse(text, Shape::Path).unwrap().with_holes_filled();
    assert_eq!(filled("/a/{{ data.a }}?b={{ data.b }}"), "/a/x?b=x");
    assert_eq!(RemotePath::parse(&filled("/../{{ data.a }}")), Err(PathFault::BadCharacters));
}

#[test]
fn holes_where_json_cannot_have_them() {
    for text in [
        "{ {{ data.a }}: 1 }",
        "{{ data.a }}{{ data.b }}",
        "-{{ data.a }}",
        "1{{ data.a }}",
        "nu{{ data.a }}",
        "{{ data.a }}e5",
        "\"\\{{ data.a }}\"",
        "\"\\u00{{ data.a }}\"",
        "\"\\u{{ data.a }}0041\"",
        "{\"a\" {{ data.a }}}",
        "\"\\ud83d{{ data.a }}\\ude00\"",
        "[{{ data.a }} 1]",
        "\"{{ data.a }}",
        "1.{{ data.a }}",
    ] {
        assert_eq!(Template::parse(text, Shape::Json).unwrap_err().code, "bad_form", "{text}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\"\\\\\u{0}-\u{1f}{}\u{2028}/]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// JSON text with placeholders wherever a value or a part of a string can stand.
fn any_json_template() -> impl Strategy<Value = String> {
    let filter = prop::sample::select(vec![
        "",
        " | upper",
        " | lower | json",
        " | truncate(3)",
        " | default(\"\\\"x\")",
        " | date(\"unix\")",
        " | json",
        " | json | upper",
    ]);
    let hole =
        (prop::sample::select(vec!["data", "data.a", "data.0", "event.source", "event.subject"]), filter)
            .prop_map(|(path, filter)| format!("{{{{ {path}{filter} }}}}"));
    let text = (
        prop::sample::select(vec!["", "x", "\\\"", "\\\\", "\\u0041", "é", "{", "}}"]),
        hole.clone(),
        "[a-z]{0,2}",
    )
        .prop_map(|(before, hole, after)| format!("\"{before}{hole}{after}\""));
    let leaf = prop_oneof![hole, text.clone(), Just("1".to_owned())];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((text.clone(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{ {} }}", members.join(",\n"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_in_any_hole_gives_valid_json(
        text in any_json_template(), value in any_json(), inside in any_json(),
    ) {
        let template = Template::parse(&text, Shape::Json).unwrap();
        for data in [value, json!({ "a": inside })] {
            let rendered = template.render(&scope(&data)).unwrap();
            let parsed: Result<Value, _> = serde_json::from_str(&rendered);
            prop_assert!(parsed.is_ok(), "{text} gave {rendered}");
        }
    }

    #[test]
    fn a_string_comes_back_as_it_was(value in any::<String>()) {
        let data = json!({ "a": value });
        for text in ["\"{{ data.a }}\"", "{{ data.a }}"] {
            let rendered = Template::parse(text, Shape::Json).unwrap().render(&scope(&data)).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&rendered).unwrap(), value.clone());
        }
    }

    #[test]
    fn a_value_in_a_path_is_one_segment(value in "\\PC{0,12}|[./%\\\\?#:@ \n]{0,6}") {
        let data = json!({ "a": value });
        let template = Template::parse("/x/{{ data.a }}/y?z={{ data.a }}", Shape::Path).unwrap();
        if let Ok(path) = template.render(&scope(&data)) {
            let (before, query) = path.split_once('?').unwrap();
            prop_assert_eq!(before.split('/').count(), 4);
            prop_assert_eq!(before.split('/').nth(3), Some("y"));
            prop_assert!(!query.contains(['?', '&', '#', '/']));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(
        text in "(\\{\\{|\\}\\}| data|\\.a|\\[\"b\"\\]|\\| ?upper|default\\(|\\)|\"|\\PC){0,12}",
    ) {
        for shape in [Shape::Json, Shape::Text, Shape::Form, Shape::Path] {
            if let Ok(template) = Template::parse(&text, shape) {
                let data = data();
                let _rendered = template.render(&scope(&data));
            }
        }
    }
}
