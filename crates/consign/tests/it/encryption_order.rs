//! What comes before what when a key is put in use: the entry, the ring, the values, and who moves them.

use consign_core::vault::RingKey;
use serde_json::json;

use crate::encryption::{keys, much_to_move, ring_file, until_moved};
use crate::harness::database::Kind;
use crate::harness::{TestConsign, basic, eventually, logs};
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
    assert!(page.contains("kept backups need it: 1"), "{page}");
    let listed = consign.run(&["key", "list"]).await.expect(0).stdout.to_lowercase();
    assert!(listed.contains("backups"), "{listed}");
    consign.call("DELETE", &format!("/backups/{name}"), &[], None).await.expect(204);
    assert_eq!(keys(&consign).await["items"][1]["removable"], true);
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
