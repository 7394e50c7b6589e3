//! The queue: claims, leases, fences, results.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consign_core::connector::{ConnectorState, HeldBy, Kind};
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::{ConnectorId, DeliveryId};

use super::{Fresh, accept, add_connector, delivery, event, now, on_both, recording};
use crate::db::query;
use crate::events::{self, NewRow};
use crate::{Store, attempts, connectors, deliveries};

on_both!(
    four_workers_take_each_delivery_once,
    a_lost_lease_changes_nothing_but_keeps_its_attempt,
    an_outcome_is_counted_from_its_first_in_a_row,
    an_abandoned_lease_counts_a_crash,
    given_back_and_run_out,
    lanes_have_room_and_are_open,
    order_keys_keep_their_order,
    foreign_leases_end_at_the_start,
    many_results_at_once,
);

const MINUTE: Duration = Duration::from_secs(60);

async fn accept_many(store: &Store, names: &[&str], per_connector: usize) {
    for name in names {
        let connector = add_connector(store, name).await;
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        let events: Vec<_> =
            (0..per_connector).map(|number| event(&format!("{name}{number}"), now)).collect();
        let made: Vec<_> = events.iter().map(|_| [delivery(connector.id, now)]).collect();
        let rows: Vec<_> = events
            .iter()
            .zip(&made)
            .map(|(event, deliveries)| NewRow {
                event,
                sealed_data: b"x",
                payload_key: 1,
                deliveries,
                exporters: &[],
            })
            .collect();
        events::accept(&mut tx, &rows).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn four_workers_take_each_delivery_once(Fresh { store, .. }: Fresh) {
    const TOTAL: usize = 400;
    accept_many(&store, &["A", "B", "C", "D"], TOTAL / 4).await;
    let taken: Arc<Mutex<Vec<DeliveryId>>> = Arc::default();
    let work = |run: usize| {
        let (store, taken) = (store.clone(), Arc::clone(&taken));
        async move {
            while taken.lock().unwrap().len() < TOTAL {
                let mut tx = store.begin().await.unwrap();
                let now = tx.now();
                let mut mine = Vec::new();
                for lane in deliveries::lanes(&mut tx, now, 64).await.unwrap() {
                    let room = 50 - lane.in_flight;
                    let by = format!("run-{run}");
                    let claimed =
                        deliveries::claim(&mut tx, lane.connector, room.min(7), now, now.plus(MINUTE), &by)
                            .await;
                    mine.extend(claimed.unwrap());
                }
                tx.commit().await.unwrap();
                taken.lock().unwrap().extend(mine.iter().map(|claimed| claimed.id));
                let results: Vec<_> =
                    mine.iter().map(|claimed| recording(claimed, DeliveryState::Delivered, now)).collect();
                let mut tx = store.begin().await.unwrap();
                assert!(
                    deliveries::record(&mut tx, &results.iter().collect::<Vec<_>>())
                        .await
                        .unwrap()
                        .iter()
                        .all(|held| *held)
                );
                tx.commit().await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    };
    let workers: Vec<_> = (0..4).map(|run| tokio::spawn(work(run))).collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let taken = taken.lock().unwrap();
    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (TOTAL, TOTAL));
}

/// Claims what is due on the only lane.
async fn claim_all(store: &Store, by: &str) -> Vec<deliveries::Claimed> {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let mut claimed = Vec::new();
    for lane in deliveries::lanes(&mut tx, now, 64).await.unwrap() {
        claimed
            .extend(deliveries::claim(&mut tx, lane.connector, 9, now, now.plus(MINUTE), by).await.unwrap());
    }
    tx.commit().await.unwrap();
    claimed
}

async fn a_lost_lease_changes_nothing_but_keeps_its_attempt(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let time = now(&store).await;
    accept(&store, "1", &[delivery(connector.id, time)]).await;
    let old = claim_all(&store, "a").await.remove(0);
    assert_eq!(
        (old.fence, old.abandoned, old.event.sealed_data.as_deref()),
        (1, false, Some(&b"sealed"[..]))
    );
    assert!(claim_all(&store, "b").await.is_empty(), "a lease that holds was claimed");
    store.advance(2 * MINUTE);
    let new = claim_all(&store, "b").await.remove(0);
    assert_eq!(new.fence, 2);
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let late = recording(&old, DeliveryState::Failed, now);
    assert_eq!(deliveries::record(&mut tx, &[&late]).await.unwrap(), [false]);
    let good = recording(&new, DeliveryState::Delivered, now);
    assert_eq!(deliveries::record(&mut tx, &[&good]).await.unwrap(), [true]);
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let stored = deliveries::find(&mut db, old.id).await.unwrap().unwrap();
    assert_eq!((stored.state, stored.attempts, stored.last_status), (DeliveryState::Delivered, 1, Some(201)));
    assert_eq!((stored.lease_until, stored.ended_at), (None, Some(now)));
    assert_eq!(stored.reference.as_deref(), Some("INC0001"));
    assert_eq!(attempts::of_delivery(&mut db, old.id).await.unwrap().len(), 2);
}

async fn an_outcome_is_counted_from_its_first_in_a_row(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let time = now(&store).await;
    accept(&store, "1", &[delivery(connector.id, time)]).await;
    let mut since = Vec::new();
    for outcome in ["throttled", "no_answer", "throttled", "throttled"] {
        store.advance(MINUTE);
        let claimed = claim_all(&store, "a").await.remove(0);
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        let mut seen = recording(&claimed, DeliveryState::Pending, now);
        seen.attempt.outcome = outcome.to_owned();
        assert_eq!(deliveries::record(&mut tx, &[&seen]).await.unwrap(), [true]);
        let found = attempts::outcome_since(&mut tx, claimed.id, "throttled").await.unwrap();
        since.push(found.map(|found| now.since(found)));
        tx.commit().await.unwrap();
    }
    assert_eq!(since[..3], [Some(Duration::ZERO), None, Some(Duration::ZERO)]);
    assert!(since[3] >= Some(MINUTE) && since[3] < Some(2 * MINUTE), "{since:?}");
}

async fn an_abandoned_lease_counts_a_crash(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let time = now(&store).await;
    accept(&store, "1", &[delivery(connector.id, time)]).await;
    for crashes in 0..2 {
        let claimed = claim_all(&store, "a").await.remove(0);
        assert_eq!((claimed.crashes, claimed.abandoned, claimed.attempts), (crashes, crashes > 0, 0));
        store.advance(2 * MINUTE);
    }
    assert!(claim_all(&store, "a").await.is_empty(), "a suspect is not claimed with the others");
    let suspect = claim_suspect(&store, connector.id).await;
    assert_eq!((suspect.crashes, suspect.abandoned), (2, true));
    // Given back unsent it stays in doubt, and is not counted twice.
    let mut tx = store.begin().await.unwrap();
    deliveries::give_back_abandoned(&mut tx, &[(suspect.id, suspect.fence)]).await.unwrap();
    tx.commit().await.unwrap();
    let suspect = claim_suspect(&store, connector.id).await;
    assert_eq!((suspect.crashes, suspect.abandoned), (2, true));
    let held = recording(&suspect, DeliveryState::Held, now(&store).await);
    let held = deliveries::Recording { hold_reason: Some(HoldReason::RepeatedCrash), ..held };
    let mut tx = store.begin().await.unwrap();
    deliveries::record(&mut tx, &[&held]).await.unwrap();
    let stored = deliveries::find(&mut tx, held.delivery).await.unwrap().unwrap();
    assert_eq!(stored.shown_state(), (DeliveryState::Held, Some(HoldReason::RepeatedCrash)));
    let now = tx.now();
    assert!(deliveries::release(&mut tx, held.delivery, now).await.unwrap());
    assert!(!deliveries::release(&mut tx, held.delivery, now).await.unwrap());
    tx.commit().await.unwrap();
    let again = claim_all(&store, "a").await.remove(0);
    assert_eq!((again.crashes, again.abandoned), (0, false));
}

async fn claim_suspect(store: &Store, connector: ConnectorId) -> deliveries::Claimed {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let found = deliveries::claim_suspect(&mut tx, connector, now, now.plus(MINUTE), "a").await.unwrap();
    tx.commit().await.unwrap();
    found.unwrap()
}

async fn given_back_and_run_out(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let time = now(&store).await;
    accept(&store, "1", &[delivery(connector.id, time)]).await;
    let first = claim_all(&store, "a").await.remove(0);
    let mut tx = store.begin().await.unwrap();
    deliveries::give_back(&mut tx, &[(first.id, first.fence)]).await.unwrap();
    tx.commit().await.unwrap();
    let second = claim_all(&store, "a").await.remove(0);
    assert_eq!((second.crashes, second.abandoned), (0, false));
    assert!(second.fence > first.fence);
    assert!(claim_all(&store, "b").await.is_empty());
    store.advance(2 * MINUTE);
    assert!(claim_all(&store, "b").await.remove(0).abandoned);
}

async fn lanes_have_room_and_are_open(Fresh { store, .. }: Fresh) {
    let time = now(&store).await;
    let mut narrow = super::connector("Narrow", None, time);
    let Kind::Webhook(webhook) = &mut narrow.kind else { panic!("it is a webhook") };
    webhook.max_concurrency = 1;
    let mut tx = store.begin().await.unwrap();
    connectors::insert(&mut tx, &narrow).await.unwrap();
    tx.commit().await.unwrap();
    accept(&store, "1", &[delivery(narrow.id, time), delivery(narrow.id, time)]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let lanes = deliveries::lanes(&mut tx, now, 64).await.unwrap();
    assert_eq!(lanes, [deliveries::LaneWork { connector: narrow.id, in_flight: 0 }]);
    let claimed = deliveries::claim(&mut tx, narrow.id, 1, now, now.plus(MINUTE), "a").await.unwrap();
    assert_eq!(deliveries::lanes(&mut tx, now, 64).await.unwrap(), [], "a full lane");
    deliveries::give_back(&mut tx, &[(claimed[0].id, claimed[0].fence)]).await.unwrap();
    connectors::close_until(&mut tx, narrow.id, now.plus(MINUTE)).await.unwrap();
    assert_eq!(deliveries::lanes(&mut tx, now, 64).await.unwrap(), [], "a closed lane");
    assert_eq!(deliveries::lanes(&mut tx, now.plus(MINUTE), 64).await.unwrap().len(), 1);
    connectors::set_state(&mut tx, narrow.id, None, ConnectorState::Held(HeldBy::NotAllowed), "403", now)
        .await
        .unwrap();
    assert_eq!(deliveries::lanes(&mut tx, now.plus(MINUTE), 64).await.unwrap(), [], "a held lane");
}

async fn order_keys_keep_their_order(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let time = now(&store).await;
    let made = [0, 1, 2].map(|later| delivery(connector.id, time.plus(Duration::from_millis(later))));
    store.advance(MINUTE);
    accept(&store, "1", &made).await;
    let mut tx = store.begin().await.unwrap();
    query("update delivery set order_key = 'run'").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    for expected in &made {
        let claimed = claim_all(&store, "a").await;
        assert_eq!(claimed.iter().map(|claimed| claimed.id).collect::<Vec<_>>(), [expected.id]);
        assert!(claim_all(&store, "a").await.is_empty());
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        deliveries::record(&mut tx, &[&recording(&claimed[0], DeliveryState::Delivered, now)]).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn foreign_leases_end_at_the_start(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let time = now(&store).await;
    accept(&store, "1", &[delivery(connector.id, time)]).await;
    let first = claim_all(&store, "old").await.remove(0);
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(deliveries::abandon_foreign_leases(&mut tx, "old", now).await.unwrap(), 0);
    assert_eq!(deliveries::abandon_foreign_leases(&mut tx, "new", now).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let again = claim_all(&store, "new").await.remove(0);
    assert_eq!((again.id, again.abandoned, again.crashes), (first.id, true, 1));
}

async fn many_results_at_once(Fresh { store, .. }: Fresh) {
    accept_many(&store, &["A"], 50).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let lane = deliveries::lanes(&mut tx, now, 1).await.unwrap().remove(0);
    let claimed = deliveries::claim(&mut tx, lane.connector, 50, now, now.plus(MINUTE), "a").await.unwrap();
    let mut results: Vec<_> =
        claimed.iter().map(|claimed| recording(claimed, DeliveryState::Delivered, now)).collect();
    results[3].fence += 1;
    results[17].fence -= 1;
    let held = deliveries::record(&mut tx, &results.iter().collect::<Vec<_>>()).await.unwrap();
    let lost: Vec<_> = (0..50).filter(|index| !held[*index]).collect();
    assert_eq!(lost, [3, 17]);
    let counts = connectors::waiting_counts(&mut tx, &[lane.connector]).await.unwrap()[&lane.connector];
    assert_eq!((counts.waiting, counts.last_delivery_at), (2, Some(now)));
}
