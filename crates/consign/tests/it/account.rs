//! What a person does with their own account: password, time zone and theme, in the console, over the API and by command.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::page::unescape;
use crate::harness::{EMAIL, Reply, Session, TestConsign, form};
use crate::sign_in::{Jar, come, person, with_provider};
use crate::two_step;

const PAGE: &str = "/account/password";

on_both_databases! {
    a_password_is_changed_with_the_present_one
    a_time_zone_is_chosen_by_installation_and_person
    a_theme_is_chosen_wherever_one_is
}

/// Whether this password lets the administrator in.
async fn lets_in(consign: &TestConsign, password: &str) -> bool {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let typed = form(&[("email", EMAIL), ("password", password)]);
    let status = consign.client.send("POST", "/sign-in", &headers, typed).await.status;
    assert!([303, 422].contains(&status), "{status}");
    status == 303
}

/// A request of a person to the API, with email and password.
async fn as_person(
    consign: &TestConsign,
    method: &str,
    path: &str,
    password: &str,
    body: &Value,
    code: &str,
) -> Reply {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{EMAIL}:{password}")));
    let mut headers = vec![("authorization", basic.as_str()), ("content-type", "application/json")];
    if !code.is_empty() {
        headers.push(("consign-code", code));
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    consign.client.send(method, &format!("/api/v1{path}"), &headers, body).await
}

async fn a_password_is_changed_with_the_present_one(consign: TestConsign) {
    let (old, new) = (consign.password.clone(), consign.canary("the new password"));
    let elsewhere = consign.sign_in_again().await;
    let asked = consign.form(PAGE, "new_password").await;
    let typed = |present: &str, new: &str| asked.clone().set("password", present).set("new_password", new);
    for (present, new, sentence) in [
        ("not the password", new.as_str(), "The password is not right"),
        (&old, "short", "Password must be 12 characters or more"),
        (&old, "aaaaaaaaaaaaaaaa", "one of the first that are guessed"),
        (&old, "qwertyuiopasdfgh1234", "one of the first that are guessed"),
        (&old, "ana silva acme 2026", "one of the first that are guessed"),
        (&old, &old, "Choose another password than the present one"),
    ] {
        let told = consign.send_form(&typed(present, new)).await.expect(422).text();
        assert!(told.contains(sentence), "{sentence}: {told}");
    }
    consign.page("/account").await.expect(200);
    let done = consign.send_form(&typed(&old, &new)).await.expect(303);
    let told = consign.follow(&done).await.expect(200).text();
    assert!(told.contains("Your password is changed. Your other sessions have ended."), "{told}");
    consign.page("/webhooks").await.expect(200);
    consign.client.send("GET", "/webhooks", &[("cookie", &elsewhere.cookie)], "").await.expect(303);
    assert!(!lets_in(&consign, &old).await && lets_in(&consign, &new).await);
    let entries = consign.all("/audit-entries?action=own%20password").await;
    assert_eq!(entries[0]["changes"], json!({ "password": "replaced", "sessions_ended": 1 }));
    assert_eq!(entries[0]["actor"], "Ana Silva");

    // Over the API, in a session and without one.
    let third = consign.canary("the third password");
    let body = json!({ "password": new, "new_password": third });
    consign.call("PUT", "/me/password", &[], Some(&body)).await.expect(403);
    let csrf = [
        ("cookie", consign.session.cookie.as_str()),
        ("consign-csrf", consign.session.csrf.as_str()),
        ("content-type", "application/json"),
    ];
    consign.client.send("PUT", "/api/v1/me/password", &csrf, body.to_string()).await.expect(204);
    consign.page("/webhooks").await.expect(200);
    as_person(&consign, "PUT", "/me/password", &new, &body, "").await.expect(401);
    let fourth = consign.canary("the fourth password");
    let body = json!({ "password": third, "new_password": fourth });
    as_person(&consign, "PUT", "/me/password", &third, &body, "").await.expect(204);
    consign.page("/webhooks").await.expect(303);
    // Email and password are for one's own account and nothing else.
    as_person(&consign, "GET", "/credentials", &fourth, &Value::Null, "").await.expect(401);
    let me = as_person(&consign, "GET", "/me", &fourth, &Value::Null, "").await.expect(200).json();
    assert_eq!((&me["email"], &me["signs_in_with"]), (&json!(EMAIL), &json!("password")));

    // By command.
    let fifth = consign.canary("the fifth password");
    let words = [
        "account",
        "set-password",
        "--email",
        EMAIL,
        "--secret",
        "password=env:OLD",
        "--secret",
        "new_password=-",
    ];
    let command = consign.cli(&words).env("OLD", &fourth).input(&fifth);
    let ran = consign.run_as(command).await.expect(0);
    assert!(ran.stderr.contains("Changed your password"), "{}", ran.stderr);
    assert!(lets_in(&consign, &fifth).await);
    let unknown = ["account", "show", "--email", EMAIL, "--secret", "pasword=-"];
    let told = consign.run_as(consign.cli(&unknown).input(&fifth)).await.expect(2).stderr;
    assert!(told.contains("There is no secret pasword here"), "{told}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_are_slowed_wherever_they_are_typed() {
    let consign = TestConsign::start().await;
    let asked = consign.form(PAGE, "new_password").await;
    let wrong = asked.set("password", "not the password").set("new_password", "correct horse battery staple");
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(consign.send_form(&wrong).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let right = consign.password.clone();
    let told = as_person(&consign, "GET", "/me", &right, &Value::Null, "").await;
    assert!([200, 429].contains(&told.status));
    consign.advance(Duration::from_secs(3_600));
    for _ in 0..12 {
        let told = as_person(&consign, "GET", "/me", "not the password", &Value::Null, "").await;
        statuses.push(told.status);
    }
    assert!(statuses.contains(&401) && statuses.last() == Some(&429), "{statuses:?}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_second_step_the_code_goes_along() {
    let consign = TestConsign::start().await;
    let (mut app, codes) = two_step::set_up(&consign).await;
    app.wait(&consign, Duration::from_secs(30));
    let (old, new) = (consign.password.clone(), consign.canary("the new password"));
    let told = as_person(&consign, "GET", "/me", &old, &Value::Null, "").await.expect(401).json();
    assert!(
        told["detail"].as_str().unwrap().contains("Send the code of the app, too, as Consign-Code"),
        "{told}"
    );
    let entries = consign.all("/audit-entries?action=Refused%20sign-in").await;
    assert_eq!(entries[0]["changes"], json!({ "why": "code_missing" }), "somebody knew the password");
    as_person(&consign, "GET", "/me", &old, &Value::Null, "000000").await.expect(401);
    let body = json!({ "password": old, "new_password": new });
    let code = app.code();
    as_person(&consign, "PUT", "/me/password", &old, &body, &code).await.expect(204);
    as_person(&consign, "GET", "/me", &new, &Value::Null, &code).await.expect(401);
    as_person(&consign, "GET", "/me", &new, &Value::Null, &codes[0]).await.expect(200);
    as_person(&consign, "GET", "/me", &new, &Value::Null, &codes[0]).await.expect(401);
    let words =
        ["account", "set-time-zone", "Europe/Lisbon", "--email", EMAIL, "--secret", "password=-", "--secret"];
    let by_code = [words.as_slice(), &["code=env:CODE"]].concat();
    consign.run_as(consign.cli(&by_code).env("CODE", &codes[1]).input(&new)).await.expect(0);
    let told = as_person(&consign, "GET", "/me", &new, &Value::Null, &codes[2]).await.expect(200).json();
    assert_eq!((&told["time_zone"], &told["two_step"]), (&json!("Europe/Lisbon"), &json!(true)));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_by_a_provider_has_no_password_here() {
    let (mut consign, provider) = with_provider(Kind::Sqlite, true).await;
    let mut jar = Jar::default();
    let bo = person("bo", &json!({ "groups": ["consign admins"] }));
    come(&consign.client, &provider, &mut jar, &bo).await.expect(303);
    let account = jar.get(&consign.client, "/account").await.expect(200).text();
    assert!(account.contains("You sign in with Acme ID, and have no password here."), "{account}");
    assert!(!account.contains("Change password"), "{account}");
    consign.session =
        Session { csrf: crate::harness::session::value_of(&account, "csrf").unwrap(), cookie: jar.cookies() };
    let away = consign.page(PAGE).await.expect(303);
    assert!(consign.follow(&away).await.text().contains("have no password here"));
    let typed = [("password", "x"), ("new_password", "correct horse battery staple")];
    let away = consign.submit(PAGE, &typed).await.expect(303);
    assert_eq!(away.location(), "/account");
    consign.finish().await;
}

async fn a_time_zone_is_chosen_by_installation_and_person(consign: TestConsign) {
    let credential = consign.canary("token");
    consign.credential(&crate::harness::bearer("Tool", "https://tool.example.org/", &credential)).await;
    let exact = async |consign: &TestConsign| {
        let page = unescape(&consign.page("/account").await.expect(200).text());
        assert!(page.contains("list=\"") && page.contains("value=\"Europe/Lisbon\""), "{page}");
        consign.page("/audit").await.expect(200).text()
    };
    assert!(exact(&consign).await.contains(" UTC · "));
    assert_eq!(consign.get("/settings").await.json()["time_zone"], "UTC");
    let told = consign.patch("/settings", &json!({ "time_zone": "Lisbon" })).await.expect(422).json();
    assert_eq!(
        told["errors"][0]["message"],
        "There is no time zone “Lisbon”. Use a name such as Europe/Lisbon"
    );
    let form = consign.form("/settings", "time_zone").await;
    let told = consign.send_form(&form.clone().set("time_zone", "Nowhere/Land")).await.expect(422).text();
    let told = unescape(&told);
    assert!(told.contains("There is no time zone “Nowhere/Land”"), "{told}");
    consign.send_form(&form.set("time_zone", "asia/kolkata")).await.expect(303);
    let saved = consign.get("/settings").await.json();
    assert_eq!(saved["time_zone"], "Asia/Kolkata");
    assert!(exact(&consign).await.contains(" IST · "));
    let entries = consign.all("/audit-entries?action=settings").await;
    assert_eq!(entries[0]["changes"], json!({ "time_zone": { "old": "UTC", "new": "Asia/Kolkata" } }));

    let told = consign.patch("/settings", &json!({ "locale": "de" })).await.expect(422).json();
    assert_eq!(told["errors"][0]["message"], "Dates and times must be en-GB or en-US");
    let form = consign.form("/settings", "locale").await;
    assert_eq!(form.value("locale"), Some("en-GB"));
    consign.send_form(&form.set("locale", "en-US")).await.expect(303);
    let american = exact(&consign).await;
    assert!(american.contains(" AM IST · ") || american.contains(" PM IST · "), "{american}");
    let entries = consign.all("/audit-entries?action=settings").await;
    assert_eq!(entries[0]["changes"], json!({ "locale": { "old": "en-GB", "new": "en-US" } }));
    consign.run(&["settings", "set", "--locale", "en-GB"]).await.expect(0);
    assert_eq!(consign.get("/settings").await.json()["locale"], "en-GB");

    // Exporters that are made without one run by it; one with its own keeps that.
    let exporter = json!({ "name": "Nightly", "credential": "Tool", "path": "/x", "source": "pushed",
        "columns": [{ "name": "n" }], "schedule": "daily" });
    let made = consign.post("/exporters", &exporter).await.expect(201).json();
    assert_eq!(made["time_zone"], "Asia/Kolkata");
    assert!(made["next_run_at"].as_str().unwrap().contains("T20:30:00"), "02:00 there: {made}");
    let page = consign.form("/exporters/new?credential=Tool", "time_zone").await;
    assert_eq!(page.value("time_zone"), Some("Asia/Kolkata"));
    consign.run(&["settings", "set", "--time-zone", "Europe/Berlin"]).await.expect(0);
    assert_eq!(consign.get("/exporters/Nightly").await.json()["time_zone"], "Asia/Kolkata");

    // A person's own comes first.
    let form = consign.form("/account", "time_zone").await;
    let told = consign.send_form(&form.clone().set("time_zone", "Mars")).await.expect(422).text();
    assert!(told.contains("There is no time zone “Mars”"), "{told}");
    consign.send_form(&form.set("time_zone", "Asia/Tokyo")).await.expect(303);
    assert!(exact(&consign).await.contains(" JST · "));
    let password = consign.password.clone();
    let body = json!({ "time_zone": "" });
    let me = as_person(&consign, "PATCH", "/me", &password, &body, "").await.expect(200).json();
    assert_eq!(me["time_zone"], "");
    consign.call("PATCH", "/me", &[], Some(&body)).await.expect(403);
    assert!(exact(&consign).await.contains(" CE"), "of the installation again");
    consign.finish().await;
}

async fn a_theme_is_chosen_wherever_one_is(consign: TestConsign) {
    let shown = async || consign.page("/account").await.expect(200).text();
    let password = consign.password.clone();
    let me = as_person(&consign, "GET", "/me", &password, &Value::Null, "").await.expect(200).json();
    assert_eq!(me["theme"], "system");
    let body = json!({ "time_zone": "Europe/Lisbon" });
    as_person(&consign, "PATCH", "/me", &password, &body, "").await.expect(200);
    let body = json!({ "theme": "dark" });
    let me = as_person(&consign, "PATCH", "/me", &password, &body, "").await.expect(200).json();
    assert_eq!((&me["theme"], &me["time_zone"]), (&json!("dark"), &json!("Europe/Lisbon")));
    assert!(shown().await.contains("data-theme=\"dark\""));
    let body = json!({ "theme": "sepia" });
    let told = as_person(&consign, "PATCH", "/me", &password, &body, "").await.expect(422).json();
    assert_eq!(told["errors"][0]["message"], "Theme must be one of light, dark, system");
    consign.call("PATCH", "/me", &[], Some(&json!({ "theme": "light" }))).await.expect(403);

    // In the console, and by command.
    consign.submit("/theme", &[("theme", "light"), ("back", "/account")]).await.expect(303);
    let me = as_person(&consign, "GET", "/me", &password, &Value::Null, "").await.expect(200).json();
    assert_eq!(me["theme"], "light");
    let words = ["account", "set-theme", "system", "--email", EMAIL, "--secret", "password=-"];
    let ran = consign.run_as(consign.cli(&words).input(&password)).await.expect(0);
    assert!(ran.stderr.contains("Saved your theme"), "{}", ran.stderr);
    assert!(!shown().await.contains("data-theme"));
    consign.finish().await;
}
