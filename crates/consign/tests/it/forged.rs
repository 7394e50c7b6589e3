//! Rows that somebody wrote into the database who has no other way in: none of them is one.

use consign::ops;
use consign_core::api_key;
use serde_json::json;

use crate::harness::{
    Client, Database, EMAIL, Folder, Kind, Replica, TestConsign, eventually, form, id_of, session_of,
};
use crate::people::someone;
use crate::public_url::choose;

const FORM: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
/// A token of the attacker's own.
const TOKEN: &str = "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2";

on_both_databases! {
    a_link_of_the_demo_in_the_database_opens_nothing
    a_session_is_the_one_that_began_and_no_other
    people_who_were_removed_are_not_replaced_by_a_set_up
    an_address_or_a_recipient_that_was_written_in_is_not_used
}

/// A link as it was kept before: its end, and the hash of its token.
async fn write_link(consign: &TestConsign, key: &str) {
    let end = consign_store::local_now().millis() + 600_000;
    let hash = api_key::hash(TOKEN);
    let sql = format!("insert into installation (key, value) values ('{key}', '{end} {hash}')");
    consign.database.execute(&sql).await;
}

async fn a_link_of_the_demo_in_the_database_opens_nothing(consign: TestConsign) {
    write_link(&consign, "sign_in_link").await;
    let path = format!("/demo/{TOKEN}");
    consign.client.send("GET", &path, &[], "").await.expect(404);
    let refused = consign.client.send("POST", &path, &FORM, "").await.expect(404);
    assert!(refused.header("set-cookie").is_none());
    assert_eq!(consign.database.number("select count(*) from users").await, 1);
    consign.finish().await;
}

async fn a_session_is_the_one_that_began_and_no_other(consign: TestConsign) {
    let ana = id_of(&consign.get(&format!("/users/{EMAIL}")).await.json());
    let (now, hash) = (consign_store::local_now().millis(), api_key::hash(TOKEN));
    let forged = format!(
        "insert into session (hash, user_id, csrf, created_at, seen_at, proof)
         values ('{hash}', '{ana}', '{hash}', {now}, {now}, '{hash}')"
    );
    consign.database.execute(&forged).await;
    let (name, _) = consign.session.cookie.split_once('=').unwrap();
    let cookie = format!("{name}={TOKEN}");
    let shown = consign.client.send("GET", "/users", &[("cookie", &cookie)], "").await.expect(303);
    assert!(shown.location().starts_with("/sign-in"), "{}", shown.location());
    consign.database.execute(&format!("delete from session where hash = '{hash}'")).await;
    consign.page("/users").await.expect(200);
    // One's own session, given to somebody else, or made younger.
    let (_, viewer) = someone(&consign, "vera@acme.example", "viewer").await;
    let asks = async || {
        let cookie = [("cookie", viewer.cookie.as_str())];
        consign.client.send("GET", "/credentials", &cookie, "").await.status
    };
    assert_eq!(asks().await, 200);
    let vera = id_of(&consign.get("/users/vera@acme.example").await.json());
    for (change, back) in [
        (format!("user_id = '{ana}'"), format!("user_id = '{vera}'")),
        ("created_at = created_at + 1".to_owned(), "created_at = created_at - 1".to_owned()),
    ] {
        let of_vera = "created_at = (select max(created_at) from session)";
        consign.database.execute(&format!("update session set {change} where {of_vera}")).await;
        assert_eq!(asks().await, 303, "{change}");
        consign.database.execute(&format!("update session set {back} where {of_vera}")).await;
        assert_eq!(asks().await, 200, "{back}");
    }
    consign.finish().await;
}

async fn people_who_were_removed_are_not_replaced_by_a_set_up(mut consign: TestConsign) {
    consign.database.execute("delete from session; delete from users").await;
    write_link(&consign, "setup_link").await;
    let path = format!("/setup/{TOKEN}");
    consign.client.send("GET", &path, &[], "").await.expect(404);
    let fields = [("name", "Mallory"), ("email", "m@evil.example"), ("password", "correct horse staple 9")];
    consign.client.send("POST", &path, &FORM, form(&fields)).await.expect(404);
    // Nor with a link that the program made, nor after a restart.
    consign.stop().await;
    let replica = consign.second_replica().await;
    let client = consign.client.at(replica.address);
    let made = ops::users::new_setup_link(&replica.app).await.unwrap();
    assert!(ops::users::people_are_gone(&replica.app).await.unwrap());
    assert!(!ops::users::setup_needed(&replica.app).await.unwrap());
    let path = format!("/setup/{}", made.expose());
    client.send("GET", &path, &[], "").await.expect(404);
    client.send("POST", &path, &FORM, form(&fields)).await.expect(404);
    assert_eq!(consign.database.number("select count(*) from users").await, 0);
    replica.stop().await;
    consign.start_again().await;
    consign.abandon().await;
}

async fn an_address_or_a_recipient_that_was_written_in_is_not_used(consign: TestConsign) {
    let chosen = "https://consign.acme.example";
    let default = consign.get("/settings").await.json()["public_url"].as_str().unwrap().to_owned();
    choose(&consign, chosen).await;
    let emails = json!({ "emails": ["ops@acme.example"] });
    consign.patch("/notifications", &emails).await.expect(200);
    let shown = consign.get("/settings").await.json();
    assert_eq!((&shown["public_url"], &shown["changed_outside"]), (&json!(chosen), &json!([])));

    for sql in [
        "update installation set value = 'https://evil.example' where key = 'public_url'",
        "update installation set value = replace(value, 'ops@acme', 'eve@evil') where key = 'notifications'",
        "update revision set number = number + 1",
    ] {
        consign.database.execute(sql).await;
    }
    let shown = eventually("the change to be seen", async || {
        let shown = consign.get("/settings").await.json();
        (shown["public_url"] != chosen).then_some(shown)
    })
    .await;
    assert_eq!(shown["public_url"], json!(default));
    assert_eq!(shown["changed_outside"], json!(["public_url", "notifications"]));
    assert_eq!(consign.get("/notifications").await.json()["emails"], json!([]));
    let page = consign.page("/settings").await.expect(200).text();
    for words in ["The public URL was changed outside Consign", "who get notices was changed outside Consign"]
    {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let (made, _) = crate::people::invite(&consign, "bo@acme.example", "viewer").await;
    let link = made["invitation"]["link"].as_str().unwrap();
    assert!(link.starts_with(&default) && !link.contains("evil"), "an invitation leads elsewhere");

    // Saved again, they are used again; also where the default is what is wanted.
    consign.patch("/settings", &json!({ "public_url": default })).await.expect(200);
    choose(&consign, chosen).await;
    consign.patch("/notifications", &emails).await.expect(200);
    let shown = consign.get("/settings").await.json();
    assert_eq!((&shown["public_url"], &shown["changed_outside"]), (&json!(chosen), &json!([])));
    assert_eq!(consign.get("/notifications").await.json()["emails"], emails["emails"]);
    // Nor are they taken out.
    consign.database.execute("delete from installation where key = 'notifications'").await;
    assert_eq!(consign.get("/settings").await.json()["changed_outside"], json!(["notifications"]));
    consign.patch("/notifications", &emails).await.expect(200);
    consign.finish().await;
}

/// Whoever can write to the database does not make it easier to get in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_sign_in_that_were_changed_outside_are_the_strict_ones() {
    let consign = TestConsign::start().await;
    let saved = consign.patch("/settings/sign-in", &json!({ "session_hours": 8 })).await.expect(200).json();
    assert_eq!((&saved["session_hours"], &saved["two_step_required"]), (&json!(8), &json!(false)));
    let row = "where key = 'sign_in'";
    consign
        .database
        .execute(&format!("update installation set value = replace(value, '8', '99') {row}"))
        .await;
    let shown = consign.get("/settings/sign-in").await.expect(200).json();
    assert_eq!((&shown["session_hours"], &shown["two_step_required"]), (&json!(12), &json!(true)));
    assert_eq!(consign.get("/settings").await.json()["changed_outside"], json!(["sign_in"]));
    // Saved again, it is what a person wants.
    let again =
        consign.patch("/settings/sign-in", &json!({ "two_step_required": false })).await.expect(200).json();
    assert_eq!(again["two_step_required"], json!(false));
    assert_eq!(consign.get("/settings").await.json()["changed_outside"], json!([]));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_before_the_code_belongs_to_whose_password_it_was() {
    let consign = TestConsign::start().await;
    crate::two_step::set_up(&consign).await;
    let cookie = crate::two_step::password_step(&consign).await;
    let page = async || consign.client.send("GET", "/sign-in/code", &[("cookie", &cookie)], "").await.status;
    assert_eq!(page().await, 200);
    consign.database.execute("update second_step set created_at = created_at + 1").await;
    assert_eq!(page().await, 303);
    consign.database.execute("update second_step set created_at = created_at - 1").await;
    assert_eq!(page().await, 200);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_can_show_nothing_confirms_nothing() {
    let folder = Folder::new("demo");
    let database = Database::sqlite(&folder);
    let demo = Replica::start(&folder, &database, &|_| {}).await.unwrap();
    let client = Client::new(demo.address, Default::default());
    let path = format!("/demo/{}", ops::users::new_sign_in_link(&demo.app).expose());
    let entered = client.send("POST", &path, &FORM, "").await.expect(303);
    let session = session_of(&client, &entered).await;
    let ask = async |client: &Client| {
        let headers = [("cookie", session.cookie.as_str()), FORM[0]];
        let fields = form(&[("csrf", &session.csrf), ("passphrase", "correct horse battery staple")]);
        client.send("POST", "/settings/encryption/recovery-file", &headers, fields).await
    };
    ask(&client).await.expect(200);
    demo.stop().await;
    // The same database under a process that is no demo.
    let served = Replica::start(&folder, &database, &|_| {}).await.unwrap();
    let refused = ask(&client.at(served.address)).await.expect(422).text();
    assert!(refused.contains("neither a password nor a provider"), "{refused}");
    served.stop().await;
}

/// Without TLS and from another machine there is no field to type a password into.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_is_asked_for_on_plain_http() {
    let consign = TestConsign::start().await;
    let (_, invitation) = crate::people::invite(&consign, "bo@acme.example", "viewer").await;
    let elsewhere = ("host", "consign.acme.example:8420");
    for path in ["/sign-in", "/sign-in/code", "/setup/whatever", &invitation] {
        let told = consign.client.send("GET", path, &[elsewhere], "").await.expect(403).text();
        assert!(told.contains("Signing in needs https"), "{path}: {told}");
        assert!(!told.contains("type=\"password\"") && !told.contains("name=\"code\""), "{path}: {told}");
    }
    // What a browser sends by TLS, and nowhere else.
    let secure = [elsewhere, ("sec-fetch-site", "none")];
    let page = consign.client.send("GET", "/sign-in", &secure, "").await.expect(200).text();
    assert!(page.contains("type=\"password\""), "{page}");
    consign.client.send("GET", &invitation, &secure, "").await.expect(200);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_too_long_for_an_address_is_refused_at_once() {
    let consign = TestConsign::on(Kind::Sqlite, |_| {}).await;
    let long = format!("{}@acme.example", "a".repeat(300));
    let body = form(&[("email", &long), ("password", "correct horse battery")]);
    let refused = consign.client.send("POST", "/sign-in", &FORM, body).await.expect(422).text();
    assert!(refused.contains("The email or password is not right"), "{refused}");
    let entries = consign.all("/audit-entries").await;
    let refused = entries.iter().find(|entry| entry["action"] == "Refused sign-in").unwrap();
    assert_eq!(refused["changes"], json!({ "why": "password" }));
    consign.finish().await;
}
