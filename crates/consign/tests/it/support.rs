//! The servers of a database, and what is told of them to whoever helps.

use std::time::Duration;

use serde_json::json;

use crate::harness::database::Kind;
use crate::harness::{TestConsign, basic, eventually};
use crate::peers::Tool;

on_both_databases! { the_bundle_names_nobody_and_nothing }

async fn the_bundle_names_nobody_and_nothing(consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("Acme incidents", &tool.origin(), &json!({ "description": "for Bo" })).await;
    consign.credential(&basic("Payroll", &tool.origin(), "consign-user", &consign.canary("password"))).await;
    consign.event("device.secret-type", &json!({ "text": consign.canary("payload") })).await;
    consign.until_idle().await;
    let page = consign.page("/settings/about/support-bundle").await.expect(200).text();
    assert!(page.contains("This is all of it:") && page.contains("deliveries_open"), "{page}");
    let before = consign.all("/audit-entries?action=support").await.len();
    let taken = consign.submit("/settings/about/support-bundle", &[]).await.expect(200);
    assert_eq!(taken.header("content-disposition"), Some("attachment; filename=\"consign-support.json\""));
    let bundle = taken.json();
    assert_eq!((&bundle["database"]["rows"]["credential"], before), (&json!(2), 0), "{bundle}");
    assert_eq!(
        bundle["credentials"]["by_authorization_type"],
        json!({ "basic": 1, "bearer": 1 }),
        "{bundle}"
    );
    assert_eq!(bundle["connectors"], json!({ "webhook active": 1 }));
    assert_eq!(bundle["encryption_keys"]["keys"][0]["role"], "seals");
    let metrics = bundle["metrics"].as_array().unwrap();
    assert!(metrics.iter().any(|line| line.as_str().unwrap().starts_with("consign_deliveries_total{")));
    let said = consign.run(&["support-bundle", "--preview"]).await.expect(0);
    let file = consign.folder.join("bundle.json").display().to_string();
    consign.run(&["support-bundle", "--output", &file]).await.expect(0);
    let written = std::fs::read_to_string(&file).unwrap();
    consign.shown_elsewhere("the support bundle", written.clone());
    let origin = tool.origin();
    let host = consign.folder.path().display().to_string();
    for (kind, text) in
        [("page", &page), ("answer", &taken.text()), ("preview", &said.stdout), ("file", &written)]
    {
        // The frame of a page names who looks at it.
        let text = text.split("This is all of it:").last().unwrap();
        let names = [
            "Acme",
            "Payroll",
            "consign-user",
            "for Bo",
            "Ana",
            "acme.example",
            "secret-type",
            &origin,
            &host,
        ];
        for name in names {
            assert!(!text.contains(name), "{name} in the {kind}: {text}");
        }
    }
    let entries = consign.all("/audit-entries?action=support").await;
    assert_eq!(entries.len(), 2, "looking is not taking: {entries:?}");
    let about = consign.page("/settings/about").await.expect(200).text();
    assert!(about.contains("Preview support bundle") && about.contains("debug, linux"), "{about}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_may_name_something_are_only_set() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.egress.allow.push("bmc.internal.example:8443".to_owned());
    })
    .await;
    let bundle = consign.get("/support-bundle").await.expect(200).json();
    let options = bundle["options"].as_array().unwrap();
    let find = |key: &str| options.iter().find(|option| option["key"] == key).unwrap();
    assert_eq!(find("egress.allow"), &json!({ "key": "egress.allow", "value": "set", "given": true }));
    assert!(!bundle.to_string().contains("internal.example"));
    assert_eq!(find("retention.payload_days")["value"], "14");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_a_database_see_each_other() {
    let mut consign = TestConsign::on_postgres().await;
    let other = consign.second_replica().await;
    let listed = consign.get("/replicas").await.expect(200).json();
    let items = listed["items"].as_array().unwrap();
    assert_eq!((items.len(), &listed["database"]), (2, &json!("postgresql")), "{listed}");
    assert_eq!((&items[0]["this_one"], &items[1]["this_one"]), (&json!(true), &json!(false)));
    let (version, role) = (env!("CARGO_PKG_VERSION"), "all");
    assert!(
        items.iter().all(|one| one["version"] == version && one["role"] == role && one["state"] == "running")
    );
    let page = consign.page("/settings/replicas").await.expect(200).text();
    assert_eq!(page.matches("Running").count(), 2, "{page}");
    let listed = consign.run(&["replica", "list", "--plain", "--no-header"]).await.expect(0).stdout;
    assert_eq!(listed.lines().count(), 2, "{listed}");

    // One that stops is gone; one that was killed is missed, and forgotten after a day.
    let killed = consign.second_replica().await;
    killed.app.engine.stop(Duration::from_secs(1)).await;
    other.stop().await;
    consign.advance(Duration::from_secs(3_600));
    eventually("the heartbeat of an hour later", async || {
        let listed = consign.get("/replicas").await.expect(200).json();
        let states: Vec<_> = listed["items"].as_array()?.iter().map(|one| one["state"].clone()).collect();
        (states == [json!("running"), json!("missing")]).then_some(())
    })
    .await;
    consign.session = consign.sign_in_again().await;
    let page = consign.page("/settings/replicas").await.expect(200).text();
    assert!(page.contains("Not seen"), "{page}");
    killed.stop().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_sqlite_there_is_one() {
    let consign = TestConsign::start().await;
    let listed = consign.get("/replicas").await.expect(200).json();
    assert_eq!(
        (&listed["items"][0]["state"], listed["items"].as_array().unwrap().len()),
        (&json!("running"), 1)
    );
    assert!(consign.page("/settings/replicas").await.expect(200).text().contains("SQLite has one server."));
    consign.finish().await;
}
