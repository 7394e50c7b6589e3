//! The audit log: found again by each of its parts, taken as a file, and checked.

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{TestConsign, bearer, percent};

async fn something_to_see(consign: &TestConsign) -> String {
    let id = consign
        .credential(&bearer("=cmd|'/C calc'!A0", "https://tool.example.org/", &consign.canary("token")))
        .await;
    consign
        .patch(&format!("/credentials/{id}"), &json!({ "labels": { "team": "a,b \"c\"" } }))
        .await
        .expect(200);
    let new = json!(consign.canary("another-token"));
    consign.patch(&format!("/credentials/{id}"), &json!({ "token": new })).await.expect(200);
    id
}

fn actions(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

on_both_databases! {
    entries_are_found_by_who_what_where_and_when
    the_log_is_taken_as_a_file_and_that_is_logged
}

async fn entries_are_found_by_who_what_where_and_when(consign: TestConsign) {
    let id = something_to_see(&consign).await;
    let get = async |query: &str| consign.get(&format!("/audit-entries?{query}")).await.expect(200).json();
    let of_object = get(&format!("object={id}&count=true")).await;
    assert_eq!(actions(&of_object), ["Replaced token", "Edited credential", "Created credential"]);
    assert_eq!(of_object["count"], 3);
    assert_eq!(get(&format!("object={}", percent("=cmd|'/C calc'!A0"))).await["items"], of_object["items"]);
    assert_eq!(actions(&get("action=TOKEN").await), ["Replaced token"]);
    assert_eq!(actions(&get("action=created%20api").await), ["Created API key"]);
    assert_eq!(get("actor=key%20for%20admin").await["items"].as_array().unwrap().len(), 3);
    assert_eq!(get("actor=Ana%20Silva&action=set%20up").await["items"].as_array().unwrap().len(), 1);
    assert!(actions(&get("from=192.0.2.9").await).is_empty());
    assert!(actions(&get("from=127.0.0.1").await).len() >= 4);
    assert!(actions(&get("result=refused").await).is_empty());
    consign.get("/audit-entries?result=maybe").await.expect(400);
    let at = of_object["items"][1]["at"].as_str().unwrap();
    let later = get(&format!("object={id}&created_after={at}")).await;
    assert!(!actions(&later).contains(&"Created credential") || actions(&later).len() == 3, "{later}");
    assert!(
        actions(&get(&format!("created_before={at}")).await).iter().all(|action| *action != "Replaced token")
    );

    let entry = &of_object["items"][1];
    let place = format!("/audit-entries/{}", entry["sequence"]);
    let shown = consign.get(&place).await.expect(200).json();
    assert_eq!(&shown, entry);
    assert_eq!(shown["changes"]["labels"]["new"], json!({ "team": "a,b \"c\"" }));
    consign.get("/audit-entries/0").await.expect(404);
    consign.get("/audit-entries/x").await.expect(404);

    // Only whoever may read the log reads it.
    for (scope, status) in [("audit:read", 200), ("credentials:read", 403)] {
        let key = consign.make_key(&[scope]).await;
        consign.call_as(&key, "GET", "/audit-entries", &[], "").await.expect(status);
        consign.call_as(&key, "POST", "/audit-entries/verification", &[], "").await.expect(status);
        consign.call_as(&key, "GET", "/audit-entries/export", &[], "").await.expect(status);
    }
    consign.finish().await;
}

async fn the_log_is_taken_as_a_file_and_that_is_logged(consign: TestConsign) {
    let id = something_to_see(&consign).await;
    let whole = consign.get("/audit-entries/export").await.expect(200);
    assert_eq!(whole.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(whole.header("content-disposition"), Some("attachment; filename=\"consign-audit.ndjson\""));
    let text = whole.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut listed = consign.all("/audit-entries?sort=created_at").await;
    let export = listed.pop().unwrap();
    assert_eq!(export["action"], "Exported audit log");
    assert_eq!(lines[..listed.len()], listed, "what the list shows, the oldest first");

    let csv = consign.get(&format!("/audit-entries/export?format=csv&object={id}")).await.expect(200);
    let text = csv.text();
    let rows: Vec<_> = text.split("\r\n").collect();
    assert_eq!(rows.len(), 5, "a head, three entries, and the end of the last: {text}");
    assert!(rows[0].starts_with("sequence,id,at,actor_kind"), "{text}");
    assert!(rows[1].contains(",'=cmd|'/C calc'!A0,"), "no formula: {text}");
    assert!(rows[2].contains(r#""{""labels"":{""old"":{},""new"":{""team"":""a,b \""c\""""}}}""#), "{text}");
    consign.finish().await;
}

/// More than the portions that are read at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_log_comes_whole_and_is_found_whole() {
    let consign = TestConsign::start().await;
    let id = something_to_see(&consign).await;
    for number in 0..510 {
        let labels = json!({ "labels": { "number": number.to_string() } });
        consign.patch(&format!("/credentials/{id}"), &labels).await.expect(200);
    }
    let verified = consign.act("/audit-entries/verification").await.expect(200).json();
    let entries = verified["entries"].as_u64().unwrap();
    let message = format!("The chain of {entries} entries is whole.");
    assert_eq!((&verified["whole"], verified["message"].as_str().unwrap()), (&json!(true), message.as_str()));
    let file = consign.folder.path().join("log.ndjson");
    let words = ["audit", "export", "--output", file.to_str().unwrap()];
    consign.run(&words).await.expect(0);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count() as u64, entries, "what was there before the export");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_behind_our_back_is_named() {
    let consign = TestConsign::on_postgres().await;
    something_to_see(&consign).await;
    consign.database.execute("drop trigger audit_no_update on audit").await;
    consign
        .database
        .execute("update audit set stored = replace(stored, 'Ana', 'Eve') where sequence = 1")
        .await;
    let verified = consign.act("/audit-entries/verification").await.expect(200).json();
    assert_eq!(verified["broken_at"], 1);
    assert_eq!(verified["message"], "Entry 1 does not fit to the one before it.");
    let ran = consign.run(&["audit", "verify"]).await.expect(8);
    assert!(ran.stderr.contains("Entry 1 does not fit"), "{}", ran.stderr);
    let form = consign.form("/audit", "csrf").await;
    let form = crate::harness::page::Form { action: "/audit/verification".to_owned(), ..form };
    let reply = consign.send_form(&form).await.expect(303);
    let told = consign.follow(&reply).await.expect(200).text();
    assert!(told.contains("Entry 1 does not fit to the one before it.") && told.contains("role=\"alert\""));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_read_in_the_console_and_on_the_command_line() {
    let consign = TestConsign::start().await;
    let id = something_to_see(&consign).await;
    let list = unescape(&consign.page("/audit").await.expect(200).text());
    for words in [
        "Replaced token",
        "key key for admin",
        "Ana Silva",
        "127.0.0.1",
        "/audit/export?format=csv&span=week",
    ] {
        assert!(list.contains(words), "{words}\n{list}");
    }
    let none = consign.page("/audit?action=nothing").await.expect(200).text();
    assert!(none.contains("No entry matches these filters."));
    let of_object = unescape(&consign.page(&format!("/audit?object={id}")).await.expect(200).text());
    assert!(of_object.contains("All the time\" selected") || of_object.contains("value=\"all\" selected"));
    let (_, link) = of_object.split_once("<a href=\"/audit/").unwrap();
    let place = format!("/audit/{}", link.split('"').next().unwrap());
    let entry = unescape(&consign.page(&place).await.expect(200).text());
    assert!(entry.contains("Replaced token") && entry.contains("replaced"), "{entry}");
    consign.page("/audit/0").await.expect(404);
    let csv = consign.page(&format!("/audit/export?format=csv&object={id}")).await.expect(200);
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"consign-audit.csv\""));
    assert_eq!(csv.header("cache-control"), Some("no-store"));
    let form = consign.form("/audit", "csrf").await;
    let form = crate::harness::page::Form { action: "/audit/verification".to_owned(), ..form };
    let reply = consign.send_form(&form).await.expect(303);
    let told = consign.follow(&reply).await.expect(200).text();
    assert!(told.contains("entries is whole."), "{told}");

    let listed = consign.run(&["audit", "list", "--object", &id, "--plain", "--no-header"]).await.expect(0);
    assert_eq!(listed.stdout.lines().count(), 3, "{}", listed.stdout);
    let first = listed.stdout.split('\t').next().unwrap().to_owned();
    consign.run(&["audit", "get", &first]).await.expect(0);
    let csv = consign.run(&["audit", "export", "--format", "csv", "--object", &id]).await.expect(0);
    assert!(csv.stdout.starts_with("sequence,id,at"), "{}", csv.stdout);
    consign.run(&["audit", "verify"]).await.expect(0);
    consign.finish().await;
}
