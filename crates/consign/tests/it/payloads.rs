//! Text that somebody else wrote, stored in every field that is shown, in a browser that would run it: nothing runs,
//! the browser has nothing to report, and no page grows wider than a small screen.

use std::collections::{BTreeMap, BTreeSet};

use consign_core::secret::Secret;
use serde_json::{Value, json};

use crate::harness::{EMAIL, Kind, TestConsign, eventually, id_of};
use crate::peers::Tool;
use crate::peers::browser::Browser;
use crate::peers::mail_server::{MailServer, Manners};
use crate::saml::hide_key;
use crate::tours::{page_at, pages_to_see};

use stored::{incident, store, waiting_run};

mod stored;

/// What is tried: elements, attributes, addresses, ways out of quotation, of comments and of templates, and text that
/// is only long or written from right to left.
const PAYLOADS: [&str; 30] = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "<img src=x onerror=alert`1`>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<iframe src=javascript:alert(1)>",
    "<a href=\"javascript:alert(1)\" autofocus onfocus=alert(1) tabindex=0>x</a>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<form action=//evil.example><button>x</button></form>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=\"0;url=//evil.example\">",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</template><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "\" onmouseover=\"alert(1)\" x=\"",
    "javascript:alert(1)//",
    "{{ 7 * 7 }}{% raw %}{{ config }}",
    "\u{202e}txt.exe\u{2066}&lt;b&gt;&#60;script&#62;",
    "eineinzigesWortDasNiemandTrenntUndDasJedeSpalteSprengenMoechteWeilEsKeinEndeNimmt",
];

/// Before anything of a page runs: notes what the page tries.
const WATCH: &str = "window.seen = [];
    for (const name of ['alert', 'confirm', 'prompt', 'print', 'open']) window[name] = (...all) => seen.push(`${name}: ${all}`);
    document.addEventListener('securitypolicyviolation', (event) =>
        seen.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
    window.addEventListener('error', (event) => { if (event.message) seen.push(`error: ${event.message}`); });";

/// What a page was made to do, and what stands on it that nobody of us put there.
const FOUND: &str = "const own = [...document.querySelectorAll('script, style, iframe, base, img, video, math, link, meta, form')]
        .filter((node) => !(node.matches('script[src^=\"/assets/\"]') || node.matches('link[href^=\"/assets/\"], link[rel=icon]')
            || node.matches('meta[charset], meta[name=viewport]')
            || (node.matches('form') && new URL(node.getAttribute('action') || '', location.href).origin === location.origin)));
    const handlers = [...document.querySelectorAll('*')].filter((node) =>
        [...node.attributes].some((attribute) => /^on/i.test(attribute.name)));
    const links = [...document.querySelectorAll('a[href]')].filter((a) => !/^https?:$/.test(a.protocol));
    return [...seen, ...own.concat(handlers, links).map((node) => node.outerHTML)];";

/// What reaches out of a page that must be scrolled sideways.
const TOO_WIDE: &str = "if (document.scrollingElement.scrollWidth <= innerWidth) return null;
    const out = [...document.querySelectorAll('main :not(thead, thead *)')].filter((node) => node.getBoundingClientRect().right > innerWidth);
    return (out.at(-1) || document.body).outerHTML.slice(0, 300);";

/// In the answer of the mail server, on one line of ASCII.
const OF_MAIL_SERVER: &str = "421 <script>alert(1)</script>\"><img src=x onerror=alert(1)>";

/// Pages that show nothing of what is stored but the frame that they share with the others, or are there before anything
/// is stored.
const NOT_OPENED: [&str; 12] = [
    "/docs",
    "/docs/{name}",
    "/docs/api/{subject}",
    "/docs/api/schemas/{name}",
    "/docs/problems",
    "/docs/problems/{name}",
    "/design",
    "/setup/{token}",
    "/demo/{token}",
    // Of somebody whose sign-in has a second step: fields for a code and a password.
    "/sign-in/code",
    "/account/two-step/off",
    "/account/recovery-codes",
];

/// Pages that are the same page for every object, or for none.
const FIXED: [&str; 35] = [
    "/",
    "/credentials",
    "/credentials/new",
    "/webhooks",
    "/webhooks/new",
    "/exporters",
    "/exporters/new",
    "/gateways",
    "/gateways/new",
    "/deliveries",
    "/deliveries/replay",
    "/events",
    "/operations",
    "/api-keys",
    "/api-keys/new",
    "/users",
    "/users/new",
    "/audit",
    "/settings",
    "/settings/sign-in",
    "/settings/egress",
    "/settings/encryption",
    "/settings/delivery",
    "/settings/delivery/pause",
    "/settings/backup",
    "/settings/notifications",
    "/settings/replicas",
    "/settings/about",
    "/settings/about/licences",
    "/settings/about/support-bundle",
    "/welcome",
    "/welcome/key",
    "/account",
    "/account/password",
    "/account/two-step/on",
];

/// So many entries of each action are opened.
const ENTRIES: usize = 2;

/// What is done on a page to come to another one.
#[derive(Clone, Copy)]
enum Press {
    /// A payload is opened.
    Payload,
    /// A gateway is tried.
    Trial,
    /// The tool is left, and it refuses the code.
    Approval,
}

impl Press {
    /// How it is done, and what the page then has.
    fn steps(self) -> (&'static str, &'static str) {
        match self {
            Self::Payload => (
                "setTimeout(() => document.querySelector(`form[action$='/payload']`).requestSubmit())",
                "form[action$='/payload'] [name=as]",
            ),
            Self::Trial => {
                ("setTimeout(() => document.querySelector(`form[action*='/try']`).requestSubmit())", "#answer")
            }
            Self::Approval => (
                "const state = new URL(document.querySelector('a[rel=noreferrer]').href).searchParams.get('state');
                const [, , id] = location.pathname.split('/');
                setTimeout(() => { location.href = `/oauth/callback/${id}?state=${state}&code=1`; });",
                "#reference",
            ),
        }
    }
}

/// A page to open, and what is pressed there.
struct Page {
    path: String,
    press: Option<Press>,
}

impl Page {
    fn at(path: impl Into<String>) -> Self {
        Self { path: path.into(), press: None }
    }

    fn press(self, press: Press) -> Self {
        Self { press: Some(press), ..self }
    }
}

/// Pages that are opened while the installation and its administrator are named so.
struct Set {
    name: String,
    signed_in: bool,
    pages: Vec<Page>,
}

/// Every payload, two in each text: one begins it, and is short enough that most of the other fits into a name. What is
/// an address only from its beginning is among those that begin.
fn pairs() -> Vec<String> {
    let mut sorted = PAYLOADS;
    sorted.sort_by_key(|payload| payload.chars().count());
    let (short, long) = sorted.split_at(PAYLOADS.len() / 2);
    assert!(short.iter().any(|payload| payload.starts_with("javascript:")));
    short.iter().zip(long.iter().rev()).map(|(short, long)| format!("{short}{long}")).collect()
}

/// The beginning of a text, for a field that takes so many characters.
fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// A Consign whose operator set what can be set.
async fn start(mail: &MailServer) -> TestConsign {
    let url = format!("smtps://consign:word@127.0.0.1:{}", mail.port());
    let consign = TestConsign::on(Kind::Sqlite, move |config| {
        config.backup.dir = Some(config.data.dir.join("backups"));
        config.smtp.url = Some(Secret::new(url.clone()));
        config.smtp.from = Some("Consign <consign@acme.example>".to_owned());
        config.auth.oidc.issuer = Some("https://login.example.org/".to_owned());
        config.auth.oidc.client_id = Some(PAYLOADS[2].to_owned());
        config.auth.oidc.admin_group = Some(PAYLOADS[5].to_owned());
        config.auth.oidc.name = Some(PAYLOADS[3].to_owned());
    })
    .await;
    hide_key(&consign);
    consign
}

/// The pages that belong to no set of texts, and what they show.
async fn others(consign: &TestConsign, tool: &Tool, exporter: &str) -> Vec<Page> {
    let emails: Vec<_> = pairs().iter().map(|text| format!("{} <ops@acme.example>", cut(text, 80))).collect();
    consign.patch("/notifications", &json!({ "emails": emails })).await.expect(200);
    let again =
        json!({ "filter": { "q": PAYLOADS[13], "state": ["failed", "delivered"] }, "rate_per_second": 50 });
    let again = consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&again)).await.expect(202);
    consign.until_idle().await;
    let backup = consign.backup().await;
    let name = backup["result"]["name"].as_str().unwrap();
    let run = waiting_run(consign, tool, exporter).await;
    incident(consign, tool).await;
    eventually("the mail server to refuse", async || {
        consign.look_for_notices().await;
        consign.page("/settings").await.text().contains("Notices cannot be mailed").then_some(())
    })
    .await;
    let mut pages: Vec<_> = FIXED.iter().map(|path| Page::at(*path)).collect();
    pages.extend([
        Page::at(format!("/operations/{}", id_of(&again.json()))),
        Page::at(format!("/operations/{}", id_of(&backup))),
        Page::at(format!("/settings/backup/{name}/download")),
        Page::at(format!("{run}/cancel")),
        Page::at(run),
    ]);
    let mut opened: BTreeMap<String, usize> = BTreeMap::new();
    for entry in consign.all("/audit-entries").await {
        let count = opened.entry(entry["action"].to_string()).or_default();
        *count += 1;
        if *count <= ENTRIES {
            pages.push(Page::at(format!("/audit/{}", entry["sequence"])));
        }
    }
    pages
}

/// What is wrong with the page that is shown.
async fn faults(browser: &Browser, page: &str) -> Vec<String> {
    let found = browser.run(FOUND, vec![]).await;
    let mut faults: Vec<_> =
        found.as_array().unwrap().iter().map(|fault| format!("{page}: {fault}")).collect();
    let wide = browser.run(TOO_WIDE, vec![]).await;
    if wide != Value::Null {
        faults.push(format!("{page}: wider than 320 px: {wide}"));
    }
    faults
}

/// Opens every page of some sets, once each, on a small screen. The texts are those of the set, also in the frame.
async fn look(consign: &TestConsign, ana: &str, sets: &[Set]) -> Vec<String> {
    let browser = Browser::start(true).await;
    browser.before_each_page(WATCH).await;
    browser.resize(320).await;
    let base = format!("http://{}", consign.address());
    let mut found = Vec::new();
    for set in sets {
        let name = json!({ "instance_name": cut(&set.name, 60) });
        consign.patch("/settings", &name).await.expect(200);
        let addresses = json!({ "outgoing_addresses": cut(&set.name, 400) });
        consign.patch("/settings/egress", &addresses).await.expect(200);
        consign.patch(ana, &json!({ "name": cut(&set.name, 80) })).await.expect(200);
        browser.be(&base, set.signed_in.then_some(&consign.session)).await;
        for page in &set.pages {
            browser.goto(&format!("{base}{}", page.path)).await;
            found.extend(faults(&browser, &page.path).await);
            if let Some(press) = page.press {
                let (script, shown) = press.steps();
                browser.run(script, vec![]).await;
                browser.until_there(shown).await;
                found.extend(faults(&browser, &format!("{}, one step on", page.path)).await);
            }
        }
    }
    // The watch sees what there is to see.
    let spoil = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)><a href=\"javascript:1\">x</a>');
        document.body.insertAdjacentHTML('beforeend', '<div id=wide>wide</div>');
        document.getElementById('wide').style.minWidth = '900px';";
    browser.run(spoil, vec![]).await;
    let seen = faults(&browser, "a spoilt page").await;
    assert!(
        seen.len() >= 4 && seen.iter().any(|fault| fault.contains("wider")),
        "it finds nothing: {seen:?}"
    );
    browser.close().await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_text_runs_nowhere_and_breaks_no_page() {
    let refuses = Some(("MAIL".to_owned(), OF_MAIL_SERVER.to_owned()));
    let mail = MailServer::start(Manners { implicit: true, refuses, ..Manners::default() }).await;
    let mut consign = start(&mail).await;
    let tool = Tool::start().await;
    let (mut sets, mut closed) = (Vec::new(), vec![Page::at("/sign-in")]);
    let mut last = String::new();
    for (number, name) in pairs().into_iter().enumerate() {
        let made = store(&consign, &tool, number).await;
        sets.push(Set { name, signed_in: true, pages: made.pages });
        closed.push(Page::at(made.invitation));
        last = made.exporter;
    }
    let name = PAYLOADS[3].to_owned();
    let pages = others(&consign, &tool, &last).await;
    sets.push(Set { name: name.clone(), signed_in: true, pages });
    sets.push(Set { name, signed_in: false, pages: closed });

    let opened: BTreeSet<_> =
        sets.iter().flat_map(|set| &set.pages).filter_map(|page| page_at(&page.path)).collect();
    let approved = ["/oauth/callback/{id}"];
    let missing: Vec<_> = pages_to_see()
        .into_iter()
        .filter(|page| !opened.contains(page) && !NOT_OPENED.contains(page) && !approved.contains(page))
        .collect();
    assert!(missing.is_empty(), "open {missing:?} as well, with a payload in all that they show");
    let twice: Vec<_> = NOT_OPENED.iter().filter(|page| opened.contains(*page)).collect();
    assert!(twice.is_empty(), "{twice:?} are opened");

    let ana = format!("/users/{}", id_of(&consign.get(&format!("/users/{EMAIL}")).await.json()));
    let (first, second) = sets.split_at(sets.len() / 2);
    let (mut found, more) = tokio::join!(look(&consign, &ana, first), look(&consign, &ana, second));
    found.extend(more);
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
    consign.allow_open();
    consign.finish().await;
}
