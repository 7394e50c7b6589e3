//! The command line: the same objects as the API, secrets from files only, exit codes that scripts can rely on.

use serde_json::{Value, json};

use crate::harness::{Cli, Folder, TestConsign, id_of};
use crate::peers::{Answer, Asked, Tool};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_created_edited_and_deleted_by_commands() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (password, header, token) =
        (consign.canary("password"), consign.canary("header"), consign.canary("token"));
    let file = consign.folder.write("password", format!("{password}\n"));
    let made = consign.cli(&[
        "credential",
        "create",
        "--name",
        "itsm",
        "--url-address",
        &tool.origin(),
        "--authorization-type",
        "basic",
        "--username",
        "consign",
        "--secret",
        &format!("password=@{file}"),
        "--custom-header",
        "X-Key=env:HEADER",
        "--ends-on",
        "2099-12-31",
        "--label",
        "team=itsm",
        "--max-concurrency",
        "2",
        "--max-per-second",
        "5",
        "--json",
    ]);
    let made = consign.run_as(made.env("HEADER", &header)).await.expect(0).json();
    let shown = consign.get("/credentials/itsm").await.json();
    assert_eq!(made, shown, "--json prints the body of the API");
    assert_eq!((&shown["labels"], &shown["max_per_second"]), (&json!({ "team": "itsm" }), &json!(5.0)));

    let hook = consign.run(&[
        "webhook",
        "create",
        "--name",
        "Incidents",
        "--credential",
        "itsm",
        "--path",
        "/x",
        "--event-type",
        "a.*",
        "--json",
    ]);
    let hook = hook.await.expect(0).json();
    let same = |mut value: Value| {
        value.as_object_mut().unwrap().remove("last_24_hours");
        value
    };
    assert_eq!(same(hook), same(consign.get("/webhooks/Incidents").await.json()));
    let sent = consign
        .run(&["event", "send", "--type", "a.b", "--data", "{\"n\":1}", "--json"])
        .await
        .expect(0)
        .json();
    let delivery = id_of(&sent["deliveries"][0]);
    consign.until(&delivery, "delivered").await;
    let asked = &tool.asked()[0];
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("consign:{password}")));
    assert_eq!(asked.header("authorization"), expected, "exactly one line break is removed");
    assert_eq!((asked.header("x-key"), asked.body.as_slice()), (header.as_str(), &b"{\"n\":1}"[..]));

    let listed = consign.run(&["credential", "list"]).await.expect(0);
    assert!(listed.stdout.contains("itsm") && listed.stdout.contains("Working"), "{}", listed.stdout);
    assert!(!listed.stdout.contains('\u{1b}'), "no colour when piped");
    let json = consign.run(&["credential", "list", "--json"]).await.expect(0).json();
    assert_eq!(json["items"], consign.get("/credentials").await.json()["items"]);
    consign
        .run(&["credential", "update", "itsm", "--name", "itsm two", "--max-concurrency", "4"])
        .await
        .expect(0);
    let shown = consign.get("/credentials/itsm%20two").await.expect(200).json();
    assert_eq!((&shown["max_concurrency"], &shown["labels"]["team"]), (&json!(4), &json!("itsm")));
    let words = ["credential", "set-secret", "itsm two", "password=-"];
    consign.run_as(consign.cli(&words).input(&format!("{token}\n"))).await.expect(0);
    let sent = consign.run(&["event", "send", "--type", "a.b", "--json"]).await.expect(0).json();
    consign.until(&id_of(&sent["deliveries"][0]), "delivered").await;
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("consign:{token}")));
    assert_eq!(tool.asked()[1].header("authorization"), expected);

    let usage = consign.run(&["credential", "usage", "itsm two", "--json"]).await.expect(0).json();
    assert_eq!(usage["items"][0]["name"], "Incidents");
    let refused = consign.run(&["credential", "delete", "itsm two", "--yes"]).await;
    assert_ne!(refused.code, 0, "one that is used needs its name: {}", refused.stderr);
    let refused = consign.run(&["credential", "delete", "itsm two", "--confirm", "itsm"]).await;
    assert_ne!(refused.code, 0, "{}", refused.stderr);
    consign.run(&["credential", "delete", "itsm two", "--confirm", "itsm two"]).await.expect(0);
    consign.run(&["credential", "get", "itsm two"]).await.expect(3);
    consign.run(&["webhook", "delete", "Incidents", "--yes"]).await.expect(0);
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_listed_replayed_and_resolved_by_commands() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "when_no_answer": "hold" })).await;
    tool.answer_next(Answer::status(418));
    let failed = consign.event("a", &json!(1)).await;
    consign.until(failed.delivery(), "failed").await;
    let listed = consign.run(&["delivery", "list", "--state", "failed", "--json"]).await.expect(0).json();
    assert_eq!(listed["items"][0]["id"], *failed.delivery());
    let shown = consign.run(&["delivery", "get", failed.delivery()]).await.expect(0);
    assert!(shown.stdout.contains("418"), "{}", shown.stdout);
    let shown = consign.run(&["delivery", "get", failed.delivery(), "--json"]).await.expect(0).json();
    assert_eq!(shown, consign.delivery(failed.delivery()).await);
    let replay = consign.run(&["delivery", "replay", failed.delivery(), "--json"]).await.expect(0).json();
    consign.until(&id_of(&replay), "delivered").await;
    tool.answer_next(Answer::HangUp);
    let held = consign.event("a", &json!(2)).await;
    consign.until(held.delivery(), "held").await;
    consign.run(&["delivery", "resolve", held.delivery(), "--as", "delivered"]).await.expect(0);
    consign.until(held.delivery(), "delivered").await;
    consign.run(&["delivery", "resolve", held.delivery(), "--as", "send-again"]).await.expect(6);
    consign.run(&["webhook", "pause", "itsm"]).await.expect(0);
    let waiting = consign.event("a", &json!(3)).await;
    consign.run(&["delivery", "cancel", waiting.delivery(), "--yes"]).await.expect(0);
    consign.run(&["webhook", "resume", "itsm"]).await.expect(0);
    let test =
        consign.run(&["webhook", "test", "itsm", "--type", "x.y", "--data", "{\"a\":1}"]).await.expect(0);
    assert!(!test.stdout.is_empty() || !test.stderr.is_empty());
    tool.answer_next(Answer::json(500, &json!({ "message": "maintenance" })));
    let no = consign.run(&["webhook", "test", "itsm"]).await.expect(8);
    assert!(no.stderr.contains("maintenance"), "{}", no.stderr);
    consign.run(&["webhook", "list"]).await.expect(0);
    consign.run(&["event", "list"]).await.expect(0);
    let turned = ["event", "list", "--oldest-first", "--count", "--json"];
    let turned = consign.run(&turned).await.expect(0).json();
    let newest = consign.run(&["event", "list", "--json"]).await.expect(0).json();
    let (turned_items, items) = (turned["items"].as_array().unwrap(), newest["items"].as_array().unwrap());
    assert!(items.len() > 1 && turned_items.iter().eq(items.iter().rev()));
    assert_eq!((&turned["count"], newest.get("count")), (&json!(items.len()), None));
    let counted = consign.run(&["delivery", "list", "--count"]).await.expect(0);
    assert!(counted.stderr.contains("in all."), "{}", counted.stderr);
    let event = consign.run(&["event", "get", &held.id, "--json"]).await.expect(0).json();
    assert_eq!(event["data"], 2, "{event}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_on_the_command_line_is_refused_and_not_repeated() {
    let consign = TestConsign::start().await;
    let literal = consign.canary("literal");
    let create = [
        "credential",
        "create",
        "--name",
        "x",
        "--url-address",
        "https://tool.example.org/",
        "--authorization-type",
        "bearer",
    ];
    for argument in [format!("token={literal}"), format!("={literal}"), literal.clone()] {
        let words = [&create[..], &["--secret", &argument]].concat();
        let ran = consign.run(&words).await.expect(2);
        assert!(!ran.stderr.contains(&literal), "{}", ran.stderr);
    }
    let argument = format!("token={literal}");
    let words = [&create[..], &["--secret", &argument]].concat();
    let said = consign.run(&words).await.stderr;
    assert!(
        said.contains("A secret on the command line can be read by other users of this machine."),
        "{said}"
    );
    assert!(
        said.contains("token=@file") && said.contains("token=env:VAR") && said.contains("token=-"),
        "{said}"
    );
    for words in [
        vec!["credential", "create", "--custom-header", "X-Key=literal"],
        vec!["credential", "create", "--secret", "token=@/does/not/exist"],
        vec!["credential", "create", "--secret", "token=env:NOT_SET_HERE"],
    ] {
        consign.run(&words).await.expect(2);
    }
    assert!(consign.all("/credentials").await.is_empty());
    let body = crate::harness::bearer("x", "https://tool.example.org/", &consign.canary("token"));
    consign.credential(&body).await;
    consign.run(&["credential", "set-secret", "x", &format!("token={literal}")]).await.expect(2);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_are_as_published() {
    let consign = TestConsign::start().await;
    let origin = "https://tool.example.org/";
    consign.credential(&crate::harness::bearer("itsm", origin, &consign.canary("token"))).await;
    consign.run(&["whoami"]).await.expect(0);
    consign.run(&["credential", "lst"]).await.expect(2);
    consign.run(&["credential", "get", "nobody"]).await.expect(3);
    let changed = ["credential", "edit", "itsm", "--max-concurrency", "2", "--if-match", "\"99\""];
    consign.run(&changed).await.expect(6);
    let refused = consign.run(&["credential", "edit", "itsm", "--max-concurrency", "99"]).await.expect(7);
    assert!(refused.stderr.contains("Enter a number from 1 to 64"), "{}", refused.stderr);
    let problem =
        consign.run(&["credential", "edit", "itsm", "--max-concurrency", "99", "--json"]).await.expect(7);
    let problem: Value = serde_json::from_str(&problem.stderr).expect("the problem document");
    assert_eq!(problem["code"], "values_not_accepted");
    let weak = consign.make_key(&["events:write"]).await;
    let command = consign.cli(&["credential", "list"]).env("CONSIGN_TOKEN", &weak);
    consign.run_as(command).await.expect(5);
    let command = consign.cli(&["credential", "list"]).env("CONSIGN_TOKEN", "csg_wrong");
    consign.run_as(command).await.expect(4);
    let nowhere = format!("http://127.0.0.1:{}", crate::peers::free_port());
    let command = consign.cli(&["credential", "list"]).env("CONSIGN_SERVER", &nowhere);
    consign.run_as(command).await.expect(11);
    let misspelt = consign.run(&["credental", "list"]).await.expect(2);
    assert!(misspelt.stderr.contains("credential"), "{}", misspelt.stderr);
    let asks = consign.run(&["webhook", "delete", "x"]).await;
    assert_eq!(asks.code, 3, "{}", asks.stderr);
    consign.run(&["credential", "delete", "itsm"]).await.expect(2);
    consign.get("/credentials/itsm").await.expect(200);
    consign.run(&["credential", "delete", "itsm", "--yes"]).await.expect(0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_keys_contexts_and_health_by_commands() {
    let consign = TestConsign::start().await;
    // What this command prints is the one place where the key may stand.
    let ran = consign
        .cli(&["api-key", "create", "--name", "Scores", "--scope", "events:write,events:read", "--json"])
        .run()
        .await;
    let key = ran.expect(0).json();
    let text = key["text"].as_str().unwrap();
    consign.canaries.never_shown("an API key", text.rsplit('_').next().unwrap());
    let listed = consign.run(&["api-key", "list", "--json"]).await.expect(0).json();
    assert!(listed["items"].as_array().unwrap().iter().any(|row| row["name"] == "Scores"), "{listed}");
    let server = format!("http://{}", consign.address());
    let plain = |words: &[&str]| Cli::new(consign.folder.path(), words);
    let login = plain(&["login", "--server", &server, "--with-token"]).input(&format!("{text}\n"));
    consign.run_as(login).await.expect(0);
    let config = crate::harness::folder::files_below(&consign.folder.join("config"));
    assert_eq!(config.len(), 1, "{config:?}");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&config[0].0).unwrap().permissions().mode() & 0o777, 0o600);
    let me = consign.run_as(plain(&["whoami", "--json"])).await.expect(0).json();
    assert_eq!(me["name"], "Scores");
    let contexts = consign.run_as(plain(&["context", "list", "--json"])).await.expect(0).json();
    assert_eq!(contexts["items"].as_array().unwrap().len(), 1);
    consign.run_as(plain(&["logout"])).await.expect(0);
    consign.run_as(plain(&["whoami", "--server", &server])).await.expect(4);
    let wrong = plain(&["login", "--server", &server, "--with-token"]).input("csg_wrong\n");
    consign.run_as(wrong).await.expect(4);
    consign.run(&["api-key", "revoke", key["id"].as_str().unwrap(), "--yes"]).await.expect(0);
    consign.call_as(text, "GET", "/events", &[], "").await.expect(401);
    consign.run_as(plain(&["healthcheck", &server])).await.expect(0);
    let nowhere = format!("http://127.0.0.1:{}", crate::peers::free_port());
    let dead = consign.run_as(plain(&["healthcheck", &nowhere])).await;
    assert_ne!(dead.code, 0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_and_what_is_sent_is_read_by_commands() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let exporter = json!({ "name": "List", "credential": "itsm", "path": "/x", "event_types": ["list.*"],
        "schedule": "daily", "format": "ndjson" });
    consign.post("/exporters", &exporter).await.expect(201);
    let gateway = json!({ "name": "Desk", "credential": "itsm", "slug": "desk", "path_prefixes": ["/"] });
    consign.post("/gateways", &gateway).await.expect(201);

    for (noun, name) in
        [("credential", "itsm"), ("webhook", "itsm"), ("exporter", "List"), ("gateway", "Desk")]
    {
        let told = consign.run(&[noun, "history", name, "--json"]).await.expect(0).json();
        let history = consign.get(&format!("/{noun}s/{name}/history")).await.expect(200).json();
        assert_eq!(told["items"], history["items"], "{noun}");
        assert!(told["items"][0]["action"].as_str().unwrap().starts_with("Created"), "{told}");
        let told = consign.run(&[noun, "history", name]).await.expect(0).stdout;
        assert!(told.contains("Created"), "{told}");
        consign.run(&[noun, "history", "nobody"]).await.expect(3);
    }
    let all = consign.run(&["connector", "list"]).await.expect(0).stdout;
    assert!(["itsm", "List", "Desk"].iter().all(|name| all.contains(name)), "{all}");
    let some = consign.run(&["connector", "list", "--kind", "gateway", "--json"]).await.expect(0).json();
    assert_eq!((some["items"].as_array().unwrap().len(), &some["items"][0]["name"]), (1, &json!("Desk")));

    let words =
        ["webhook", "preview", "--name", "Try", "--credential", "itsm", "--path", "/x", "--event-type", "*"];
    let shown = consign.run(&words).await.expect(0).stdout;
    assert!(shown.starts_with(&format!("POST {}x\n", tool.origin())) && shown.contains("\n\n"), "{shown}");
    assert_eq!(tool.count(), 0, "nothing was sent");

    let sent = consign.event("a.b", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "delivered").await;
    let payload = consign.get(&format!("/deliveries/{}/payload", sent.delivery())).await.json();
    let printed = consign.run(&["delivery", "payload", sent.delivery()]).await.expect(0).stdout;
    assert_eq!(printed, payload["body"].as_str().unwrap());
    let words = ["delivery", "payload", sent.delivery(), "--output", "payload.json"];
    consign.run(&words).await.expect(0);
    assert_eq!(std::fs::read_to_string(consign.folder.join("payload.json")).unwrap(), printed);
    consign.run(&words).await.expect(1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_tested_before_they_are_saved() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&crate::harness::bearer("itsm", &tool.origin(), &consign.canary("saved"))).await;
    let told = consign.run(&["credential", "tests", "itsm"]).await.expect(0);
    assert!(told.stderr.contains("It was not tested yet."), "{}", told.stderr);
    consign.run(&["credential", "test", "itsm"]).await.expect(0);
    let tests = consign.run(&["credential", "tests", "itsm", "--json"]).await.expect(0).json();
    assert_eq!(tests["items"].as_array().unwrap().len(), 1, "{tests}");

    let token = consign.canary("unsaved");
    let values = json!({ "name": "New", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "bearer", "header_prefix": "Bearer" });
    consign.folder.write("new.json", values.to_string());
    consign.folder.write("part.json", "{}");
    let with_token = ["--secret", "token=env:TOKEN", "--json"];
    let bearer = format!("Bearer {token}");
    for what in [&["-f", "new.json"][..], &["itsm", "--from-file", "part.json"]] {
        let words = [&["credential", "test"], what, &with_token].concat();
        let before = tool.count();
        let result = consign.run_as(consign.cli(&words).env("TOKEN", &token)).await.expect(0).json();
        assert_eq!(result["id"], Value::Null, "it is kept nowhere: {result}");
        let asked = tool.asked().split_off(before);
        let signs = |asked: &Asked| asked.headers_named("authorization").contains(&bearer.as_str());
        assert!(asked.iter().any(signs), "{what:?}: {asked:?}");
    }
    assert_eq!(consign.all("/credentials").await.len(), 1);
    let tests = consign.run(&["credential", "tests", "itsm", "--json"]).await.expect(0).json();
    assert_eq!(tests["items"].as_array().unwrap().len(), 1, "{tests}");
    consign.run(&["credential", "test"]).await.expect(2);
    consign.run(&["credential", "test", "itsm", "--secret", "token=env:TOKEN"]).await.expect(2);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_checked_printed_and_explained() {
    let folder = Folder::new("config");
    let run = |words: &[&str]| Cli::new(folder.path(), words);
    let defaults = run(&["config", "default"]).run().await.expect(0).stdout;
    assert!(defaults.contains("retry_schedule_seconds") && defaults.contains("allow_loopback"));
    let file = folder.write("consign.toml", &defaults);
    run(&["config", "check", "--config", &file]).run().await.expect(0);
    let file = folder.write(
        "consign.toml",
        "[server]\nlisten = \"127.0.0.1:9000\"\n[database]\nurl = \"postgres://a:sesame@h/d\"\n",
    );
    let printed =
        run(&["config", "print", "--config", &file]).env("CONSIGN_LOG_LEVEL", "debug").run().await.expect(0);
    assert!(
        printed.stdout.contains("127.0.0.1:9000") && printed.stdout.contains("CONSIGN_LOG_LEVEL"),
        "{}",
        printed.stdout
    );
    assert!(!printed.stdout.contains("sesame"), "secrets as set");
    let wrong = folder.write("wrong.toml", "[server]\nlistn = \"127.0.0.1:9000\"\n");
    let refused = run(&["config", "check", "--config", &wrong]).run().await;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("listn") && refused.stderr.contains("listen"), "{}", refused.stderr);
    let refused = run(&["config", "check"]).env("CONSIGN_EGRESS_ALOW", "x").run().await;
    assert!(refused.code != 0 && refused.stderr.contains("CONSIGN_EGRESS_ALLOW"), "{}", refused.stderr);
    let version = run(&["version"]).run().await.expect(0).stdout;
    assert!(version.starts_with("consign "), "{version}");
    let version = run(&["version", "--json"]).run().await.expect(0).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let key = run(&["key", "new"]).run().await.expect(0).stdout;
    assert!(key.starts_with("csgkey1_k-"));
    let help = run(&["--help"]).run().await.expect(0).stdout;
    assert!(help.contains("credential") && help.contains("webhook"));
}
