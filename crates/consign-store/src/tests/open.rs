//! Opening: migrations, newer databases, settings, locks, the clock, a full disk.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use consign_core::audit::Table;
use consign_core::time::Timestamp;

use super::{Fresh, accept, event, folder, now, on_both};
use crate::db::{Query, query};
use crate::events::{self, NewRow};
use crate::{DatabaseUrl, Store, StoreError, installation, migrate, payload_keys, protected};

on_both!(
    opens_again_and_keeps_its_rows,
    a_newer_database_is_refused,
    two_replicas_migrate_at_once,
    the_clock_is_the_databases_and_tests_move_it,
    installation_values,
    a_value_that_is_about_to_be_set_waits_for_whoever_sets_it,
    a_dropped_transaction_changes_nothing,
    a_reader_does_not_wait_for_a_writer,
);

async fn opens_again_and_keeps_its_rows(Fresh { store, url }: Fresh) {
    assert_eq!(store.installation("id").await.unwrap(), None);
    let mut tx = store.begin().await.unwrap();
    installation::put(&mut tx, "id", "one").await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let again = Store::open(&url, 2).await.unwrap();
    assert_eq!(again.installation("id").await.unwrap().as_deref(), Some("one"));
    assert_eq!(migrate::version(&mut again.read().await.unwrap()).await.unwrap(), newest());
    again.close().await;
}

fn newest() -> i64 {
    i64::try_from(migrate::MIGRATIONS.len()).unwrap()
}

async fn a_newer_database_is_refused(Fresh { store, url }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    query("insert into schema_version (version, applied_at) values (99, 0)").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    let refused = Store::open(&url, 2).await;
    let newer = matches!(refused, Err(StoreError::NewerDatabase { found: 99, known }) if known == newest());
    assert!(newer, "{refused:?}");
}

async fn two_replicas_migrate_at_once(Fresh { store, url }: Fresh) {
    // A second process is refused on SQLite; on PostgreSQL four at once find one database.
    if !store.is_postgres() {
        assert!(matches!(Store::open(&url, 2).await, Err(StoreError::Locked)));
        return;
    }
    let mut tx = store.begin().await.unwrap();
    query("drop schema public cascade").execute(&mut tx).await.unwrap();
    query("create schema public").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let opened =
        tokio::join!(Store::open(&url, 2), Store::open(&url, 2), Store::open(&url, 2), Store::open(&url, 2));
    for store in [opened.0, opened.1, opened.2, opened.3] {
        let store = store.unwrap();
        assert_eq!(migrate::version(&mut store.read().await.unwrap()).await.unwrap(), newest());
        store.close().await;
    }
}

async fn the_clock_is_the_databases_and_tests_move_it(Fresh { store, .. }: Fresh) {
    let before = now(&store).await;
    assert!(before > Timestamp::parse_rfc3339("2025-01-01T00:00:00Z").unwrap());
    store.advance(Duration::from_secs(3_600));
    let tx = store.begin().await.unwrap();
    assert!(tx.now() >= before.plus(Duration::from_secs(3_600)));
    drop(tx);
    let reader = store.read().await.unwrap();
    assert!(reader.now() >= before.plus(Duration::from_secs(3_600)));
}

async fn installation_values(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    assert!(installation::put_if_absent(&mut tx, "k", "a").await.unwrap());
    assert!(!installation::put_if_absent(&mut tx, "k", "b").await.unwrap());
    installation::put(&mut tx, "k", "c").await.unwrap();
    assert_eq!(installation::get(&mut tx, "k").await.unwrap().as_deref(), Some("c"));
    installation::put(&mut tx, "k_/b", "2").await.unwrap();
    installation::put(&mut tx, "k_/a", "1").await.unwrap();
    installation::put(&mut tx, "kx/c", "3").await.unwrap();
    let under = installation::under(&mut tx, "k_/").await.unwrap();
    assert_eq!(under, [("k_/a".to_owned(), "1".to_owned()), ("k_/b".to_owned(), "2".to_owned())]);
    assert!(installation::remove(&mut tx, "k").await.unwrap());
    assert!(!installation::remove(&mut tx, "k").await.unwrap());
    let before = installation::revision(&mut tx).await.unwrap();
    installation::bump(&mut tx).await.unwrap();
    assert_eq!(installation::revision(&mut tx).await.unwrap(), before + 1);
    let sealed = |text: &str| consign_core::vault::Sealed::from_stored(text.to_owned());
    let time = tx.now();
    assert_eq!(payload_keys::insert_if_absent(&mut tx, 9, &sealed("a"), time).await.unwrap(), sealed("a"));
    assert_eq!(payload_keys::insert_if_absent(&mut tx, 9, &sealed("b"), time).await.unwrap(), sealed("a"));
    assert_eq!(payload_keys::find(&mut tx, 10).await.unwrap(), None);
}

async fn a_value_that_is_about_to_be_set_waits_for_whoever_sets_it(Fresh { store, .. }: Fresh) {
    let (key, table) = ("sign_in", Table::Setting);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(installation::get_to_set(&mut tx, key).await.unwrap(), "");
    assert_eq!(protected::find(&mut tx, table, key).await.unwrap(), None, "no value yet");
    assert!(protected::all(&mut tx, table).await.unwrap().is_empty());
    drop(tx);
    assert_eq!(store.installation(key).await.unwrap(), None, "to look leaves nothing behind");
    for (before, after) in [("", "one"), ("one", "two")] {
        let mut tx = store.begin().await.unwrap();
        assert_eq!(installation::get_to_set(&mut tx, key).await.unwrap(), before);
        let second = async {
            let mut tx = store.begin().await.unwrap();
            installation::get_to_set(&mut tx, key).await.unwrap()
        };
        let first = async {
            installation::put(&mut tx, key, after).await.unwrap();
            tx.commit().await.unwrap();
        };
        let (seen, ()) = tokio::join!(second, first);
        assert_eq!(seen, after);
    }
}

async fn a_dropped_transaction_changes_nothing(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    installation::put(&mut tx, "k", "v").await.unwrap();
    drop(tx);
    assert_eq!(store.installation("k").await.unwrap(), None);
}

async fn a_reader_does_not_wait_for_a_writer(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    installation::put(&mut tx, "k", "v").await.unwrap();
    assert_eq!(store.installation("k").await.unwrap(), None);
    tx.commit().await.unwrap();
    assert_eq!(store.installation("k").await.unwrap().as_deref(), Some("v"));
}

#[tokio::test]
async fn sqlite_files_are_private_and_the_settings_hold() {
    let folder = folder();
    let path = folder.join("consign.db");
    let store = Store::open(&DatabaseUrl::sqlite(&path), 1).await.unwrap();
    accept(&store, "1", &[]).await;
    for name in ["consign.db", "consign.db-wal", "consign.db-shm", "consign.db.lock"] {
        let mode = std::fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mut tx = store.begin().await.unwrap();
    let check = async |tx: &mut crate::Tx, name: &'static str, expected: i64| {
        let row = Query::built(format!("pragma {name}"), Vec::new()).one(tx).await.unwrap();
        assert_eq!(row.number(name).unwrap(), expected, "{name}");
    };
    check(&mut tx, "synchronous", 2).await;
    check(&mut tx, "foreign_keys", 1).await;
    check(&mut tx, "secure_delete", 1).await;
    check(&mut tx, "journal_size_limit", 67_108_864).await;
    drop(tx);
    let mut reader = store.read().await.unwrap();
    let refused = installation::put(&mut reader, "k", "v").await;
    assert!(matches!(refused, Err(StoreError::Unreachable)), "a reader writes: {refused:?}");
    drop(reader);
    store.close().await;
    assert!(!folder.join("consign.db-wal").exists(), "the log was not written back");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_apart_and_passes() {
    let folder = folder();
    let store = Store::open(&DatabaseUrl::sqlite(&folder.join("consign.db")), 1).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let pages = query("pragma page_count").one(&mut tx).await.unwrap().number("page_count").unwrap();
    let limit = |pages: i64| Query::built(format!("pragma max_page_count = {pages}"), Vec::new());
    limit(pages + 8).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let event = event("big", tx.now());
    let payload = vec![1; 64 << 10];
    let row =
        NewRow { event: &event, sealed_data: &payload, payload_key: 1, deliveries: &[], exporters: &[] };
    let refused = events::accept(&mut tx, &[row]).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    assert!(events::find(&mut tx, event.id).await.unwrap().is_none());
    limit(1 << 20).execute(&mut tx).await.unwrap();
    events::accept(&mut tx, &[row]).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_damage_and_a_missing_folder_is_named() {
    let folder = folder();
    let path = folder.join("consign.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    let refused = Store::open(&DatabaseUrl::sqlite(&path), 1).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    let refused = Store::open(&DatabaseUrl::sqlite(&folder.join("none/consign.db")), 1).await;
    assert!(
        matches!(&refused, Err(StoreError::File { kind: std::io::ErrorKind::NotFound, .. })),
        "{refused:?}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    // Port 1 of loopback: nobody listens.
    let url = DatabaseUrl::parse("postgres://ada:hunter2@127.0.0.1:1/consign").unwrap();
    let refused = Store::open(&url, 1).await;
    assert!(matches!(refused, Err(StoreError::Unreachable)), "{refused:?}");
}
