//! Pages against the web: forms of other sites, headers of every page, and text that is somebody's attempt.

use consign::{console, ops};
use serde_json::json;

use crate::every_page::{to_approve, to_sign};
use crate::harness::database::Kind;
use crate::harness::page::{form_with, unescape};
use crate::harness::{
    Client, Database, EMAIL, Folder, Replica, Reply, Sent, TestConsign, bearer, eventually, form, id_of,
    percent,
};
use crate::peers::{Answer, Tool};
use crate::tours::{pages_to_see, with_backups};

/// Where a session begins: there is none before, and so no token.
const BEGIN: [&str; 4] = ["/setup/", "/sign-in", "/demo/", "/invitation/"];

fn begins(route: &str) -> bool {
    BEGIN.iter().any(|begin| route.starts_with(begin))
}

/// Everything that a post could change.
pub(crate) async fn state(consign: &TestConsign) -> String {
    let mut state = String::new();
    for path in [
        "/credentials",
        "/webhooks",
        "/exporters",
        "/gateways",
        "/deliveries",
        "/events",
        "/api-keys",
        "/audit-entries",
        "/operations",
        "/users",
        "/backups",
        "/sending-pauses",
        "/settings",
    ] {
        let mut page = consign.get(path).await.expect(200).json();
        for item in page["items"].as_array_mut().into_iter().flatten() {
            // The key that asks is used by asking.
            if let Some(item) = item.as_object_mut() {
                item.remove("last_used_at");
                item.remove("last_used_from");
                // It says how long it is until the next attempt.
                item.remove("what_happened");
            }
        }
        state.push_str(&page.to_string());
    }
    state
}

/// Every address of the console that takes a form, as its own table has them: a new one is tried without being told.
fn posted_routes() -> impl Iterator<Item = &'static str> {
    console::addresses().filter(|(method, _)| method.as_str() == "POST").map(|(_, address)| address)
}

/// The address of a route, with an object that there is. What begins a session is tried without one.
fn filled(route: &str, ids: &[(&str, &str)]) -> Option<String> {
    if begins(route) {
        return None;
    }
    let deed = if route.starts_with("/settings/backup/") { "delete" } else { "suspend" };
    let route = &route.replace("{deed}", deed);
    if !route.contains('{') {
        return Some(route.to_owned());
    }
    let found = ids.iter().find(|(start, _)| route.starts_with(start));
    let (_, id) = found.unwrap_or_else(|| panic!("{route}: tell this test of an object of that kind"));
    let (before, rest) = route.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    assert!(!after.contains('{'), "{route} has two places");
    Some(format!("{before}{id}{after}"))
}

/// The address of every page of the console, as its own table has them.
fn every_address(objects: &[(&str, String)]) -> Vec<String> {
    const OF_THE_MANUAL: [(&str, &str); 4] = [
        ("/docs/api/schemas/", "Credential"),
        ("/docs/api/", "webhooks"),
        ("/docs/problems/", "locked"),
        ("/docs/", "operations"),
    ];
    let ids: Vec<_> = objects.iter().map(|(start, id)| (*start, id.as_str())).chain(OF_THE_MANUAL).collect();
    // What begins a session is here a link that nobody has.
    let address = |route: &str| {
        let path = filled(route, &ids).unwrap_or_else(|| route.replace("{token}", "none"));
        // With what a tool adds.
        if path.starts_with("/oauth/") { format!("{path}?state=unknown&code=1") } else { path }
    };
    let addresses: Vec<_> = pages_to_see().into_iter().map(address).collect();
    assert!(addresses.len() > 70 && !addresses.iter().any(|path| path.contains('{')), "{addresses:?}");
    addresses
}

/// One object of each kind with this text in it: how its pages begin, and what takes the place in their addresses.
async fn objects(consign: &TestConsign, tool: &Tool, text: &str) -> Vec<(&'static str, String)> {
    let (granted, signed) = (to_approve(consign, tool).await, to_sign(consign, tool).await);
    for (id, more) in [(&granted, "a"), (&signed, "b")] {
        let name = json!({ "name": format!("{text} {more}") });
        consign.patch(&format!("/credentials/{id}"), &name).await.expect(200);
    }
    let edited = consign.all("/audit-entries?action=edited").await[0]["sequence"].to_string();
    let mut credential = bearer(text, &tool.origin(), &consign.canary("token"));
    credential["labels"] = json!({ "team": text.chars().take(60).collect::<String>() });
    let credential = consign.credential(&credential).await;
    let webhook = json!({ "name": text, "description": text, "credential": credential, "path": "/x", "event_types": ["*"],
                          "only_when": "data.x == \"<script>\"", "signature": "ed25519" });
    let webhook = consign.webhook(&webhook).await;
    let exporter = json!({ "name": format!("{text} c"), "description": text, "credential": credential, "path": "/y",
                           "source": "pushed", "format": "ndjson" });
    let exporter = id_of(&consign.post("/exporters", &exporter).await.expect(201).json());
    let run =
        consign.call("POST", &format!("/exporters/{exporter}/runs"), &[("idempotency-key", "1")], None).await;
    let run = id_of(&run.expect(201).json());
    consign.until_shows(&format!("/runs/{run}"), "/state", "done").await;
    let gateway = json!({ "name": format!("{text} d"), "description": text, "credential": credential, "slug": "desk",
                          "path_prefixes": ["/a"] });
    let gateway = id_of(&consign.post("/gateways", &gateway).await.expect(201).json());
    let event = json!({ "type": "a", "subject": text, "source": text, "id": text, "data": { "x": "<script>", "y": text } });
    let sent = Sent::read(&consign.post("/events", &event).await.expect(202).json());
    consign.until_idle().await;
    let again = json!({ "filter": { "q": text, "state": ["failed", "delivered"] }, "rate_per_second": 50 });
    let again = consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&again)).await.expect(202);
    consign.until_idle().await;
    let key = consign.post("/api-keys", &json!({ "name": text, "scopes": ["events:read"] })).await;
    let key = key.expect(201).json();
    consign.canaries.shown_once("an API key", key["text"].as_str().unwrap().rsplit('_').next().unwrap());
    let user = id_of(&consign.get("/users").await.json()["items"][0]);
    consign.patch(&format!("/users/{user}"), &json!({ "name": text })).await.expect(200);
    let backup = consign.backup().await["result"]["name"].as_str().unwrap().to_owned();
    vec![
        ("/credentials/{id}/authorize", granted.clone()),
        ("/credentials/{id}/forget-tokens", granted.clone()),
        ("/oauth/callback/", granted),
        ("/credentials/{id}/certificate", signed.clone()),
        ("/credentials/{id}/assertion", signed),
        ("/credentials/", credential),
        ("/webhooks/", webhook),
        ("/exporters/", exporter),
        ("/runs/", run),
        ("/gateways/", gateway),
        ("/deliveries/", sent.delivery().to_owned()),
        ("/events/", sent.id),
        ("/operations/", id_of(&again.json())),
        ("/api-keys/", id_of(&key)),
        ("/users/", user),
        ("/audit/", edited),
        ("/settings/backup/", backup),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_another_site_changes_nothing() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.backup.dir = Some(config.data.dir.join("backups"));
    })
    .await;
    let backup = consign.backup().await;
    let backup = backup["result"]["name"].as_str().unwrap();
    let tool = Tool::start().await;
    let webhook =
        consign.bearer_webhook("itsm", &tool.origin(), &json!({ "retry_schedule_seconds": [3600] })).await;
    tool.answer_next(Answer::status(500));
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "retrying").await;
    let (credential, delivery) = (id_of(&consign.get("/credentials/itsm").await.json()), sent.delivery());
    let key = id_of(&consign.get("/api-keys").await.json()["items"][0]);
    let exporter = json!({ "name": "List", "credential": credential, "path": "/x", "source": "pushed", "format": "ndjson" });
    let exporter = id_of(&consign.post("/exporters", &exporter).await.expect(201).json());
    let gateway =
        json!({ "name": "Desk", "credential": credential, "slug": "desk", "path_prefixes": ["/a"] });
    let gateway = id_of(&consign.post("/gateways", &gateway).await.expect(201).json());
    let run =
        consign.call("POST", &format!("/exporters/{exporter}/runs"), &[("idempotency-key", "1")], None).await;
    let run = id_of(&run.expect(201).json());
    consign.until_shows(&format!("/runs/{run}"), "/state", "done").await;
    let user = id_of(&consign.get("/users").await.json()["items"][0]);
    for number in 0..2 {
        let fine = consign.event("b", &json!(number)).await;
        consign.until(fine.delivery(), "delivered").await;
    }
    // It has nothing to do until its next one is due, long after this test.
    let slowly = json!({ "filter": { "state": ["delivered"] }, "rate_per_second": 0.1 });
    let operation =
        consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&slowly)).await.expect(202);
    let operation = id_of(&operation.json());
    eventually("the first of two", async || {
        (consign.get(&format!("/operations/{operation}")).await.json()["done"] == 1).then_some(())
    })
    .await;
    let stop = format!("/operations/{operation}/stop");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let cross = [kind, ("cookie", consign.session.cookie.as_str()), ("sec-fetch-site", "cross-site")];
    consign.client.send("POST", &stop, &cross, form(&[("csrf", &consign.session.csrf)])).await.expect(403);
    assert_eq!(consign.get(&format!("/operations/{operation}")).await.json()["state"], "running");
    consign.submit(&stop, &[]).await.expect(303);
    consign.until_shows(&format!("/operations/{operation}"), "/state", "stopped").await;
    let ids = [
        ("/credentials/", credential.as_str()),
        ("/webhooks/", &webhook),
        ("/exporters/", &exporter),
        ("/gateways/", &gateway),
        ("/runs/", &run),
        ("/deliveries/", delivery),
        ("/events/", &sent.id),
        ("/api-keys/", &key),
        ("/operations/", &operation),
        ("/users/", &user),
        ("/settings/backup/", backup),
    ];
    let posts: Vec<String> = posted_routes().filter_map(|route| filled(route, &ids)).collect();
    for known in ["/deliveries/selected", "/users/new", &format!("/credentials/{credential}/certificate")] {
        assert!(posts.iter().any(|path| path == known), "{known}: {posts:?}");
    }
    assert!(posts.len() > 50, "{posts:?}");
    eventually("all but one to have ended", async || {
        let pending = consign.get("/deliveries?state=pending").await.json();
        (pending["items"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    let before = state(&consign).await;
    let own = form(&[
        ("csrf", &consign.session.csrf),
        ("confirm_name", "itsm"),
        ("name", "x"),
        ("scopes", "admin"),
        ("theme", "dark"),
    ]);
    let without = form(&[("confirm_name", "itsm"), ("name", "x"), ("scopes", "admin"), ("theme", "dark")]);
    let wrong = form(&[("csrf", "0000"), ("confirm_name", "itsm"), ("name", "x"), ("scopes", "admin")]);
    let cookie = ("cookie", consign.session.cookie.as_str());
    for path in &posts {
        let tries: [(&[(&str, &str)], &str); 6] = [
            (&[kind, cookie], &without),
            (&[kind, cookie], &wrong),
            (&[kind, cookie, ("sec-fetch-site", "same-origin")], &without),
            (&[kind, cookie, ("sec-fetch-site", "cross-site")], &own),
            (&[kind, cookie, ("sec-fetch-site", "same-site")], &own),
            (&[kind, cookie, ("origin", "https://evil.example")], &own),
        ];
        for (headers, body) in tries {
            let reply = consign.client.send("POST", path, headers, body.to_owned()).await;
            assert_eq!(reply.status, 403, "{path} {headers:?}: {}", reply.text());
        }
        let nobody = consign.client.send("POST", path, &[kind], own.clone()).await;
        assert!([303, 403].contains(&nobody.status), "{path}: {}", nobody.status);
        if nobody.status == 303 {
            assert!(nobody.location().starts_with("/sign-in"), "{path}: {}", nobody.location());
        }
        let get = consign.page(path).await;
        assert!(get.status < 500, "{path}: a GET changes nothing");
    }
    assert_eq!(state(&consign).await, before);
    consign.submit(&format!("/deliveries/{delivery}/cancel"), &[]).await.expect(303);
    consign.finish().await;
}

/// What a form holds that begins a session, whichever it is.
fn beginning(password: &str) -> String {
    form(&[("email", EMAIL), ("password", password), ("name", "Bo"), ("code", "123456"), ("next", "/")])
}

/// A form that is sent from elsewhere by a browser without a cookie. It begins nothing.
async fn is_refused_from_elsewhere(client: &Client, path: &str, body: &str) {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let tries: [&[(&str, &str)]; 5] = [
        &[kind, ("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
        &[kind, ("sec-fetch-site", "cross-site")],
        &[kind, ("sec-fetch-site", "same-site"), ("origin", "https://evil.acme.example")],
        &[kind, ("origin", "https://evil.example")],
        &[kind, ("origin", "null")],
    ];
    for headers in tries {
        let reply = client.send("POST", path, headers, body.to_owned()).await;
        assert_eq!(reply.status, 403, "{path} {headers:?}: {}", reply.text());
        assert!(reply.text().contains("This form was sent from another site"), "{path} {headers:?}");
        assert!(reply.header("set-cookie").is_none(), "{path} {headers:?}: a session began");
    }
}

/// The same form from a page of this server: nothing else was in the way.
async fn is_taken_from_here(client: &Client, path: &str, body: &str) {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let reply = client.send("POST", path, &headers, body.to_owned()).await.expect(303);
    assert!(reply.header("set-cookie").is_some_and(|cookie| cookie.starts_with("consign-local=")), "{path}");
}

/// Whoever signs somebody else in, as themselves, reads what they do from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_begins_by_a_form_of_another_site() {
    let consign = TestConsign::start().await;
    let (_, invitation) = crate::people::invite(&consign, "bo@acme.example", "viewer").await;
    let own = beginning(&consign.password);
    let begun = async || consign.database.number("select count(*) from session").await;
    let before = (state(&consign).await, begun().await);
    let routes: Vec<_> = posted_routes().filter(|route| begins(route)).collect();
    assert!(routes.len() >= 5, "{routes:?}");
    for route in routes {
        let path = if route.starts_with("/invitation/") {
            invitation.clone()
        } else {
            route.replace("{token}", &"a2".repeat(32))
        };
        is_refused_from_elsewhere(&consign.client, &path, &own).await;
    }
    assert_eq!((state(&consign).await, begun().await), before);
    is_taken_from_here(&consign.client, "/sign-in", &own).await;
    is_taken_from_here(&consign.client, &invitation, &beginning(&consign.canary("of Bo"))).await;
    consign.finish().await;

    // Set-up and the link of the demo, each with a token that works.
    for is_demo in [false, true] {
        let folder = Folder::new("begin");
        let database = Database::sqlite(&folder);
        let replica = Replica::start(&folder, &database, &|_| {}).await.unwrap();
        let client = Client::new(replica.address, Default::default());
        let path = if is_demo {
            format!("/demo/{}", ops::users::new_sign_in_link(&replica.app).expose())
        } else {
            format!("/setup/{}", ops::users::new_setup_link(&replica.app).await.unwrap().expose())
        };
        let typed = beginning("vellum-otter-93-quartz");
        is_refused_from_elsewhere(&client, &path, &typed).await;
        assert_eq!(database.number("select count(*) from users").await, 0, "{path}");
        assert_eq!(database.number("select count(*) from session").await, 0, "{path}");
        is_taken_from_here(&client, &path, &typed).await;
        replica.stop().await;
    }
}

fn is_dressed(reply: &Reply) {
    let asked = &reply.asked;
    let policy = reply.header("content-security-policy").unwrap_or_else(|| panic!("{asked}: no policy"));
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{asked}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{asked}: {policy}");
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{asked}");
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{asked}");
    assert_eq!(reply.header("cross-origin-opener-policy"), Some("same-origin"), "{asked}");
    assert!(reply.header("x-request-id").is_some(), "{asked}");
    assert!(reply.header("server").is_none(), "{asked}");
    let page = unescape(&reply.text());
    for inline in ["<style", " style=", "javascript:", " onclick=", "http-equiv"] {
        assert!(!page.contains(inline), "{asked}: {inline}");
    }
    // As mark-up: what others wrote stands there as text.
    for script in reply.text().split("<script").skip(1) {
        assert!(script.split('>').next().unwrap().contains("src=\"/assets/"), "{asked}: a script of its own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_carries_its_headers() {
    let consign = with_backups().await;
    let tool = Tool::start().await;
    let mut pages = every_address(&objects(&consign, &tool, "itsm").await);
    pages.push("/nowhere".to_owned());
    for path in pages {
        let reply = consign.page(&path).await;
        assert!(reply.status < 500, "{path}");
        is_dressed(&reply);
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
    }
    is_dressed(&consign.client.send("GET", "/sign-in", &[], "").await.expect(200));
    let page = unescape(&consign.page("/credentials").await.text());
    let sheet =
        page.split("href=\"/assets/").nth(1).and_then(|rest| rest.split('"').next()).expect("a style sheet");
    let sheet = consign.client.send("GET", &format!("/assets/{sheet}"), &[], "").await.expect(200);
    assert!(sheet.header("cache-control").is_some_and(|kept| kept.contains("immutable")));
    let cookie = consign.client.send("GET", "/sign-in", &[], "").await;
    assert!(cookie.header("set-cookie").is_none(), "no cookie before there is a session");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_wrote_is_text_on_every_page() {
    let consign = with_backups().await;
    let tool = Tool::start().await;
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}";
    let body = format!("<html><title>{evil}</title>");
    let headers =
        vec![("content-type".into(), "text/html".into()), ("x-request-id".into(), "<script>".into())];
    tool.answer_at("/x", Answer::Reply(400, headers, body));
    let made = objects(&consign, &tool, evil).await;
    let delivery = &made.iter().find(|(start, _)| *start == "/deliveries/").expect("a delivery").1;
    consign.until(delivery, "failed").await;
    let payload = consign.submit(&format!("/deliveries/{delivery}/payload"), &[]).await.expect(200);
    let mut replies = vec![payload];
    for path in every_address(&made) {
        let reply = consign.page(&path).await;
        assert!(reply.status < 500, "{path}");
        replies.push(reply);
    }
    for list in ["/credentials", "/deliveries", "/webhooks", "/gateways", "/exporters"] {
        replies.push(consign.page(&format!("{list}?q={}", percent(evil))).await);
    }
    for reply in replies {
        let page = reply.text();
        assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{}\n{page}", reply.asked);
        assert!(!page.contains("<script>\""), "{}", reply.asked);
    }
    consign.finish().await;
}

/// Going back in the browser and saving the same form again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_was_saved_makes_another_credential_under_a_fresh_id() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let form = consign.new_credential("one", "bearer").await.set("url_address", &tool.origin());
    let form = form.set("token", &consign.canary("one"));
    let first = consign.save_credential(&form).await;
    // Nothing was changed: a second click. It leads to what the first one made, by whichever button.
    let again = consign.send_form(&form).await.expect(303).location();
    assert!(again.starts_with(&first), "{again}");
    let other = form.clone().with("authorize", "1");
    assert_eq!(consign.send_form(&other).await.expect(303).location(), format!("{first}/authorize"));
    // Something was: it is said that this makes another one, and nothing that was typed is lost.
    let changed = form.clone().set("name", "two").set("token", &consign.canary("two"));
    let (shown, _) = consign.pressed(changed.clone(), ("show_fields", "1")).await;
    // From a page that was shown again, and from the very page that was saved.
    for changed in [changed.clone(), shown.set("token", changed.value("token").unwrap())] {
        let reply = consign.send_form(&changed).await.expect(422).text();
        let page = unescape(&reply);
        assert!(
            page.contains("This was saved already, as “one”. Save again to create another one"),
            "{page}"
        );
        assert!(page.contains("Entered, not saved yet") && page.contains("value=\"two\""), "{page}");
        assert!(!page.contains("named “two” already exists"), "{page}");
        let fresh = form_with(&reply, "/credentials/new", "authorization_type");
        assert_ne!(fresh.value("reserved"), changed.value("reserved"));
    }
    let reply = consign.send_form(&changed).await.expect(422).text();
    let fresh = form_with(&reply, "/credentials/new", "authorization_type");
    let saved = consign.save_credential(&fresh).await;
    assert_eq!(saved, format!("/credentials/{}", fresh.value("reserved").unwrap()));
    assert_eq!(consign.all("/credentials").await.len(), 2);
    consign.finish().await;
}
