//! Pictures of the pages, for README and docs: a desk with a good day behind it and some trouble in front of it. The
//! stand-in tools of a test are on loopback; the pictures show the names that such tools have.
//!
//! `cargo xtask screenshots` names the folder and takes them all; the gate takes two, to see that it works, and sees that
//! no page of the console is left out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use consign::ops;
use serde_json::Value;

use crate::harness::{Database, Folder, Replica, Session, TestConsign};
use crate::peers::browser::Browser;
use crate::people::someone;
use crate::tours::{page_at, pages_to_see, with_backups};
use crate::two_step;

use desk::desk;

mod desk;
mod others;

const WIDTH: u32 = 1_280;
const HEIGHT_MAX: u32 = 1_400;

/// The origins of the stand-ins are shown as these.
const NAMES: [&str; 3] = [
    "https://acme.service-now.example/",
    "https://acme-sandbox.freshservice.example/",
    "https://jira.acme.example/",
];
const FILE_SERVER: &str = "sftp://sftp.acme-payroll.example:22/";
const OWN: &str = "https://consign.acme.example";

/// Pages of those who have switched two-step sign-in on.
const SECOND_STEP: [(&str, &str); 3] = [
    ("sign-in-code", "/sign-in/code"),
    ("two-step-off", "/account/two-step/off"),
    ("recovery-codes", "/account/recovery-codes"),
];

/// Puts one text in the place of another, wherever the page shows it.
const RENAME: &str = "const [from, to] = arguments;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replaceAll(from, to);
    for (const line of document.querySelectorAll('.middle')) {
        const text = line.title.replaceAll(from, to);
        line.title = text;
        line.children[0].textContent = text.slice(0, -10);
        line.children[1].textContent = text.slice(-10);
    }
    for (const field of document.querySelectorAll('input, textarea')) field.value = field.value.replaceAll(from, to);";

/// A picture to take: its name, and who looks at which page of which server.
struct Picture {
    name: &'static str,
    base: String,
    path: String,
    who: Option<Session>,
}

/// What a person chooses before a page tells something.
async fn choose(browser: &Browser, name: &str, shown: &[(String, String)]) {
    match name {
        "new-credential" => {
            browser.choose("start_from", "jira").await;
            browser.until_there("#f-url_address[value^='https']").await;
            browser.choose("authorization_type", "oauth2_authorization_code").await;
            browser.until_there("#f-client_secret").await;
        }
        "sftp-host-keys" => {
            let server = shown.iter().find(|(_, name)| name == FILE_SERVER).expect("a file server");
            crate::sftp_pages::choose_keys(browser, &server.0).await;
        }
        _ => {}
    }
}

/// Takes one in light and dark, and tells both.
async fn take(browser: &Browser, picture: &Picture, renamed: &[(String, String)]) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    for scheme in ["light", "dark"] {
        browser.be(&picture.base, picture.who.as_ref()).await;
        browser.prefer(scheme, false).await;
        browser.goto(&format!("{}{}", picture.base, picture.path)).await;
        let shown = picture.path.split('?').next().unwrap_or_default();
        assert_eq!(browser.path().await, shown, "{} leads elsewhere", picture.name);
        choose(browser, picture.name, renamed).await;
        for (from, to) in renamed {
            browser.run(RENAME, vec![Value::from(from.as_str()), Value::from(to.as_str())]).await;
        }
        let image = browser.picture(WIDTH, HEIGHT_MAX).await;
        assert!(image.starts_with(b"RIFF") && &image[8..12] == b"WEBP", "{} is no WebP", picture.name);
        assert!(image.len() > 6_000, "{} in {scheme} is empty: {} bytes", picture.name, image.len());
        taken.push(image);
    }
    assert_ne!(taken[0], taken[1], "{} looks the same in light and dark", picture.name);
    taken
}

/// Puts them into the folder, where one is named.
fn keep(folder: Option<&PathBuf>, name: &str, taken: &[Vec<u8>]) {
    let Some(folder) = folder else { return };
    std::fs::create_dir_all(folder).unwrap();
    for (scheme, picture) in ["light", "dark"].iter().zip(taken) {
        std::fs::write(folder.join(format!("{name}-{scheme}.webp")), picture).unwrap();
    }
}

/// What those see who have switched two-step sign-in on: at a server whose clock is that of their app.
async fn second_steps(browser: &Browser, folder: Option<&PathBuf>) {
    let consign = TestConsign::start().await;
    two_step::set_up(&consign).await;
    let base = format!("http://{}", consign.address());
    let half = Session { cookie: two_step::password_step(&consign).await, csrf: String::new() };
    for (name, path) in SECOND_STEP {
        let who = if path == "/sign-in/code" { &half } else { &consign.session };
        let picture = Picture { name, base: base.clone(), path: path.to_owned(), who: Some(who.clone()) };
        keep(folder, name, &take(browser, &picture, &[(base.clone(), OWN.to_owned())]).await);
    }
    consign.finish().await;
}

#[expect(clippy::disallowed_methods, reason = "the developer's command names the folder")]
fn folder() -> Option<PathBuf> {
    std::env::var_os("CONSIGN_SCREENSHOTS").map(PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_pictured_in_light_and_dark() {
    let mut consign = with_backups().await;
    let desk = desk(&consign).await;
    // The hours of the desk went by: its administrator signs in again.
    consign.session = consign.sign_in().await;
    let (sshd, of_exporters) = others::exporters(&consign, &desk.tools[0]).await;
    let of_administration = others::administration(&consign, &desk.tools[1]).await;
    let (_, viewer) = someone(&consign, "vera@acme.example", "viewer").await;
    let base = format!("http://{}", consign.address());
    let (first_folder, first_session) = (Folder::new("first"), consign.session.clone());
    let first = Replica::start(&first_folder, &Database::sqlite(&first_folder), &|_| {}).await.unwrap();
    let there = format!("http://{}", first.address);
    let set_up = ops::users::new_setup_link(&first.app).await.unwrap();
    let demo = ops::users::new_sign_in_link(&first.app);

    let of_ana = desk.pages.into_iter().chain(of_exporters).chain(of_administration);
    let ana = |(name, path)| Picture { name, base: base.clone(), path, who: Some(first_session.clone()) };
    let mut pictures: Vec<_> = of_ana.map(ana).collect();
    let other = |name, base: &str, path: String, who| Picture { name, base: base.to_owned(), path, who };
    pictures.extend([
        other("not-allowed", &base, "/settings".to_owned(), Some(viewer)),
        other("sign-in", &base, "/sign-in".to_owned(), None),
        other("set-up", &there, format!("/setup/{}", set_up.expose()), None),
        other("demo", &there, format!("/demo/{}", demo.expose()), None),
    ]);
    let mut renamed: Vec<_> =
        desk.tools.iter().zip(NAMES).map(|(tool, name)| (tool.origin(), name.to_owned())).collect();
    renamed.push((sshd.hostname(), FILE_SERVER.to_owned()));
    renamed.extend([&base, &there].map(|own| (own.clone(), OWN.to_owned())));

    let folder = folder();
    let browser = Browser::start(true).await;
    browser.resize(WIDTH).await;
    let few = if folder.is_some() { usize::MAX } else { 2 };
    let mut shown: BTreeSet<_> = pictures.iter().filter_map(|picture| page_at(&picture.path)).collect();
    for picture in pictures.iter().take(few) {
        keep(folder.as_ref(), picture.name, &take(&browser, picture, &renamed).await);
    }
    if folder.is_some() {
        second_steps(&browser, folder.as_ref()).await;
    }
    shown.extend(SECOND_STEP.iter().filter_map(|(_, path)| page_at(path)));
    let missing: Vec<_> = pages_to_see().difference(&shown).copied().collect();
    assert!(missing.is_empty(), "no picture shows {missing:?}");
    browser.close().await;
    first.stop().await;
    consign.allow_open();
    consign.finish().await;
}
