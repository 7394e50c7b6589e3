//! Copies of a database that is in use, and what is found in them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::backup::{Inspected, inspect, roughly};
use crate::db::query;
use crate::installation;

on_both! { contents_are_counted }

async fn contents_are_counted(fresh: Fresh) {
    let at = now(&fresh.store).await;
    let mut tx = fresh.store.begin().await.unwrap();
    installation::put(&mut tx, "id", "one").await.unwrap();
    installation::put(&mut tx, "check", "v1.k-0000000b.x").await.unwrap();
    installation::put(&mut tx, "audit_key", "v1.k-0000000a.x").await.unwrap();
    crate::users::insert(&mut tx, &user("Ana", Role::Administrator, at)).await.unwrap();
    tx.commit().await.unwrap();
    let contents = fresh.store.contents().await.unwrap();
    assert_eq!(contents.keys, ["k-0000000a", "k-0000000b"]);
    assert_eq!(contents.installation.as_deref(), Some("one"));
    assert_eq!((contents.counts["users"], contents.counts["credential"]), (1, 0));
    assert_eq!(contents.schema, i64::try_from(crate::migrate::MIGRATIONS.len()).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_of_postgresql_is_reckoned() {
    on_postgres(async |fresh| {
        let mut tx = fresh.store.begin().await.unwrap();
        for number in 0..40 {
            installation::put(&mut tx, &format!("n{number}"), "x").await.unwrap();
        }
        let there = roughly(&mut tx, "installation", 1_000).await.unwrap();
        assert!(there >= 40, "few are counted: {there}");
        assert_eq!(roughly(&mut tx, "installation", there).await.unwrap(), there);
        assert_eq!(
            roughly(&mut tx, "installation", 10).await.unwrap(),
            11,
            "nobody has reckoned yet: at least these"
        );
        query("analyze installation").execute(&mut tx).await.unwrap();
        assert_eq!(roughly(&mut tx, "installation", 10).await.unwrap(), there);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_one_moment_of_a_database_that_goes_on() {
    on_sqlite(async |fresh| {
        let mut tx = fresh.store.begin().await.unwrap();
        installation::put(&mut tx, "id", "one").await.unwrap();
        tx.commit().await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn({
            let (store, stop) = (fresh.store.clone(), stop.clone());
            async move {
                let mut pairs = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut tx = store.begin().await.unwrap();
                    for half in ["a", "b"] {
                        installation::put(&mut tx, &format!("{half}{pairs}"), &"x".repeat(2_000))
                            .await
                            .unwrap();
                    }
                    tx.commit().await.unwrap();
                    pairs += 1;
                }
                pairs
            }
        });
        let folder = folder();
        for number in 0..5 {
            let file = folder.join(format!("copy{number}.db"));
            std::fs::File::create(&file).unwrap();
            fresh.store.copy_to(&file).await.unwrap();
            let Inspected::Whole(found) = inspect(&file).await.unwrap() else {
                panic!("the copy is damaged")
            };
            assert_eq!(found.counts["installation"] % 2, 1, "no half of a transaction: {found:?}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writer.await.unwrap() > 5, "it wrote all the while");
        std::fs::remove_dir_all(folder).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_copy_is_no_copy() {
    on_sqlite(async |fresh| {
        let mut tx = fresh.store.begin().await.unwrap();
        for number in 0..200 {
            installation::put(&mut tx, &format!("key{number}"), &"x".repeat(500)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let folder = folder();
        let file = folder.join("copy.db");
        std::fs::File::create(&file).unwrap();
        fresh.store.copy_to(&file).await.unwrap();
        assert!(matches!(inspect(&file).await.unwrap(), Inspected::Whole(_)));
        let mut bytes = std::fs::read(&file).unwrap();
        let page = 4_096 * 3;
        bytes[page..page + 8_192].fill(0x5A);
        std::fs::write(&file, &bytes).unwrap();
        assert!(matches!(inspect(&file).await.unwrap(), Inspected::Damaged(_)));
        for not_ours in [b"not a database, but long enough to be read as one".as_slice(), b""] {
            std::fs::write(&file, not_ours).unwrap();
            assert!(matches!(inspect(&file).await.unwrap(), Inspected::Damaged(_)));
        }
        assert!(inspect(&folder.join("missing.db")).await.is_err());
        std::fs::remove_dir_all(folder).unwrap();
    })
    .await;
}

/// A copy of a database that holds something, which a test may change.
async fn copied(fresh: &Fresh, rows: usize) -> PathBuf {
    let mut tx = fresh.store.begin().await.unwrap();
    for number in 0..rows {
        installation::put(&mut tx, &format!("key{number}"), &"x".repeat(500)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let file = folder().join("copy.db");
    std::fs::File::create(&file).unwrap();
    fresh.store.copy_to(&file).await.unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_put_into_a_copy_does_not_run() {
    on_sqlite(async |fresh| {
        for (text, words) in [
            (
                "drop table payload_key;
                 create view payload_key as with recursive c(x) as (select 1 union all select x + 1 from c)
                 select x as id, 'v1.k.a.b' as sealed, 0 as created_at from c;",
                "it holds a view that Consign did not make",
            ),
            (
                "drop table schema_version;
                 create view schema_version as with recursive c(x) as (select 1 union all select x + 1 from c)
                 select x as version, 0 as applied_at from c;",
                "Consign did not make",
            ),
            ("create table other (x check (hex(zeroblob(x)) = 'a'));", "it holds a table"),
            ("create index strange on installation (hex(zeroblob(100000000)));", "it holds an index"),
            (
                "create trigger strange after insert on installation begin select 1; end;",
                "it holds a trigger",
            ),
            ("insert into schema_version values (9999, 0);", "not those of a version"),
            ("drop table installation;", "it holds no installation of Consign"),
        ] {
            let file = copied(&fresh, 1).await;
            rusqlite::Connection::open(&file).unwrap().execute_batch(text).unwrap();
            let looked = tokio::time::timeout(Duration::from_secs(5), inspect(&file)).await;
            let Inspected::Damaged(found) = looked.expect("it ends").unwrap() else { panic!("{text}") };
            assert!(found.contains(words), "{text}: {found}");
            std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
        }
    })
    .await;
}

/// Rows of the list of objects that are all ours, one of them so often that whoever reads only the first of them does not
/// come to the last.
const DUPLICATES: &str = "pragma writable_schema = on;
    with recursive n(i) as (select 1 union all select i + 1 from n where i < TIMES)
    insert into sqlite_schema select type, name, tbl_name, rootpage, sql from n,
        (select * from sqlite_schema where name like 'sqlite_autoindex_%' limit 1);
    LAST
    pragma writable_schema = off;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_holds_all_that_is_ours_and_all_of_it_is_looked_at() {
    on_sqlite(async |fresh| {
        let strange = "insert into sqlite_schema values ('trigger', 'strange', 'installation', 0,
            'CREATE TRIGGER strange after insert on installation begin delete from users; end');";
        let duplicates = |times: &str, last: &str| DUPLICATES.replace("TIMES", times).replace("LAST", last);
        for (text, words) in [
            (duplicates("3000", strange), "it holds more parts than Consign makes"),
            (duplicates("3000", ""), "it holds more parts than Consign makes"),
            (duplicates("1", ""), "it holds an index twice"),
            (duplicates("1", strange), "it holds a trigger that Consign did not make"),
            ("drop trigger audit_no_update".to_owned(), "it lacks a trigger that Consign made"),
            ("drop trigger audit_no_delete".to_owned(), "it lacks a trigger that Consign made"),
            ("drop index users_email".to_owned(), "it lacks an index that Consign made"),
            ("drop table gateway_call".to_owned(), "it lacks"),
        ] {
            let file = copied(&fresh, 1).await;
            rusqlite::Connection::open(&file).unwrap().execute_batch(&text).unwrap();
            let Inspected::Damaged(found) = inspect(&file).await.unwrap() else { panic!("{text}") };
            assert!(found.contains(words), "{text}: {found}");
            std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_writes_the_schema_as_a_table() {
    on_sqlite(async |fresh| {
        let mut tx = fresh.store.begin().await.unwrap();
        tx.script("pragma writable_schema = on".to_owned()).await.unwrap();
        let deed = query("delete from sqlite_schema where name = 'audit_no_update'");
        assert!(deed.execute(&mut tx).await.is_err());
        let text = "select trusted_schema as number from pragma_trusted_schema";
        assert_eq!(query(text).one(&mut tx).await.unwrap().number("number").unwrap(), 0);
        let mut read = fresh.store.read().await.unwrap();
        assert_eq!(query(text).one(&mut read).await.unwrap().number("number").unwrap(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_ends_in_time_and_with_whoever_waits() {
    on_sqlite(async |fresh| {
        let file = copied(&fresh, 20_000).await;
        // What SQLite itself makes of it is nobody's.
        rusqlite::Connection::open(&file).unwrap().execute_batch("analyze").unwrap();
        let looked = crate::backup::inspect_within(&file, Duration::from_millis(1)).await.unwrap();
        assert_eq!(looked, Inspected::Damaged("it takes too long to read".to_owned()));
        assert!(matches!(inspect(&file).await.unwrap(), Inspected::Whole(_)));
        // A statement that would never end.
        let over = Arc::new(AtomicBool::new(false));
        let mut db =
            crate::Db(crate::db::Kind::Sqlite(crate::sqlite::copy(&file, over.clone()).await.unwrap()));
        let mut endless = tokio::spawn(async move {
            let text =
                "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) as n from c";
            query(text).one(&mut db).await.map(drop)
        });
        let by_itself = tokio::time::timeout(Duration::from_millis(100), &mut endless).await;
        assert!(by_itself.is_err(), "it does not end by itself");
        over.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(Duration::from_secs(5), endless).await.expect("it ends").unwrap();
        assert!(ended.is_err(), "it was interrupted");
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    })
    .await;
}

/// As a server leaves them that was killed: what was committed last stands in the log alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_database_is_one_file() {
    on_sqlite(async |fresh| {
        let live = folder().join("live.db");
        let store = Store::open(&DatabaseUrl::sqlite(&live), 1).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        installation::put(&mut tx, "which", "last").await.unwrap();
        tx.commit().await.unwrap();
        let (killed, log) = (folder().join("killed.db"), |path: &PathBuf| format!("{}-wal", path.display()));
        std::fs::copy(&live, &killed).unwrap();
        std::fs::copy(log(&live), log(&killed)).unwrap();
        assert!(crate::backup::settle(&killed).await.unwrap());
        let beside = std::fs::read_dir(killed.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "no log is left");
        let db = rusqlite::Connection::open(&killed).unwrap();
        let text: String =
            db.query_row("select value from installation where key = 'which'", [], |row| row.get(0)).unwrap();
        assert_eq!(text, "last");
        // While somebody else has it open, nothing is certain.
        db.execute_batch("begin; select * from installation;").unwrap();
        store.close().await;
        let other = rusqlite::Connection::open(&killed).unwrap();
        other.execute_batch("insert into installation values ('more', 'x')").unwrap();
        let refused = crate::backup::settle(&killed).await.unwrap_err();
        assert_eq!(refused.to_string(), "another process uses the database");
        drop((db, other));
        // What cannot be read as a database is left as it is.
        std::fs::write(&killed, "not a database, but long enough to be read as one").unwrap();
        assert!(!crate::backup::settle(&killed).await.unwrap());
        drop(fresh);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_in_a_copy_leaves_no_second_file() {
    on_sqlite(async |fresh| {
        let file = copied(&fresh, 1).await;
        crate::backup::mark(&file, "restored", "{}").await.unwrap();
        let beside: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(beside.len(), 1, "{beside:?}");
        let db = rusqlite::Connection::open(&file).unwrap();
        let text: String = db
            .query_row("select value from installation where key = 'restored'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(text, "{}");
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    })
    .await;
}
