//! Who shares the database.

use super::*;
use crate::replicas::{self, Leases, Replica};

on_both! { processes_come_beat_and_go, leases_are_counted_by_process }

fn replica(id: &str, started_at: Timestamp) -> Replica {
    let (host, version, role) = ("host".to_owned(), "0.1.0".to_owned(), "all".to_owned());
    let sealing_key = format!("k-{id}");
    Replica { id: id.to_owned(), host, version, role, process: 7, started_at, sealing_key }
}

async fn processes_come_beat_and_go(fresh: Fresh) {
    let at = now(&fresh.store).await;
    let mut tx = fresh.store.begin().await.unwrap();
    let (one, two) = (replica("one", at), replica("two", at.plus(hours(1))));
    replicas::beat(&mut tx, &two, at.plus(hours(1))).await.unwrap();
    replicas::beat(&mut tx, &one, at).await.unwrap();
    replicas::beat(&mut tx, &one, at.plus(hours(2))).await.unwrap();
    let listed = replicas::list(&mut tx).await.unwrap();
    assert_eq!(listed, [(one.clone(), at.plus(hours(2))), (two.clone(), at.plus(hours(1)))]);
    replicas::leave(&mut tx, "one").await.unwrap();
    assert_eq!(replicas::list(&mut tx).await.unwrap().len(), 1);
    replicas::beat(&mut tx, &one, at.plus(hours(26))).await.unwrap();
    assert_eq!(replicas::list(&mut tx).await.unwrap(), [(one, at.plus(hours(26)))], "the other is long gone");
}

async fn leases_are_counted_by_process(fresh: Fresh) {
    let at = now(&fresh.store).await;
    let mut tx = fresh.store.begin().await.unwrap();
    assert!(replicas::leases(&mut tx, at).await.unwrap().is_empty());
    for (id, by, until) in [("a", "one", 2), ("b", "one", 2), ("c", "two", 2), ("d", "two", 0)] {
        let insert = crate::db::query(
            "insert into delivery (id, event_id, connector_id, state, due_at, attempts, crashes, lease_until,
               lease_by, fence, idempotency_key, test, created_at)
             values ($1, 'e', 'c', 'pending', 0, 0, 0, $2, $3, 1, $1, 0, 0)",
        );
        insert.bind(id).bind(at.plus(hours(until)).millis()).bind(by).execute(&mut tx).await.unwrap();
    }
    let leases = replicas::leases(&mut tx, at.plus(hours(1))).await.unwrap();
    assert_eq!(leases["one"], Leases { deliveries: 2, ..Leases::default() });
    assert_eq!(leases["two"].deliveries, 1, "a lease that ran out is none");
}
