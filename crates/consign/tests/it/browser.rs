//! A walk through the console in headless Chromium, with and without scripts, and an accessibility checker on every page.

use serde_json::{Value, json};

use crate::every_page::{pages, to_approve};
use crate::harness::{EMAIL, TestConsign, bearer, id_of, variable};
use crate::peers::browser::Browser;
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool};

/// What the checker must find nothing of.
const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

pub(crate) async fn sign_in(consign: &TestConsign, browser: &Browser) {
    browser.sign_in(consign, &format!("http://{}", consign.address()), "/credentials").await;
}

/// Everything that a person does in the first hour.
async fn walk(consign: &TestConsign, browser: &Browser, scripts: bool) {
    let tool = Tool::start().await;
    let base = format!("http://{}", consign.address());
    sign_in(consign, browser).await;
    let runs = browser.run("return document.documentElement.classList.contains('js')", vec![]).await;
    assert_eq!(runs, json!(scripts), "scripts of the page");

    let (password, header) = (consign.canary("password"), consign.canary("header"));
    browser.press_words("New credential").await;
    browser.until_at("/credentials/new").await;
    browser.fill("name", "Service desk").await;
    browser.choose("authorization_type", "basic").await;
    if !scripts {
        browser.press("[name='authorization_type'] ~ [name='show_fields']").await;
    }
    browser.until_there("input[name='password']").await;
    browser.fill("url_address", "http://tool.example.org/").await;
    browser.fill("username", "consign").await;
    browser.fill("password", &password).await;
    browser.press_words("Save").await;
    browser.until_shows("There is a problem").await;
    browser.until_shows("URL address must start with https://").await;
    browser.until_shows("Entered, not saved yet").await;
    let focused = browser.run("return document.activeElement.className", vec![]).await;
    assert!(
        focused.as_str().is_some_and(|class| class.contains("problem")),
        "the summary has the focus: {focused}"
    );
    browser.fill("url_address", &tool.origin()).await;
    if scripts {
        browser.press("[data-rows-add]").await;
    }
    browser.fill("custom_headers.name", "X-Key").await;
    browser.fill("custom_headers.value", &header).await;
    browser.press_words("Save").await;
    let credential = browser.until_at("/credentials/crd_").await;
    browser.until_shows("It cannot be shown.").await;
    if scripts {
        // The page asks for the result by itself.
        browser.until_shows("Reached, sign-in not proven").await;
    } else {
        let id = credential.rsplit('/').next().unwrap();
        consign.until_shows(&format!("/credentials/{id}"), "/status/code", "not_proven").await;
        browser.goto(&format!("{base}{credential}")).await;
        browser.until_shows("Reached, sign-in not proven").await;
    }
    let source = browser.client.source().await.unwrap();
    consign.shown_elsewhere("the page of the credential", source);

    browser.goto(&format!("{base}/webhooks/new")).await;
    browser.fill("name", "Incidents").await;
    browser.choose("credential", credential.rsplit('/').next().unwrap()).await;
    browser.fill("path", "/incidents").await;
    browser.fill("event_types", "device.*").await;
    browser.press_words("Save").await;
    let webhook = browser.until_at("/webhooks/con_").await;
    tool.answer_next(Answer::json(201, &json!({ "result": { "number": "INC0010001" } })));
    browser.press_words("Send test event").await;
    browser.until_shows("INC0010001").await;
    assert_eq!(tool.asked()[0].header("x-key"), header);
    assert!(tool.asked()[0].header("authorization").starts_with("Basic "));

    tool.answer_next(Answer::json(400, &json!({ "message": "no such field" })));
    let failed = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(failed.delivery(), "failed").await;
    browser.goto(&format!("{base}/deliveries")).await;
    browser.until_shows("Failed").await;
    browser.goto(&format!("{base}/deliveries/{}", failed.delivery())).await;
    browser.until_shows("no such field").await;
    browser.press_words("Replay").await;
    browser.until_shows("Send this event again?").await;
    press_in_confirmation(browser, "Replay delivery").await;
    let replay = browser.until_elsewhere("/deliveries/dlv_", failed.delivery()).await;
    consign.until(replay.rsplit('/').next().unwrap(), "delivered").await;
    tool.until_asked(4).await;
    browser.goto(&format!("{base}{replay}")).await;
    browser.until_shows("Delivered").await;

    browser.goto(&format!("{base}{webhook}/delete")).await;
    press_in_confirmation(browser, "Delete webhook").await;
    browser.until_at("/webhooks").await;
    browser.goto(&format!("{base}/credentials")).await;
    browser.press(&format!("a[href='{credential}/delete']")).await;
    browser.until_shows("The saved secrets are destroyed.").await;
    press_in_confirmation(browser, "Delete credential").await;
    browser.until_shows("Deleted Service desk.").await;
    browser.until_shows("No credentials yet").await;
}

/// The button of a confirmation, on a page or in a dialog.
async fn press_in_confirmation(browser: &Browser, words: &str) {
    browser.press_within("//form[contains(@class,'confirm')]", words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_walked_with_scripts() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(true).await;
    walk(&consign, &browser, true).await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_walked_without_scripts() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(false).await;
    walk(&consign, &browser, false).await;
    browser.close().await;
    consign.finish().await;
}

/// What the checker finds on the page that is shown, one line each.
async fn found_by_checker(browser: &Browser, checker: &str) -> Vec<String> {
    browser.run(checker, vec![]).await;
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: { type: 'tag', values: arguments[0] }, resultTypes: ['violations'] })
           .then((result) => done(result.violations), (error) => done([{ id: String(error), nodes: [] }]));";
    let found = browser.client.execute_async(script, vec![json!(RULES)]).await.unwrap();
    let line = |violation: &Value| {
        let nodes = violation["nodes"].as_array().cloned().unwrap_or_default();
        let nodes: Vec<_> = nodes
            .iter()
            .take(3)
            .map(|node| format!("{} ({})", node["html"], node["failureSummary"]))
            .collect();
        format!("{}: {}", violation["id"], nodes.join(" | "))
    };
    found.as_array().expect("a list").iter().map(line).collect()
}

/// What is wrong with these pages, in light, dark and forced colours, and at a width of 320 pixels.
pub(crate) async fn faults_of(browser: &Browser, base: &str, pages: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for path in pages {
        let open = async || browser.goto(&format!("{base}{path}")).await;
        faults.extend(faults_at(browser, path, open).await);
    }
    faults
}

/// What is wrong with a page that is opened so.
pub(crate) async fn faults_at(browser: &Browser, page: &str, open: impl AsyncFn()) -> Vec<String> {
    let checker = std::fs::read_to_string(variable("CONSIGN_TEST_AXE")).expect("axe-core can be read");
    let mut faults = Vec::new();
    for (scheme, forced) in [("light", false), ("dark", false), ("dark", true)] {
        // Before the page comes: colours that fade from one scheme to the other are none that stay.
        browser.prefer(scheme, forced).await;
        open().await;
        let found = found_by_checker(browser, &checker).await;
        let forced = if forced { ", forced colours" } else { "" };
        faults.extend(found.into_iter().map(|fault| format!("{page} ({scheme}{forced}): {fault}")));
    }
    browser.resize(320).await;
    let width = browser.run("return document.scrollingElement.scrollWidth", vec![]).await;
    if width.as_u64().is_none_or(|width| width > 320) {
        faults.push(format!("{page}: {width} px wide at 320"));
    }
    browser.resize(1280).await;
    faults
}

/// The link to the tool is followed, and the tool sends the browser back with this.
async fn come_back(browser: &Browser, base: &str, id: &str, query: &str) {
    browser.goto(&format!("{base}/credentials/{id}/authorize")).await;
    let script = "return new URL(document.querySelector('a[rel=noreferrer]').href).searchParams.get('state')";
    let state = browser.run(script, vec![]).await;
    let state = state.as_str().expect("a state");
    browser.goto(&format!("{base}/oauth/callback/{id}?state={state}&{query}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_pages_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let nobody = "/oauth/callback/crd_00000000000000000000000000?state=unknown&code=1";
    let mut faults = faults_of(&browser, &base, &["/sign-in".to_owned(), nobody.to_owned()]).await;
    // The checker sees what is wrong, when something is.
    browser
        .run("document.querySelector('main').innerHTML += '<img src=\"data:,\" width=\"900\">'", vec![])
        .await;
    let checker = std::fs::read_to_string(variable("CONSIGN_TEST_AXE")).unwrap();
    assert!(found_by_checker(&browser, &checker).await.iter().any(|fault| fault.contains("image-alt")));
    sign_in(&consign, &browser).await;
    let empty = [
        "/",
        "/credentials",
        "/credentials/new",
        "/webhooks",
        "/exporters",
        "/deliveries",
        "/deliveries/replay",
        "/operations",
        "/events",
        "/api-keys",
        "/help",
    ];
    faults.extend(faults_of(&browser, &base, &empty.map(str::to_owned)).await);
    browser.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_pages_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let pages = pages(&consign, &tool).await;
    sign_in(&consign, &browser).await;
    let faults = faults_of(&browser, &base, &pages).await;
    browser.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    consign.allow_open();
    consign.finish().await;
}

/// The pages of administration, each in the states it has.
async fn administration(consign: &TestConsign) -> Vec<String> {
    let invited = json!({ "email": "bo@acme.example", "role": "operator" });
    let bo = consign.post("/users", &invited).await.expect(201).json();
    let link = bo["invitation"]["link"].as_str().unwrap();
    let token = link.rsplit('/').next().unwrap();
    consign.canaries.shown_once("an invitation", token);
    let bo = id_of(&bo);
    let ana = id_of(&consign.get(&format!("/users/{EMAIL}")).await.json());
    consign.credential(&bearer("Tool", "https://tool.example.org/", &consign.canary("token"))).await;
    consign.patch("/credentials/Tool", &json!({ "labels": { "team": "itsm" } })).await.expect(200);
    let edited = consign.all("/audit-entries?action=edited").await;
    vec![
        "/users".to_owned(),
        "/users/new".to_owned(),
        format!("/users/{ana}"),
        format!("/users/{bo}"),
        format!("/users/{ana}/suspend"),
        format!("/invitation/{token}"),
        "/audit".to_owned(),
        "/audit?action=nothing".to_owned(),
        format!("/audit/{}", edited[0]["sequence"]),
        "/settings".to_owned(),
        "/settings/egress".to_owned(),
        "/settings/encryption".to_owned(),
        "/settings/notifications".to_owned(),
        "/settings/about".to_owned(),
        "/account".to_owned(),
        "/account/two-step/on".to_owned(),
        "/api-keys".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_administration_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let pages = administration(&consign).await;
    sign_in(&consign, &browser).await;
    let mut faults = faults_of(&browser, &base, &pages).await;
    let refused = async || {
        browser.goto(&format!("{base}/users/new")).await;
        browser.fill("email", "nobody@x").await;
        browser.press_words("Make invitation link").await;
        browser.until_shows("There is a problem").await;
    };
    faults.extend(faults_at(&browser, "a refused invitation", refused).await);
    let judged = async || {
        browser.goto(&format!("{base}/settings/egress")).await;
        browser.fill("address", "https://10.21.0.5/").await;
        browser.press_words("Check").await;
        browser.until_shows("no rule of egress.allow names it").await;
    };
    faults.extend(faults_at(&browser, "the verdict on an address", judged).await);
    browser.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_signing_in_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let (_, codes) = crate::two_step::set_up(&consign).await;
    browser.goto(&format!("{base}/sign-in")).await;
    browser.fill("email", EMAIL).await;
    browser.fill("password", &consign.password).await;
    browser.press_words("Sign in").await;
    browser.until_at("/sign-in/code").await;
    let mut faults = faults_of(&browser, &base, &["/sign-in/code".to_owned()]).await;
    browser.fill("code", "123456").await;
    browser.press_words("Sign in").await;
    browser.until_shows("The code is not right").await;
    browser.fill("code", &codes[0]).await;
    browser.press_words("Sign in").await;
    browser.until_shows("Three steps").await;
    let account = ["/account", "/account/two-step/off", "/account/recovery-codes"];
    faults.extend(faults_of(&browser, &base, &account.map(str::to_owned)).await);
    let renewed = async || {
        browser.goto(&format!("{base}/account/recovery-codes")).await;
        browser.fill("password", &consign.password).await;
        browser.press_words("Make new codes").await;
        browser.until_shows("These codes are shown once").await;
    };
    faults.extend(faults_at(&browser, "recovery codes", renewed).await);
    let number = std::cell::Cell::new(0);
    let invited = async || {
        number.set(number.get() + 1);
        browser.goto(&format!("{base}/users/new")).await;
        browser.fill("email", &format!("bo{}@acme.example", number.get())).await;
        browser.press("[name='role'][value='viewer']").await;
        browser.fill("password", &consign.password).await;
        browser.press_words("Make invitation link").await;
        browser.until_shows("This link is shown once").await;
    };
    faults.extend(faults_at(&browser, "an invitation", invited).await);
    // In a dialog, where the page has one.
    browser.goto(&format!("{base}/users")).await;
    browser.press("a[href$='/suspend']").await;
    browser.until_shows("Suspend this person?").await;
    press_in_confirmation(&browser, "Suspend").await;
    browser.until_shows("This is the last administrator. Give someone else the role first.").await;
    browser.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_after_an_approval_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let consign = TestConsign::start().await;
    consign.canaries.never_shown("what the token address answers", MARKER);
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let id = to_approve(&consign, &tool).await;
    sign_in(&consign, &browser).await;
    let refused = json!({ "error": "invalid_grant", "error_description": "The code has ended." });
    let renewed =
        json!({ "access_token": consign.canary("access"), "refresh_token": consign.canary("refresh") });
    let stops = json!({ "access_token": consign.canary("short"), "refresh_token": null });
    let ways = [
        ("You said no", "error=access_denied", Answer::status(500)),
        ("The redirect URL did not match", "error=redirect_uri_mismatch", Answer::status(500)),
        ("The tool refused the code", "code=1", Answer::json(400, &refused)),
        ("Connected, but it will stop", "code=1", token(&stops)),
        ("Connected", "code=1", token(&renewed)),
    ];
    let mut faults = Vec::new();
    for (title, query, answer) in ways {
        tool.answer(answer);
        let open = async || {
            come_back(&browser, &base, &id, query).await;
            let shown = browser.run("return document.querySelector('h1').textContent.trim()", vec![]).await;
            assert_eq!(shown, json!(title));
        };
        faults.extend(faults_at(&browser, title, open).await);
    }
    browser.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    consign.finish().await;
}
