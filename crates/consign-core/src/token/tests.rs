use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn exchange(grant: Grant) -> Exchange {
    Exchange {
        to: Address::parse("Access Token URL", "https://login.example/token").unwrap(),
        query: Secret::new(String::new()),
        headers: Vec::new(),
        body: Secret::new(String::new()),
        proofs: Vec::new(),
        assertion: None,
        grant,
        scope: String::new(),
        life: Life { stated: None, otherwise: Some(Duration::from_secs(300)) },
    }
}

fn answer(status: u16, body: &[u8]) -> Answer<'_> {
    Answer { status, content_type: Some("application/json"), body, whole: true, wait: None }
}

fn good() -> Value {
    json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 3600 })
}

fn with(key: &str, value: Value) -> Vec<u8> {
    let mut body = good();
    body[key] = value;
    body.to_string().into_bytes()
}

fn without(key: &str) -> Vec<u8> {
    let mut body = good();
    body.as_object_mut().unwrap().remove(key);
    body.to_string().into_bytes()
}

fn read(grant: Grant, answer: Answer<'_>) -> Result<Token, TokenError> {
    let before = Token {
        access: None,
        refresh: Some(Secret::new("old".to_owned())),
        facts: TokenFacts { obtained_at: NOW, ends_at: None, scope: None, refresh_ends_at: None },
    };
    exchange(grant).read(answer, Some(before), None, NOW)
}

fn class(result: &Result<Token, TokenError>) -> &'static str {
    match result {
        Ok(_) => "works",
        Err(TokenError::Transient { .. }) => "transient",
        Err(TokenError::Refused { .. }) => "refused",
        Err(TokenError::GrantEnded { .. }) => "ended",
    }
}

#[test]
fn the_example_of_rfc_6749_is_a_token() {
    // Section 5.1.
    let body = br#"{
       "access_token":"2YotnFZFEjr1zCsicMWpAA",
       "token_type":"example",
       "expires_in":3600,
       "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA",
       "example_parameter":"example_value"
     }"#;
    let body = String::from_utf8_lossy(body).replace("\"example\"", "\"bearer\"");
    let token = read(Grant::RefreshToken, answer(200, body.as_bytes())).unwrap();
    assert_eq!(token.access.unwrap().expose(), "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(token.refresh.unwrap().expose(), "tGzv3JOkF0XG5Qx2TlKWIA");
    assert_eq!(token.facts.ends_at, Some(NOW.plus(Duration::from_secs(3600))));
}

#[test]
fn every_answer_is_one_of_four() {
    let deep = format!(
        "{{\"access_token\":\"a\",\"token_type\":\"bearer\",\"x\":{}1{}}}",
        "[".repeat(9),
        "]".repeat(9)
    );
    let cases: &[(&str, u16, Vec<u8>, &str)] = &[
        ("plain", 200, good().to_string().into_bytes(), "works"),
        ("created", 201, good().to_string().into_bytes(), "works"),
        ("type in capitals", 200, with("token_type", json!("BEARER")), "works"),
        ("digits as text", 200, with("expires_in", json!("3600")), "works"),
        ("fraction", 200, with("expires_in", json!(59.5)), "works"),
        ("below zero", 200, with("expires_in", json!(-1)), "works"),
        ("a trillion", 200, with("expires_in", json!(1e12)), "works"),
        ("no life", 200, without("expires_in"), "works"),
        ("life is null", 200, with("expires_in", Value::Null), "works"),
        ("below zero as text", 200, with("expires_in", json!("-1")), "refused"),
        ("life in words", 200, with("expires_in", json!("soon")), "refused"),
        ("life is a list", 200, with("expires_in", json!([1])), "refused"),
        ("no token", 200, without("access_token"), "refused"),
        ("empty token", 200, with("access_token", json!("")), "refused"),
        ("token with a space", 200, with("access_token", json!("a b")), "refused"),
        ("token is a number", 200, with("access_token", json!(1)), "refused"),
        ("longest token", 200, with("access_token", json!("x".repeat(16_384))), "works"),
        ("too long a token", 200, with("access_token", json!("x".repeat(16_385))), "refused"),
        ("no type", 200, without("token_type"), "refused"),
        ("mac", 200, with("token_type", json!("mac")), "refused"),
        ("empty refresh token", 200, with("refresh_token", json!("")), "ended"),
        ("broken refresh token", 200, with("refresh_token", json!("a\u{e9}")), "refused"),
        ("error in a success", 200, json!({ "error": "invalid_client" }).to_string().into_bytes(), "refused"),
        (
            "member twice",
            200,
            br#"{"access_token":"a","token_type":"bearer","access_token":"b"}"#.to_vec(),
            "refused",
        ),
        (
            "member twice inside",
            200,
            br#"{"access_token":"a","token_type":"bearer","x":{"y":1,"y":2}}"#.to_vec(),
            "refused",
        ),
        ("too deep", 200, deep.into_bytes(), "refused"),
        ("a list", 200, b"[]".to_vec(), "refused"),
        ("form", 200, b"access_token=a&token_type=bearer".to_vec(), "refused"),
        ("web page", 200, b"<html></html>".to_vec(), "refused"),
        ("two values", 200, b"{} {}".to_vec(), "refused"),
        ("empty", 200, Vec::new(), "transient"),
        ("blank", 200, b" \n".to_vec(), "transient"),
        ("no content", 204, Vec::new(), "transient"),
        ("accepted", 202, good().to_string().into_bytes(), "refused"),
        ("redirect", 307, Vec::new(), "refused"),
        ("invalid_client", 401, json!({ "error": "invalid_client" }).to_string().into_bytes(), "refused"),
        ("invalid_grant", 400, json!({ "error": "invalid_grant" }).to_string().into_bytes(), "ended"),
        ("as Atlassian says it", 403, json!({ "error": "invalid_grant" }).to_string().into_bytes(), "ended"),
        ("with a server error", 500, json!({ "error": "invalid_grant" }).to_string().into_bytes(), "ended"),
        ("other refusal", 403, b"nope".to_vec(), "refused"),
        ("time-out", 408, Vec::new(), "transient"),
        ("too early", 425, Vec::new(), "transient"),
        ("throttled", 429, Vec::new(), "transient"),
        ("server error", 500, b"<html>".to_vec(), "transient"),
        ("away", 503, Vec::new(), "transient"),
    ];
    for (name, status, body, expected) in cases {
        assert_eq!(class(&read(Grant::RefreshToken, answer(*status, body))), *expected, "{name}");
    }
    let cut = Answer { whole: false, ..answer(200, b"{\"access_token\":\"a\"") };
    assert_eq!(class(&read(Grant::RefreshToken, cut)), "transient");
}

#[test]
fn without_a_person_invalid_grant_is_a_refusal() {
    let body = json!({ "error": "invalid_grant" }).to_string().into_bytes();
    assert_eq!(class(&read(Grant::ClientCredentials, answer(400, &body))), "refused");
    assert_eq!(class(&read(Grant::AuthorizationCode, answer(400, &body))), "ended");
}

#[test]
fn no_reason_repeats_the_answer() {
    let canary = "canary-7f";
    for body in [
        with("token_type", json!(canary)),
        with("expires_in", json!(canary)),
        json!({ "access_token": canary, "token_type": "mac" }).to_string().into_bytes(),
        json!({ "error": format!("\"{canary}"), "x": canary }).to_string().into_bytes(),
        format!("{canary}=1").into_bytes(),
        format!("{{\"a\":\"{canary}\",\"a\":1}}").into_bytes(),
    ] {
        let error = read(Grant::RefreshToken, answer(200, &body)).unwrap_err();
        assert!(!error.reason().contains(canary), "{error:?}");
    }
}

#[test]
fn a_refresh_token_is_kept_until_another_comes() {
    let refresh = |grant, body: &[u8]| {
        let token = read(grant, answer(200, body)).unwrap();
        token.refresh.map(|refresh| refresh.expose().to_owned())
    };
    let plain = good().to_string().into_bytes();
    assert_eq!(refresh(Grant::RefreshToken, &plain).as_deref(), Some("old"));
    assert_eq!(refresh(Grant::RefreshToken, &with("refresh_token", json!("new"))).as_deref(), Some("new"));
    // RFC 6749 section 4.4.3: none is expected, and one that comes is ignored.
    assert_eq!(refresh(Grant::ClientCredentials, &with("refresh_token", json!("new"))), None);
}

#[test]
fn lives_are_read_and_clamped() {
    let life = |body: &[u8], stated: Option<u64>, seen: Option<u64>| {
        let mut exchange = exchange(Grant::ClientCredentials);
        exchange.life.stated = stated.map(Duration::from_secs);
        let token = exchange.read(answer(200, body), None, seen.map(Duration::from_secs), NOW).unwrap();
        token.facts.ends_at.map(|end| end.since(NOW).as_secs())
    };
    let none = without("expires_in");
    assert_eq!(
        life(&good().to_string().into_bytes(), Some(60), Some(70)),
        Some(3600),
        "the tool's word first"
    );
    assert_eq!(life(&none, Some(60), Some(70)), Some(60), "then the field");
    assert_eq!(life(&none, None, Some(70)), Some(70), "then the last one seen");
    assert_eq!(life(&none, None, None), Some(300));
    assert_eq!(life(&with("expires_in", json!(40 * 86_400)), None, None), Some(30 * 86_400));
    assert_eq!(life(&with("expires_in", json!(1e300)), None, None), Some(30 * 86_400));
    assert_eq!(life(&with("expires_in", json!(-5)), None, None), Some(0));
    let mut until_refused = exchange(Grant::AuthorizationCode);
    until_refused.life.otherwise = None;
    let token = until_refused.read(answer(200, &none), None, None, NOW).unwrap();
    assert_eq!(token.facts.ends_at, None);
}

#[test]
fn a_stated_life_of_the_refresh_token_is_kept() {
    let ends = |key: &str, value: Value| {
        let token = read(Grant::RefreshToken, answer(200, &with(key, value))).unwrap();
        token.facts.refresh_ends_at.map(|end| end.since(NOW).as_secs())
    };
    assert_eq!(ends("refresh_token_expires_in", json!(7_776_000)), Some(7_776_000));
    assert_eq!(ends("refresh_expires_in", json!("1800")), Some(1800));
    assert_eq!(ends("refresh_expires_in", json!(0)), None, "for ever, where a tool sends it at all");
}

#[test]
fn errors_are_shown_as_text() {
    let error = OAuthError::of("invalid_client", "line\none\u{1b}[2J").unwrap();
    assert_eq!(error.description, "line one [2J");
    let nothing = Scrubber::new(std::iter::empty());
    let long = OAuthError::of("x", &"y".repeat(400)).unwrap();
    assert_eq!(long.scrubbed(&nothing).description.len(), 300);
    for unusual in ["Odd", "a-b", "a b", "a1", "secret.value"] {
        assert_eq!(OAuthError::of(unusual, "").unwrap().code, "an unusual code", "{unusual}");
    }
    for code in ["", "a\"b", "a\\b", "a\nb", "é", &"x".repeat(65)] {
        assert!(OAuthError::of(code, "").is_none(), "{code:?}");
    }
}

#[test]
fn errors_are_shown_without_what_was_sent() {
    let scrubber = Scrubber::new(["open sesame", "opensesame", "client secret"].into_iter());
    let read = |code: &str, description: &str| {
        let body = json!({ "error": code, "error_description": description }).to_string();
        let error = exchange(Grant::RefreshToken).read(answer(400, body.as_bytes()), None, None, NOW);
        error.unwrap_err().scrubbed(&scrubber)
    };
    let cut = format!("{} open sesame", "y".repeat(294));
    let TokenError::Refused { reason, said: Some(said) } = read("invalid_client", &cut) else { panic!() };
    assert_eq!(reason, "the token address answered invalid_client");
    assert_eq!(said.description, format!("{} [hidd", "y".repeat(294)));
    let TokenError::Refused { reason, said: Some(said) } = read("opensesame", "") else { panic!() };
    assert_eq!(
        (reason.as_str(), said.code.as_str()),
        ("the token address answered [hidden]", "an unusual code")
    );
    let TokenError::GrantEnded { said: Some(said), .. } = read("invalid_grant", "no open+sesame") else {
        panic!()
    };
    assert_eq!((said.code.as_str(), said.description.as_str()), ("invalid_grant", "no [hidden]"));
}

#[test]
fn a_wait_of_the_tool_is_passed_on() {
    let wait = Some(Duration::from_secs(17));
    let throttled = Answer { wait, ..answer(429, b"") };
    match read(Grant::RefreshToken, throttled) {
        Err(TokenError::Transient { wait: found, .. }) => assert_eq!(found, wait),
        other => panic!("{other:?}"),
    }
}
