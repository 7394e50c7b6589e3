use serde_json::json;

use super::super::super::failure::Code;
use super::*;

fn presets() -> Value {
    json!({ "items": [{ "kind": "desk", "types": [
        {
            "authorization_type": "oauth2_client_credentials",
            "values": {
                "url_address": "https://{instance}.desk.example/",
                "access_token_url": "https://{instance}.desk.example/token",
                "authentication_information": "body",
                "test_path": "/me",
            },
            "custom_headers": [],
            "hints": { "client_id": "Made in the tool." },
        },
        {
            "authorization_type": "bearer",
            "values": { "url_address": "https://api.desk.example/", "test_path": "/{site}/me" },
            "custom_headers": [{ "name": "X-Account", "hint": "The id of the account." }],
            "hints": {},
        },
    ] }] })
}

fn filled(body: &Value) -> Result<(Value, Vec<String>), Failure> {
    let mut body = body.as_object().unwrap().clone();
    let told = fill_from(&presets(), "desk", &mut body)?;
    Ok((Value::Object(body), told))
}

#[test]
fn addresses_follow_the_own_one_and_what_was_given_stays() {
    let given = json!({ "url_address": "https://desk.acme.example", "authentication_information": "header" });
    let (body, told) = filled(&given).unwrap();
    let expected = json!({
        "url_address": "https://desk.acme.example", "authorization_type": "oauth2_client_credentials",
        "access_token_url": "https://desk.acme.example/token", "authentication_information": "header",
        "test_path": "/me",
    });
    assert_eq!(body, expected);
    assert_eq!(told, ["client_id: Made in the tool."]);
}

#[test]
fn what_only_a_person_knows_is_asked_for() {
    let check = |given: Value, words: &str| {
        let failure = filled(&given).unwrap_err();
        assert_eq!(failure.code, Code::Usage);
        assert!(failure.lines[0].contains(words), "{:?}", failure.lines);
    };
    check(json!({}), "--url-address, such as https://{instance}.desk.example/");
    check(json!({ "authorization_type": "bearer" }), "--custom-header X-Account=@FILE");
    check(
        json!({ "authorization_type": "basic" }),
        "--authorization-type is one of oauth2_client_credentials, bearer",
    );
    let mut body = Map::new();
    assert_eq!(fill_from(&presets(), "disk", &mut body).unwrap_err().lines, ["--preset is one of desk"]);
}

#[test]
fn a_test_path_with_braces_is_told_and_not_sent() {
    let header = json!([{ "name": "x-account", "value": "acme" }]);
    let (body, told) = filled(&json!({ "authorization_type": "bearer", "custom_headers": header })).unwrap();
    assert_eq!((&body["url_address"], body.get("test_path")), (&json!("https://api.desk.example/"), None));
    assert!(told[0].contains("--test-path /{site}/me"), "{told:?}");
}

#[test]
fn rows_are_added_by_name_and_what_only_a_person_knows_is_asked_for() {
    let rows =
        json!([{ "name": "company_id", "value": "{company id}" }, { "name": "grant", "value": "usual" }]);
    let given = |rows: Value| json!({ "rows": rows }).as_object().cloned().unwrap();
    let mut body = given(json!([{ "name": "company_id", "value": "acme" }, { "name": "own", "value": "x" }]));
    fill_rows("rows", rows.as_array().unwrap(), &mut body).unwrap();
    let names: Vec<_> = body["rows"].as_array().unwrap().iter().map(|row| text(row, "name")).collect();
    assert_eq!(names, ["company_id", "own", "grant"]);
    let failure = fill_rows("saml_attributes", rows.as_array().unwrap(), &mut Map::new()).unwrap_err();
    assert_eq!(failure.lines[0], "Say --saml-attribute company_id=VALUE, in place of {company id}");
}
