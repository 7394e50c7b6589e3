//! Users and roles: invited, changed, suspended, through API, console and command line; and what each role may do.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::page::{form_with, unescape};
use crate::harness::process::{Process, free_address, options};
use crate::harness::{Cli, EMAIL, Folder, Reply, Session, TestConsign, form, id_of, session_of};

/// Invites somebody over the API: the path of their link, and its token.
pub(crate) async fn invite(consign: &TestConsign, email: &str, role: &str) -> (Value, String) {
    let mut body = json!({ "email": email, "role": role });
    let reply = if role == "administrator" {
        // Only people invite one.
        body["password"] = json!(consign.password);
        as_person(consign, "POST", "/users", &body).await
    } else {
        consign.post("/users", &body).await
    };
    let made = reply.expect(201).json();
    let link = made["invitation"]["link"].as_str().unwrap();
    let token = link.rsplit('/').next().unwrap().to_owned();
    consign.canaries.shown_once("an invitation", &token);
    (made.clone(), format!("/invitation/{token}"))
}

/// A call of the API in the session of the administrator.
pub(crate) async fn as_person(consign: &TestConsign, method: &str, path: &str, body: &Value) -> Reply {
    let headers = [
        ("cookie", consign.session.cookie.as_str()),
        ("consign-csrf", consign.session.csrf.as_str()),
        ("content-type", "application/json"),
        ("if-match", "*"),
    ];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    consign.client.send(method, &format!("/api/v1{path}"), &headers, body).await
}

/// Comes by a link, as a browser without a session.
pub(crate) async fn come(consign: &TestConsign, path: &str, name: &str, password: &str) -> Session {
    let page = consign.client.send("GET", path, &[], "").await.expect(200).text();
    let fields = form_with(&page, path, "password").set("name", name).set("password", password);
    let fields: Vec<_> = fields.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let reply = consign.client.send("POST", path, &headers, form(&fields)).await.expect(303);
    session_of(&consign.client, &reply).await
}

pub(crate) async fn someone(consign: &TestConsign, email: &str, role: &str) -> (Value, Session) {
    let (made, path) = invite(consign, email, role).await;
    let session = come(consign, &path, email.split('@').next().unwrap(), &consign.canary(email)).await;
    (made, session)
}

on_both_databases! {
    a_person_is_invited_once_and_signs_in
    the_last_administrator_stays_one
}

async fn a_person_is_invited_once_and_signs_in(consign: TestConsign) {
    let (made, path) = invite(&consign, "Bo@acme.example", "operator").await;
    assert_eq!(
        (&made["state"], &made["role"], &made["name"]),
        (&json!("invited"), &json!("operator"), &json!(""))
    );
    let taken = consign.post("/users", &json!({ "email": "bo@ACME.example", "role": "viewer" })).await;
    assert_eq!(taken.expect(422).json()["errors"][0]["pointer"], "/email");
    let id = id_of(&made);
    let again = consign.act(&format!("/users/{id}/invitations")).await.expect(201).json();
    let token = again["invitation"]["link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    consign.canaries.shown_once("the second invitation", &token);
    let gone = consign.client.send("GET", &path, &[], "").await.expect(404).text();
    assert!(gone.contains("older than 72 hours"), "{gone}");
    // A session alone is not enough for another way in.
    let page = format!("/users/{id}/invite-again");
    let refused = consign.submit(&page, &[]).await.expect(422).text();
    assert!(refused.contains("Enter your password again"), "{refused}");
    let again = consign.form(&page, "password").await;
    consign.send_form(&again.set("password", "not the password")).await.expect(422);

    let path = format!("/invitation/{token}");
    let password = consign.canary("bo's password");
    let weak = form(&[("name", "Bo"), ("password", "short")]);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let refused = consign.client.send("POST", &path, &headers, weak).await.expect(422).text();
    assert!(refused.contains("Password must be 12 characters or more"), "{refused}");
    let session = come(&consign, &path, "Bo Lind", &password).await;
    let me = consign.client.send("GET", "/", &[("cookie", &session.cookie)], "").await;
    assert!([200, 303].contains(&me.status));
    consign.client.send("GET", &path, &[], "").await.expect(404);
    consign.act(&format!("/users/{id}/invitations")).await.expect(409);
    let shown = consign.get("/users/bo@acme.example").await.expect(200).json();
    assert_eq!((&shown["state"], &shown["name"]), (&json!("active"), &json!("Bo Lind")));
    // The API knows the rights of the session.
    let headers = [("cookie", session.cookie.as_str()), ("consign-csrf", session.csrf.as_str())];
    let me = consign.client.send("GET", "/api/v1/me", &headers, "").await.expect(200).json();
    assert!(me["rights"].as_array().unwrap().contains(&json!("deliveries:operate")), "{me}");
    consign.client.send("GET", "/api/v1/users", &headers, "").await.expect(403);
    consign.client.send("GET", "/api/v1/audit-entries", &headers, "").await.expect(403);
    let entries = consign.all(&format!("/audit-entries?object={id}")).await;
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["Accepted invitation", "Made new invitation link", "Invited person"]);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_makes_nobody_an_administrator() {
    let consign = TestConsign::start().await;
    let (bo, _) = someone(&consign, "bo@acme.example", "viewer").await;
    let (cy, link) = invite(&consign, "cy@acme.example", "administrator").await;
    let (bo, cy) = (format!("/users/{}", id_of(&bo)), format!("/users/{}", id_of(&cy)));
    for refused in [
        consign.post("/users", &json!({ "email": "eve@evil.example", "role": "administrator" })).await,
        consign.act(&format!("{cy}/invitations")).await,
        consign.patch(&bo, &json!({ "role": "administrator" })).await,
    ] {
        let told = refused.expect(403).json();
        let sentence = told["detail"].as_str().unwrap();
        assert!(sentence.contains("API keys make nobody an administrator"), "{sentence}");
    }
    assert_eq!(consign.get(&bo).await.json()["role"], "viewer");
    assert_eq!(consign.all("/users").await.len(), 3);
    // Nor does one let an administrator in again, or in with less.
    let (dee, _) = someone(&consign, "dee@acme.example", "administrator").await;
    let dee = format!("/users/{}", id_of(&dee));
    consign.act(&format!("{dee}/suspension")).await.expect(200);
    for way_in in ["suspension", "two-step"] {
        for (person, status) in [(&dee, 403), (&bo, 200)] {
            consign.call("DELETE", &format!("{person}/{way_in}"), &[], None).await.expect(status);
        }
    }
    assert_eq!(consign.get(&dee).await.json()["state"], "suspended");
    let body = json!({ "password": consign.password });
    as_person(&consign, "DELETE", &format!("{dee}/suspension"), &body).await.expect(200);
    consign.client.send("GET", &link, &[], "").await.expect(200);
    // The other way, and what changes no role, they do.
    consign.patch(&bo, &json!({ "role": "operator" })).await.expect(200);
    consign.patch(&cy, &json!({ "name": "Cy", "role": "administrator" })).await.expect(200);
    let body = json!({ "role": "administrator", "password": consign.password });
    as_person(&consign, "PATCH", &bo, &body).await.expect(200);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_is_invited_on_the_machine_of_a_stopped_server() {
    let folder = Folder::new("rescue");
    let run = async |words: &[&str]| {
        let mut command = Cli::new(folder.path(), words);
        for (name, value) in options(&folder, free_address()) {
            command = command.env(&name, &value);
        }
        command.run().await
    };
    let made = run(&["admin", "invite", "ana@acme.example"]).await.expect(0);
    let (_, token) = made.stdout.trim().split_once("/invitation/").expect("a link");
    let taken = run(&["admin", "invite", "ana@acme.example"]).await.expect(7);
    assert!(taken.stderr.contains("is here already"), "{}", taken.stderr);
    let process = Process::start(&folder, &[]).await;
    let page = process.client.send("GET", &format!("/invitation/{token}"), &[], "").await.expect(200).text();
    assert!(page.contains("ana@acme.example") && page.contains("Administrator"), "{page}");
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_ends_after_72_hours() {
    let consign = TestConsign::start().await;
    let (_, path) = invite(&consign, "bo@acme.example", "viewer").await;
    consign.advance(Duration::from_secs(72 * 3_600 - 60));
    consign.client.send("GET", &path, &[], "").await.expect(200);
    consign.advance(Duration::from_secs(61));
    consign.client.send("GET", &path, &[], "").await.expect(404);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let late = form(&[("name", "Bo"), ("password", "correct horse battery")]);
    consign.client.send("POST", &path, &headers, late).await.expect(404);
    consign.finish().await;
}

async fn the_last_administrator_stays_one(consign: TestConsign) {
    let ana = consign.get(&format!("/users/{EMAIL}")).await.expect(200).json();
    let place = format!("/users/{}", id_of(&ana));
    let sentence = "This is the last administrator. Give someone else the role first";
    let told = consign.patch(&place, &json!({ "role": "viewer" })).await.expect(409).json();
    assert_eq!(told["detail"], sentence);
    for reply in [
        consign.act(&format!("{place}/suspension")).await,
        consign.call("DELETE", &place, &[("if-match", "*")], None).await,
    ] {
        assert_eq!(reply.expect(409).json()["detail"], sentence);
    }
    // An invited administrator is none yet.
    let (bo, path) = invite(&consign, "bo@acme.example", "administrator").await;
    consign.patch(&place, &json!({ "role": "viewer" })).await.expect(409);
    come(&consign, &path, "Bo", &consign.canary("bo's password")).await;
    let bo = format!("/users/{}", id_of(&bo));
    // Both at once: one stays.
    let (one, two) = (format!("{place}/suspension"), format!("{bo}/suspension"));
    let (one, two) = tokio::join!(consign.act(&one), consign.act(&two));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.text(), two.text());
    let active = consign.all("/users").await;
    assert_eq!(active.iter().filter(|user| user["state"] == "active").count(), 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_role_or_a_suspension_ends_the_sessions() {
    let consign = TestConsign::start().await;
    let (bo, session) = someone(&consign, "bo@acme.example", "credential_manager").await;
    let place = format!("/users/{}", id_of(&bo));
    let page = async |path: &str, session: &Session| {
        consign.client.send("GET", path, &[("cookie", &session.cookie)], "").await
    };
    page("/credentials/new", &session).await.expect(200);
    let stale =
        consign.call("PATCH", &place, &[("if-match", "\"1\"")], Some(&json!({ "role": "viewer" }))).await;
    assert_eq!(stale.expect(412).json()["current"]["role"], "credential_manager");
    let now = consign.patch(&place, &json!({ "role": "viewer" })).await.expect(200).json();
    assert_eq!(now["role"], "viewer");
    assert_eq!(page("/credentials", &session).await.expect(303).location(), "/sign-in?next=/credentials");

    consign.act(&format!("{place}/suspension")).await.expect(200);
    consign.act(&format!("{place}/suspension")).await.expect(200);
    consign.call("DELETE", &format!("{place}/suspension"), &[], None).await.expect(200);
    consign.call("DELETE", &format!("{place}/sessions"), &[], None).await.expect(200);
    let entries = consign.all(&format!("/audit-entries?object={}", id_of(&bo))).await;
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = [
        "Signed out everywhere",
        "Reactivated person",
        "Suspended person",
        "Changed role",
        "Accepted invitation",
        "Invited person",
    ];
    assert_eq!(actions, expected);
    assert_eq!(entries[3]["changes"], json!({ "role": { "old": "credential_manager", "new": "viewer" } }));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_person_is_told_so_and_comes_back_with_their_password() {
    let consign = TestConsign::start().await;
    let (made, path) = invite(&consign, "bo@acme.example", "viewer").await;
    let password = consign.canary("bo's password");
    come(&consign, &path, "Bo", &password).await;
    let sign_in = async |password: &str| {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        let body = form(&[("email", "bo@acme.example"), ("password", password)]);
        consign.client.send("POST", "/sign-in", &headers, body).await
    };
    let place = format!("/users/{}", id_of(&made));
    sign_in(&password).await.expect(303);
    consign.act(&format!("{place}/suspension")).await.expect(200);
    let told = sign_in(&password).await.expect(422).text();
    assert!(told.contains("This account is suspended"), "{told}");
    let told = sign_in("something else").await.expect(422).text();
    assert!(told.contains("The email or password is not right"), "{told}");
    consign.call("DELETE", &format!("{place}/suspension"), &[], None).await.expect(200);
    sign_in(&password).await.expect(303);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_put_into_the_database_lets_nobody_in() {
    let mut consign = TestConsign::start().await;
    let (bo, session) = someone(&consign, "bo@acme.example", "viewer").await;
    let cookie = [("cookie", session.cookie.as_str())];
    consign.client.send("GET", "/credentials", &cookie, "").await.expect(200);
    let id = id_of(&bo);
    consign.stop().await;
    consign.database.execute(&format!("update users set role = 'administrator' where id = '{id}'")).await;
    consign.start_again().await;
    consign.client.send("GET", "/credentials", &cookie, "").await.expect(303);
    consign.patch(&format!("/users/{id}"), &json!({ "role": "operator" })).await.expect(409);
    consign.stop().await;
    consign.database.execute(&format!("update users set role = 'viewer' where id = '{id}'")).await;
    consign.start_again().await;
    consign.client.send("GET", "/credentials", &cookie, "").await.expect(200);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_kept_in_the_console_without_scripts() {
    let consign = TestConsign::start().await;
    let invite = consign.form("/users/new", "email").await.set("email", "bo@acme.example");
    let invite = invite.with("role", "operator");
    let told = consign.send_form(&invite).await.expect(422).text();
    assert!(told.contains("Enter your password again"), "{told}");
    let shown = consign.send_form(&invite.set("password", &consign.password)).await.expect(200).text();
    let shown = unescape(&shown);
    let (_, link) = shown.split_once("/invitation/").unwrap();
    let token = link.split('"').next().unwrap().to_owned();
    consign.canaries.shown_once("an invitation", &token);
    let list = consign.page("/users").await.expect(200).text();
    assert!(list.contains("bo@acme.example") && list.contains("Invited"), "{list}");
    come(&consign, &format!("/invitation/{token}"), "Bo Lind", &consign.canary("bo's password")).await;
    let bo = id_of(&consign.get("/users/bo@acme.example").await.json());
    let page = format!("/users/{bo}");

    let change = consign.form(&page, "etag").await;
    let same = change.clone().without("role").with("role", "operator");
    let told = consign.follow(&consign.send_form(&same).await.expect(303)).await.expect(200).text();
    assert!(told.contains("Bo Lind has this role already. Nothing was changed."), "{told}");
    let blind = change.clone().without("etag").without("role").with("role", "viewer");
    consign.send_form(&blind.set("password", &consign.password)).await.expect(409);
    assert_eq!(consign.get("/users/bo@acme.example").await.json()["role"], "operator");
    let change = change.without("role").with("role", "auditor").set("password", &consign.password);
    let reply = consign.send_form(&change).await.expect(303);
    let told = consign.follow(&reply).await.expect(200).text();
    assert!(told.contains("Bo Lind is now Auditor. Their sessions have ended."), "{told}");
    for (deed, words) in [
        ("suspend", "Bo Lind is suspended."),
        ("reactivate", "Bo Lind can sign in again."),
        ("sign-out", "Bo Lind is signed out everywhere."),
        ("delete", "Bo Lind was deleted."),
    ] {
        let form = consign.form(&format!("{page}/{deed}"), "csrf").await;
        let mut form = crate::harness::page::Form { action: format!("{page}/{deed}"), ..form };
        if deed == "reactivate" {
            let told = consign.send_form(&form).await.expect(422).text();
            assert!(told.contains("Enter your password again"), "{told}");
            assert_eq!(consign.get("/users/bo@acme.example").await.json()["state"], "suspended");
            form = form.with("password", &consign.password);
        }
        let reply = consign.send_form(&form).await.expect(303);
        let told = consign.follow(&reply).await.expect(200).text();
        assert!(unescape(&told).contains(words), "{deed}: {told}");
    }
    let ana = id_of(&consign.get(&format!("/users/{EMAIL}")).await.json());
    let form = consign.form(&format!("/users/{ana}"), "etag").await;
    let form = form.without("role").with("role", "viewer").set("password", &consign.password);
    let reply = consign.send_form(&form).await.expect(303);
    let told = consign.follow(&reply).await.expect(200).text();
    assert!(told.contains("This is the last administrator. Give someone else the role first."), "{told}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_kept_on_the_command_line() {
    let consign = TestConsign::start().await;
    // What this command prints is the one place where the link may stand.
    let invited =
        consign.cli(&["user", "invite", "bo@acme.example", "--role", "viewer"]).run().await.expect(0);
    let token = invited.stdout.trim().rsplit('/').next().unwrap().to_owned();
    consign.canaries.never_shown("an invitation", &token);
    let listed = consign.run(&["user", "list", "--plain", "--no-header"]).await.expect(0).stdout;
    assert!(listed.contains("bo@acme.example") && listed.contains("invited"), "{listed}");
    let again = consign.cli(&["user", "invite-again", "bo@acme.example"]).run().await.expect(0);
    let token = again.stdout.trim().rsplit('/').next().unwrap().to_owned();
    consign.canaries.never_shown("the second invitation", &token);
    come(&consign, &format!("/invitation/{token}"), "Bo", &consign.canary("bo's password")).await;
    consign.run(&["user", "set-role", "bo@acme.example", "operator"]).await.expect(0);
    consign.run(&["user", "suspend", "bo@acme.example"]).await.expect(2);
    consign.run(&["user", "suspend", "bo@acme.example", "--yes"]).await.expect(0);
    let shown = consign.run(&["user", "get", "bo@acme.example", "--json"]).await.expect(0).json();
    assert_eq!((&shown["role"], &shown["state"]), (&json!("operator"), &json!("suspended")));
    consign.run(&["user", "reactivate", "bo@acme.example"]).await.expect(0);
    consign.run(&["user", "sign-out", "bo@acme.example"]).await.expect(0);
    consign.run(&["user", "reset-two-step", "bo@acme.example", "--yes"]).await.expect(0);
    consign.run(&["user", "delete", "bo@acme.example", "--yes"]).await.expect(0);
    consign.run(&["user", "get", "bo@acme.example"]).await.expect(3);
    consign.run(&["user", "invite", "bo", "--role", "king"]).await.expect(7);
    consign.finish().await;
}
