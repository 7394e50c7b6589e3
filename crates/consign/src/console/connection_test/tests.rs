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
fn a_result_says_what_would_mend_it() {
    let check = |change: fn(&mut Value), expected: [bool; 3]| {
        let mut test = test();
        test["offer"] = Value::Null;
        change(&mut test);
        let shown = panel(&test, "OAuth");
        let found = ["asks_approval", "token_refused", "secret_refused"].map(|key| shown[key] == json!(true));
        assert_eq!(found, expected, "{test}");
    };
    check(|_| {}, [false, false, true]);
    check(|test| test["steps"][1]["fact"] = json!("the token address answered 503"), [false, false, false]);
    // What would work instead comes first.
    check(|test| test["offer"] = json!({ "field": "authentication_information" }), [false, false, false]);
    check(
        |test| {
            test["outcome"] = json!("reached");
            test["steps"][1]["state"] = json!("skipped");
        },
        [true, false, false],
    );
    let refused = |test: &mut Value| {
        test["message"] = json!("The tool refused the sign-in (401). Check the token.");
        test["steps"][1]["state"] = json!("done");
        test["steps"][2]["state"] = json!("failed");
    };
    check(refused, [false, true, false]);
    check(
        |test| {
            test["message"] = json!("The tool refused the sign-in (401). Check the username and password.");
            test["steps"] = json!([{ "code": "request", "state": "failed" }]);
        },
        [false, false, true],
    );
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
