//! Every page of the console, looked at by an accessibility checker in light, dark and forced colours, and at a width
//! of 320 pixels. Which tour comes to which page is a table; a page that is in none fails a test.

use std::collections::BTreeSet;

use consign::{console, ops};
use serde_json::{Value, json};

use crate::browser::press_in_confirmation;
use crate::every_page::{pages, to_approve};
use crate::harness::database::Kind;
use crate::harness::{Database, EMAIL, Folder, Replica, TestConsign, bearer, id_of, variable};
use crate::peers::browser::Browser;
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool};

use table::{NO_PAGES, TOURS};

mod states;
mod table;

/// What the checker must find nothing of.
const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// The pages of the console, as their table names them.
pub(crate) fn pages_to_see() -> BTreeSet<&'static str> {
    let seen =
        console::addresses().filter(|(method, _)| method.as_str() == "GET").map(|(_, address)| address);
    seen.filter(|address| !NO_PAGES.contains(address)).collect()
}

/// Which of them an address is; one that varies comes after one that does not.
pub(crate) fn page_at(address: &str) -> Option<&'static str> {
    let address = address.split('?').next()?;
    let fits = |page: &&str| {
        let same_length = page.split('/').count() == address.split('/').count();
        let mut parts = page.split('/').zip(address.split('/'));
        same_length && parts.all(|(page, part)| page == part || page.starts_with('{'))
    };
    let pages = pages_to_see();
    pages.into_iter().filter(fits).min_by_key(|page| page.matches('{').count())
}

#[test]
fn every_page_is_in_a_tour() {
    let toured: BTreeSet<_> = TOURS.iter().flat_map(|(_, pages)| pages.iter().copied()).collect();
    let pages = pages_to_see();
    let missing: Vec<_> = pages.difference(&toured).collect();
    assert!(missing.is_empty(), "no tour comes to {missing:?}: add them to one");
    let gone: Vec<_> = toured.difference(&pages).collect();
    assert!(gone.is_empty(), "these are no pages any more: {gone:?}");
    assert_eq!(page_at("/users/new?x=1"), Some("/users/new"));
    assert_eq!(page_at("/users/usr_1"), Some("/users/{id}"));
    assert_eq!(page_at("/nowhere"), None);
}

/// A walk from page to page, with what the checker found.
pub(crate) struct Tour<'a> {
    name: &'static str,
    browser: &'a Browser,
    base: &'a str,
    seen: BTreeSet<&'static str>,
    faults: Vec<String>,
}

impl<'a> Tour<'a> {
    pub(crate) async fn start(name: &'static str, browser: &'a Browser, base: &'a str) -> Self {
        let checker = std::fs::read_to_string(variable("CONSIGN_TEST_AXE")).expect("axe-core can be read");
        browser.before_each_page(&checker).await;
        browser.resize(1280).await;
        Self { name, browser, base, seen: BTreeSet::new(), faults: Vec::new() }
    }

    /// Looks at pages by their addresses.
    pub(crate) async fn look(&mut self, pages: &[String]) {
        for path in pages {
            let (browser, base) = (self.browser, self.base);
            self.look_at(path, async || browser.goto(&format!("{base}{path}")).await).await;
        }
    }

    /// Looks at a page that is opened so.
    pub(crate) async fn look_at(&mut self, page: &str, open: impl AsyncFn()) {
        self.browser.prefer("light", false).await;
        open().await;
        self.seen.extend(page_at(&self.browser.path().await));
        let all = json!({ "type": "tag", "values": RULES });
        // What does not depend on colours is the same in all of them.
        let contrast = json!({ "type": "rule", "values": ["color-contrast"] });
        for (scheme, forced, rules) in
            [("light", false, &all), ("dark", false, &contrast), ("dark", true, &contrast)]
        {
            self.browser.prefer(scheme, forced).await;
            let found = found_by_checker(self.browser, rules).await;
            let forced = if forced { ", forced colours" } else { "" };
            self.faults.extend(found.into_iter().map(|fault| format!("{page} ({scheme}{forced}): {fault}")));
        }
        self.browser.resize(320).await;
        let width = self.browser.run("return document.scrollingElement.scrollWidth", vec![]).await;
        if width.as_u64().is_none_or(|width| width > 320) {
            self.faults.push(format!("{page}: {width} px wide at 320"));
        }
        self.browser.resize(1280).await;
    }

    /// Nothing was found, and every page was come to that the table promises.
    pub(crate) fn end(self) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        let promised =
            TOURS.iter().filter(|(name, _)| *name == self.name).flat_map(|(_, pages)| pages.iter());
        let missed: Vec<_> = promised.filter(|page| !self.seen.contains(*page)).collect();
        assert!(missed.is_empty(), "the tour {} did not come to {missed:?}", self.name);
    }
}

/// What the checker finds on the page that is shown, one line each.
async fn found_by_checker(browser: &Browser, rules: &Value) -> Vec<String> {
    let script = "const done = arguments[arguments.length - 1];
        axe.run(document, { runOnly: arguments[0], resultTypes: ['violations'] })
           .then((result) => done(result.violations), (error) => done([{ id: String(error), nodes: [] }]));";
    let found = browser.client.execute_async(script, vec![rules.clone()]).await.unwrap();
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
    let mut tour = Tour::start("empty", &browser, &base).await;
    tour.look(&[nobody.to_owned()]).await;
    // The checker sees what is wrong, when something is.
    let spoilt = async || {
        browser.goto(&format!("{base}{nobody}")).await;
        let spoil =
            "document.querySelector('main').innerHTML += '<img src=\"data:,\"><p id=\"pale\">pale</p>';
            const pale = document.getElementById('pale');
            pale.style.color = 'light-dark(black, #333)';
            pale.style.width = '900px';";
        browser.run(spoil, vec![]).await;
    };
    tour.look_at("a spoilt page", spoilt).await;
    let found = std::mem::take(&mut tour.faults).join("\n");
    for fault in ["(light): \"image-alt\"", "(dark): \"color-contrast\"", "px wide at 320"] {
        assert!(found.contains(fault), "{fault}: {found}");
    }
    browser.be(&base, Some(&consign.session)).await;
    let empty = [
        "/",
        "/credentials",
        "/credentials/new",
        "/webhooks",
        "/exporters",
        "/gateways",
        "/deliveries",
        "/deliveries/replay",
        "/operations",
        "/events",
        "/api-keys",
        "/docs",
        "/docs?q=key",
        "/docs/operations",
        "/docs/jira",
        "/docs/api",
        "/docs/api/webhooks",
        "/docs/api/schemas",
        "/docs/api/schemas/Credential",
        "/docs/problems",
        "/docs/problems/locked",
    ];
    tour.look(&empty.map(str::to_owned)).await;
    tour.end();
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_pages_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let pages = pages(&consign, &tool).await;
    browser.be(&base, Some(&consign.session)).await;
    let mut tour = Tour::start("connectors", &browser, &base).await;
    tour.look(&pages).await;
    states::of_connectors(&mut tour, &consign, &pages).await;
    tour.end();
    browser.close().await;
    consign.allow_open();
    consign.finish().await;
}

/// A Consign that has a folder for backups.
pub(crate) async fn with_backups() -> TestConsign {
    TestConsign::on(Kind::Sqlite, |config| config.backup.dir = Some(config.data.dir.join("backups"))).await
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
    let backup = consign.backup().await;
    let making = id_of(&backup);
    let backup = backup["result"]["name"].as_str().unwrap();
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
        "/settings/sign-in".to_owned(),
        "/settings/egress".to_owned(),
        "/settings/encryption".to_owned(),
        "/settings/about".to_owned(),
        "/settings/about/licences".to_owned(),
        "/settings/about/support-bundle".to_owned(),
        "/settings/delivery".to_owned(),
        "/settings/delivery/pause".to_owned(),
        "/settings/backup".to_owned(),
        format!("/operations/{making}"),
        format!("/settings/backup/{backup}/download"),
        "/settings/notifications".to_owned(),
        "/settings/replicas".to_owned(),
        "/welcome".to_owned(),
        "/welcome/key".to_owned(),
        "/account".to_owned(),
        "/account/password".to_owned(),
        "/account/two-step/on".to_owned(),
        "/api-keys".to_owned(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_administration_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let consign = with_backups().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let pages = administration(&consign).await;
    browser.be(&base, Some(&consign.session)).await;
    let mut tour = Tour::start("administration", &browser, &base).await;
    tour.look(&pages).await;
    let refused = async || {
        browser.goto(&format!("{base}/users/new")).await;
        browser.fill("email", "nobody@x").await;
        browser.press_words("Make invitation link").await;
        browser.until_shows("There is a problem").await;
    };
    tour.look_at("a refused invitation", refused).await;
    let judged = async || {
        browser.goto(&format!("{base}/settings/egress")).await;
        browser.fill("address", "https://10.21.0.5/").await;
        browser.press_words("Check").await;
        browser.until_shows("no rule of egress.allow names it").await;
    };
    tour.look_at("the verdict on an address", judged).await;
    states::of_administration(&mut tour, &consign).await;
    tour.end();
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_signing_in_are_accessible_in_light_and_dark_and_at_320_pixels() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    let (folder, (_, codes)) = (Folder::new("first"), crate::two_step::set_up(&consign).await);
    let database = Database::sqlite(&folder);
    let mut tour = Tour::start("signing in", &browser, &base).await;
    tour.look(&["/sign-in".to_owned()]).await;
    let first = Replica::start(&folder, &database, &|_| {}).await.unwrap();
    let there = format!("http://{}", first.address);
    states::not_set_up(&mut tour, &there).await;
    let set_up = ops::users::new_setup_link(&first.app).await.unwrap();
    let demo = ops::users::new_sign_in_link(&first.app);
    for path in [format!("/setup/{}", set_up.expose()), format!("/demo/{}", demo.expose())] {
        tour.look_at(&path, async || browser.goto(&format!("{there}{path}")).await).await;
    }
    first.stop().await;
    states::locked(&mut tour, &folder).await;
    browser.goto(&format!("{base}/sign-in")).await;
    browser.fill("email", EMAIL).await;
    browser.fill("password", &consign.password).await;
    browser.press_words("Sign in").await;
    browser.until_at("/sign-in/code").await;
    tour.look(&["/sign-in/code".to_owned()]).await;
    browser.fill("code", "123456").await;
    browser.press_words("Sign in").await;
    browser.until_shows("The code is not right").await;
    browser.fill("code", &codes[0]).await;
    browser.press_words("Sign in").await;
    browser.until_shows("Three steps").await;
    let account = ["/account", "/account/two-step/off", "/account/recovery-codes"];
    tour.look(&account.map(str::to_owned)).await;
    let renewed = async || {
        browser.goto(&format!("{base}/account/recovery-codes")).await;
        browser.fill("password", &consign.password).await;
        browser.press_words("Make new codes").await;
        browser.until_shows("These codes are shown once").await;
    };
    tour.look_at("recovery codes", renewed).await;
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
    tour.look_at("an invitation", invited).await;
    // In a dialog, where the page has one.
    browser.goto(&format!("{base}/users")).await;
    browser.press("a[href$='/suspend']").await;
    browser.until_shows("Suspend this person?").await;
    press_in_confirmation(&browser, "Suspend").await;
    browser.until_shows("This is the last administrator. Give someone else the role first.").await;
    states::too_many_tries(&mut tour, &consign).await;
    tour.end();
    browser.close().await;
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
    browser.be(&base, Some(&consign.session)).await;
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
    let mut tour = Tour::start("approval", &browser, &base).await;
    for (title, query, answer) in ways {
        tool.answer(answer);
        let open = async || {
            come_back(&browser, &base, &id, query).await;
            let shown = browser.run("return document.querySelector('h1').textContent.trim()", vec![]).await;
            assert_eq!(shown, json!(title));
        };
        tour.look_at(title, open).await;
    }
    tour.end();
    browser.close().await;
    consign.finish().await;
}
