//! A gateway is tried by a person, and called by the sample code that its page shows.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{TestConsign, bearer, eventually, id_of, variable};
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

on_both_databases!(a_person_tries_a_gateway_on_the_way_of_every_call);

/// The path of a gateway to a tool, and its address.
async fn gateway(consign: &TestConsign, tool: &Tool, more: &Value) -> (String, String) {
    consign.credential(&bearer("Tool", &tool.origin(), &consign.canary("token"))).await;
    let mut body = json!({
        "name": "Desk", "credential": "Tool", "slug": "desk", "methods": ["GET", "HEAD", "POST"], "path_prefixes": ["/api"],
    });
    crate::harness::merge(&mut body, more);
    let made = consign.post("/gateways", &body).await.expect(201).json();
    (format!("/gateways/{}", id_of(&made)), made["address"].as_str().unwrap().to_owned())
}

/// The records of calls, which are written after them.
async fn calls(consign: &TestConsign, path: &str, count: usize) -> Vec<Value> {
    eventually("the calls to be recorded", async || {
        let calls = consign.all(&format!("{path}/calls")).await;
        (calls.len() == count).then_some(calls)
    })
    .await
}

async fn a_person_tries_a_gateway_on_the_way_of_every_call(consign: TestConsign) {
    let tool = Tool::start().await;
    // Answers are not searched for applications; for whoever looks at a page they are.
    let (path, _) = gateway(&consign, &tool, &json!({ "scrub_answers": false })).await;
    let page = format!("{path}/try");
    let form = consign.form(&page, "path").await;
    assert_eq!((form.value("path"), form.value("method")), (Some("/api"), Some("GET")));
    tool.answer_next(Answer::Echo(200));
    let answer =
        unescape(&consign.send_form(&form.clone().set("path", "/api/now?a=b")).await.expect(200).text());
    let asked = tool.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/api/now?a=b"));
    assert!(asked.header("authorization").starts_with("Bearer "));
    for words in ["Answer to GET", "200", "****"] {
        assert!(answer.contains(words), "{words}: {answer}");
    }

    let trial = async |body: Value| consign.post(&format!("{path}/trials"), &body).await;
    let text = vec![("content-type".to_owned(), "text/plain".to_owned())];
    tool.answer_next(Answer::Reply(404, text, "x".repeat(70 << 10)));
    let cut = trial(json!({ "path": "/api" })).await.expect(200).json();
    assert_eq!((&cut["status"], &cut["is_whole"]), (&json!(404), &json!(false)), "{cut}");
    assert_eq!(cut["body"].as_str().unwrap().len(), 64 << 10);
    let head = trial(json!({ "path": "/api", "method": "HEAD" })).await.expect(200).json();
    assert_eq!((&head["status"], &head["body"], &head["is_whole"]), (&json!(200), &json!(""), &json!(true)));
    assert_eq!(tool.asked()[2].method, "HEAD");
    let outside = trial(json!({ "path": "/other" })).await.expect(200).json();
    assert_eq!(
        (&outside["status"], &outside["code"]),
        (&Value::Null, &json!("path_not_allowed")),
        "{outside}"
    );
    for (body, pointer) in [
        (json!({ "path": "/api", "method": "POST" }), "/method"),
        (json!({ "path": "https://elsewhere.example/" }), "/path"),
        (json!({ "path": "/api", "body": "x" }), "/body"),
    ] {
        assert_eq!(trial(body).await.expect(422).json()["errors"][0]["pointer"], pointer);
    }
    let wrong = unescape(&consign.send_form(&form.clone().set("path", "api")).await.expect(422).text());
    assert!(wrong.contains(&format!("name=\"back\" value=\"{path}/try\"")), "{wrong}");
    assert!(wrong.contains("Path must start with /"), "{wrong}");
    consign.submit(&format!("{path}/pause"), &[]).await.expect(303);
    let paused = unescape(&consign.send_form(&form).await.expect(200).text());
    for words in ["Consign itself answered: gateway_paused", "The gateway is paused."] {
        assert!(paused.contains(words), "{words}: {paused}");
    }
    assert_eq!(tool.count(), 3);

    let recorded = calls(&consign, &path, 5).await;
    let told: Vec<_> =
        recorded.iter().map(|call| (&call["method"], &call["path"], &call["status"])).collect();
    let (get, head, api) = (json!("GET"), json!("HEAD"), json!("/api"));
    let (now, other, nothing) = (json!("/api/now"), json!("/other"), Value::Null);
    let (fine, missing) = (json!(200), json!(404));
    let expected = [
        (&get, &api, &nothing),
        (&get, &other, &nothing),
        (&head, &api, &fine),
        (&get, &api, &missing),
        (&get, &now, &fine),
    ];
    assert_eq!(told, expected);
    let of_person = recorded.last().unwrap();
    assert_eq!((&of_person["caller"], &of_person["api_key"]), (&json!("Ana Silva"), &Value::Null));
    assert_eq!(of_person["secret_hidden"], true);
    assert_eq!(recorded[3]["api_key"]["name"], recorded[3]["caller"], "a program called with its key");
    let list = unescape(&consign.page(&path).await.expect(200).text());
    for words in
        ["Ana Silva", "tried it", "/api/now", "Gateway paused", "a secret was covered", "5 calls · 3 errors"]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    let errors =
        unescape(&consign.page(&format!("{path}?answer=errors&method=HEAD")).await.expect(200).text());
    assert!(errors.contains("No call matches these filters."), "{errors}");
    assert_eq!(consign.all(&format!("{path}/calls?errors=true")).await.len(), 3);
    consign.finish().await;
}

/// What the sample code of a page prints; `call` is the call in its language.
fn sample(program: &str, file: &str, call: &str, address: &str, key: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/samples");
    let code = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let flag = if file.ends_with(".py") { "-c" } else { "-e" };
    let mut command = Command::new(variable(program));
    command.args([flag, &format!("{code}\n{call}\n")]).env("CONSIGN_TOKEN", key).env("ADDRESS", address);
    let output = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_code_calls_a_tool_and_knows_whose_answer_it_has() {
    const PYTHON: &str = "print(call(os.environ['ADDRESS'], '/api/a', 'POST', b'{}', {'X-A': 'b'}))";
    const SCRIPT: &str =
        "call(process.env.ADDRESS, '/api/a', { method: 'POST', body: '{}', headers: { 'x-a': 'b' } })
        .then((answer) => console.log(JSON.stringify(answer)), (error) => console.log(error.message));";
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (path, address) = gateway(&consign, &tool, &json!({})).await;
    let key = consign.make_key(&["gateway:call"]).await;
    let run = async |program: &'static str, file: &'static str, call: &'static str| {
        let (address, key) = (address.clone(), key.clone());
        tokio::task::spawn_blocking(move || sample(program, file, call, &address, &key)).await.unwrap()
    };
    let both = async || {
        (
            run("CONSIGN_TEST_PYTHON", "call.py", PYTHON).await,
            run("CONSIGN_TEST_NODE", "call.js", SCRIPT).await,
        )
    };
    tool.answer(Answer::json(201, &json!({ "number": 7 })));
    let (python, script) = both().await;
    assert_eq!(python, "(201, b'{\"number\":7}')\n");
    assert_eq!(script, "{\"status\":201,\"body\":\"{\\\"number\\\":7}\"}\n");
    for asked in tool.asked() {
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str(), asked.header("x-a")),
            ("POST", "/api/a", "b")
        );
        assert_eq!(asked.body, b"{}");
        assert!(!asked.header("authorization").contains("csg_"), "the key stays here");
    }
    // Neither takes the tool's word for where else to go.
    tool.answer(Answer::with(302, &[("location", "/other")]));
    let (python, script) = both().await;
    assert!(python.starts_with("(302, b'") && script.starts_with("{\"status\":302"), "{python} {script}");
    assert_eq!(tool.count(), 4);
    consign.act(&format!("{path}/pauses")).await.expect(200);
    let (python, script) = both().await;
    assert!(python.contains("RuntimeError: Consign itself answered: gateway_paused"), "{python}");
    assert_eq!(script, "Consign itself answered: gateway_paused\n");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_tried_from_the_command_line() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    gateway(&consign, &tool, &json!({})).await;
    tool.answer_next(Answer::json(200, &json!({ "result": [] })));
    let tried = consign.run(&["gateway", "try", "Desk", "/api/now"]).await.expect(0);
    assert!(
        tried.stdout.contains("{\"result\":[]}") && tried.stderr.contains("200 in "),
        "{}{}",
        tried.stdout,
        tried.stderr
    );
    let refused = consign.run(&["gateway", "try", "Desk", "/other"]).await.expect(8);
    assert!(refused.stderr.contains("path_not_allowed"), "{}", refused.stderr);
    consign.run(&["gateway", "try", "Desk", "/api", "--method", "POST"]).await.expect(7);
    let recorded = calls(&consign, "/gateways/Desk", 2).await;
    assert_eq!(recorded[1]["status"], 200);
    let list = consign.run(&["gateway", "calls", "Desk", "--plain", "--no-header"]).await.expect(0).stdout;
    assert!(list.contains("\tGET\t/api/now\t200\t") && list.contains("\tPath not allowed\t"), "{list}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_tried_in_a_browser_with_and_without_scripts() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (path, _) = gateway(&consign, &tool, &json!({})).await;
    let base = format!("http://{}", consign.address());
    for scripts in [true, false] {
        let browser = Browser::start(scripts).await;
        browser.be(&base, Some(&consign.session)).await;
        browser.goto(&format!("{base}{path}")).await;
        browser.press_words("Try it").await;
        browser.until_at(&format!("{path}/try")).await;
        browser.fill("path", "/api/now").await;
        let html = Answer::Reply(
            200,
            vec![("content-type".to_owned(), "text/html".to_owned())],
            "<script>document.title = 'taken over'</script><p>plain</p>".to_owned(),
        );
        tool.answer_next(html);
        browser.press_words("Send").await;
        browser.until_shows("Answer to GET").await;
        browser.until_shows("<p>plain</p>").await;
        let title = browser.run("return document.title", vec![]).await;
        assert!(title.as_str().unwrap().starts_with("Try it"), "{title}");
        browser.close().await;
    }
    assert_eq!(tool.count(), 2);
    consign.finish().await;
}
