//! What comes before what when a key is put in use: the entry, the ring, the values, and who moves them.

use std::time::Duration;

use consign_core::vault::RingKey;
use serde_json::json;

use crate::encryption::{keys, much_to_move, put_ring, ring_file, until_given_up, until_moved};
use crate::harness::database::Kind;
use crate::harness::{Folder, TestConsign, basic, eventually, logs};
use crate::peers::Tool;

const HANDED_OVER: &str = "another server moves the values to another key";

/// No key seals that no entry knows: when the entry cannot be written, ring and key are as they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_entry_no_key_is_put_in_use() {
    let consign = TestConsign::start().await;
    let before = keys(&consign).await;
    let text = std::fs::read_to_string(ring_file(&consign)).unwrap();
    let refuse = "create trigger refuse before insert on audit begin select raise(abort, 'no'); end";
    consign.database.execute(refuse).await;
    consign.act("/encryption-keys/rotations").await.expect(500);
    assert_eq!(std::fs::read_to_string(ring_file(&consign)).unwrap(), text);
    consign.database.execute("drop trigger refuse").await;
    assert_eq!(keys(&consign).await, before);
    consign.act("/encryption-keys/rotations").await.expect(200);
    let after = until_moved(&consign).await;
    assert_eq!(after["items"].as_array().unwrap().len(), 2, "{after}");
    consign.finish().await;
}

/// A kept backup cannot be restored without the keys that it was made under.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_kept_backup_needs_stays() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.backup.dir = Some(config.data.dir.join("backups"));
        config.sources.insert("backup.dir", consign::config::Source::File);
    })
    .await;
    let tool = Tool::start().await;
    consign.credential(&basic("basic", &tool.origin(), "consign", &consign.canary("password"))).await;
    consign.act("/backups").await;
    let name = eventually("a backup", async || {
        let listed = consign.get("/backups").await.json();
        listed["items"][0]["name"].as_str().map(str::to_owned)
    })
    .await;
    consign.post("/encryption-keys/rotations", &json!({})).await.expect(200);
    let old = until_moved(&consign).await["items"][1].clone();
    assert_eq!(old["values"], 0, "{old}");
    assert_eq!((&old["needed_by_backups"], &old["removable"]), (&json!(1), &json!(false)), "{old}");
    let page = consign.page("/settings/encryption").await.expect(200).text();
    assert!(page.contains("Kept backups need it: 1"), "{page}");
    let listed = consign.run(&["key", "list"]).await.expect(0).stdout;
    assert!(listed.contains("Kept backups need it: 1"), "{listed}");
    consign.call("DELETE", &format!("/backups/{name}"), &[], None).await.expect(204);
    assert_eq!(why_not(&consign).await, None);

    // Of a file that cannot be read nobody knows what it needs.
    let file = consign.folder.join("data/backups").join(&name);
    std::fs::write(&file, "damaged").unwrap();
    let why = why_not(&consign).await.expect("it is not known");
    assert!(why.starts_with(&format!("The backup {name} cannot be read")), "{why}");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(why_not(&consign).await, None);

    // The copy of one that is being made may be from before the values moved.
    let filler =
        "create table filler as with recursive n(i) as (select 1 union all select i + 1 from n where i < 800)
         select randomblob(65536) as bytes from n";
    consign.database.execute(filler).await;
    consign.act("/backups").await.expect(202);
    let why = why_not(&consign).await.expect("one is being made");
    assert!(why.starts_with("A backup is being made"), "{why}");
    // It comes to nothing, as the table is not ours.
    eventually("nothing to need it", async || why_not(&consign).await.is_none().then_some(())).await;
    consign.database.execute("drop table filler").await;
    consign.finish().await;
}

/// Why the second key of the ring must stay; the answer agrees with itself.
async fn why_not(consign: &TestConsign) -> Option<String> {
    let key = keys(consign).await["items"][1].clone();
    let why = key["not_removable_because"].as_str().map(str::to_owned);
    assert_eq!(key["removable"], why.is_none(), "{key}");
    why
}

/// A server that runs with the old order would make new values under the key that is to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_server_seals_with_stays() {
    let mut consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    consign.credential(&basic("basic", &tool.origin(), "consign", &consign.canary("password"))).await;
    let there = Folder::new("old-order");
    let old = std::fs::read_to_string(ring_file(&consign)).unwrap();
    let new = RingKey::generate();
    put_ring(&there, &format!("{}\n{}", old.trim(), new.line().as_str()));
    let other = consign.replica_in(&there).await;
    put_ring(&consign.folder, &format!("{}\n{}", new.line().as_str(), old.trim()));
    consign.restart().await;
    consign.post("/encryption-keys/rotations", &json!({ "new_key": false })).await.expect(200);
    let moved = until_moved(&consign).await;
    assert_eq!(moved["items"][1]["values"], 0, "{moved}");
    let why = why_not(&consign).await.expect("the other server still seals with it");
    let id = moved["items"][1]["id"].as_str().unwrap();
    assert!(why.contains(&format!("still seals with {id}")), "{why}");
    other.stop().await;
    assert_eq!(why_not(&consign).await, None);
    consign.finish().await;
}

/// A value that does not move is tried again, and what stays in the end is named: nobody is told that all were moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_do_not_move_are_tried_again_and_named() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let body = basic("basic", &tool.origin(), "consign", &consign.canary("password"));
    let credential = consign.credential(&body).await;
    let entries = async || {
        let all = consign.all("/audit-entries?object=Encryption").await;
        all.into_iter().filter(|entry| entry["action"] == "Re-sealed values").collect::<Vec<_>>()
    };
    // Bound to another place than the one where it stands, it does not open.
    let misplace = |by: i64| format!("update credential_secret set generation = generation + {by}");
    let rotate = async || {
        consign.database.execute(&misplace(1)).await;
        consign.post("/encryption-keys/rotations", &json!({})).await.expect(200);
        eventually("the others to move", async || {
            let keys = keys(&consign).await;
            (keys["items"][1]["values"] == 1).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let keys = keys(&consign).await;
        assert_eq!((&keys["moving"], keys["items"][1]["values"].as_u64()), (&json!(true), Some(1)), "{keys}");
        let page = consign.page("/settings/encryption").await.expect(200).text();
        for words in ["data-poll=\"/settings/encryption\"", "Re-sealing ", "<progress class=\"progress\""] {
            assert!(page.contains(words), "{words}: {page}");
        }
    };
    rotate().await;
    assert!(entries().await.is_empty(), "it is not done");
    consign.database.execute(&misplace(-1)).await;
    consign.advance(Duration::from_secs(11));
    until_moved(&consign).await;
    let done = entries().await;
    assert_eq!((done.len(), &done[0]["changes"]["failed"]), (1, &json!(0)), "{done:?}");

    rotate().await;
    until_given_up(&consign).await;
    let given_up =
        entries().await.into_iter().find(|entry| entry["changes"]["failed"] == 1).expect("an entry");
    let name = given_up["changes"]["not_moved"][0].as_str().unwrap().to_owned();
    assert!(name.ends_with(&format!(" of {credential}")), "{given_up}");
    assert_eq!(why_not(&consign).await.as_deref(), Some("Re-seal its values first"));
    consign.database.execute(&misplace(-1)).await;
    consign.finish().await;
}

/// Two servers whose rings have another first key do not move the values back and forth: the last who was asked decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_takes_over_where_values_move_to() {
    let mut consign = TestConsign::on_postgres().await;
    much_to_move(&consign).await;
    let old = std::fs::read_to_string(ring_file(&consign)).unwrap();
    let ring = format!("{}\n{}", RingKey::generate().line().as_str(), old.trim());
    consign.stop().await;
    std::fs::write(ring_file(&consign), ring).unwrap();
    consign.start_again().await;
    let slow = "create function slow() returns trigger language plpgsql as
          $$ begin perform pg_sleep(0.02); return new; end $$;
        create trigger slow before update on credential_secret for each row execute function slow();";
    consign.database.execute(slow).await;
    consign.post("/encryption-keys/rotations", &json!({ "new_key": false })).await.expect(200);
    // What the other server writes when it is asked.
    consign.database.execute("update installation set value = 'k-00000000' where key = 'reseal'").await;
    let values = async || {
        let keys = keys(&consign).await;
        (keys["items"][0]["values"].as_u64().unwrap(), keys["items"][1]["values"].as_u64().unwrap())
    };
    eventually("it to stop", async || {
        String::from_utf8_lossy(&logs::logged()).contains(HANDED_OVER).then_some(())
    })
    .await;
    let stopped = values().await;
    assert!(stopped.1 > 0, "some were left to the other server: {stopped:?}");
    let entries = consign.all("/audit-entries?object=Encryption").await;
    assert!(entries.iter().all(|entry| entry["action"] != "Re-sealed values"), "{entries:?}");
    assert_eq!(values().await, stopped, "nothing more was moved");
    consign.finish().await;
}
