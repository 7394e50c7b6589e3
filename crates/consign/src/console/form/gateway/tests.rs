use super::*;

fn gateway() -> Value {
    json!({
        "name": "Tool", "description": "", "credential": { "id": "crd_1" }, "slug": "tool",
        "methods": ["GET", "POST"], "path_prefixes": ["/a", "/b/c"],
        "api_keys": [{ "id": "key_1", "name": "nxt-in" }, { "id": "key_gone", "name": null }],
        "timeout_seconds": 5, "idle_seconds": 60, "max_request_bytes": 104_857_600, "max_concurrency": 32,
        "max_per_second": 0.5, "scrub_answers": true, "record_calls": false,
    })
}

fn around<'a>(callers: &'a [Value]) -> Around<'a> {
    static NONE: Choices = Choices(Vec::new());
    Around { choices: &NONE, callers, public_url: "https://consign.example" }
}

#[test]
fn a_stored_gateway_is_sent_back_as_it_was() {
    assert_eq!(
        Value::Object(GatewayForm::stored(&gateway()).sent()),
        json!({
            "name": "Tool", "description": "", "credential": "crd_1", "slug": "tool",
            "methods": ["GET", "POST"], "path_prefixes": ["/a", "/b/c"], "api_keys": ["key_1", "key_gone"],
            "timeout_seconds": "5", "idle_seconds": "60", "max_request_bytes": "100 MiB", "max_concurrency": "32",
            "max_per_second": "0.5", "scrub_answers": true, "record_calls": false,
        })
    );
}

#[test]
fn what_was_typed_is_sent() {
    let pairs: &[(&str, &str)] = &[
        ("name", "Tool"),
        ("slug", "tool"),
        ("methods", "PUT"),
        ("methods", "GET"),
        ("path_prefixes", "/a\r\n\r\n /b \r\n"),
        ("api_keys", "key_1"),
        ("record_calls", "on"),
    ];
    let sent = GatewayForm::typed(&Form::from(pairs)).sent();
    assert_eq!(sent["methods"], json!(["PUT", "GET"]));
    assert_eq!(sent["path_prefixes"], json!(["/a", "/b"]));
    assert_eq!(sent["api_keys"], json!(["key_1"]));
    assert_eq!((&sent["scrub_answers"], &sent["record_calls"]), (&json!(false), &json!(true)));
}

#[test]
fn a_revoked_key_stays_ticked() {
    let callers = [
        json!({ "id": "key_1", "name": "nxt-in", "key": "csg_1" }),
        json!({ "id": "key_2", "name": "other" }),
    ];
    let fields = GatewayForm::stored(&gateway()).fields(&around(&callers), &[]);
    let options = fields["api_keys"]["options"].as_array().unwrap();
    let ticked: Vec<_> = options.iter().map(|one| (word(&one["label"]), one["checked"] == true)).collect();
    let expected = [("nxt-in", true), ("other", false), ("A revoked key", true)];
    assert_eq!(ticked, expected.map(|(label, checked)| (label.to_owned(), checked)));
}

#[test]
fn the_address_and_the_warning_follow_the_form() {
    let fields = |pairs: &[(&str, &str)]| GatewayForm::typed(&Form::from(pairs)).fields(&around(&[]), &[]);
    let new = fields(&[]);
    assert_eq!(new["slug"]["preview"], "https://consign.example/gateway/…/");
    assert_eq!(new["allows_everything"], false);
    let typed = fields(&[("slug", " tool "), ("path_prefixes", "/a\n/")]);
    assert_eq!(typed["slug"]["preview"], "https://consign.example/gateway/tool/");
    assert_eq!(typed["allows_everything"], true);
}

#[test]
fn sizes_lose_nothing() {
    let sizes = [(104_857_600, "100 MiB"), (1 << 30, "1 GiB"), (2_048, "2 KiB"), (1_500, "1500"), (1, "1")];
    for (bytes, shown) in sizes {
        assert_eq!(shown_bytes(bytes), shown);
    }
}
