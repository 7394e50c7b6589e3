//! Connection tests: each step with what was seen, one of three outcomes, and what to do. Nothing unsaved is stored,
//! no saved secret goes anywhere new.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::http::connect;
use crate::harness::page::unescape;
use crate::harness::{TestConsign, basic, bearer, eventually, logs, merge};
use crate::peers::browser::Browser;
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool, free_port};

async fn test(consign: &TestConsign, credential: &str) -> Value {
    consign.act(&format!("/credentials/{credential}/tests")).await.expect(201).json()
}

fn steps(result: &Value) -> Vec<(String, String)> {
    let steps = result["steps"].as_array().unwrap().iter();
    steps
        .map(|step| (step["code"].as_str().unwrap().to_owned(), step["state"].as_str().unwrap().to_owned()))
        .collect()
}

#[track_caller]
fn check(result: &Value, outcome: &str, message: &str, expected: &[(&str, &str)]) {
    assert_eq!(
        (result["outcome"].as_str(), result["message"].as_str()),
        (Some(outcome), Some(message)),
        "{result}"
    );
    let found = steps(result);
    let found: Vec<_> = found.iter().map(|(code, state)| (code.as_str(), state.as_str())).collect();
    assert_eq!(found, expected, "{result}");
}

const WAY: [(&str, &str); 3] = [("name", "done"), ("connect", "done"), ("tls", "done")];

fn way_and(rest: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&WAY, rest].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_tool_answers_is_said_in_words() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let password = consign.canary("password");
    let mut body = basic("itsm", &tool.origin(), "ana", &password);
    merge(&mut body, &json!({ "test_path": "/api/me?full=1" }));
    let credential = consign.credential(&body).await;
    let html = vec![("content-type".to_owned(), "text/html".to_owned())];
    let page = Answer::Reply(200, html, "<html><title>Sign in</title></html>".to_owned());
    let cases = [
        (Answer::json(200, &json!({})), "working", "done", "Working. The tool accepted the sign-in."),
        (
            page,
            "reached",
            "done",
            "Reached. The tool answered 200 with a web page, which does not prove the sign-in. Check the test path.",
        ),
        (
            Answer::with(401, &[("www-authenticate", "Basic realm=\"Tickets\"")]),
            "failed",
            "failed",
            "The tool refused the sign-in (401). Check the username and password. It says: Tickets",
        ),
        (
            Answer::status(403),
            "failed",
            "failed",
            "The tool knows the account but does not allow this path (403). Check the account's role, or choose \
             another test path.",
        ),
        (
            Answer::with(302, &[("location", "https://login.example/x")]),
            "failed",
            "failed",
            "The tool sends us on to login.example (302). Redirects are not followed. Update the address.",
        ),
        (
            Answer::json(500, &json!({ "message": "out of order" })),
            "failed",
            "failed",
            "The tool answered 500: out of order",
        ),
    ];
    for (answer, outcome, state, message) in cases {
        tool.answer(answer);
        let result = test(&consign, &credential).await;
        check(&result, outcome, message, &way_and(&[("request", state)]));
    }
    // What it echoes is hidden, and only what may be shown of the headers is.
    tool.answer(Answer::Echo(400));
    let result = test(&consign, &credential).await;
    assert!(result["details"].as_str().unwrap().contains("[hidden]"), "{result}");
    for asked in tool.asked() {
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/api/me?full=1"));
        assert!(asked.body.is_empty());
    }
    let listed = consign.get(&format!("/credentials/{credential}/tests")).await.expect(200).json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 7);
    assert_eq!(listed["items"][6]["outcome"], "working", "newest first");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_test_path_nothing_is_proven() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let credential = consign.credential(&bearer("itsm", &tool.origin(), &consign.canary("token"))).await;
    tool.answer(Answer::status(404));
    let result = test(&consign, &credential).await;
    let message =
        "Reached. The tool answered 404, which does not prove the sign-in. Add a test path to prove it.";
    check(&result, "reached", message, &way_and(&[("request", "done")]));
    let shown = consign.get(&format!("/credentials/{credential}")).await.expect(200).json();
    assert_eq!(
        (&shown["status"]["code"], &shown["status"]["action"]),
        (&json!("not_proven"), &json!("Add a test path"))
    );
    let hook = consign.canary("hook");
    let incoming = json!({
        "name": "chat", "protocol": "https", "authorization_type": "none",
        "url_address": format!("{}{hook}", tool.origin()),
    });
    let result = test(&consign, &consign.credential(&incoming).await).await;
    let message =
        "Reached. The tool answered 404. An incoming webhook can only be proven by sending something.";
    check(&result, "reached", message, &way_and(&[("request", "done")]));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_step_that_fails_is_named_and_the_rest_is_not_tried() {
    let consign = TestConsign::start().await;
    let port = free_port();
    let body = bearer("nobody", &format!("https://127.0.0.1:{port}/"), &consign.canary("one"));
    let credential = consign.credential(&body).await;
    let result = test(&consign, &credential).await;
    let message = format!(
        "127.0.0.1:{port} refused the connection. Nothing may listen there, or a firewall may block it."
    );
    let steps = [("name", "done"), ("connect", "failed"), ("tls", "skipped"), ("request", "skipped")];
    check(&result, "failed", &message, &steps);
    consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "cannot_reach").await;

    // A name that leads nowhere.
    let body = bearer("nowhere", "https://no-such-name.consign-test.example.com/", &consign.canary("two"));
    let result = test(&consign, &consign.credential(&body).await).await;
    let steps = [("name", "failed"), ("connect", "skipped"), ("tls", "skipped"), ("request", "skipped")];
    let message = "No address found for no-such-name.consign-test.example.com. Check the spelling, or whether this \
                   server may ask your internal DNS.";
    check(&result, "failed", message, &steps);

    // Not TLS at all.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt as _;
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    let body = bearer("mail", &format!("https://127.0.0.1:{port}/"), &consign.canary("three"));
    let result = test(&consign, &consign.credential(&body).await).await;
    assert_eq!(steps_of(&result), ["done", "done", "failed", "skipped"], "{result}");
    consign.finish().await;
}

fn steps_of(result: &Value) -> Vec<String> {
    steps(result).into_iter().map(|(_, state)| state).collect()
}

fn client(consign: &TestConsign, tool: &Tool, endpoint: &Tool, secret: &str) -> Value {
    consign.canaries.never_shown("what the token address answers", MARKER);
    json!({
        "name": "itsm", "protocol": "https", "url_address": tool.origin(), "test_path": "/me",
        "authorization_type": "oauth2_client_credentials", "client_id": "client", "client_secret": secret,
        "access_token_url": format!("{}token", endpoint.origin()), "scope": "read write",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_fetched_for_the_test_and_not_kept() {
    let consign = TestConsign::start().await;
    let (tool, endpoint) = (Tool::start().await, Tool::start().await);
    let access = consign.canary("access");
    endpoint.answer(token(&json!({ "access_token": access, "expires_in": 1799, "scope": "read" })));
    let credential = consign.credential(&client(&consign, &tool, &endpoint, &consign.canary("secret"))).await;
    let result = test(&consign, &credential).await;
    let way = way_and(&WAY);
    let all = [way.as_slice(), &[("token", "done"), ("request", "done")]].concat();
    check(&result, "working", "Working. The tool accepted the sign-in.", &all);
    let steps = result["steps"].as_array().unwrap();
    assert_eq!(steps[3]["host"], "127.0.0.1", "the way to the token address is looked at, too");
    let fact = steps[6]["fact"].as_str().unwrap();
    assert!(fact.starts_with("Bearer, 1,79") && fact.ends_with(" s, scope read"), "{fact}");
    assert_eq!(steps[7]["fact"], "GET /me · 200");
    assert_eq!(result["warnings"], json!(["The tool did not grant the scope write."]));
    assert_eq!(tool.asked()[0].header("authorization"), format!("Bearer {access}"));
    let shown = consign.get(&format!("/credentials/{credential}")).await.expect(200).json();
    assert_eq!((&shown["token"], &shown["status"]["code"]), (&Value::Null, &json!("working")));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_placement_that_works_is_found_and_offered() {
    let consign = TestConsign::start().await;
    let (tool, endpoint) = (Tool::start().await, Tool::start().await);
    // Encoding changes this secret, so all three placements differ.
    let secret = format!("{}/+", consign.canary("secret"));
    let credential = consign.credential(&client(&consign, &tool, &endpoint, &secret)).await;
    let refused =
        Answer::json(401, &json!({ "error": "invalid_client", "error_description": "AADSTS7000215" }));
    let good = token(&json!({ "access_token": consign.canary("access") }));

    endpoint.answer_each(vec![refused.clone(), good.clone()]);
    let result = test(&consign, &credential).await;
    let all = [way_and(&WAY).as_slice(), &[("token", "failed"), ("request", "skipped")]].concat();
    check(&result, "failed", "The tool accepts the client secret in Body, not in Header.", &all);
    let offer = json!({ "field": "authentication_information", "value": "body", "label": "Body" });
    assert_eq!(result["offer"], offer);
    let body = String::from_utf8_lossy(&endpoint.asked()[1].body).into_owned();
    assert!(body.contains("&client_id=client&client_secret="), "asked in the body");

    endpoint.answer_each(vec![refused.clone(), refused.clone(), good]);
    let result = test(&consign, &credential).await;
    assert_eq!(result["offer"]["value"], "header_raw", "{result}");

    let before = endpoint.count();
    endpoint.answer(refused);
    let result = test(&consign, &credential).await;
    let said = "The tool does not accept the client ID or client secret. It says: AADSTS7000215";
    assert_eq!((&result["message"], &result["offer"]), (&json!(said), &Value::Null));
    assert_eq!(endpoint.count() - before, 3, "three token requests at most");
    let saved = consign.get(&format!("/credentials/{credential}")).await.expect(200).json();
    assert_eq!(saved["authentication_information"], "header", "nothing is saved by a test");
    assert_eq!(saved["status"]["code"], "sign_in_refused");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsaved_values_are_tested_under_the_rule_of_the_destination() {
    let consign = TestConsign::start().await;
    let (tool, other) = (Tool::start().await, Tool::start().await);
    let password = consign.canary("password");
    let mut body = basic("itsm", &tool.origin(), "ana", &password);
    merge(&mut body, &json!({ "test_path": "/me" }));
    // Nothing is stored of a complete set of new values.
    let result = consign.post("/credential-tests", &body).await.expect(201).json();
    assert_eq!((&result["outcome"], &result["id"]), (&json!("working"), &Value::Null));
    assert!(consign.all("/credentials").await.is_empty());
    let credential = consign.credential(&body).await;
    let path = format!("/credentials/{credential}/tests");

    let typed = consign.canary("another password");
    let result =
        consign.post(&path, &json!({ "password": typed, "test_path": "/you" })).await.expect(201).json();
    assert_eq!(result["outcome"], "working");
    assert_eq!(tool.asked().last().unwrap().target, "/you");
    let listed = consign.get(&path).await.expect(200).json();
    assert_eq!(listed["items"], json!([]), "what is not saved leaves no result");

    for change in [
        json!({ "url_address": other.origin() }),
        json!({ "username": "bob" }),
        json!({ "authorization_type": "bearer", "token": "x" }),
    ] {
        let reply = consign.post(&path, &change).await;
        assert!(reply.status == 422 || reply.status == 201, "{}", reply.text());
        if reply.status == 422 {
            assert!(reply.faults().iter().any(|(_, code, _)| code == "secret_needed_for_new_destination"));
        } else {
            // A type with a secret of its own keeps nothing of the old one.
            let sent = tool.asked().last().unwrap().header("authorization").to_owned();
            assert_eq!(sent, "Bearer x");
        }
    }
    assert_eq!(other.connections(), 0);
    let wrong = consign.post("/credential-tests", &json!({ "name": "x" })).await.expect(422);
    assert!(wrong.faults().iter().any(|(pointer, ..)| pointer == "/url_address"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tests_are_counted_need_a_right_and_are_audited() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let credential = consign.credential(&bearer("itsm", &tool.origin(), &consign.canary("token"))).await;
    let path = format!("/credentials/{credential}/tests");
    let reader = consign.make_key(&["credentials:read", "credentials:write"]).await;
    let refused = consign.call_as(&reader, "POST", &path, &[], "").await.expect(403);
    assert_eq!(refused.json()["right"], "credentials:test");
    assert_eq!(tool.count(), 0);
    for _ in 0..10 {
        test(&consign, &credential).await;
    }
    let refused = consign.act(&format!("/credentials/{credential}/tests")).await.expect(429);
    assert_eq!(refused.code(), "too_many_requests");
    assert!(refused.header("retry-after").is_some());
    consign.advance(Duration::from_secs(61));
    test(&consign, &credential).await;
    let entries = consign.all(&format!("/audit-entries?object={credential}")).await;
    let tested = entries.iter().filter(|entry| entry["action"] == "Tested credential").count();
    assert_eq!(tested, 11);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_that_proves_the_sign_in_releases_what_waits() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(401));
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "held").await;
    tool.answer(Answer::status(200));
    let id = consign.all("/credentials").await[0]["id"].as_str().unwrap().to_owned();
    consign.patch(&format!("/credentials/{id}"), &json!({ "test_path": "/me" })).await.expect(200);
    assert_eq!(consign.delivery(sent.delivery()).await["state"], "held", "a test path alone repairs nothing");
    assert_eq!(test(&consign, &id).await["outcome"], "working");
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_a_result_leads_to_what_mends_it() {
    let consign = TestConsign::start().await;
    let (tool, tokens) = (Tool::start().await, Tool::start().await);
    let body = json!({
        "name": "itsm", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_authorization_code", "client_id": "client",
        "client_secret": consign.canary("client secret"),
        "authorization_code_url": format!("{}authorize", tokens.origin()),
        "access_token_url": format!("{}token", tokens.origin()),
        "authentication_information": "header", "pkce": "s256",
    });
    let id = consign.credential(&body).await;
    let page = format!("/credentials/{id}");
    let panel = async || {
        let form = consign.form(&page, "etag").await.with("test", "1");
        let shown = unescape(&consign.send_form(&form).await.expect(200).text());
        shown.split_once("id=\"tested\"").unwrap().1.split_once("</section>").unwrap().0.to_owned()
    };
    let authorize = format!("href=\"{page}/authorize\">Authorize</a>");
    let replace = "href=\"#f-client_secret\"";
    tokens.answer(Answer::json(400, &json!({ "error": "invalid_grant" })));
    let shown = panel().await;
    assert!(shown.contains(&authorize) && !shown.contains(replace), "{shown}");
    tokens.answer(Answer::json(401, &json!({ "error": "invalid_client" })));
    let shown = panel().await;
    assert!(!shown.contains(&authorize) && shown.contains(replace), "{shown}");
    tokens.answer(Answer::status(503));
    let shown = panel().await;
    assert!(!shown.contains(&authorize) && !shown.contains(replace), "{shown}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_placement_that_is_offered_is_no_refusal_of_what_a_person_approves() {
    let consign = TestConsign::start().await;
    let (tool, tokens) = (Tool::start().await, Tool::start().await);
    let credential = json!({
        "name": "itsm", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_authorization_code", "client_id": "client",
        // Encoding changes this secret, so all three placements differ.
        "client_secret": format!("{}/+", consign.canary("secret")),
        "authorization_code_url": format!("{}authorize", tokens.origin()),
        "access_token_url": format!("{}token", tokens.origin()),
    });
    let credential = consign.credential(&credential).await;
    let refused = Answer::json(401, &json!({ "error": "invalid_client" }));
    let looked_at = Answer::json(400, &json!({ "error": "invalid_grant" }));
    for (answers, value) in [
        (vec![refused.clone(), looked_at.clone()], "body"),
        (vec![refused.clone(), refused.clone(), looked_at], "header_raw"),
    ] {
        tokens.answer_each(answers);
        let result = test(&consign, &credential).await;
        assert_eq!(result["offer"]["value"], value, "{result}");
        let shown = consign.get(&format!("/credentials/{credential}")).await.expect(200).json();
        assert_eq!(shown["status"]["code"], "not_authorized", "{shown}");
    }
    tokens.answer(refused);
    let result = test(&consign, &credential).await;
    assert_eq!(result["outcome"], "failed", "{result}");
    let shown = consign.get(&format!("/credentials/{credential}")).await.expect(200).json();
    assert_eq!(shown["status"]["code"], "not_authorized", "{shown}");
    consign.finish().await;
}

/// A peer that takes connections and says nothing, until it is let go.
async fn silent() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            taken.push(stream);
        }
    });
    (port, silent)
}

/// A test that is read line by line, and what came of it up to the network connection.
async fn followed(consign: &TestConsign, credential: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = connect(consign.address()).await.unwrap();
    let head = format!(
        "POST /api/v1/credentials/{credential}/tests HTTP/1.1\r\nhost: consign\r\nauthorization: Bearer {}\r\n\
         accept: application/x-ndjson\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        consign.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let first = async {
        while !String::from_utf8_lossy(&seen).contains("\"code\":\"connect\"") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), first).await.unwrap();
    (stream, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_test_that_is_read_has_no_result_is_in_the_log() {
    let consign = TestConsign::start().await;
    let (port, silent) = silent().await;
    let address = format!("https://127.0.0.1:{port}/");
    let credential = consign.credential(&bearer("Desk", &address, &consign.canary("token"))).await;
    let (mut stream, mut seen) = followed(&consign, &credential).await;
    // Somebody else does not read it to its end.
    drop(followed(&consign, &credential).await);
    consign
        .call("DELETE", &format!("/credentials/{credential}"), &[("if-match", "*")], None)
        .await
        .expect(200);
    silent.abort();
    let _ = stream.read_to_end(&mut seen).await;
    let text = String::from_utf8_lossy(&seen).into_owned();
    // The last step may go down with the connection.
    assert!(text.contains("\"code\":\"connect\"") && !text.contains("\"result\""), "{text}");
    eventually("both ends in the log", async || {
        let logged = String::from_utf8_lossy(&logs::logged()).into_owned();
        let why =
            |line: &&str| line.contains("has no result") && line.contains("there is no such credential");
        (logged.lines().filter(why).filter(|line| line.contains("ERROR")).count() == 2).then_some(())
    })
    .await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_sent_as_they_end() {
    let consign = TestConsign::start().await;
    let (port, silent) = silent().await;
    let address = format!("https://127.0.0.1:{port}/");
    let credential = consign.credential(&bearer("Desk", &address, &consign.canary("token"))).await;
    let (mut stream, mut seen) = followed(&consign, &credential).await;
    let text = String::from_utf8_lossy(&seen).into_owned();
    assert!(
        text.starts_with("HTTP/1.1 200 ") && text.contains("content-type: application/x-ndjson"),
        "{text}"
    );
    assert!(text.contains("x-accel-buffering: no\r\n"), "{text}");
    assert!(!text.contains("\"code\":\"tls\"") && !text.contains("result"), "{text}");
    silent.abort();
    stream.read_to_end(&mut seen).await.unwrap();
    let text = String::from_utf8_lossy(&seen).into_owned();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<_> = lines.filter(Value::is_object).collect();
    let (result, told) = lines.split_last().unwrap();
    let told: Vec<_> = told.iter().map(|line| line["step"].clone()).collect();
    assert_eq!(json!(told), result["result"]["steps"], "{text}");
    let failed = [("name", "done"), ("connect", "done"), ("tls", "failed"), ("request", "skipped")];
    let found = steps(&result["result"]);
    assert_eq!(found.iter().map(|(code, state)| (&**code, &**state)).collect::<Vec<_>>(), failed);
    // What is wrong with the request itself is said as ever.
    let refused = consign.call_as(
        &consign.key,
        "POST",
        "/credentials/nobody/tests",
        &[("accept", "application/x-ndjson")],
        "",
    );
    refused.await.expect(404);
    consign.finish().await;
}

/// Whoever hears the page is interrupted by these words.
async fn said_at_once(browser: &Browser, words: &str) {
    eventually(&format!("“{words}” to be said at once"), async || {
        let said = browser.run("return document.getElementById('alert').textContent", vec![]).await;
        said.as_str().is_some_and(|said| said.starts_with(words)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_steps_as_they_end() {
    let consign = TestConsign::start().await;
    let (port, silent) = silent().await;
    let address = format!("https://127.0.0.1:{port}/");
    let credential = consign.credential(&bearer("Desk", &address, &consign.canary("token"))).await;
    let browser = Browser::start(true).await;
    let base = format!("http://127.0.0.1:{}", consign.address().port());
    browser.sign_in(&consign, &base, &format!("/credentials/{credential}")).await;
    browser.press_words("Test connection").await;
    let shown = "return [...document.querySelectorAll('#tested .steps li')]
        .map((step) => [step.className, step.querySelector('.name').firstChild.textContent])";
    let expected = json!([
        ["success", "Name found"],
        ["success", "Network connection"],
        ["neutral to-come", "Secure connection"],
        ["neutral to-come", "Request"],
    ]);
    eventually("two steps", async || (browser.run(shown, vec![]).await == expected).then_some(())).await;
    silent.abort();
    browser.until_shows("Failed at Secure connection").await;
    browser.until_shows("Last test").await;
    let steps = browser.run(shown, vec![]).await;
    assert_eq!(steps[2], json!(["danger", "Secure connection"]), "{steps}");
    said_at_once(&browser, "Failed at Secure connection").await;
    browser.close().await;
    consign.finish().await;
}

/// Sent once more, the form would sign in a second time while the first test goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_whose_test_breaks_off_says_so_and_sends_nothing_again() {
    let consign = TestConsign::start().await;
    let (port, silent) = silent().await;
    let address = format!("https://127.0.0.1:{port}/");
    let credential = consign.credential(&bearer("Desk", &address, &consign.canary("token"))).await;
    let browser = Browser::start(true).await;
    let base = format!("http://127.0.0.1:{}", consign.address().port());
    browser.sign_in(&consign, &base, &format!("/credentials/{credential}")).await;
    browser.press_words("Test connection").await;
    browser.until_there("#tested .steps .success + .success").await;
    consign
        .call("DELETE", &format!("/credentials/{credential}"), &[("if-match", "*")], None)
        .await
        .expect(200);
    silent.abort();
    browser.until_shows("No result came: the connection to Consign was lost").await;
    assert_eq!(browser.path().await, format!("/credentials/{credential}"));
    let again = "return [document.querySelector('#tested h2').textContent.trim(),
        [...document.querySelectorAll('button')].some((button) => button.textContent.trim() === 'Test connection')]";
    assert_eq!(browser.run(again, vec![]).await, json!(["Connection test", true]));
    said_at_once(&browser, "No result came").await;
    browser.close().await;
    consign.finish().await;
}
