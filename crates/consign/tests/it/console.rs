//! The console as a browser without scripts uses it: every page and form, by HTTP alone.

use serde_json::json;

use crate::harness::page::{attribute, form_with, unescape};
use crate::harness::{EMAIL, TestConsign, basic, bearer, form, id_of, session_of};
use crate::peers::{Answer, Tool};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_is_created_edited_and_still_signs_in() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (password, token, hook) =
        (consign.canary("password"), consign.canary("token"), consign.canary("hook"));
    let whole = format!("{}in/{hook}", tool.origin());
    let of_basic = [("username", "consign"), ("password", password.as_str())];
    let of_bearer = [("header_prefix", "Bearer"), ("token", token.as_str())];
    let types = [
        ("basic", &tool.origin(), &of_basic[..]),
        ("bearer", &tool.origin(), &of_bearer[..]),
        ("none", &whole, &[][..]),
    ];
    for (kind, address, fields) in types {
        let first = consign.form("/credentials/new", "authorization_type").await;
        let first = first.set("name", kind).set("authorization_type", kind).with("show_fields", "1");
        let page = consign.send_form(&first).await.expect(200).text();
        let mut second = form_with(&page, "/credentials/new", "url_address");
        assert_eq!(second.value("name"), Some(kind), "what was typed stays");
        second = second.set("url_address", address);
        for (name, value) in fields {
            second = second.set(name, value);
        }
        let header = consign.canary("header");
        second =
            second.set_row("custom_headers.name", 0, "X-Key").set_row("custom_headers.value", 0, &header);
        let page = consign.save_credential(&second).await;
        assert!(page.starts_with("/credentials/crd_"), "{page}");
        assert!(consign.page(&page).await.expect(200).text().contains(kind));
        let path = if kind == "none" { "" } else { "/x" };
        let webhook = json!({ "name": kind, "credential": kind, "path": path, "event_types": [kind] });
        consign.webhook(&webhook).await;

        // An edit that touches no secret keeps them all.
        let edit = consign.form(&page, "etag").await.set("max_concurrency", "2");
        consign.save_credential(&edit).await;
        let before = tool.count();
        let sent = consign.event(kind, &json!(1)).await;
        consign.until(sent.delivery(), "delivered").await;
        let asked = tool.asked()[before].clone();
        assert_eq!(asked.header("x-key"), header, "{kind}");
        match kind {
            "basic" => assert!(asked.header("authorization").starts_with("Basic ")),
            "bearer" => assert_eq!(asked.header("authorization"), format!("Bearer {token}")),
            _ => assert_eq!(asked.target, format!("/in/{hook}")),
        }
        let shown = consign.get(&format!("/credentials/{kind}")).await.json();
        assert_eq!(shown["max_concurrency"], 2);
        let page = consign.page(&page).await.expect(200).text();
        assert!(page.contains("It cannot be shown."), "{kind}: the saved secret is named");
    }
    // One secret is replaced, the others stay.
    let id = id_of(&consign.get("/credentials/bearer").await.json());
    let new = consign.canary("new-token");
    let form = consign.form(&format!("/credentials/{id}"), "token").await.set("token", &new);
    consign.save_credential(&form).await;
    let sent = consign.event("bearer", &json!(2)).await;
    consign.until(sent.delivery(), "delivered").await;
    let asked = tool.asked().pop().unwrap();
    assert_eq!(asked.header("authorization"), format!("Bearer {new}"));
    assert_eq!(asked.headers_named("x-key").len(), 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_form_comes_back_with_sentences_and_keeps_what_was_typed() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let password = consign.canary("password");
    let first = consign.form("/credentials/new", "authorization_type").await;
    let page =
        consign.send_form(&first.set("authorization_type", "basic").with("show_fields", "1")).await.text();
    let form = form_with(&page, "/credentials/new", "password")
        .set("name", "")
        .set("url_address", "http://tool.example.org/")
        .set("username", "a:b")
        .set("password", &password);
    let page = consign.send_form(&form).await.expect(422).text();
    for words in [
        "There is a problem",
        "Enter a name",
        "URL address must start with https://",
        "Username must not include a colon (:)",
        "Entered, not saved yet",
        "aria-invalid=\"true\"",
        "<title>Error: ",
    ] {
        assert!(unescape(&page).contains(words), "{words}\n{page}");
    }
    assert_eq!(page.matches("Enter a name").count(), 2, "in the summary and at the field");
    let form = form_with(&page, "/credentials/new", "url_address");
    assert_eq!(form.value("username"), Some("a:b"));
    assert_ne!(form.value("password"), Some(password.as_str()));
    let form = form.set("name", "itsm").set("url_address", &tool.origin()).set("username", "consign");
    let form = if form.has("password") { form } else { form.without("password") };
    consign.save_credential(&form).await;
    let webhook = json!({ "name": "itsm", "credential": "itsm", "path": "/x", "event_types": ["*"] });
    consign.webhook(&webhook).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("consign:{password}")));
    assert_eq!(tool.asked()[0].header("authorization"), expected, "the typed secret was kept");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_click_makes_one_object() {
    let consign = TestConsign::start().await;
    let first = consign.form("/credentials/new", "authorization_type").await;
    let page =
        consign.send_form(&first.set("authorization_type", "bearer").with("show_fields", "1")).await.text();
    let form = form_with(&page, "/credentials/new", "token")
        .set("name", "twice")
        .set("url_address", "https://tool.example.org/")
        .set("token", &consign.canary("token"));
    let (one, two) = tokio::join!(consign.send_form(&form), consign.send_form(&form));
    assert_eq!((one.status, two.status), (303, 303), "{} {}", one.text(), two.text());
    assert_eq!(one.location(), two.location());
    assert_eq!(consign.all("/credentials").await.len(), 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_save_shows_both_and_loses_no_secret() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let id = consign.credential(&bearer("itsm", &tool.origin(), &consign.canary("token"))).await;
    let page = format!("/credentials/{id}");
    let stale = consign.form(&page, "etag").await.set("max_concurrency", "7");
    consign.patch(&page, &json!({ "labels": { "team": "network" } })).await.expect(200);
    let conflict = consign.send_form(&stale).await.expect(409).text();
    assert!(conflict.contains("key for admin changed this credential at "), "{conflict}");
    assert!(conflict.contains("team=network"), "{conflict}");
    let shown = consign.get(&page).await.json();
    assert_eq!(shown["max_concurrency"], json!(null), "nothing was saved");
    // "Keep theirs" leads to what is stored.
    let keep = conflict.split("<a ").find(|tag| tag.contains(">Keep theirs</a>")).expect("a way back");
    let keep = attribute(&format!("a {}", keep.split('>').next().unwrap()), "href").expect("an address");
    let theirs = consign.form(&keep, "etag").await;
    assert_eq!((theirs.value("labels"), theirs.value("max_concurrency")), (Some("team=network"), Some("")));
    assert_eq!(consign.get(&page).await.json(), shown, "nothing was saved by it");
    let mine = form_with(&conflict, &page, "etag");
    consign.save_credential(&mine).await;
    assert_eq!(consign.get(&page).await.json()["max_concurrency"], 7);
    let webhook = json!({ "name": "itsm", "credential": "itsm", "path": "/x", "event_types": ["*"] });
    consign.webhook(&webhook).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}

/// Whoever tested it or held secrets against it since then has changed nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_save_names_whoever_changed_it_and_nobody_else() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let same = bearer("itsm", &tool.origin(), &consign.canary("token"));
    let id = consign.credential(&same).await;
    let page = format!("/credentials/{id}");
    let stale = consign.form(&page, "etag").await.set("max_concurrency", "7");
    consign.patch(&page, &json!({ "labels": { "team": "network" } })).await.expect(200);
    let tester = consign.make_key(&["credentials:test"]).await;
    consign.call_as(&tester, "POST", &format!("{page}/tests"), &[], "").await.expect(201);
    let applier = consign.make_key(&["credentials:write"]).await;
    let tries = format!("{page}?field_manager=consign-apply&force=true&dry_run=true");
    let headers = [("if-match", "*"), ("content-type", "application/json")];
    consign.call_as(&applier, "PUT", &tries, &headers, same.to_string()).await.expect(200);
    let entries = consign.all("/audit-entries").await;
    let of_it = entries.iter().filter(|entry| entry["object_id"] == id.as_str());
    let newest: Vec<_> = of_it.take(3).map(|entry| (&entry["action"], &entry["actor"])).collect();
    let expected = [
        (json!("Compared secrets"), json!("key for credentials:write")),
        (json!("Tested credential"), json!("key for credentials:test")),
        (json!("Edited credential"), json!("key for admin")),
    ];
    assert_eq!(newest, expected.iter().map(|(action, actor)| (action, actor)).collect::<Vec<_>>());
    let conflict = consign.send_form(&stale).await.expect(409).text();
    assert!(conflict.contains("key for admin changed this credential at "), "{conflict}");
    assert!(!conflict.contains("key for credentials:"), "{conflict}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_and_deliveries_are_worked_from_pages_alone() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let credential = consign.credential(&bearer("itsm", &tool.origin(), &consign.canary("token"))).await;
    let new = consign.form("/webhooks/new", "event_types").await;
    let refused = consign.send_form(&new.clone().set("path", "no-slash")).await.expect(422).text();
    for words in
        ["Enter a name", "Choose a credential", "Path must start with /", "Enter an event type or choose All"]
    {
        assert!(unescape(&refused).contains(words), "{words}\n{refused}");
    }
    let filled = new
        .set("name", "Hardware")
        .set("credential", &credential)
        .set("path", "/t")
        .set("event_types", "device.*");
    let page = consign.send_form(&filled).await.expect(303).location();
    assert!(page.starts_with("/webhooks/con_"), "{page}");

    tool.answer_next(Answer::json(201, &json!({ "result": { "number": "INC1" } })));
    let test = consign.submit(&format!("{page}/test"), &[]).await.expect(303).location();
    assert!(consign.page(&test).await.expect(200).text().contains("INC1"), "{test}");

    consign.submit(&format!("{page}/pause"), &[]).await.expect(303);
    let waiting = consign.event("device.low", &json!({ "n": 1 })).await;
    assert!(consign.page(&page).await.text().contains("Paused"));
    consign.submit(&format!("{page}/resume"), &[]).await.expect(303);
    consign.until(waiting.delivery(), "delivered").await;

    tool.answer_next(Answer::json(400, &json!({ "message": "no such field" })));
    let failed = consign.event("device.low", &json!({ "n": 2, "text": "<b>&" })).await;
    consign.until(failed.delivery(), "failed").await;
    let shown = format!("/deliveries/{}", failed.delivery());
    let text = consign.page(&shown).await.expect(200).text();
    assert!(text.contains("no such field") && text.contains("Attempt 1"), "{text}");
    let opened = consign.submit(&format!("{shown}/payload"), &[]).await;
    assert!(opened.status == 200 && opened.text().contains("&lt;b&gt;&amp;"), "{}", opened.text());
    let list = consign.page("/deliveries?state=failed").await.expect(200).text();
    assert!(list.contains(failed.delivery()), "{list}");
    consign.page(&format!("/events/{}", failed.id)).await.expect(200);
    consign.page(&format!("{shown}/replay")).await.expect(200);
    let replayed = consign.submit(&format!("{shown}/replay"), &[]).await.expect(303).location();
    let replay = replayed.rsplit('/').next().unwrap().to_owned();
    consign.until(&replay, "delivered").await;

    tool.answer_next(Answer::status(500));
    let retrying = consign.event("device.low", &json!({ "n": 3 })).await;
    consign.until(retrying.delivery(), "retrying").await;
    consign.submit(&format!("/deliveries/{}/try-now", retrying.delivery()), &[]).await.expect(303);
    consign.until(retrying.delivery(), "delivered").await;

    let edit = consign.form(&format!("{page}/set-up"), "event_types").await.set("description", "By hand");
    consign.send_form(&edit).await.expect(303);
    let delete = consign.page(&format!("{page}/delete")).await.expect(200).text();
    assert!(delete.contains("Hardware"));
    consign.submit(&format!("{page}/delete"), &[]).await.expect(303);
    consign.page(&page).await.expect(404);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_can_be_looked_at() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    tool.answer_next(Answer::status(401));
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "held").await;
    let next = json!({ "value": consign.canary("next") });
    let put = consign.call("PUT", "/credentials/itsm/secrets/token", &[("if-match", "*")], Some(&next));
    put.await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    let attempts = consign.until_attempted(sent.delivery(), 2).await;
    assert_eq!(attempts[0]["number"], attempts[1]["number"], "a refused sign-in is not counted");
    let page = format!("/deliveries/{}", sent.delivery());
    let chosen = async |query: &str| {
        let page = consign.page(&format!("{page}{query}")).await.expect(200).text();
        let answer = page.split("<h3>Answer</h3>").nth(1).expect("an answer").trim_start().to_owned();
        assert_eq!(page.matches("aria-current=\"true\"").count(), 1, "{page}");
        answer.split("</p>").next().expect("a paragraph").to_owned()
    };
    assert!(chosen("").await.contains("200"), "the newest is shown first");
    for (attempt, status) in attempts.iter().zip(["401", "200"]) {
        let shown = chosen(&format!("?attempt={}", id_of(attempt))).await;
        assert!(shown.contains(status), "{status}: {shown}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_used_credential_asks_for_its_name() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let id = id_of(&consign.get("/credentials/itsm").await.json());
    let page = format!("/credentials/{id}/delete");
    let text = consign.page(&page).await.expect(200).text();
    for words in [
        "Delete webhook credential",
        "Delete “itsm”?",
        "Type the name to confirm",
        "The saved secrets are destroyed",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    let refused = consign.submit(&page, &[("confirm_name", "ITSM")]).await.expect(422).text();
    assert!(refused.contains("Type the name exactly as shown"));
    consign.get(&format!("/credentials/{id}")).await.expect(200);
    let gone = consign.submit(&page, &[("confirm_name", "itsm")]).await.expect(303);
    assert_eq!(gone.location(), "/credentials");
    let sent = consign.event("a", &json!(1)).await;
    assert_eq!(consign.until(sent.delivery(), "held").await["hold_reason"], "credential_missing");
    let text = consign.page(&format!("/webhooks/{webhook}")).await.expect(200).text();
    assert!(text.contains("Credential missing"), "{text}");
    // One that nobody uses goes without a question.
    let free = consign.credential(&bearer("free", &tool.origin(), &consign.canary("token"))).await;
    let text = consign.page(&format!("/credentials/{free}/delete")).await.expect(200).text();
    assert!(!text.contains("Type the name to confirm"));
    consign.submit(&format!("/credentials/{free}/delete"), &[]).await.expect(303);
    assert_eq!(tool.count(), 0);
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_is_shown_once_and_can_be_revoked() {
    let consign = TestConsign::start().await;
    let form =
        consign.form("/api-keys/new", "name").await.set("name", "Scores").with("scopes", "events:write");
    let again = consign.send_form(&form).await.expect(422).text();
    assert!(again.contains("Enter your password again"), "{again}");
    let wrong = consign.send_form(&form.clone().set("password", "not the password")).await.expect(422).text();
    assert!(wrong.contains("The password is not right"), "{wrong}");
    let form = form.set("password", &consign.password);
    let made = consign.send_form(&form).await;
    let page = if made.status == 303 { consign.page(&made.location()).await } else { made };
    let text = page.expect(200).text();
    let start = text.find("csg_").expect("the text of the key");
    let key: String = text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    consign.canaries.shown_once("an API key", key.rsplit('_').next().unwrap());
    let body = json!({ "type": "a" }).to_string();
    consign.call_as(&key, "POST", "/events", &[], body.clone()).await.expect(202);
    let list = consign.page("/api-keys").await.expect(200).text();
    assert!(list.contains("Scores") && !list.contains(&key));
    let keys = consign.get("/api-keys").await.json();
    let row = keys["items"].as_array().unwrap().iter().find(|row| row["name"] == "Scores").cloned().unwrap();
    let revoke = format!("/api-keys/{}/revoke", id_of(&row));
    consign.page(&revoke).await.expect(200);
    consign.submit(&revoke, &[]).await.expect(303);
    consign.call_as(&key, "POST", "/events", &[], body).await.expect(401);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_in_is_braked_and_signing_out_ends_the_session() {
    let consign = TestConsign::start().await;
    let sign_in = async |email: &str, password: &str| {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        let body = form(&[("email", email), ("password", password), ("next", "/webhooks")]);
        consign.client.send("POST", "/sign-in", &headers, body).await
    };
    let anonymous = consign.client.send("GET", "/credentials", &[], "").await.expect(303);
    assert!(anonymous.location().starts_with("/sign-in"), "{}", anonymous.location());
    consign.client.send("GET", "/setup/whatever", &[], "").await.expect(404);
    let good = sign_in(&EMAIL.to_uppercase(), &consign.password).await.expect(303);
    assert_eq!(good.location(), "/webhooks");
    let session = session_of(&consign.client, &good).await;
    consign.canaries.never_shown("a session", session.cookie.split_once('=').unwrap().1);
    let headers =
        [("cookie", session.cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let body = form(&[("csrf", &session.csrf)]);
    consign.client.send("POST", "/sign-out", &headers, body).await.expect(303);
    let ended =
        consign.client.send("GET", "/credentials", &[("cookie", &session.cookie)], "").await.expect(303);
    assert!(ended.location().starts_with("/sign-in"));
    assert!(consign.page("/credentials").await.status == 200, "other sessions live on");

    let evil = sign_in(EMAIL, &consign.password).await;
    assert_eq!(evil.status, 303);
    for outside in ["//evil.example", "https://evil.example", "/\\evil.example"] {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = form(&[("email", EMAIL), ("password", &consign.password), ("next", outside)]);
        let reply = consign.client.send("POST", "/sign-in", &headers, body).await.expect(303);
        assert_eq!(reply.location(), "/", "{outside}");
    }
    let wrong = consign.canary("a wrong password");
    for _ in 0..5 {
        let refused = sign_in(EMAIL, &wrong).await.expect(422);
        assert!(refused.text().contains("The email or password is not right"));
    }
    let braked = sign_in(EMAIL, &consign.password).await.expect(429);
    assert!(braked.header("retry-after").is_some());
    consign.advance(std::time::Duration::from_secs(31));
    sign_in(EMAIL, &consign.password).await.expect(303);
    let unknown = sign_in("nobody@acme.example", &wrong).await.expect(422);
    assert!(unknown.text().contains("The email or password is not right"), "the same words");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_stands_empty_and_full() {
    let consign = TestConsign::start().await;
    let first = consign.page("/").await.expect(200).text();
    for words in ["Add a credential", "Create a webhook", "Send a test event"] {
        assert!(first.contains(words), "{words}");
    }
    let empty = [
        ("/credentials", "No credentials yet"),
        ("/webhooks", "Add a credential first"),
        ("/deliveries", ""),
        ("/events", ""),
        ("/api-keys", "key for admin"),
        ("/docs", "at least once"),
        ("/credentials/new", "Select"),
        ("/webhooks/new", "Add a credential first"),
        ("/api-keys/new", ""),
    ];
    for (path, words) in empty {
        let text = consign.page(path).await.expect(200).text();
        assert!(text.to_lowercase().contains(&words.to_lowercase()), "{path}: {words}\n{text}");
    }
    let none = consign.page("/credentials?q=foo").await.expect(200).text();
    assert!(none.contains("No credential matches “foo”"), "{none}");
    consign
        .credential(&basic("itsm", "https://tool.example.org/", "consign", &consign.canary("password")))
        .await;
    assert!(consign.page("/credentials").await.text().contains("Not tested"));
    for path in
        ["/nowhere", "/credentials/crd_00000000000000000000000000", "/webhooks/none", "/deliveries/none"]
    {
        let reply = consign.page(path).await.expect(404);
        assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/html")), "{path}");
    }
    consign.page("/credentials/new/fields").await.expect(405);
    consign.finish().await;
}
