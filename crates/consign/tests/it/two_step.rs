//! Two-step sign-in: set up, asked for, used once, slowed, reset; without scripts.

use std::time::Duration;

use aws_lc_rs::hmac;
use consign_core::time::Timestamp;
use consign_core::totp::from_base32;
use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::page::{form_with, unescape};
use crate::harness::{EMAIL, Reply, Session, TestConsign, form, session_of};
use crate::people::as_person;

const STEP: Duration = Duration::from_secs(30);

/// RFC 6238 written down a second time: the codes must be those of everybody's apps.
fn code(key: &str, at: Timestamp) -> String {
    let counter = (at.seconds() / 30).to_be_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &from_base32(key).unwrap());
    let tag = hmac::sign(&key, &counter);
    let tag = tag.as_ref();
    let start = usize::from(tag[19] & 15);
    let number = u32::from_be_bytes([tag[start] & 0x7f, tag[start + 1], tag[start + 2], tag[start + 3]]);
    format!("{:06}", number % 1_000_000)
}

/// What an app knows: the key, and the time on the server.
pub(crate) struct App {
    key: String,
    ahead: Duration,
}

impl App {
    pub(crate) fn code(&self) -> String {
        code(&self.key, consign_store::local_now().plus(self.ahead))
    }

    pub(crate) fn wait(&mut self, consign: &TestConsign, by: Duration) {
        consign.advance(by);
        self.ahead += by;
    }
}

/// Sets it up as the person signed in: the app, and the recovery codes.
pub(crate) async fn set_up(consign: &TestConsign) -> (App, Vec<String>) {
    let page = consign.page("/account/two-step/on").await.expect(200).text();
    assert!(page.contains("<svg class=\"qr\""), "{page}");
    let (_, key) = page.split_once("id=\"totp-key\" value=\"").unwrap();
    let key = key.split('"').next().unwrap().replace(' ', "");
    consign.canaries.shown_once("the key of the codes", &key);
    let app = App { key, ahead: Duration::ZERO };
    let form = form_with(&page, "/account/two-step/on", "sealed");
    let wrong = form.clone().set("code", "000000").set("password", &consign.password);
    let told = consign.send_form(&wrong).await.expect(422).text();
    assert!(told.contains("The code does not fit this key"), "{told}");
    let right = form_with(&told, "/account/two-step/on", "sealed").set("code", &app.code());
    let told = consign.send_form(&right).await.expect(422).text();
    assert!(told.contains("Enter your password again"), "{told}");
    let done = consign.send_form(&right.set("password", &consign.password)).await.expect(200).text();
    let (_, codes) = done.split_once("id=\"recovery\"").unwrap();
    let codes = codes.split_once('>').unwrap().1.split('<').next().unwrap();
    let codes: Vec<_> = codes.lines().map(str::to_owned).collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    for code in &codes {
        consign.canaries.shown_once("a recovery code", code);
        consign.canaries.never_shown("a recovery code", &code.replace('-', ""));
    }
    (app, codes)
}

const HEADERS: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];

/// The cookie of somebody whose code is missing.
pub(crate) async fn password_step(consign: &TestConsign) -> String {
    let body = form(&[("email", EMAIL), ("password", &consign.password), ("next", "/webhooks")]);
    let reply = consign.client.send("POST", "/sign-in", &HEADERS, body).await.expect(303);
    assert_eq!(reply.location(), "/sign-in/code?next=%2Fwebhooks");
    let cookies = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
    let cookies: Vec<_> = cookies.collect();
    assert!(
        cookies.iter().all(|cookie| !cookie.starts_with("consign-local=")),
        "no session yet: {cookies:?}"
    );
    cookies[0].split(';').next().unwrap().to_owned()
}

async fn code_step(consign: &TestConsign, cookie: &str, code: &str) -> Reply {
    let headers = [HEADERS[0], HEADERS[1], ("cookie", cookie)];
    consign
        .client
        .send("POST", "/sign-in/code", &headers, form(&[("code", code), ("next", "/webhooks")]))
        .await
}

pub(crate) async fn enter(consign: &TestConsign, code: &str) -> Session {
    let cookie = password_step(consign).await;
    let reply = code_step(consign, &cookie, code).await.expect(303);
    assert_eq!(reply.location(), "/webhooks");
    session_of(&consign.client, &reply).await
}

on_both_databases! { a_code_is_asked_for_and_works_once }

async fn a_code_is_asked_for_and_works_once(mut consign: TestConsign) {
    let (mut app, _) = set_up(&consign).await;
    // The code of the set-up was used.
    let cookie = password_step(&consign).await;
    let told = code_step(&consign, &cookie, &app.code()).await.expect(422).text();
    assert!(told.contains("was used already"), "{told}");
    app.wait(&consign, STEP);
    let used = app.code();
    let reply = code_step(&consign, &cookie, &used).await.expect(303);
    consign.session = session_of(&consign.client, &reply).await;
    // Neither the code nor the step before it serves twice.
    let again = password_step(&consign).await;
    code_step(&consign, &again, &used).await.expect(422);
    assert_eq!(code_step(&consign, &cookie, &used).await.expect(303).location(), "/sign-in");
    // Without the step before it there is nothing to enter.
    let nobody = consign.client.send("GET", "/sign-in/code", &[], "").await.expect(303);
    assert_eq!(nobody.location(), "/sign-in");
    app.wait(&consign, STEP);
    let late = password_step(&consign).await;
    app.wait(&consign, Duration::from_secs(601));
    assert_eq!(code_step(&consign, &late, &app.code()).await.expect(303).location(), "/sign-in");
    consign.session = enter(&consign, &app.code()).await;
    let entries = consign.all("/audit-entries").await;
    let of = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((of("Switched two-step sign-in on"), of("Refused sign-in")), (1, 2));
    let refused = entries.iter().find(|entry| entry["action"] == "Refused sign-in").unwrap();
    assert_eq!((&refused["result"], &refused["changes"]), (&json!("refused"), &json!({ "why": "code" })));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_code_works_once_and_new_ones_replace_the_old() {
    let mut consign = TestConsign::start().await;
    let (_, codes) = set_up(&consign).await;
    consign.session = enter(&consign, &codes[0].to_uppercase()).await;
    let account = consign.page("/account").await.expect(200).text();
    assert!(account.contains("9 recovery codes are left"), "{account}");
    let cookie = password_step(&consign).await;
    code_step(&consign, &cookie, &codes[0]).await.expect(422);
    code_step(&consign, &cookie, &codes[1]).await.expect(303);

    let ask = consign.form("/account/recovery-codes", "password").await;
    consign.send_form(&ask).await.expect(422);
    let shown = consign.send_form(&ask.set("password", &consign.password)).await.expect(200).text();
    let (_, new) = shown.split_once("id=\"recovery\"").unwrap();
    let new = new.split_once('>').unwrap().1.split('<').next().unwrap();
    for code in new.lines() {
        consign.canaries.shown_once("a new recovery code", code);
    }
    let cookie = password_step(&consign).await;
    code_step(&consign, &cookie, &codes[2]).await.expect(422);
    code_step(&consign, &cookie, new.lines().next().unwrap()).await.expect(303);

    let off = consign.form("/account/two-step/off", "password").await.set("password", &consign.password);
    let reply = consign.send_form(&off).await.expect(303);
    let told = consign.follow(&reply).await.expect(200).text();
    assert!(unescape(&told).contains("Two-step sign-in is off."), "{told}");
    let body = form(&[("email", EMAIL), ("password", &consign.password)]);
    let reply = consign.client.send("POST", "/sign-in", &HEADERS, body).await.expect(303);
    assert_eq!(reply.location(), "/");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_of_a_code_are_slowed() {
    let consign = TestConsign::start().await;
    let (mut app, _) = set_up(&consign).await;
    let cookie = password_step(&consign).await;
    for _ in 0..5 {
        code_step(&consign, &cookie, "123").await.expect(422);
    }
    let braked = code_step(&consign, &cookie, "123").await.expect(429);
    assert!(braked.header("retry-after").is_some());
    app.wait(&consign, STEP);
    // A new password step does not start the count anew.
    let other = password_step(&consign).await;
    code_step(&consign, &other, "123").await.expect(422);
    let again = code_step(&consign, &other, &app.code()).await;
    assert_eq!(again.status, 429, "the right code has to wait, too");
    app.wait(&consign, Duration::from_secs(90));
    code_step(&consign, &other, &app.code()).await.expect(303);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_knows_the_password_keeps_nobody_from_their_code() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let (mut app, _) = set_up(&consign).await;
    app.wait(&consign, STEP);
    let cookie = password_step(&consign).await;
    let enter = async |from: &str, code: &str| {
        let headers = [HEADERS[0], HEADERS[1], ("cookie", &cookie), ("x-forwarded-for", from)];
        consign.client.send("POST", "/sign-in/code", &headers, form(&[("code", code)])).await
    };
    for _ in 0..5 {
        enter("203.0.113.9", "123").await.expect(422);
    }
    enter("203.0.113.9", "123").await.expect(429);
    enter("198.51.100.7", &app.code()).await.expect(303);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_resets_the_second_step() {
    let consign = TestConsign::start().await;
    set_up(&consign).await;
    let person = consign.get(&format!("/users/{EMAIL}")).await.expect(200).json();
    assert_eq!(person["two_step"], true);
    let reset = format!("/users/{EMAIL}/two-step");
    // A session alone does not undo its own second step by another door.
    let id = crate::harness::id_of(&person);
    let told = consign.submit(&format!("/users/{id}/reset-two-step"), &[]).await.expect(422).text();
    assert!(told.contains("Enter your password again"), "{told}");
    for (body, code) in [(json!(null), "missing"), (json!({ "password": "not the password" }), "wrong")] {
        let refused = as_person(&consign, "DELETE", &reset, &body).await.expect(422).json();
        assert_eq!(refused["errors"][0]["code"], code, "{refused}");
    }
    as_person(&consign, "DELETE", &reset, &json!({ "passwort": "x" })).await.expect(422);
    assert_eq!(consign.get(&format!("/users/{EMAIL}")).await.json()["two_step"], true);
    let told = consign.call("DELETE", &reset, &[], None).await.expect(403).text();
    assert!(told.contains("API keys make nobody an administrator"), "{told}");
    let body = json!({ "password": consign.password });
    let person = as_person(&consign, "DELETE", &reset, &body).await.expect(200).json();
    assert_eq!(person["two_step"], false);
    consign.page("/account").await.expect(303);
    let body = form(&[("email", EMAIL), ("password", &consign.password)]);
    let reply = consign.client.send("POST", "/sign-in", &HEADERS, body).await.expect(303);
    assert_eq!(reply.location(), "/");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_step_taken_out_of_the_database_lets_nobody_in() {
    let mut consign = TestConsign::start().await;
    set_up(&consign).await;
    consign.stop().await;
    consign.database.execute("update users set totp = null, totp_at = null, recovery_codes = null").await;
    consign.start_again().await;
    let body = form(&[("email", EMAIL), ("password", &consign.password)]);
    consign.client.send("POST", "/sign-in", &HEADERS, body).await.expect(422);
    consign.abandon().await;
}
