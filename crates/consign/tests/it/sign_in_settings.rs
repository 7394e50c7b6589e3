//! Settings of signing in: what is chosen holds at once, and nobody locks themselves out.

use std::time::Duration;

use consign::config::Source;
use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::page::unescape;
use crate::harness::session::value_of;
use crate::harness::{EMAIL, Session, TestConsign, eventually, form, id_of};
use crate::people::{as_person, someone};
use crate::sign_in::{Jar, come, person, with_provider};
use crate::two_step;

const PLACE: &str = "/settings/sign-in";
const MINUTE: Duration = Duration::from_secs(60);

on_both_databases! {
    how_long_a_session_lives_is_chosen
    a_second_step_is_required_from_the_next_sign_in_on
}

async fn how_long_a_session_lives_is_chosen(mut consign: TestConsign) {
    let first = consign.get(PLACE).await.expect(200).json();
    assert_eq!((&first["session_hours"], &first["idle_minutes"]), (&json!(12), &json!(30)));
    assert_eq!((&first["local"], &first["oidc"]), (&json!(true), &json!(null)));
    consign.call("PATCH", PLACE, &[], Some(&json!({ "session_hours": 1 }))).await.expect(428);
    let chosen = json!({ "session_hours": 1, "idle_minutes": 90 });
    let chosen = consign.patch(PLACE, &chosen).await.expect(200).json();
    assert_eq!((&chosen["session_hours"], &chosen["idle_minutes"]), (&json!(1), &json!(90)));
    for (wrong, sentence) in [
        (json!({ "session_hours": 0 }), "Session length must be from 1 to 720 hours"),
        (json!({ "session_hours": "soon" }), "Session length must be from 1 to 720 hours"),
        (json!({ "idle_minutes": 43_201 }), "Idle time must be from 1 to 43200 minutes"),
        (json!({ "local": "yes" }), "Sign-in with passwords must be true or false"),
        (json!({ "local": false }), "no OpenID provider is configured, so nobody could sign in"),
        (json!({ "sessions": 3 }), "“sessions” is not known"),
    ] {
        let told = consign.patch(PLACE, &wrong).await.expect(422).text();
        assert!(told.contains(sentence), "{wrong}: {told}");
    }
    let stale = first["etag"].as_str().unwrap();
    consign
        .call("PATCH", PLACE, &[("if-match", stale)], Some(&json!({ "session_hours": 2 })))
        .await
        .expect(412);

    // Sessions that are there already are judged by it.
    consign.advance(59 * MINUTE);
    consign.page("/webhooks").await.expect(200);
    consign.advance(2 * MINUTE);
    assert_eq!(consign.page("/webhooks").await.expect(303).location(), "/sign-in?next=/webhooks");
    consign.session = consign.sign_in_again().await;
    consign
        .run(&["settings", "set-sign-in", "--session-hours", "default", "--idle-minutes", "5"])
        .await
        .expect(0);
    let shown = consign.run(&["settings", "sign-in", "--json"]).await.expect(0).json();
    assert_eq!((&shown["session_hours"], &shown["idle_minutes"]), (&json!(12), &json!(5)));
    consign.run(&["settings", "set-sign-in"]).await.expect(2);
    let told = consign.run(&["settings", "set-sign-in", "--session-hours", "soon"]).await.expect(7).stderr;
    assert!(told.contains("Session length must be from 1 to 720 hours"), "{told}");
    consign.advance(4 * MINUTE);
    consign.page("/webhooks").await.expect(200);
    consign.advance(6 * MINUTE);
    consign.page("/webhooks").await.expect(303);
    let entries = consign.all("/audit-entries?action=sign-in%20settings").await;
    let idle = json!({ "idle_minutes": { "old": 90, "new": 5 }, "session_hours": { "old": 1, "new": 12 } });
    assert_eq!((entries.len(), &entries[0]["changes"]), (2, &idle));
    let viewer = consign.make_key(&["deliveries:read"]).await;
    consign.call_as(&viewer, "GET", PLACE, &[], "").await.expect(403);
    consign.finish().await;
}

/// Signs in and goes where that leads: the session, and the page's address.
async fn enter(consign: &TestConsign, email: &str, password: &str) -> (Session, String) {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let typed = form(&[("email", email), ("password", password), ("next", "/webhooks")]);
    let reply = consign.client.send("POST", "/sign-in", &headers, typed).await.expect(303);
    let cookies = reply.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let cookie = cookies
        .filter_map(|cookie| cookie.split(';').next())
        .find(|cookie| cookie.starts_with("consign-local="));
    let cookie = cookie.expect("a session").to_owned();
    consign.canaries.never_shown("the session", cookie.split_once('=').unwrap().1);
    let there = consign.client.send("GET", "/webhooks", &[("cookie", &cookie)], "").await;
    if there.status == 200 {
        return (Session { csrf: value_of(&there.text(), "csrf").unwrap(), cookie }, "/webhooks".to_owned());
    }
    let led = there.expect(303).location();
    let page = consign.client.send("GET", &led, &[("cookie", &cookie)], "").await.expect(200).text();
    (Session { csrf: value_of(&page, "csrf").unwrap(), cookie }, led)
}

async fn a_second_step_is_required_from_the_next_sign_in_on(mut consign: TestConsign) {
    // In the console, where the password is asked for again.
    let page = consign.form(PLACE, "session_hours").await;
    let wish = page.with("two_step_required", "1");
    let told = consign.send_form(&wish).await.expect(422).text();
    assert!(told.contains("Enter your password again"), "{told}");
    let wrong = consign.send_form(&wish.clone().set("password", "not the password")).await.expect(422).text();
    assert!(wrong.contains("checked"), "what was chosen stays: {wrong}");
    consign.send_form(&wish.clone().set("password", &consign.password).without("etag")).await.expect(409);
    let done = consign.send_form(&wish.set("password", &consign.password)).await.expect(303);
    assert!(consign.follow(&done).await.text().contains("Saved. It holds from now on."));
    assert_eq!(consign.get(PLACE).await.json()["two_step_required"], true);

    // Whoever is there goes on; whoever comes sets it up first.
    consign.page("/webhooks").await.expect(200);
    let password = consign.password.clone();
    let (session, led) = enter(&consign, EMAIL, &password).await;
    assert_eq!(led, "/account/two-step/on");
    let cookie = session.cookie.clone();
    let headers = [("cookie", cookie.as_str()), ("consign-csrf", session.csrf.as_str())];
    let refused = consign.client.send("GET", "/api/v1/me", &headers, "").await.expect(403).json();
    assert_eq!(
        refused["detail"],
        "Two-step sign-in is required here. Sign in to the console and set it up first."
    );
    for closed in ["/", "/account", "/account/password", "/settings/sign-in", "/nowhere"] {
        let away = consign.client.send("GET", closed, &[headers[0]], "").await.expect(303);
        assert_eq!(away.location(), "/account/two-step/on", "{closed}");
    }
    consign.client.send("GET", "/docs", &[headers[0]], "").await.expect(200);
    consign.session = session;
    let page = consign.page("/account/two-step/on").await.expect(200).text();
    assert!(page.contains("Two-step sign-in is required here. Set it up to go on."), "{page}");
    two_step::set_up(&consign).await;
    consign.page("/webhooks").await.expect(200);
    let account = consign.page("/account").await.expect(200).text();
    assert!(
        account.contains("It is required here, so it stays on") && !account.contains("/account/two-step/off")
    );
    let off = consign.submit("/account/two-step/off", &[("password", &password)]).await.expect(303);
    assert!(consign.follow(&off).await.text().contains("Two-step sign-in is required here, so it stays on"));

    // Not required any more, it can be switched off, and nobody is held up.
    consign.run(&["settings", "set-sign-in", "--two-step-required", "false"]).await.expect(0);
    consign.submit("/account/two-step/off", &[("password", &password)]).await.expect(303);
    assert_eq!(enter(&consign, EMAIL, &password).await.1, "/webhooks");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_set_is_shown_and_stays() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.auth.session_hours = 8;
        let variable = Source::Environment("CONSIGN_AUTH_SESSION_HOURS".to_owned());
        config.sources.insert("auth.session_hours", variable);
    })
    .await;
    let page = consign.page(PLACE).await.expect(200).text();
    assert!(
        page.contains("Set by CONSIGN_AUTH_SESSION_HOURS.") && !page.contains("name=\"session_hours\""),
        "{page}"
    );
    let told = consign.patch(PLACE, &json!({ "session_hours": 9 })).await.expect(422).json();
    assert_eq!(told["errors"][0]["message"], "Session length is set by CONSIGN_AUTH_SESSION_HOURS");
    let whole = consign.get(PLACE).await.json();
    assert_eq!((&whole["session_hours"], &whole["idle_minutes_set_by"]), (&json!(8), &json!(null)));
    let same = consign.patch(PLACE, &whole).await.expect(200).json();
    assert_eq!(same["etag"], whole["etag"], "what was read can be sent back");
    let form = consign.form(PLACE, "idle_minutes").await.set("idle_minutes", "45");
    consign.send_form(&form.set("password", &consign.password)).await.expect(303);
    assert_eq!(consign.get(PLACE).await.json()["idle_minutes"], 45);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_switched_off_only_while_somebody_else_can_switch_them_on() {
    let (consign, provider) = with_provider(Kind::Sqlite, true).await;
    let off = json!({ "local": false });
    let told = consign.patch(PLACE, &off).await.expect(422).text();
    assert!(told.contains("no administrator signs in with Acme ID yet"), "{told}");
    let page = unescape(&consign.page(PLACE).await.expect(200).text());
    for shown in [provider.issuer().as_str(), "consign admins", "/sign-in/oidc/callback", "Acme ID"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let mut jar = Jar::default();
    let bo = person("bo", &json!({ "groups": ["consign admins"] }));
    come(&consign.client, &provider, &mut jar, &bo).await.expect(303);
    consign.patch(PLACE, &off).await.expect(200);
    let page = consign.client.send("GET", "/sign-in", &[], "").await.expect(200).text();
    assert!(page.contains("Continue with Acme ID") && !page.contains("name=\"password\""), "{page}");
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let typed = form(&[("email", EMAIL), ("password", &consign.password)]);
    let told = consign.client.send("POST", "/sign-in", &headers, typed).await.expect(422).text();
    assert!(told.contains("Passwords are switched off here. Sign in with Acme ID"), "{told}");
    // Whoever is there goes on until the session ends; the last one who can come in stays.
    consign.page("/webhooks").await.expect(200);
    let bo = id_of(&consign.get("/users/bo@acme.example").await.json());
    for reply in [
        consign.act(&format!("/users/{bo}/suspension")).await,
        consign.patch(&format!("/users/{bo}"), &json!({ "role": "viewer" })).await,
        consign.call("DELETE", &format!("/users/{bo}"), &[("if-match", "*")], None).await,
    ] {
        let told = reply.expect(409).text();
        assert!(told.contains("the last administrator who signs in with Acme ID"), "{told}");
    }
    jar.get(&consign.client, "/settings/sign-in").await.expect(200);
    consign.patch(PLACE, &json!({ "local": null })).await.expect(200);
    consign.act(&format!("/users/{bo}/suspension")).await.expect(200);
    consign.sign_in_again().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_from_before_is_asked_of_nobody_who_comes_by_the_provider() {
    let (mut consign, provider) = with_provider(Kind::Sqlite, true).await;
    let bo = person("bo", &json!({ "groups": ["consign admins"] }));
    come(&consign.client, &provider, &mut Jar::default(), &bo).await.expect(303);
    let wish = json!({ "local": false, "two_step_required": true });
    consign.patch(PLACE, &wish).await.expect(200);
    // Ana, who has a password, is bound to the provider now.
    let mut jar = Jar::default();
    come(&consign.client, &provider, &mut jar, &person("ana", &json!({}))).await.expect(303);
    let page = jar.get(&consign.client, "/api-keys/new").await.expect(200).text();
    assert!(!page.contains("name=\"password\""), "no page asks for it: {page}");
    consign.session = Session { csrf: value_of(&page, "csrf").unwrap(), cookie: jar.cookies() };
    let new_key = async |name: &str| {
        as_person(&consign, "POST", "/api-keys", &json!({ "name": name, "scopes": ["events:read"] })).await
    };
    let made = new_key("fresh").await.expect(201).json();
    consign.canaries.shown_once("a key", made["key"].as_str().unwrap());
    consign.advance(11 * MINUTE);
    assert_eq!(new_key("late").await.expect(422).faults()[0].1, "sign_in_again");
    // With passwords, hers is one again, and so is the second step.
    consign.patch(PLACE, &json!({ "local": true })).await.expect(200);
    consign.page("/webhooks").await.expect(303);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_stays_in_however_short_the_idle_time() {
    let consign = TestConsign::start().await;
    consign.patch(PLACE, &json!({ "idle_minutes": 1 })).await.expect(200);
    for _ in 0..8 {
        consign.advance(Duration::from_secs(20));
        consign.page("/webhooks").await.expect(200);
    }
    consign.advance(Duration::from_secs(61));
    consign.page("/webhooks").await.expect(303);
    consign.finish().await;
}

/// The other server follows within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_chosen_holds_on_every_replica() {
    let consign = TestConsign::on_postgres().await;
    let other = consign.second_replica().await;
    let (_, vera) = someone(&consign, "vera@acme.example", "viewer").await;
    consign.patch(PLACE, &json!({ "idle_minutes": 1 })).await.expect(200);
    let there = consign.client.at(other.address);
    eventually("the other replica to know", async || {
        (other.app.engine.snapshot().chosen().sign_in.idle_minutes == Some(1)).then_some(())
    })
    .await;
    there.send("GET", "/webhooks", &[("cookie", &vera.cookie)], "").await.expect(200);
    other.app.store.advance(2 * MINUTE);
    there.send("GET", "/webhooks", &[("cookie", &vera.cookie)], "").await.expect(303);
    other.stop().await;
    consign.finish().await;
}
