//! Gateways in the console, in a browser with and without scripts, and on the command line.

use serde_json::{Value, json};

use crate::browser::press_in_confirmation;
use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, bearer, id_of};
use crate::peers::browser::Browser;

async fn tool(consign: &TestConsign) -> String {
    consign.credential(&bearer("Tool", "https://tool.example.org/", &consign.canary("token"))).await
}

async fn desk(consign: &TestConsign) -> String {
    let body = json!({ "name": "Desk", "credential": "Tool", "slug": "desk", "path_prefixes": ["/api"] });
    format!("/gateways/{}", id_of(&consign.post("/gateways", &body).await.expect(201).json()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_worked_from_pages_alone() {
    let consign = TestConsign::start().await;
    let empty = unescape(&consign.page("/gateways").await.expect(200).text());
    assert!(empty.contains("No gateways yet") && empty.contains("Add a credential first"), "{empty}");
    let credential = tool(&consign).await;
    let new = consign.form(&format!("/gateways/new?credential={credential}"), "slug").await;
    let new = new.set("name", "Desk").set("slug", "desk").set("path_prefixes", "/api/now\n/other");
    let wrong = new.clone().set("slug", "De sk").set("path_prefixes", "api").without("methods");
    let wrong = unescape(&consign.send_form(&wrong).await.expect(422).text());
    for words in [
        "There is a problem",
        "Address part must use small letters, digits and hyphens",
        "Path prefix must start with /",
        "Choose at least one method",
    ] {
        assert!(wrong.contains(words), "{words}: {wrong}");
    }
    let set_up = consign.send_form(&new.with("methods", "POST")).await.location().to_owned();
    let page = set_up.strip_suffix("/set-up").expect("the set-up of the new gateway").to_owned();
    let shown = unescape(&consign.page(&set_up).await.expect(200).text());
    let address = format!("http://{}/gateway/desk/", consign.address());
    for words in
        [&*address, "curl -sS 'http://", "/gateway/desk/api/now'", "def call(address", "async function call("]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let calls = unescape(&consign.page(&page).await.expect(200).text());
    for words in [
        "No calls yet",
        "GET, POST",
        "below",
        "/api/now",
        "Any API key with the scope gateway:call",
        "0 calls",
    ] {
        assert!(calls.contains(words), "{words}: {calls}");
    }

    let stale = consign.form(&set_up, "slug").await.set("path_prefixes", "/mine");
    consign.patch(&page, &json!({ "path_prefixes": ["/theirs"] })).await.expect(200);
    let conflict = consign.send_form(&stale).await.expect(409).text();
    for words in [
        "key for admin changed this gateway at ",
        "while you were editing",
        "/theirs",
        "/mine",
        "Keep theirs",
        "Save mine over it",
    ] {
        assert!(unescape(&conflict).contains(words), "{words}: {conflict}");
    }
    consign.send_form(&form_with(&conflict, &set_up, "etag")).await.expect(303);
    assert_eq!(consign.get(&page).await.json()["path_prefixes"], json!(["/mine"]));
    let all = consign.form(&set_up, "slug").await.set("path_prefixes", "/");
    let all = consign.send_form(&all).await;
    assert!(consign.follow(&all).await.text().contains("This allows every path of the tool."));

    let activity = unescape(&consign.page(&format!("{page}/activity")).await.expect(200).text());
    assert!(activity.contains("Edited gateway") && activity.contains("path prefixes"), "{activity}");
    let list = unescape(&consign.page("/gateways").await.expect(200).text());
    for words in ["Desk", &address, "Tool", "GET, POST", "Pause Desk", "Edit Desk", "Delete Desk"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    let nothing = unescape(&consign.page("/gateways?q=nothing").await.expect(200).text());
    assert!(nothing.contains("No gateway matches “nothing”."), "{nothing}");
    let user = unescape(&consign.page(&format!("/credentials/{credential}")).await.expect(200).text());
    assert!(user.contains(&format!("href=\"{page}\"")), "its user is linked: {user}");
    let delete =
        unescape(&consign.page(&format!("/credentials/{credential}/delete")).await.expect(200).text());
    assert!(
        delete.contains("Calls through gateways are refused until you choose another credential."),
        "{delete}"
    );
    let paused = consign.submit(&format!("{page}/pause"), &[]).await;
    assert!(consign.follow(&paused).await.text().contains("Calls are refused until you resume it."));
    let resumed = consign.submit(&format!("{page}/resume"), &[]).await;
    assert!(consign.follow(&resumed).await.text().contains("Resumed. Calls are passed on again."));
    let deleted = consign.submit(&format!("{page}/delete"), &[]).await;
    assert!(consign.follow(&deleted).await.text().contains("Deleted Desk."));
    consign.page(&page).await.expect(404);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_limited_to_gateways_on_its_page() {
    let consign = TestConsign::start().await;
    let without = consign.page("/api-keys/new").await.expect(200).text();
    assert!(!without.contains("name=\"gateways\""), "there is nothing to choose from");
    tool(&consign).await;
    let gateway = id_of(&consign.get(&desk(&consign).await).await.json());
    let form = consign.form("/api-keys/new", "name").await.set("name", "Help desk");
    let form = form.set("password", &consign.password).with("gateways", &gateway);
    let wrong = consign.send_form(&form.clone().with("scopes", "events:write")).await.expect(422).text();
    assert!(unescape(&wrong).contains("Choose the scope gateway:call too, or no gateways"), "{wrong}");
    let made = consign.send_form(&form.with("scopes", "gateway:call")).await.expect(200).text();
    let start = made.find("csg_").expect("the text of the key");
    let key: String = made[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    consign.canaries.shown_once("an API key", key.rsplit('_').next().unwrap());
    assert!(unescape(&made).contains("gateway:call (Desk)"), "{made}");
    let list = unescape(&consign.page("/api-keys").await.expect(200).text());
    assert!(list.contains("only <a href=\"/gateways/"), "{list}");
    // The gateway may name it in turn.
    let set_up = consign.form(&format!("/gateways/{gateway}/set-up"), "slug").await;
    let keys = consign.get("/api-keys").await.expect(200).json();
    let id = id_of(keys["items"].as_array().unwrap().iter().find(|key| key["name"] == "Help desk").unwrap());
    consign.send_form(&set_up.with("api_keys", &id)).await.expect(303);
    let page = unescape(&consign.page(&format!("/gateways/{gateway}")).await.expect(200).text());
    assert!(page.contains("<dd>Help desk</dd>"), "{page}");
    let new = unescape(&consign.page("/api-keys/new").await.expect(200).text());
    assert!(new.contains("It names its API keys: tick the new one there too."), "{new}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_worked_from_the_command_line() {
    let consign = TestConsign::start().await;
    tool(&consign).await;
    let create = [
        "gateway",
        "create",
        "--name",
        "Desk",
        "--credential",
        "Tool",
        "--slug",
        "desk",
        "--method",
        "GET,POST",
        "--path-prefix",
        "/api/now",
        "--path-prefix",
        "/b",
        "--max-request-bytes",
        "5MiB",
    ];
    let created = consign.run(&create).await.expect(0);
    let address = format!("http://{}/gateway/desk/", consign.address());
    for words in ["Created gateway “Desk”", &address] {
        assert!(created.stderr.contains(words), "{words}: {}", created.stderr);
    }
    let list = consign.run(&["gateway", "list", "--plain", "--no-header"]).await.expect(0).stdout;
    assert_eq!(list, format!("Desk\t{address}\tTool\tGET POST\t0\t0\tActive\n"));
    let same = |gateway: Value| gateway["id"].clone();
    let got = consign.run(&["gateway", "get", "Desk", "--json"]).await.expect(0).stdout;
    let shown = consign.get("/gateways/Desk").await.json();
    assert_eq!(same(serde_json::from_str(&got).unwrap()), same(shown.clone()));
    assert_eq!(shown["max_request_bytes"], 5 << 20);

    // What this command prints is the one place where the key may stand.
    let words =
        ["api-key", "create", "--name", "Help", "--scope", "gateway:call", "--gateway", "Desk", "--json"];
    let made = consign.cli(&words).run().await.expect(0).stdout;
    let key: Value = serde_json::from_str(&made).unwrap();
    consign.canaries.shown_once("an API key", key["text"].as_str().unwrap().rsplit('_').next().unwrap());
    assert_eq!(key["gateways"][0]["name"], "Desk");
    let keys = consign.run(&["api-key", "list", "--plain", "--no-header"]).await.expect(0).stdout;
    assert!(keys.contains("\tgateway:call\tDesk\t"), "{keys}");
    let callers = consign.run(&["gateway", "callers", "--plain", "--no-header"]).await.expect(0).stdout;
    assert!(callers.contains("\tHelp\tcsg_"), "{callers}");
    let id = key["id"].as_str().unwrap();
    let all = ["gateway", "edit", "Desk", "--api-key", id, "--path-prefix", "/", "--record-calls", "false"];
    let edited = consign.run(&all).await.expect(0);
    assert!(edited.stderr.contains("This allows every path of the tool."), "{}", edited.stderr);
    let shown = consign.get("/gateways/Desk").await.json();
    assert_eq!((&shown["api_keys"][0]["id"], &shown["record_calls"]), (&key["id"], &json!(false)));
    consign.run(&["gateway", "edit", "Desk", "--api-key", "any"]).await.expect(0);
    assert_eq!(consign.get("/gateways/Desk").await.json()["api_keys"], json!([]));
    let wrong = consign.run(&["gateway", "edit", "Desk", "--slug", "De sk"]).await.expect(7);
    assert!(
        wrong.stderr.contains("Address part must use small letters, digits and hyphens"),
        "{}",
        wrong.stderr
    );

    let paused = consign.run(&["gateway", "pause", "Desk"]).await.expect(0);
    assert!(paused.stderr.contains("Calls are refused until you resume it."), "{}", paused.stderr);
    assert_eq!(consign.get("/gateways/Desk").await.json()["state"], "paused");
    consign.run(&["gateway", "resume", "Desk"]).await.expect(0);
    let calls = consign.run(&["gateway", "calls", "Desk", "--errors", "--json"]).await.expect(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&calls).unwrap()["items"], json!([]));
    consign.run(&["gateway", "delete", "Desk"]).await.expect(2);
    consign.run(&["gateway", "delete", "Desk", "--yes"]).await.expect(0);
    consign.run(&["gateway", "get", "Desk"]).await.expect(3);
    consign.finish().await;
}

/// From the empty list to the end of a gateway.
async fn walk(scripts: bool) {
    let consign = TestConsign::start().await;
    let credential = tool(&consign).await;
    let browser = Browser::start(scripts).await;
    let base = format!("http://{}", consign.address());
    browser.be(&base, Some(&consign.session)).await;
    browser.goto(&format!("{base}/gateways")).await;
    browser.press_words("New gateway").await;
    browser.until_at("/gateways/new").await;
    browser.fill("name", "Desk").await;
    browser.choose("credential", &credential).await;
    browser.fill("slug", "help-desk").await;
    if scripts {
        // The address and the warning follow what is typed.
        browser.until_shows("/gateway/help-desk/").await;
        browser.fill("path_prefixes", "/").await;
        browser.until_shows("This allows every path of the tool.").await;
    }
    browser.fill("path_prefixes", "api").await;
    browser.press("[name='methods'][value='POST']").await;
    browser.press_words("Save").await;
    browser.until_shows("There is a problem").await;
    browser.until_shows("Path prefix must start with /").await;
    browser.fill("path_prefixes", "/api/now").await;
    browser.press_words("Save").await;
    let set_up = browser.until_elsewhere("/gateways/con_", "new").await;
    browser.until_shows("Saved. Applications can call its address now.").await;
    browser.until_shows("How to call it").await;
    let page = set_up.strip_suffix("/set-up").expect("the set-up of the new gateway").to_owned();
    assert_eq!(consign.get(&page).await.json()["methods"], json!(["GET", "POST"]));
    browser.fill("description", "For the help desk").await;
    browser.press_words("Save").await;
    browser.until_shows("Saved.").await;
    assert_eq!(consign.get(&page).await.json()["description"], "For the help desk");

    browser.goto(&format!("{base}{page}")).await;
    browser.until_shows("No calls yet").await;
    browser.press_words("Pause").await;
    browser.until_shows("Paused. Calls are refused until you resume it.").await;
    assert_eq!(consign.get(&page).await.json()["state"], "paused");
    browser.press_words("Resume").await;
    browser.until_shows("Resumed. Calls are passed on again.").await;
    browser.goto(&format!("{base}/gateways")).await;
    browser.press("a[title='Delete Desk']").await;
    browser.until_shows("Delete “Desk”?").await;
    press_in_confirmation(&browser, "Delete gateway").await;
    browser.until_shows("Deleted Desk. Nothing answers at its address any more.").await;
    browser.until_shows("No gateways yet").await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_walked_with_scripts() {
    walk(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_walked_without_scripts() {
    walk(false).await;
}
