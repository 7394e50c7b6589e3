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
fn a_list_is_sorted_by_heads_and_by_a_choice() {
    let check = |sort: &str, directions: [&str; 2], next: [&str; 2], chosen: &str| {
        let form = Form::from(&[("q", "a"), ("sort", sort), ("after", "ff")][..]);
        let heads = Heads { form: &form, address: "/list", default: "name" };
        let by = [heads.sorted_by("name", "-name"), heads.sorted_by("-last", "last")];
        assert_eq!(by.each_ref().map(|by| by["direction"].as_str().unwrap()), directions, "{sort}");
        assert_eq!(by.each_ref().map(|by| by["url"].as_str().unwrap()), next, "{sort}");
        let orders = heads.orders(&[("name", "Name"), ("-name", "Name, turned"), ("last", "Last")]);
        let values: Vec<_> = orders.as_array().unwrap().iter().map(|order| order["value"].clone()).collect();
        assert_eq!(values, ["", "-name", "last"], "{sort}");
        let found = orders.as_array().unwrap().iter().find(|order| order["chosen"] == true);
        assert_eq!(found.map_or("", |order| order["label"].as_str().unwrap()), chosen, "{sort}");
    };
    let (plain, turned, last) = ("/list?q=a", "/list?q=a&sort=-name", "/list?q=a&sort=-last");
    check("", ["ascending", ""], [turned, last], "Name");
    check("name", ["ascending", ""], [turned, last], "Name");
    check("-name", ["descending", ""], [plain, last], "Name, turned");
    check("last", ["", "ascending"], [plain, last], "Last");
    check("-last", ["", "descending"], [plain, "/list?q=a&sort=last"], "");
    check("nothing", ["", ""], [plain, last], "");
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
