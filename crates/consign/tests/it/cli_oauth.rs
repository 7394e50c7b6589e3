//! OAuth on the command line: flags made of the catalogue, tests with their exit code, the way to an approval.

use serde_json::{Value, json};

use crate::harness::{TestConsign, id_of};
use crate::peers::authorization_server::{AuthorizationServer, Decision, Registered, Setup};
use crate::peers::{Answer, Tool};

fn create<'a>(name: &'a str, tool: &'a str, kind: &'a str, token_url: &'a str) -> Vec<&'a str> {
    vec![
        "credential",
        "create",
        "--name",
        name,
        "--url-address",
        tool,
        "--authorization-type",
        kind,
        "--client-id",
        "consign",
        "--secret",
        "client_secret=env:SECRET",
        "--access-token-url",
        token_url,
        "--authentication-information",
        "header",
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_credentials_are_created_tested_and_used_by_commands() {
    let consign = TestConsign::start().await;
    let (secret, parameter) = (consign.canary("client secret"), consign.canary("secret parameter"));
    let server =
        AuthorizationServer::start(&Setup::with(vec![Registered::machine("consign", &secret)])).await;
    let tool = Tool::start().await;
    let (origin, token_url) = (tool.origin(), server.token_url());
    let header = consign.canary("header");
    let mut words = create("Desk", &origin, "oauth2_client_credentials", &token_url);
    words.extend(["--scope", "read write"]);
    words.extend(["--oauth-token-request", "flavour=sour", "--oauth-token-request", "key=env:PARAMETER"]);
    words.extend(["--custom-header", "X-Key=env:HEADER", "--sent-with", "api-request"]);
    words.extend(["--test-path", "/me", "--test"]);
    tool.answer(Answer::json(200, &json!({ "name": "consign" })));
    let command = consign.cli(&words).env("SECRET", &secret).env("PARAMETER", &parameter);
    let made = consign.run_as(command.env("HEADER", &header)).await.expect(0);
    let said = format!("{}{}", made.stdout, made.stderr);
    for words in ["Created credential “Desk”", "✓ Access token received", "Working. The tool accepted"]
    {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let shown = consign.get("/credentials/Desk").await.json();
    assert_eq!(shown["status"]["code"], "working", "{shown}");
    let rows = json!([
        { "name": "flavour", "value": "sour", "secret": false, "sent_in": "body" },
        { "name": "key", "value": shown["oauth_token_requests"][1]["value"], "secret": true, "sent_in": "body" },
    ]);
    assert_eq!(shown["oauth_token_requests"], rows);
    assert_eq!(shown["custom_headers"][0]["sent_with"], "api_request");
    assert_eq!(tool.asked()[0].header("x-key"), header);
    let log = server.token_requests().await;
    assert_eq!((log.len(), log[0].scope.as_deref()), (1, Some("read write")));

    let hook = json!({ "name": "Tickets", "credential": "Desk", "path": "/tickets", "event_types": ["*"] });
    consign.webhook(&hook).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    let token = tool.asked().last().unwrap().header("authorization").replace("Bearer ", "");
    assert!(server.is_valid(&token).await);
    let facts = consign.run(&["credential", "get", "Desk"]).await.expect(0).stdout;
    assert!(facts.contains("Bearer, obtained") && facts.contains("scope read write"), "{facts}");
    assert!(!facts.contains(&token));

    // What is not mentioned stays, secrets in rows too.
    let edit =
        ["credential", "edit", "Desk", "--oauth-token-request", "flavour=sweet", "--test-path", "/you"];
    consign.run(&edit).await.expect(0);
    let shown = consign.get("/credentials/Desk").await.json();
    let names: Vec<_> =
        shown["oauth_token_requests"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["key", "flavour"]);
    assert_eq!(
        (&shown["oauth_token_requests"][1]["value"], &shown["scope"]),
        (&json!("sweet"), &json!("read write"))
    );
    let edit = ["credential", "edit", "Desk", "--remove-oauth-token-request", "key"];
    consign.run(&edit).await.expect(0);
    let shown = consign.run(&["credential", "get", "Desk"]).await.expect(0).stdout;
    assert!(shown.contains("flavour=sweet") && !shown.contains("key="), "{shown}");

    let tested = consign.run(&["credential", "test", "Desk", "--json"]).await.expect(0).json();
    assert_eq!(
        tested,
        consign.get("/credentials/Desk/tests").await.expect(200).json()["items"][0],
        "--json prints the body of the API"
    );
    assert!(tool.asked().last().is_some_and(|asked| asked.target == "/you"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_test_has_its_exit_code_and_the_command_that_helps() {
    let consign = TestConsign::start().await;
    let secret = consign.canary("client secret");
    let client = Registered::machine("consign", &secret).by_body();
    let server = AuthorizationServer::start(&Setup::with(vec![client])).await;
    let tool = Tool::start().await;
    let (origin, token_url) = (tool.origin(), server.token_url());
    let mut words = create("Desk", &origin, "oauth2_client_credentials", &token_url);
    words.push("--test");
    let ran = consign.run_as(consign.cli(&words).env("SECRET", &secret)).await.expect(8);
    assert!(ran.stdout.contains("✕ Access token received"), "{}", ran.stdout);
    let helps = "Next: consign credential edit";
    assert!(
        ran.stderr.contains(helps) && ran.stderr.contains("--authentication-information body"),
        "{}",
        ran.stderr
    );
    assert!(tool.asked().is_empty());
    consign.get("/credentials/Desk").await.expect(200);
    consign.run(&["credential", "edit", "Desk", "--authentication-information", "body"]).await.expect(0);
    let plain = consign.run(&["credential", "test", "Desk", "--plain"]).await.expect(0).stdout;
    let (head, steps) = plain.split_once('\n').unwrap();
    assert_eq!(head, "step\tstate\thost\tms\tfact");
    assert!(steps.lines().any(|line| line.starts_with("token\tdone\t")), "{steps}");
    tool.answer(Answer::status(401));
    let ran = consign.run(&["credential", "test", "Desk"]).await.expect(8);
    assert!(ran.stderr.contains("The tool refused the sign-in (401)"), "{}", ran.stderr);
    let json = consign.run(&["credential", "test", "Desk", "--json"]).await.expect(8).json();
    assert_eq!(json["outcome"], "failed");
    consign.run(&["credential", "test", "nobody"]).await.expect(3);
    let reader = consign.make_key(&["credentials:read", "credentials:write"]).await;
    let command = consign.cli(&["credential", "test", "Desk"]).env("CONSIGN_TOKEN", &reader);
    consign.run_as(command).await.expect(5);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_an_approval_is_shown_and_waited_for_no_longer_than_asked() {
    let consign = TestConsign::start().await;
    let secret = consign.canary("client secret");
    let server = AuthorizationServer::start(&Setup::with(Vec::new())).await;
    let tool = Tool::start().await;
    let (origin, token_url, page) = (tool.origin(), server.token_url(), server.authorization_url());
    let mut words = create("Desk", &origin, "oauth2_authorization_code", &token_url);
    words.extend(["--authorization-code-url", &page, "--pkce", "s256"]);
    words.extend(["--authorization-parameter", "prompt=consent"]);
    let ran = consign.run_as(consign.cli(&words).env("SECRET", &secret)).await.expect(0);
    let shown = consign.get("/credentials/Desk").await.json();
    let redirect = shown["redirect_url"].as_str().unwrap();
    assert!(ran.stderr.contains(redirect), "the address to register: {}", ran.stderr);
    assert!(redirect.ends_with(&format!("/oauth/callback/{}", id_of(&shown))));
    assert_eq!(shown["authorization_parameters"][0]["value"], "consent");

    let link = format!("/credentials/{}/authorize", id_of(&shown));
    let ran = consign.run(&["credential", "authorize", "Desk", "--no-wait"]).await.expect(0);
    assert_eq!(ran.stdout.lines().count(), 1, "the link alone: {}", ran.stdout);
    assert!(ran.stdout.trim_end().ends_with(&link), "{}", ran.stdout);
    let json =
        consign.run(&["credential", "authorize", "Desk", "--no-wait", "--json"]).await.expect(0).json();
    assert_eq!(json, consign.get("/credentials/Desk/authorizations").await.json());
    let late =
        consign.run(&["credential", "authorize", "Desk", "--no-browser", "--wait", "1s"]).await.expect(12);
    assert!(late.stderr.contains("Nobody approved access within 1 s"), "{}", late.stderr);

    consign.run(&["credential", "forget-tokens", "Desk"]).await.expect(2);
    let forgot =
        consign.run(&["credential", "forget-tokens", "Desk", "--yes", "--json"]).await.expect(0).json();
    assert_eq!((&forgot["authorized"], &forgot["token"]), (&json!(false), &Value::Null));
    let basic = crate::harness::basic("Plain", &origin, "consign", &consign.canary("password"));
    consign.credential(&basic).await;
    consign.run(&["credential", "authorize", "Plain", "--no-wait"]).await.expect(6);
    consign.run(&["credential", "forget-tokens", "Plain", "--yes"]).await.expect(6);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_is_waited_for_lets_what_waited_go_on() {
    let consign = TestConsign::start().await;
    let secret = consign.canary("client secret");
    let server = AuthorizationServer::start(&Setup::with(Vec::new())).await;
    let tool = Tool::start().await;
    let (origin, token_url, page) = (tool.origin(), server.token_url(), server.authorization_url());
    let mut words = create("Desk", &origin, "oauth2_authorization_code", &token_url);
    words.extend(["--authorization-code-url", &page, "--pkce", "s256"]);
    words.extend([
        "--scope",
        "openid offline_access",
        "--authorization-parameter",
        "prompt=consent",
        "--json",
    ]);
    let made = consign.run_as(consign.cli(&words).env("SECRET", &secret)).await.expect(0).json();
    let redirect = made["redirect_url"].as_str().unwrap();
    server.register(&Registered::for_person("consign", &secret, redirect)).await;
    let hook = json!({ "name": "Tickets", "credential": "Desk", "path": "/tickets", "event_types": ["*"] });
    consign.webhook(&hook).await;
    let waiting = consign.event("a", &json!(1)).await;
    consign.until(waiting.delivery(), "held").await;

    let approve = async {
        let link = consign.departure(&id_of(&made)).await;
        let back = server.decide(&link, Decision::Approve).await;
        let path = back.split_once(&consign.address().to_string()).expect("back here").1.to_owned();
        consign.page(&path).await.expect(200)
    };
    let waited = consign.run(&["credential", "authorize", "Desk", "--no-browser", "--wait", "1m", "--json"]);
    let (ran, _) = tokio::join!(waited, approve);
    let state = ran.expect(0).json();
    assert_eq!((&state["authorized"], &state["token"]["renewable"]), (&json!(true), &json!(true)), "{state}");
    consign.until(waiting.delivery(), "delivered").await;
    let facts = consign.run(&["credential", "get", "Desk"]).await.expect(0).stdout;
    assert!(facts.contains("refresh token stored") && facts.contains("/oauth/callback/"), "{facts}");

    consign.run(&["credential", "forget-tokens", "Desk", "--yes"]).await.expect(0);
    let held = consign.event("a", &json!(2)).await;
    let delivery = consign.until(held.delivery(), "held").await;
    assert_eq!(delivery["hold_reason"], "not_authorized", "{delivery}");
    consign.run(&["delivery", "cancel", held.delivery(), "--yes"]).await.expect(0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_fills_in_what_was_not_given() {
    let consign = TestConsign::start().await;
    let (secret, token) = (consign.canary("client secret"), consign.canary("token"));
    let tool = Tool::start().await;
    let granted =
        json!({ "access_token": token, "token_type": "Bearer", "expires_in": 1799, "scope": "useraccount" });
    tool.answer_at("/oauth_token.do", Answer::json(200, &granted));
    let origin = tool.origin();
    let mut words =
        vec!["credential", "create", "--name", "Now", "--preset", "servicenow", "--client-id", "consign"];
    words.extend(["--secret", "client_secret=env:SECRET", "--test"]);
    let ran = consign.run_as(consign.cli(&words).env("SECRET", &secret)).await.expect(2);
    assert!(ran.stderr.contains("Say --url-address"), "{}", ran.stderr);
    words.extend(["--url-address", &origin]);
    let ran = consign.run_as(consign.cli(&words).env("SECRET", &secret)).await.expect(0);
    assert!(ran.stderr.contains("glide.oauth.inbound.client.credential"), "the hint: {}", ran.stderr);
    let asked = tool.asked();
    let targets: Vec<_> = asked.iter().map(|asked| (asked.method.as_str(), asked.target.as_str())).collect();
    let test_path = "/api/now/table/sys_user?sysparm_limit=1";
    assert_eq!(targets, [("POST", "/oauth_token.do"), ("GET", test_path)]);
    // As the pages of docs/presets have it: everything that stands in no flag comes from the preset.
    let mut words =
        vec!["credential", "create", "--name", "Jira", "--preset", "jira", "--client-id", "consign"];
    words.extend([
        "--authorization-type",
        "oauth2_authorization_code",
        "--secret",
        "client_secret=env:SECRET",
    ]);
    let ran = consign.run_as(consign.cli(&words).env("SECRET", &secret)).await.expect(0);
    assert!(ran.stderr.contains("--test-path /ex/jira/{cloudId}/rest/api/3/myself"), "{}", ran.stderr);
    let shown = consign.get("/credentials/Jira").await.json();
    assert_eq!(shown["authorization_parameters"][0]["value"], "api.atlassian.com", "{shown}");
    assert_eq!((&shown["scope"], &shown["test_path"]), (&json!("offline_access"), &json!(null)));
    let account = consign.canary("account");
    let mut words =
        vec!["credential", "create", "--name", "4me", "--preset", "4me", "--secret", "token=env:TOKEN"];
    consign.run_as(consign.cli(&words).env("TOKEN", &token)).await.expect(2);
    words.extend(["--custom-header", "X-4me-Account=env:ACCOUNT", "--sent-with", "api_request"]);
    let command = consign.cli(&words).env("TOKEN", &token).env("ACCOUNT", &account);
    consign.run_as(command).await.expect(0);
    let shown = consign.get("/credentials/4me").await.json();
    assert_eq!((&shown["header_prefix"], &shown["test_path"]), (&json!("Bearer"), &json!("/v1/people/me")));

    let listed = consign.run(&["credential", "presets"]).await.expect(0).stdout;
    for words in ["servicenow", "Jira Service Desk", "4me / Xurrent"] {
        assert!(listed.contains(words), "{words}\n{listed}");
    }
    let unknown = ["credential", "create", "--name", "x", "--preset", "nobody"];
    assert!(consign.run(&unknown).await.expect(2).stderr.contains("servicenow, jira, 4me"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_counted_by_status() {
    let consign = TestConsign::start().await;
    let body = crate::harness::bearer("One", "https://tool.example.org/", &consign.canary("token"));
    consign.credential(&body).await;
    let metrics = consign.metrics().await;
    assert!(metrics.contains("consign_credentials{status=\"not_tested\"} 1"), "{metrics}");
    assert!(metrics.contains("consign_credentials{status=\"reconnect_needed\"} 0"), "{metrics}");
    consign.finish().await;
}
