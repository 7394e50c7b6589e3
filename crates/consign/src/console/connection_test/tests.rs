use super::*;

fn test() -> Value {
    json!({
        "id": "tst_1", "at": "2026-11-22T14:00:00Z", "by": "Ana", "outcome": "failed",
        "message": "The tool does not accept the client ID or client secret.",
        "steps": [
            { "code": "name", "label": "Name found", "state": "done", "duration_ms": 12, "fact": "149.96.0.10" },
            { "code": "token", "label": "Access token received", "state": "failed", "host": "login.example",
              "fact": "POST /token · 401" },
            { "code": "request", "label": "Signed-in request", "state": "skipped", "fact": "" },
        ],
        "details": "HTTP/1.1 401",
        "offer": { "field": "authentication_information", "value": "body", "label": "Body" },
        "warnings": ["The tool's clock is 90 s behind this server."],
    })
}

#[test]
fn a_result_says_which_of_three_it_is_and_where_it_failed() {
    let shown = panel(&test(), "OAuth");
    assert_eq!(
        (&shown["kind"], &shown["title"]),
        (&json!("danger"), &json!("Failed at Access token received"))
    );
    assert_eq!(shown["steps"][1]["name"], "Access token received · login.example");
    let kinds: Vec<_> = array(&shown["steps"]).iter().map(|step| step["kind"].clone()).collect();
    assert_eq!(kinds, ["success", "danger", "neutral"]);
    let outcome = |outcome: &str, message: &str| {
        let mut test = test();
        test["outcome"] = json!(outcome);
        test["message"] = json!(message);
        let shown = panel(&test, "OAuth");
        (shown["title"].clone(), shown["message"].clone())
    };
    assert_eq!(
        outcome("working", "Working. The tool accepted the sign-in."),
        (json!("Working"), json!("The tool accepted the sign-in."))
    );
    assert_eq!(
        outcome("reached", "Reached. The tool answered 404."),
        (json!("Reached, sign-in not proven"), json!("The tool answered 404."))
    );
}

#[test]
fn an_answer_that_proves_nothing_gets_no_tick() {
    let mut test = test();
    test["steps"] = json!([
        { "code": "name", "label": "Name found", "state": "done", "duration_ms": 12, "fact": "149.96.0.10" },
        { "code": "request", "label": "Signed-in request", "state": "done", "fact": "GET / · 404" },
    ]);
    let last = |outcome: &str| {
        let mut test = test.clone();
        test["outcome"] = json!(outcome);
        let steps = panel(&test, "Basic")["steps"].clone();
        assert_eq!(steps[0]["kind"], "success", "the name was found all the same");
        (steps[1]["kind"].clone(), steps[1]["name"].clone())
    };
    assert_eq!(last("reached"), (json!("info"), json!("Request")));
    assert_eq!(last("working"), (json!("success"), json!("Signed-in request")));
}

#[test]
fn a_result_says_what_would_mend_it() {
    let shown = |code: Value, offer: Value| {
        let mut test = test();
        test["action_code"] = code;
        test["offer"] = offer;
        panel(&test, "OAuth")["action"].clone()
    };
    let replace = json!({ "code": "replace_secret", "label": "Replace secret" });
    assert_eq!(shown(json!("replace_secret"), Value::Null), replace);
    let again = json!({ "code": "authorize_again", "label": "Authorize again" });
    assert_eq!(shown(json!("authorize_again"), Value::Null), again);
    // What would work instead comes first. Results from before there were actions have none.
    assert_eq!(shown(json!("replace_secret"), json!({ "field": "authentication_information" })), Value::Null);
    assert_eq!(shown(Value::Null, Value::Null), Value::Null);
}

#[test]
fn an_action_is_outdated_by_a_newer_status_that_asks_for_another() {
    let check = |since: &str, code: &str, expected: bool| {
        let test = json!({ "at": "2026-11-22T14:00:00Z", "action": { "code": "replace_secret" } });
        let status = json!({ "since": since, "action_code": code });
        assert_eq!(outdated(&test, &status), expected, "{since} {code}");
    };
    check("2026-11-22T14:00:01Z", "authorize_again", true);
    check("2026-11-22T14:00:01Z", "replace_secret", false);
    check("2026-11-22T13:59:59Z", "authorize", false);
}

#[test]
fn the_report_is_the_whole_result_as_text() {
    assert_eq!(
        panel(&test(), "OAuth")["report"],
        "Connection test of OAuth, 2026-11-22T14:00:00Z\n\
         The tool does not accept the client ID or client secret.\n\n\
         Name found – done, 12 ms: 149.96.0.10\n\
         Access token received (login.example) – failed: POST /token · 401\n\
         Signed-in request – skipped\n\
         The tool's clock is 90 s behind this server.\n\n\
         HTTP/1.1 401"
    );
}

#[test]
fn a_test_after_a_save_is_waited_for_and_not_for_ever() {
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let check = |saved: &str, now: &str, expected: bool| {
        assert_eq!(running(Some(&test()), saved, at(now)), expected, "{saved} {now}");
    };
    check("2026-11-22T13:59:59Z", "2026-11-22T14:00:05Z", false);
    check("2026-11-22T14:00:01Z", "2026-11-22T14:00:05Z", true);
    check("2026-11-22T14:00:01Z", "2026-11-22T14:05:00Z", false);
    assert!(running(None, "2026-11-22T14:00:01Z", at("2026-11-22T14:00:02Z")));
}
