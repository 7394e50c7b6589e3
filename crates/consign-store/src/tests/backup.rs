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
