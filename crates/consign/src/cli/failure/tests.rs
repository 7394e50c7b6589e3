use serde_json::json;

use super::*;

fn check(status: u16, body: &Value, code: Code, lines: &[&str]) {
    let failure = Failure::answered(status, body.to_string().as_bytes());
    assert_eq!(failure.code, code);
    assert_eq!(failure.lines, lines);
}

#[test]
fn every_answer_has_its_exit_code() {
    let codes =
        [(400, 2), (401, 4), (403, 5), (404, 3), (409, 6), (412, 6), (422, 7), (428, 2), (500, 1), (503, 1)];
    for (status, code) in codes {
        assert_eq!(Failure::answered(status, b"").code as u8, code, "{status}");
    }
}

#[test]
fn problems_say_what_why_and_what_to_do() {
    let problem = json!({
        "title": "Some values were not accepted",
        "detail": "1 field needs a change.",
        "code": "values_not_accepted",
        "errors": [ { "pointer": "/url_address", "message": "URL address must start with https://" } ],
    });
    check(
        422,
        &problem,
        Code::NotAccepted,
        &[
            "Some values were not accepted. 1 field needs a change.",
            "  url_address: URL address must start with https://",
        ],
    );
    check(
        401,
        &json!({ "title": "The API key was not accepted" }),
        Code::SignIn,
        &["The API key was not accepted", "Sign in with: consign login"],
    );
    check(
        500,
        &json!({ "title": "Something went wrong", "request_id": "req_1" }),
        Code::Failed,
        &["Something went wrong", "Reference req_1"],
    );
    check(502, &json!(null), Code::Failed, &["The server answered with status 502"]);
}

#[test]
fn errors_bring_their_causes_once() {
    let inner = std::io::Error::other("inner");
    let failure = Failure::from(anyhow::Error::new(inner).context("outer"));
    assert_eq!(failure.lines, ["outer: inner"]);
}
