//! Rows that somebody wrote into the database who has no other way in: none of them is one.

use consign::ops;
use consign_core::api_key;
use serde_json::json;

use crate::harness::{Client, Database, Folder, Kind, Replica, TestConsign, form, session_of};

const FORM: [(&str, &str); 2] =
    [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
/// A token of the attacker's own.
const TOKEN: &str = "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2";

on_both_databases! {
    a_link_of_the_demo_in_the_database_opens_nothing
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
