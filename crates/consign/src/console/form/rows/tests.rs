use super::*;

fn parameters() -> RowKind {
    RowKind::all().into_iter().find(|kind| kind.key == "oauth_token_requests").unwrap()
}

fn secret() -> Value {
    json!({ "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana Silva" })
}

fn stored() -> Value {
    let row = |value: Value, secret: bool| json!({ "name": "resource", "value": value, "secret": secret, "sent_in": "body" });
    json!({ "oauth_token_requests": [row(secret(), true), row(json!("shown"), false), row(secret(), true)] })
}

/// What would be sent after these edits, given as `(id, name, value, secret)`.
fn sent(rows: &[(&str, &str, &str, bool)], kept: &mut Kept) -> Value {
    let kind = parameters();
    let mut pairs = Vec::new();
    for (id, name, value, secret) in rows {
        pairs.extend([
            ("oauth_token_requests.id", *id),
            ("oauth_token_requests.name", *name),
            ("oauth_token_requests.value", *value),
        ]);
        if *secret {
            pairs.push(("oauth_token_requests.secret", *id));
        }
    }
    let typed = kind.typed(&Form::from(&pairs[..]), kept);
    kind.sent(&typed, kept, Some(&stored()), true)
}

fn values(sent: &Value) -> Vec<Value> {
    sent.as_array().unwrap().iter().map(|row| row["value"].clone()).collect()
}

#[test]
fn the_saved_value_of_a_row_stays_with_its_name_and_place() {
    let kept = || json!({ "set": true });
    let check = |rows: &[(&str, &str, &str, bool)], expected: &[Value]| {
        assert_eq!(values(&sent(rows, &mut Kept::default())), expected, "{rows:?}");
    };
    let (first, second, third) = ("stored:resource/0", "stored:resource/1", "stored:resource/2");
    check(
        &[(first, "resource", "", true), (second, "resource", "shown", false), (third, "resource", "", true)],
        &[kept(), json!("shown"), kept()],
    );
    // The first one goes: what is now first is not what was saved as the first.
    check(
        &[(second, "resource", "shown", false), (third, "resource", "", true)],
        &[json!("shown"), Value::Null],
    );
    // Another name needs its value again, and so does a row that is no secret any more.
    check(&[(first, "tenant", "", true)], &[Value::Null]);
    check(&[(first, "resource", "", false)], &[kept()]);
    check(&[(first, "resource", "typed", false)], &[json!("typed")]);
}

#[test]
fn what_is_stored_is_shown_unless_it_is_a_secret() {
    let kind = parameters();
    let rows = kind.stored(&stored());
    assert_eq!(kind.sent(&rows, &Kept::default(), Some(&stored()), true)[1]["value"], "shown");
    let fields = kind.fields(&rows, &Kept::default(), Some(&stored()), &[], &[]);
    assert_eq!(fields["rows"][0]["set"]["by"], "Ana Silva");
    assert_eq!((&fields["rows"][0]["value"], &fields["rows"][1]["value"]), (&json!(""), &json!("shown")));
    assert_eq!(fields["rows"].as_array().unwrap().len(), 3 + BLANK_ROWS);
    assert_eq!((&fields["secrets"], &fields["what"]), (&json!("marked"), &json!("parameter")));
    let hidden = Value::Array(kind.hidden(&rows)).to_string();
    assert!(hidden.contains("shown") && !hidden.contains("Ana"));
}

#[test]
fn headers_keep_their_values_while_others_come_and_go() {
    let kind = RowKind::custom_headers();
    let pairs = [
        ("custom_headers.id", "stored:X-Old/0"),
        ("custom_headers.name", "X-Old"),
        ("custom_headers.value", ""),
        ("custom_headers.id", "new:1"),
        ("custom_headers.name", "X-New"),
        ("custom_headers.value", "one"),
        ("custom_headers.id", "new:2"),
        ("custom_headers.name", ""),
        ("custom_headers.value", ""),
        ("custom_headers.id", "new:1"),
        ("custom_headers.name", ""),
        ("custom_headers.value", "two"),
    ];
    let mut kept = Kept::default();
    let rows = kind.typed(&Form::from(&pairs[..]), &mut kept);
    let ids: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["stored:X-Old/0", "new:1", "new:3"], "an id that came twice is not one for two");
    assert_eq!(
        kind.sent(&rows, &kept, None, false),
        json!([
            { "name": "X-Old", "value": { "set": true } },
            { "name": "X-New", "value": "one" },
            { "name": "", "value": "two" },
        ])
    );
    // The page comes back with the ids and without the values; the first row is removed.
    let again = [
        ("remove_row", "custom_headers.0"),
        ("custom_headers.id", "stored:X-Old/0"),
        ("custom_headers.name", "X-Old"),
        ("custom_headers.value", ""),
        ("custom_headers.id", "new:1"),
        ("custom_headers.name", "X-New"),
        ("custom_headers.value", ""),
    ];
    let rows = kind.typed(&Form::from(&again[..]), &mut kept);
    assert_eq!(kind.sent(&rows, &kept, None, false), json!([{ "name": "X-New", "value": "one" }]));
    // A button of other rows removes none of these.
    let other = [
        ("remove_row", "oauth_token_requests.0"),
        ("custom_headers.id", "new:1"),
        ("custom_headers.name", "X-New"),
    ];
    assert_eq!(kind.typed(&Form::from(&other[..]), &mut kept).len(), 1);
}

#[test]
fn what_is_carried_on_holds_no_secret_of_a_row() {
    let form = Form::from(
        &[
            ("oauth_token_requests.id", "new:1"),
            ("oauth_token_requests.name", "a"),
            ("oauth_token_requests.value", "shown"),
            ("oauth_token_requests.id", "new:2"),
            ("oauth_token_requests.name", "b"),
            ("oauth_token_requests.value", "hidden"),
            ("oauth_token_requests.secret", "new:2"),
            ("custom_headers.id", "new:1"),
            ("custom_headers.value", "header"),
        ][..],
    );
    let values: Vec<_> = without_row_secrets(&form)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".value"))
        .map(|(_, value)| value)
        .collect();
    assert_eq!(values, ["shown", "", ""]);
}
