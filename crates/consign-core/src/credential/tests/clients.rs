//! Clients of token addresses: rows, headers, and what a new secret means.

use serde_json::json;

use super::*;

#[test]
fn rows_keep_their_secrets_by_name_and_order() {
    let current = stored("oauth2_client_credentials");
    assert_eq!(open(&current, "oauth_token_requests/resource/1").unwrap().expose(), "row secret 1");
    let kept = json!({ "set": true });
    let more = json!({ "oauth_token_requests": [
        { "name": "company", "value": "ACME" },
        { "name": "resource", "value": "https://b.example" },
        { "name": "resource", "value": kept, "secret": true, "sent_in": "query" },
    ] });
    let saved = seal_again(parse(more, Mode::Patch(&current)).unwrap(), &current);
    assert_eq!(open(&saved, "oauth_token_requests/resource/1").unwrap().expose(), "row secret 1");
    assert_eq!(saved.secrets["oauth_token_requests/resource/1"].generation, 1);
    let first = json!({ "oauth_token_requests": [{ "name": "resource", "value": kept, "secret": true }] });
    let found = refused(first, Mode::Patch(&current));
    let sentence = "Enter a value for resource".to_owned();
    assert_eq!(found, [("oauth_token_requests/0/value".to_owned(), "missing", sentence)]);
    let none =
        seal_again(parse(json!({ "oauth_token_requests": [] }), Mode::Patch(&current)).unwrap(), &current);
    assert!(none.secrets.keys().all(|key| !key.starts_with("oauth_token_requests")));
}

#[test]
fn rows_have_rules_and_sentences() {
    let row = |row: Value| {
        let sent = with(&typed("oauth2_client_credentials"), &json!({ "oauth_token_requests": [row] }));
        match parse(sent, Mode::Create) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.into_iter().map(|one| (one.field, one.code, one.message)).collect(),
        }
    };
    let at = |part: &str, code: &'static str, message: &str| {
        vec![(format!("oauth_token_requests/0/{part}"), code, message.to_owned())]
    };
    assert_eq!(row(json!({ "name": "a.b_c~d-e", "value": "" })), []);
    let nameless = "Enter a name for row 1 or remove it";
    assert_eq!(row(json!({ "value": "x" })), at("name", "missing", nameless));
    for name in ["grant_type", "client_secret", "code_verifier", "client_id", "scope"] {
        let sentence = format!("“{name}” is set automatically");
        assert_eq!(row(json!({ "name": name, "value": "x" })), at("name", "reserved", &sentence));
    }
    let odd = "“a b” must use letters, digits and . _ ~ - only";
    assert_eq!(row(json!({ "name": "a b", "value": "x" })), at("name", "bad_characters", odd));
    let mask = "This looks like a mask, not a value of a. Leave it out to keep the saved one";
    assert_eq!(row(json!({ "name": "a", "value": "****", "secret": true })), at("value", "mask_value", mask));
    assert_eq!(row(json!({ "name": "a", "value": "****" })), [], "it is no secret");
    let long = "The value of a must be 2,048 characters or fewer";
    assert_eq!(row(json!({ "name": "a", "value": "x".repeat(2_049) })), at("value", "too_long", long));
    let control = "The value of a must not include control characters";
    assert_eq!(row(json!({ "name": "a", "value": "x\ny" })), at("value", "bad_characters", control));
    let place = "Sent in must be body or query";
    assert_eq!(row(json!({ "name": "a", "value": "x", "sent_in": "head" })), at("sent_in", "unknown", place));
    let many: Vec<_> = (0..21).map(|n| json!({ "name": format!("p{n}"), "value": "x" })).collect();
    let sent = with(&typed("oauth2_client_credentials"), &json!({ "oauth_token_requests": many }));
    assert_eq!(refused(sent, Mode::Create)[0].2, "Add 20 rows or fewer");
}

#[test]
fn fields_of_a_client_have_rules_and_sentences() {
    let check = |changes: Value, field: &str, code: &str, message: &str| {
        let found = refused(with(&typed("oauth2_authorization_code"), &changes), Mode::Create);
        let found: Vec<_> = found.iter().map(|(f, c, m)| (f.as_str(), *c, m.as_str())).collect();
        assert_eq!(found, [(field, code, message)]);
    };
    check(json!({ "client_id": "" }), "client_id", "missing", "Enter the client ID");
    check(json!({ "client_id": "é" }), "client_id", "bad_characters", "Client ID must use plain characters");
    check(json!({ "client_secret": null }), "client_secret", "missing", "Enter the client secret");
    let copied = "Client secret must use plain characters. Check for a line break copied with it";
    check(json!({ "client_secret": "a\n" }), "client_secret", "bad_characters", copied);
    check(json!({ "access_token_url": "" }), "access_token_url", "missing", "Enter the Access Token URL");
    let code_url = "Enter the Authorization code URL";
    check(json!({ "authorization_code_url": "" }), "authorization_code_url", "missing", code_url);
    let secure = "Access Token URL must start with https://";
    check(json!({ "access_token_url": "http://a.example/t" }), "access_token_url", "https_needed", secure);
    let fragment = "Access Token URL must not include #";
    check(
        json!({ "access_token_url": "https://a.example/t#" }),
        "access_token_url",
        "fragment_given",
        fragment,
    );
    let own = "Replace “{tenant}” in the Access Token URL with your own value";
    check(
        json!({ "access_token_url": "https://a.example/{tenant}/t" }),
        "access_token_url",
        "placeholder_left",
        own,
    );
    let quoted = "Scope must not include quotation marks or backslashes";
    check(json!({ "scope": "a\"b" }), "scope", "bad_characters", quoted);
    check(
        json!({ "authentication_information": "" }),
        "authentication_information",
        "missing",
        "Select Header or Body",
    );
    check(
        json!({ "authentication_information": "cookie" }),
        "authentication_information",
        "unknown",
        "Authentication information must be one of header, body, header_raw, tls_client_auth",
    );
    check(
        json!({ "authentication_information": "header_raw", "client_id": "a:b" }),
        "client_id",
        "bad_characters",
        "Client ID must not include a colon (:)",
    );
    for life in [json!("0"), json!("31536001"), json!("+5"), json!("x"), json!(-1), json!(1.5)] {
        let sentence = "Enter a number of seconds from 1 to 31,536,000";
        check(json!({ "token_lifetime_seconds": life }), "token_lifetime_seconds", "out_of_range", sentence);
    }
    let number = with(&typed("oauth2_authorization_code"), &json!({ "token_lifetime_seconds": 600 }));
    assert_eq!(parse(number, Mode::Create).unwrap().plain["token_lifetime_seconds"], "600");
    check(json!({ "test_path": "api" }), "test_path", "slash_needed", "Test path must start with /");
    check(
        json!({ "test_path": "//evil.example" }),
        "test_path",
        "other_host",
        "Test path must stay on acme.example",
    );
}

#[test]
fn a_new_client_secret_is_no_approval() {
    let current = stored("oauth2_authorization_code");
    assert_eq!(current.seen.code, StatusCode::NotAuthorized);
    let secret = json!({ "client_secret": "client secret 2" });
    let saved = seal_again(parse(secret, Mode::Patch(&current)).unwrap(), &current);
    assert_eq!(saved.seen, current.seen);
}

#[test]
fn each_request_gets_the_headers_meant_for_it() {
    let rows = json!({ "custom_headers": [
        { "name": "X-Both", "value": "1" },
        { "name": "X-Token", "value": "2", "sent_with": "token_request" },
        { "name": "X-Api", "value": "3", "sent_with": "api_request" },
    ] });
    for (kind, api, token) in [
        ("oauth2_client_credentials", vec!["x-both", "x-api"], vec!["authorization", "x-both", "x-token"]),
        ("bearer", vec!["x-both", "x-token", "x-api"], vec![]),
    ] {
        let draft = parse(with(&typed(kind), &rows), Mode::Create).unwrap();
        let current = draft.seal(&VAULT, &Save { now: now(), by: "Ana" }, CredentialId::new(now()), None);
        let mut fields = Fields { plain: current.plain.clone(), ..Fields::default() };
        for key in current.secrets.keys() {
            fields.secrets.insert(key.clone(), open(&current, key).unwrap());
        }
        let names =
            |access: Access| access.headers.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(Access::join(&current, Proof::default(), &fields).unwrap()), api, "{kind}");
        let step = (current.authorization_type.parse)(&fields).unwrap().step(None, now());
        if let auth::Step::Fetch { exchange, .. } = step {
            let access = Access::join_exchange(&current, &exchange, &fields).unwrap();
            assert_eq!(access.origin.to_string(), "https://login.example/");
            assert_eq!(access.path.as_ref().unwrap().expose(), "/token?resource=row+secret+1");
            assert_eq!(names(access), token, "{kind}");
        }
    }
}
