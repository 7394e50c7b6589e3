//! Destination binding: a changed address, user name or type needs every secret again, whoever asks in whatever way,
//! and no request with a saved secret reaches the new place.

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{Ran, TestConsign, basic, bearer};
use crate::peers::Tool;

/// A saved credential, with what its secrets are called.
struct Case {
    name: &'static str,
    body: Value,
    /// Field and words of each secret.
    secrets: &'static [(&'static str, &'static str)],
}

fn cases(consign: &TestConsign, origin: &str) -> Vec<Case> {
    let header = |body: &mut Value, value: String| {
        body["custom_headers"] = json!([{ "name": "X-Key", "value": value }]);
    };
    let mut basic = basic("basic", origin, "consign", &consign.canary("password"));
    header(&mut basic, consign.canary("header"));
    let bearer = bearer("bearer", origin, &consign.canary("token"));
    let whole = format!("{origin}in/{}", consign.canary("hook"));
    let mut none =
        json!({ "name": "none", "protocol": "https", "url_address": whole, "authorization_type": "none" });
    header(&mut none, consign.canary("header"));
    vec![
        Case {
            name: "basic",
            body: basic,
            secrets: &[("password", "password"), ("custom_headers/0/value", "value of X-Key")],
        },
        Case { name: "bearer", body: bearer, secrets: &[("token", "token")] },
        Case { name: "none", body: none, secrets: &[("custom_headers/0/value", "value of X-Key")] },
    ]
}

const ADDRESS: &str = "You changed the address, so saved secrets are not sent to the new one";
const USERNAME: &str = "You changed the username, so the saved one is not used with it";

/// Creates each credential with a webhook, lets `attempt` try each change, and proves that the secret stayed home.
async fn nothing_moves(consign: &TestConsign, attempt: impl AsyncFn(&Case, &str, &str, &str)) {
    let (tool, elsewhere) = (Tool::start().await, Tool::start().await);
    let cases = cases(consign, &tool.origin());
    for case in &cases {
        consign.credential(&case.body).await;
        let path = if case.name == "none" { "" } else { "/x" };
        let webhook =
            json!({ "name": case.name, "credential": case.name, "path": path, "event_types": ["*"] });
        consign.webhook(&webhook).await;
        attempt(case, "url_address", &elsewhere.origin(), ADDRESS).await;
        let port = tool.origin().replace(&tool.port().to_string(), &elsewhere.port().to_string());
        attempt(case, "url_address", &port, ADDRESS).await;
        attempt(case, "url_address", "https://tool.example.org/", ADDRESS).await;
        if case.name == "basic" {
            attempt(case, "username", "somebody-else", USERNAME).await;
        }
    }
    consign.event("a", &json!(1)).await;
    consign.until_idle().await;
    assert_eq!(tool.count(), cases.len());
    assert_eq!((elsewhere.count(), elsewhere.connections()), (0, 0), "nothing went to the new place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_api_a_new_destination_needs_every_secret() {
    let consign = TestConsign::start().await;
    nothing_moves(&consign, async |case, field, value, reason| {
        let path = format!("/credentials/{}", case.name);
        let mut whole = consign.get(&path).await.expect(200).json();
        whole[field] = json!(value);
        let replies = [
            consign.patch(&path, &json!({ field: value })).await,
            consign.call("PUT", &path, &[("if-match", "*")], Some(&whole)).await,
        ];
        for reply in replies {
            let faults = reply.expect(422).faults();
            for (secret, words) in case.secrets {
                let pointer = format!("/{secret}");
                let sentence = format!("Enter the {words} again. {reason}");
                let fault = (pointer, "secret_needed_for_new_destination".to_owned(), sentence);
                assert!(faults.contains(&fault), "{}: {fault:?} is not in {faults:?}", case.name);
            }
        }
        // One of several secrets is not enough.
        if case.secrets.len() > 1 {
            let some = json!({ field: value, case.secrets[0].0: consign.canary("new-password") });
            let faults = consign.patch(&path, &some).await.expect(422).faults();
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
    })
    .await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_console_a_new_destination_needs_every_secret() {
    let consign = TestConsign::start().await;
    nothing_moves(&consign, async |case, field, value, reason| {
        let id = consign.get(&format!("/credentials/{}", case.name)).await.json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let form = consign.form(&format!("/credentials/{id}"), "url_address").await.set(field, value);
        let page = consign.send_form(&form).await.expect(422).text();
        for (_, words) in case.secrets {
            let sentence = format!("Enter the {words} again. {reason}");
            assert!(page.contains(&sentence), "{}: {sentence}\n{page}", case.name);
        }
        assert!(page.contains("There is a problem"));
        let page = unescape(&page);
        let note =
            format!(" to {value}. Saved secrets belong to the old address and are never sent to a new one.");
        assert_eq!(page.contains(&note), field == "url_address", "{}: {note}\n{page}", case.name);
        assert_eq!(page.contains("You changed the address from "), field == "url_address", "{page}");
    })
    .await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_command_line_a_new_destination_needs_every_secret() {
    let consign = TestConsign::start().await;
    nothing_moves(&consign, async |case, field, value, reason| {
        let flag = format!("--{}", field.replace('_', "-"));
        let ran: Ran = consign.run(&["credential", "edit", case.name, &flag, value]).await.expect(7);
        for (_, words) in case.secrets {
            let sentence = format!("Enter the {words} again. {reason}");
            assert!(ran.stderr.contains(&sentence), "{}: {sentence}\n{}", case.name, ran.stderr);
        }
    })
    .await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_type_takes_no_secret_along() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    for case in cases(&consign, &tool.origin()) {
        consign.credential(&case.body).await;
        let path = format!("/credentials/{}", case.name);
        let changes = match case.name {
            "basic" => {
                vec![json!({ "authorization_type": "bearer" }), json!({ "authorization_type": "none" })]
            }
            "bearer" => vec![json!({ "authorization_type": "basic", "username": "consign" })],
            _ => vec![json!({ "authorization_type": "bearer" })],
        };
        for change in changes {
            let reply = consign.patch(&path, &change).await;
            assert_eq!(reply.status, 422, "{} {change}: {}", case.name, reply.text());
            let mut words = vec!["credential", "edit", case.name, "--authorization-type"];
            words.push(change["authorization_type"].as_str().unwrap());
            if let Some(username) = change["username"].as_str() {
                words.extend(["--username", username]);
            }
            consign.run(&words).await.expect(7);
        }
        let shown = consign.get(&path).await.json();
        assert_eq!(shown["authorization_type"], case.name);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_every_secret_the_new_destination_is_taken() {
    let consign = TestConsign::start().await;
    let (tool, elsewhere) = (Tool::start().await, Tool::start().await);
    for case in cases(&consign, &tool.origin()) {
        consign.credential(&case.body).await;
        let webhook =
            json!({ "name": case.name, "credential": case.name, "path": "/x", "event_types": [case.name] });
        consign.webhook(&webhook).await;
        let mut change = json!({ "url_address": elsewhere.origin() });
        let new = consign.canary("new-secret");
        if case.name == "none" {
            change["url_address"] = json!(format!("{}new/{new}", elsewhere.origin()));
        }
        for (secret, _) in case.secrets {
            match *secret {
                "custom_headers/0/value" => {
                    change["custom_headers"] = json!([{ "name": "X-Key", "value": new }])
                }
                field => change[field] = json!(new),
            }
        }
        consign.patch(&format!("/credentials/{}", case.name), &change).await.expect(200);
        let before = elsewhere.count();
        let sent = consign.event(case.name, &json!(1)).await;
        consign.until(sent.delivery(), "delivered").await;
        let asked = elsewhere.asked()[before].clone();
        if case.name != "bearer" {
            assert_eq!(asked.header("x-key"), new);
        }
        if case.name == "none" {
            assert_eq!(asked.target, format!("/new/{new}/x"), "the old secret path stayed behind");
        }
    }
    assert_eq!(tool.count(), 0);
    consign.finish().await;
}
