//! *Copy as command* and *Copy as curl*: what a page offers is run in a shell as it stands there, and does what the page
//! shows. Every request is described, and every command is one that the program knows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::every_page::{pages, to_approve};
use crate::harness::cli::PROGRAM;
use crate::harness::page::unescape;
use crate::harness::{Folder, TestConsign, id_of};
use crate::peers::Tool;
use crate::tours::{page_at, pages_to_see};

on_both_databases! {
    what_is_copied_from_a_form_makes_the_same_object_again
}

const MANUAL: &str = "it is read, and shows nothing of this installation";
const NOBODY: &str = "whoever opens it is not signed in yet";
const PERSON: &str = "a person's own account is asked for with email and password, and not with a key";
const ASKS: &str = "it asks before one thing is done, which a command asks by itself";
const WALK: &str = "it is a step of setting up; Settings offers the same";

/// Pages without anything to copy, and why. All others offer something.
const WITHOUT: &[(&str, &str)] = &[
    ("/design", "it shows the pieces of pages, where the program was built for its makers"),
    ("/docs", MANUAL),
    ("/docs/{name}", MANUAL),
    ("/docs/api/{subject}", MANUAL),
    ("/docs/api/schemas/{name}", MANUAL),
    ("/docs/problems", MANUAL),
    ("/docs/problems/{name}", MANUAL),
    ("/sign-in", NOBODY),
    ("/sign-in/code", NOBODY),
    ("/setup/{token}", NOBODY),
    ("/demo/{token}", NOBODY),
    ("/invitation/{token}", NOBODY),
    ("/account", PERSON),
    ("/account/password", PERSON),
    ("/account/two-step/on", PERSON),
    ("/account/two-step/off", PERSON),
    ("/account/recovery-codes", PERSON),
    ("/credentials/{id}/delete", ASKS),
    ("/credentials/{id}/forget-tokens", ASKS),
    ("/webhooks/{id}/delete", ASKS),
    ("/exporters/{id}/delete", ASKS),
    ("/gateways/{id}/delete", ASKS),
    ("/gateways/{id}/try", "what is tried is typed on it, and a path of a tool is nobody's guess"),
    ("/runs/{id}/cancel", ASKS),
    ("/api-keys/{id}/revoke", ASKS),
    ("/settings/delivery/pause", ASKS),
    ("/settings/backup/{id}/{deed}", ASKS),
    ("/users/{id}/{deed}", ASKS),
    ("/oauth/callback/{id}", "a tool sends a person there, with what works once"),
    ("/deliveries/replay", "it counts before it sends, and a command asks with the count by itself"),
    ("/welcome", WALK),
    ("/welcome/key", WALK),
];

/// Lists with filters, for what is copied of them.
const FILTERED: &[&str] = &[
    "/credentials?q=it%27s+%245&status=working&type=basic&ends=soon",
    "/webhooks?state=active&q=Inc",
    "/webhooks?sort=-name",
    "/exporters?state=active&sort=-last_at",
    "/gateways?state=active&q=Desk&sort=last_at",
    "/deliveries?state=needs_attention&time=week&type=device.low&q=%26",
    "/deliveries?state=failed",
    "/events?match=none&type=device.low",
    "/audit?span=month&result=done&action=Created",
];

/// Pages that no walk of [`pages`] comes to.
const OTHERS: &[&str] = &[
    "/users",
    "/api-keys",
    "/settings",
    "/settings/notifications",
    "/settings/encryption",
    "/settings/delivery",
    "/settings/backup",
    "/settings/replicas",
    "/settings/sign-in",
    "/settings/egress",
    "/settings/about",
    "/settings/about/licences",
    "/settings/about/support-bundle",
    "/users/new",
    "/credentials/new",
    "/audit/1",
];

/// Pages that are there to be refused, and with what.
const REFUSED: &[(&str, u16)] =
    &[("/deliveries/replay?rate_per_second=fast", 422), ("/oauth/callback/", 400), ("/nowhere", 404)];

/// What a page offers to copy: title, command and curl.
fn offers(page: &str) -> Vec<(String, String, String)> {
    let text = |of: &str, number: usize| {
        let start = format!("id=\"copy-{number}{of}\"");
        let rest = page.split(&start).nth(1)?.split_once('>')?.1;
        Some(unescape(rest.split("</").next()?))
    };
    let all = (1..)
        .map_while(|number| Some((text("", number)?, text("-command", number)?, text("-curl", number)?)));
    all.collect()
}

/// Runs a text in a shell, in a folder, as somebody who is signed in.
async fn shell(consign: &TestConsign, folder: &Folder, text: &str) -> Output {
    let bin = std::path::Path::new(PROGRAM).parent().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-ec", text]).env_clear().current_dir(folder.path());
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("HOME", folder.path());
    command.env("CONSIGN_SERVER", format!("http://{}", consign.address())).env("CONSIGN_TOKEN", &consign.key);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

#[track_caller]
fn answered(text: &str, output: &Output) -> Value {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{out}\n{err}");
    let answer: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{text}\n{error}\n{out}"));
    assert!(answer["status"].as_u64().is_none_or(|status| status < 400), "{text}\n{answer}");
    answer
}

/// What makes two answers the same: which objects they are about, or which members they have.
fn about(answer: &Value) -> Value {
    match answer["items"].as_array() {
        Some(items) => items.iter().map(|item| item["id"].clone()).collect(),
        None if answer["id"].is_string() => answer["id"].clone(),
        None => {
            answer.as_object().into_iter().flat_map(|members| members.keys()).map(|key| json!(key)).collect()
        }
    }
}

/// Method and path of a curl line, held against the description; path parameters are what varies.
fn judge(whole: &Value, curl: &str) {
    let line = curl.split("curl -sS ").nth(1).unwrap_or_else(|| panic!("{curl}"));
    let (method, rest) = match line.strip_prefix("-X ") {
        Some(rest) => rest.split_once(' ').unwrap(),
        None => ("GET", line),
    };
    let address = rest.split([' ', '\n']).next().unwrap().trim_matches('\'');
    let path = address.split("/api/v1").nth(1).unwrap_or_else(|| panic!("{curl}"));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let fits = |described: &str| {
        let (asked, described) = (parts(path), parts(described));
        asked.len() == described.len()
            && asked.iter().zip(&described).all(|(one, other)| one == other || other.starts_with('{'))
    };
    let paths = whole["paths"].as_object().unwrap();
    let exact = paths.iter().find(|(described, _)| *described == path);
    let found = exact.or_else(|| paths.iter().find(|(described, _)| fits(described)));
    let (_, item) = found.unwrap_or_else(|| panic!("{path} is not described: {curl}"));
    let operation = &item[method.to_lowercase()];
    assert!(operation.is_object(), "{method} {path} is not described: {curl}");
    for name in query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split('=').next().unwrap()) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let known = parameters.filter(|one| one["in"] == "query" || one["$ref"].is_string());
        let named = |one: &Value| {
            let one = one["$ref"].as_str().map_or(one, |reference| whole.pointer(&reference[1..]).unwrap());
            one["name"] == name
        };
        assert!(known.into_iter().any(named), "{name} is no parameter of {method} {path}");
    }
}

/// Every page was looked at, or says why it offers nothing.
#[track_caller]
fn every_page_was_looked_at(looked_at: &BTreeSet<&str>) {
    let excused: BTreeSet<_> = WITHOUT.iter().map(|(page, _)| *page).collect();
    let pages = pages_to_see();
    let missing: Vec<_> =
        pages.iter().filter(|page| !looked_at.contains(*page) && !excused.contains(*page)).collect();
    assert!(missing.is_empty(), "nobody looked at {missing:?}");
    let gone: Vec<_> = excused.difference(&pages).collect();
    assert!(gone.is_empty(), "these are no pages any more: {gone:?}");
}

/// Every page: what it offers is described, and what only reads says the same in both languages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_offers_what_it_shows() {
    let mut consign = TestConsign::start().await;
    consign.allow_open();
    let tool = Tool::start().await;
    let folder = Folder::new("shell");
    let whole = consign.client.send("GET", "/openapi.json", &[], "").await.expect(200).json();
    let mut all = pages(&consign, &tool).await;
    all.extend(FILTERED.iter().chain(OTHERS).map(|page| (*page).to_owned()));
    all.push(format!("/users/{}", id_of(&consign.get("/users").await.json()["items"][0])));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut looked_at = BTreeSet::new();
    for page in &all {
        let reply = consign.page(page).await;
        let refused = REFUSED.iter().find(|(start, _)| page.starts_with(start));
        assert_eq!(reply.status, refused.map_or(200, |(_, status)| *status), "{page}");
        if refused.is_some() {
            continue;
        }
        let offered = offers(&reply.text());
        let pattern = page_at(page).unwrap_or_else(|| panic!("{page} is no page"));
        let without = WITHOUT.iter().any(|(known, _)| *known == pattern);
        assert_eq!(offered.is_empty(), without, "{page} offers {offered:?}");
        looked_at.insert(pattern);
        for (title, command, curl) in offered {
            *seen.entry(title.clone()).or_default() += 1;
            judge(&whole, &curl);
            if ["Show this list", "Show this page", "Read it"].contains(&title.as_str()) {
                let by_curl = answered(&curl, &shell(&consign, &folder, &curl).await);
                let command = format!("{command} --json");
                let by_command = answered(&command, &shell(&consign, &folder, &command).await);
                assert_eq!(about(&by_curl), about(&by_command), "{page}\n{command}\n{curl}");
            }
        }
    }
    let wanted = [
        "Show this list",
        "Show this page",
        "Read it",
        "Save it as it is shown",
        "Create one like it",
        "Create one from a file",
        "Send a test event",
        "Send it again with the present set-up",
        "Have access approved",
        "Create the next one",
        "Change the signing key",
        "Create one",
        "Invite somebody",
        "Check an address",
    ];
    for title in wanted {
        assert!(seen.contains_key(title), "no page offers “{title}”: {seen:?}");
    }
    assert!(seen["Show this list"] >= 10 && seen["Read it"] >= 10, "{seen:?}");
    every_page_was_looked_at(&looked_at);
    consign.finish().await;
}

/// What is written of an object, without its name.
fn settings(shown: &Value) -> Value {
    let mut settings = shown.clone();
    let facts = [
        "id",
        "etag",
        "name",
        "created_at",
        "updated_at",
        "status",
        "token",
        "redirect_url",
        "last_used_at",
        "state_since",
        "used_by_count",
        "client_secret",
        "custom_headers",
        "oauth_token_requests",
        "username",
        "last_24_hours",
        "by_hour",
        "last_delivery_at",
        "last_run",
        "waiting_records",
        "next_run_at",
        "state",
        "state_label",
        "state_reason",
        "slug",
        "address",
    ];
    for fact in facts {
        settings.as_object_mut().unwrap().remove(fact);
    }
    settings
}

async fn what_is_copied_from_a_form_makes_the_same_object_again(consign: TestConsign) {
    let tool = Tool::start().await;
    let folder = Folder::new("shell");
    let granted = to_approve(&consign, &tool).await;
    let more = json!({ "custom_headers": [
        { "name": "X_Tenant", "value": consign.canary("one"), "sent_with": "token_request" },
        { "name": "X-Other", "value": consign.canary("two"), "sent_with": "api_request" },
    ], "labels": { "team": "it's $5" } });
    consign.patch(&format!("/credentials/{granted}"), &more).await.expect(200);
    consign
        .bearer_webhook(
            "Tool",
            &tool.origin(),
            &json!({ "payload": "template",
        "template": "{ \"it's\": \"$HOME {{ data.a }}\" }", "path": "/x?a=$b", "only_when": "data.a > 1",
        "headers": [{ "name": "X-Team", "value": "a'b" }] }),
        )
        .await;
    let exporter = json!({ "name": "Lake", "credential": "Tool", "path": "/x", "event_types": ["*"], "columns": [{ "name": "n" }],
        "schedule": "0 2 * * 1-5", "time_zone": "Europe/Lisbon", "format": "csv" });
    consign.post("/exporters", &exporter).await.expect(201);
    let gateway = json!({ "name": "Desk", "credential": "Tool", "slug": "desk", "path_prefixes": ["/api"],
        "methods": ["GET", "POST"], "max_request_bytes": "5 MiB", "record_calls": false });
    consign.post("/gateways", &gateway).await.expect(201);
    for file in [
        "client_secret.txt",
        "oauth_token_requests_api_key.txt",
        "custom_header_x_tenant.txt",
        "custom_header_x_other.txt",
    ] {
        folder.write(file, "sesame\n");
    }
    let webhook = id_of(&consign.get("/webhooks/Tool").await.json());
    let exporter = id_of(&consign.get("/exporters/Lake").await.json());
    let gateway = id_of(&consign.get("/gateways/Desk").await.json());
    for (page, path, name) in [
        (format!("/credentials/{granted}"), "/credentials", "Service desk"),
        (format!("/webhooks/{webhook}/set-up"), "/webhooks", "Tool"),
        (format!("/exporters/{exporter}/set-up"), "/exporters", "Lake"),
        (format!("/gateways/{gateway}/set-up"), "/gateways", "Desk"),
    ] {
        let before = consign.get(&format!("{path}/{name}").replace(' ', "%20")).await.expect(200).json();
        for language in ["command", "curl"] {
            let offered = offers(&consign.page(&page).await.expect(200).text());
            let text = |title: &str| {
                let (_, command, curl) = offered.iter().find(|(offered, ..)| offered == title).unwrap();
                (if language == "command" { command } else { curl }).clone()
            };
            let saved = text("Save it as it is shown");
            let ran = shell(&consign, &folder, &saved).await;
            assert!(ran.status.success(), "{saved}\n{}", String::from_utf8_lossy(&ran.stderr));
            let now = consign.get(&format!("{path}/{}", id_of(&before))).await.json();
            assert_eq!(settings(&now), settings(&before), "{language}: saving what is shown changes nothing");

            let fresh = format!("{name} by {language}");
            let another = text("Create one like it")
                .replace(&format!("\"{name}\",\n  \"pr"), &format!("\"{fresh}\",\n  \"pr"));
            let another =
                another.replace(&format!("  \"name\": \"{name}\""), &format!("  \"name\": \"{fresh}\""));
            let another = another.replace(&format!("edit '{name}'"), &format!("edit '{fresh}'"));
            // The address of a gateway is its own.
            let another = another.replace("\"slug\": \"desk\"", &format!("\"slug\": \"desk-{language}\""));
            let ran = shell(&consign, &folder, &another).await;
            let out = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success(), "{another}\n{out}\n{}", String::from_utf8_lossy(&ran.stderr));
            let made = consign.get(&format!("{path}/{fresh}").replace(' ', "%20")).await;
            assert_eq!(made.status, 200, "{another}\n{out}");
            let made = made.json();
            assert_eq!(settings(&made), settings(&before), "{language}\n{another}");
            let rows = |shown: &Value, key: &str| {
                let rows = shown[key].as_array().cloned().unwrap_or_default().into_iter();
                rows.map(|row| json!([row["name"], row["sent_with"], row["sent_in"], row["value"]["set"]]))
                    .collect::<Vec<_>>()
            };
            for key in ["custom_headers", "oauth_token_requests"] {
                assert_eq!(rows(&made, key), rows(&before, key), "{language} {key}");
            }
            assert_eq!(made["client_secret"]["set"], before["client_secret"]["set"]);
        }
    }
    consign.finish().await;
}
