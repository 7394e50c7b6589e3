//! Many deliveries sent again: what a selection finds, portions, and operations that go on.

use std::time::Duration;

use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::{ConnectorId, DeliveryId, OperationId};
use consign_core::operation::{OperationKind, OperationState};
use consign_core::replay::{ReplayRequest, Selection};
use consign_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::{Fresh, accept, add_connector, delivery, hours, now, object, on_both, recording};
use crate::deliveries::{
    self, Again, DeliveryFilter, Recording, TextBy, count_again, count_again_by, next_again, send_again,
};
use crate::operations::{self, Operation};
use crate::{Page, Store, Tx, connectors, retention};

on_both!(
    a_selection_finds_what_can_be_sent_again,
    a_portion_that_was_not_committed_left_nothing,
    what_was_sent_again_is_not_found_again,
    held_ones_are_sent_again_themselves,
    only_what_was_kept_is_sent_as_it_first_was,
    an_operation_goes_on_where_it_was_and_ends_once,
);

fn selection(filter: Value) -> Selection {
    Selection::parse(object(filter)).unwrap()
}

/// Accepts deliveries and brings them into a state.
async fn settle(
    store: &Store,
    connector: ConnectorId,
    state: DeliveryState,
    names: &[&str],
) -> Vec<DeliveryId> {
    let mut ids = Vec::new();
    for name in names {
        let time = now(store).await;
        accept(store, name, &[delivery(connector, time)]).await;
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        let claimed = deliveries::claim(&mut tx, connector, 1, now, now.plus(hours(1)), "a").await.unwrap();
        let reason = (state == DeliveryState::Held).then_some(HoldReason::NoAnswer);
        let result = Recording { hold_reason: reason, ..recording(&claimed[0], state, now) };
        deliveries::record(&mut tx, &[&result]).await.unwrap();
        tx.commit().await.unwrap();
        ids.push(claimed[0].id);
    }
    ids.sort();
    ids
}

async fn later(store: &Store) -> Timestamp {
    now(store).await.plus(hours(1))
}

async fn all_again(store: &Store, selection: &Selection, state: DeliveryState) -> Vec<Again> {
    let before = later(store).await;
    next_again(&mut store.read().await.unwrap(), (selection, ReplayRequest::Present), state, before, "", 100)
        .await
        .unwrap()
}

fn ids(again: &[Again]) -> Vec<DeliveryId> {
    again.iter().map(|one| one.id).collect()
}

async fn a_selection_finds_what_can_be_sent_again(Fresh { store, .. }: Fresh) {
    let (one, two) = (add_connector(&store, "One").await.id, add_connector(&store, "Two").await.id);
    let failed = settle(&store, one, DeliveryState::Failed, &["1", "2", "3"]).await;
    let other = settle(&store, two, DeliveryState::Failed, &["4"]).await;
    let cancelled = settle(&store, one, DeliveryState::Cancelled, &["5"]).await;
    settle(&store, one, DeliveryState::Delivered, &["6", "7"]).await;
    accept(&store, "8", &[delivery(one, now(&store).await)]).await;
    let whole = selection(json!({}));
    let before = later(&store).await;
    let count = async |selection: &Selection, before: Timestamp| {
        count_again(&mut store.read().await.unwrap(), selection, before, ReplayRequest::Present)
            .await
            .unwrap()
    };
    let found = count(&whole, before).await;
    let of: Vec<_> = found.connectors.iter().map(|of| (of.name.as_str(), of.count)).collect();
    assert_eq!((of, found.without_payload, found.too_many), (vec![("One", 3), ("Two", 1)], 0, false));
    assert!(found.oldest.is_some());
    assert_eq!(
        ids(&all_again(&store, &whole, DeliveryState::Failed).await),
        [failed.clone(), other].concat()
    );

    let narrow = |more: Value| {
        let mut filter: Map<String, Value> = object(json!({ "connector": one }));
        filter.extend(object(more));
        selection(Value::Object(filter))
    };
    let both = narrow(json!({ "state": ["failed", "cancelled"] }));
    assert_eq!(count(&both, before).await.count(), 4);
    assert_eq!(ids(&all_again(&store, &both, DeliveryState::Cancelled).await), cancelled);
    assert_eq!(count(&narrow(json!({ "state": ["delivered"] })), before).await.count(), 2);
    assert_eq!(count(&narrow(json!({ "ids": [failed[1]] })), before).await.count(), 1);
    assert_eq!(count(&narrow(json!({ "q": "LAPTOP 100%" })), before).await.count(), 3);
    assert_eq!(count(&narrow(json!({ "q": "laptop 1000" })), before).await.count(), 0);
    assert_eq!(count(&narrow(json!({ "q": failed[2] })), before).await.count(), 1);
    let by = async |q: &str, by: TextBy, most: u64| {
        let selection = narrow(json!({ "q": q, "state": ["failed", "cancelled"] }));
        let of = (before, ReplayRequest::Present);
        let found = count_again_by(&mut store.read().await.unwrap(), &selection, of, by, most).await.unwrap();
        (found.count(), found.too_many, found.oldest.is_some())
    };
    for way in [TextBy::Index, TextBy::Row] {
        assert_eq!(by("LAPTOP 100%", way, 4).await, (4, false, true), "{way:?}");
        assert_eq!(by("laptop 1000", way, 4).await, (0, false, false), "{way:?}");
        assert!(by("LAPTOP 100%", way, 2).await.1, "{way:?}");
    }
    assert_eq!(by("laptop 1000", TextBy::Index, 2).await, (0, false, false), "nothing else is looked at");
    assert!(by("laptop 1000", TextBy::Row, 2).await.1, "more would have to be looked at");
    assert_eq!(count(&narrow(json!({ "event_type": "device.score.high" })), before).await.count(), 0);
    assert_eq!(count(&narrow(json!({ "created_after": before })), before).await.count(), 0);
    assert_eq!(count(&narrow(json!({ "created_before": before })), before).await.count(), 3);
    let long_ago = Timestamp::from_millis(before.millis() - 1_000_000_000);
    assert_eq!(count(&whole, long_ago).await.count(), 0, "only what had failed by then");

    // Without its payload nothing can be sent.
    let mut tx = store.begin().await.unwrap();
    retention::delete_payloads(&mut tx, before.plus(hours(24 * 400)), 100).await.unwrap();
    connectors::delete(&mut tx, two).await.unwrap();
    tx.commit().await.unwrap();
    let found = count(&whole, before).await;
    assert_eq!((found.count(), found.without_payload), (0, 3), "a deleted webhook gets nothing either");
    assert!(all_again(&store, &whole, DeliveryState::Failed).await.is_empty());
}

async fn started(store: &Store, total: u64) -> Operation {
    let mut tx = store.begin().await.unwrap();
    let operation = Operation {
        id: OperationId::new(tx.now()),
        kind: OperationKind::Replay,
        state: OperationState::Running,
        done: 0,
        total,
        settings: json!({ "a": 1 }),
        place: String::new(),
        due_at: tx.now(),
        started_by: "Ana".to_owned(),
        started_at: tx.now(),
        ended_at: None,
        problem: String::new(),
    };
    operations::insert(&mut tx, &operation).await.unwrap();
    tx.commit().await.unwrap();
    operation
}

/// Takes the operation that is due. PostgreSQL hears a moment later that a transaction before this one was
/// dropped, and skips its rows until then.
async fn take(tx: &mut Tx, now: Timestamp) -> Operation {
    for _ in 0..1_000 {
        if let Some(taken) = operations::take_due(tx, OperationKind::Replay, now).await.unwrap() {
            return taken;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no operation was due for five seconds");
}

async fn a_portion_that_was_not_committed_left_nothing(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let failed = settle(&store, connector, DeliveryState::Failed, &["1", "2", "3"]).await;
    let operation = started(&store, 3).await;
    let again = all_again(&store, &selection(json!({})), DeliveryState::Failed).await;
    for committed in [false, true] {
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        let taken = take(&mut tx, now).await;
        assert_eq!((taken.id, taken.done, taken.place.as_str()), (operation.id, 0, ""), "{committed}");
        send_again(&mut tx, taken.id, (DeliveryState::Failed, ReplayRequest::Present), &again[..2], now)
            .await
            .unwrap();
        assert!(operations::advance(&mut tx, taken.id, 2, "failed x", now).await.unwrap());
        if committed {
            tx.commit().await.unwrap();
        }
    }
    let mut db = store.read().await.unwrap();
    let states = deliveries::states_of_operation(&mut db, operation.id, 100).await.unwrap();
    assert_eq!(states, [(DeliveryState::Pending, 2)]);
    let bounded = deliveries::states_of_operation(&mut db, operation.id, 1).await.unwrap();
    assert_eq!(bounded, [(DeliveryState::Pending, 1)]);
    let filter = DeliveryFilter { operation: Some(operation.id), ..DeliveryFilter::default() };
    let made = deliveries::list(&mut db, &filter, &Page::first(50)).await.unwrap().items;
    let mut of: Vec<_> = made.iter().filter_map(|line| line.delivery.replay_of).collect();
    of.sort();
    assert_eq!(of, failed[..2]);
    for line in made {
        let first = deliveries::find(&mut db, line.delivery.replay_of.unwrap()).await.unwrap().unwrap();
        assert_eq!(line.delivery.idempotency_key, first.idempotency_key);
        assert_eq!((line.delivery.event, line.delivery.attempts), (first.event, 0));
    }
}

async fn what_was_sent_again_is_not_found_again(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let failed = settle(&store, connector, DeliveryState::Failed, &["1", "2"]).await;
    let whole = selection(json!({}));
    let again = all_again(&store, &whole, DeliveryState::Failed).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    send_again(
        &mut tx,
        OperationId::new(now),
        (DeliveryState::Failed, ReplayRequest::Present),
        &again[..1],
        now,
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(ids(&all_again(&store, &whole, DeliveryState::Failed).await), failed[1..]);
}

async fn held_ones_are_sent_again_themselves(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let held = settle(&store, connector, DeliveryState::Held, &["1", "2"]).await;
    let wanted = selection(json!({ "state": ["held"] }));
    let again = all_again(&store, &wanted, DeliveryState::Held).await;
    assert_eq!(ids(&again), held);
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let operation = OperationId::new(now);
    send_again(&mut tx, operation, (DeliveryState::Held, ReplayRequest::Present), &again, now).await.unwrap();
    let states = deliveries::states_of_operation(&mut tx, operation, 100).await.unwrap();
    assert_eq!(states, [(DeliveryState::Pending, 2)]);
    let one = deliveries::find(&mut tx, held[0]).await.unwrap().unwrap();
    assert_eq!((one.state, one.hold_reason, one.replay_of), (DeliveryState::Pending, None, None));
}

/// Brings one delivery into a state by an attempt whose request is kept.
async fn settle_kept(store: &Store, connector: ConnectorId, state: DeliveryState, name: &str) -> DeliveryId {
    let time = now(store).await;
    accept(store, name, &[delivery(connector, time)]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let claimed = deliveries::claim(&mut tx, connector, 1, now, now.plus(hours(1)), "a").await.unwrap();
    let reason = (state == DeliveryState::Held).then_some(HoldReason::NoAnswer);
    let mut result = Recording { hold_reason: reason, ..recording(&claimed[0], state, now) };
    result.attempt.request = Some(b"first".to_vec());
    deliveries::record(&mut tx, &[&result]).await.unwrap();
    tx.commit().await.unwrap();
    claimed[0].id
}

async fn only_what_was_kept_is_sent_as_it_first_was(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let without = settle(&store, connector, DeliveryState::Failed, &["1", "2"]).await;
    let kept = settle_kept(&store, connector, DeliveryState::Failed, "3").await;
    let held = settle_kept(&store, connector, DeliveryState::Held, "4").await;
    let before = later(&store).await;
    let first = ReplayRequest::AsFirstSent;
    let both = selection(json!({ "state": ["failed", "held"] }));
    let count = async |request| {
        let found = count_again(&mut store.read().await.unwrap(), &both, before, request).await.unwrap();
        (found.count(), found.without_request, found.without_payload)
    };
    assert_eq!((count(ReplayRequest::Present).await, count(first).await), ((4, 0, 0), (2, 2, 0)));

    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let next = async |tx: &mut Tx, state| next_again(tx, (&both, first), state, before, "", 9).await.unwrap();
    let failed = next(&mut tx, DeliveryState::Failed).await;
    assert_eq!(ids(&failed), [kept]);
    let operation = OperationId::new(now);
    send_again(&mut tx, operation, (DeliveryState::Failed, first), &failed, now).await.unwrap();
    let own = next(&mut tx, DeliveryState::Held).await;
    send_again(&mut tx, operation, (DeliveryState::Held, first), &own, now).await.unwrap();
    let claimed = deliveries::claim(&mut tx, connector, 9, now, now.plus(hours(1)), "a").await.unwrap();
    let mut sent_as: Vec<_> = claimed.iter().map(|claimed| claimed.sent_as).collect();
    sent_as.sort();
    assert_eq!(sent_as, [Some(kept), Some(held)]);

    // The first request of a delivery is the one that stays; a later attempt does not take its place.
    let replayed = claimed.iter().find(|claimed| claimed.sent_as == Some(kept)).unwrap();
    let mut result = recording(replayed, DeliveryState::Failed, now);
    result.attempt.request = Some(b"of the replay".to_vec());
    deliveries::record(&mut tx, &[&result]).await.unwrap();
    let mut late = result.attempt.clone();
    late.id = consign_core::id::AttemptId::new(now.plus(hours(1)));
    late.request = Some(b"later".to_vec());
    crate::attempts::insert(&mut tx, &[&late]).await.unwrap();
    assert!(crate::attempts::keeps_request(&mut tx, replayed.id).await.unwrap());
    assert!(!crate::attempts::keeps_request(&mut tx, without[0]).await.unwrap());
    let found = crate::attempts::first_request(&mut tx, replayed.id).await.unwrap().unwrap();
    assert_eq!((found.sealed.as_slice(), found.payload_key), (&b"of the replay"[..], late.payload_key));
    assert_eq!(found.line, late.request_line);
    assert!(crate::attempts::first_request(&mut tx, without[0]).await.unwrap().is_none());
    tx.commit().await.unwrap();
}

async fn an_operation_goes_on_where_it_was_and_ends_once(Fresh { store, .. }: Fresh) {
    let first = started(&store, 3).await;
    let second = started(&store, 4).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let kind = OperationKind::Replay;
    assert!(operations::advance(&mut tx, first.id, 2, "failed dlv_1", now.plus(hours(1))).await.unwrap());
    let taken = operations::take_due(&mut tx, kind, now).await.unwrap().unwrap();
    assert_eq!(taken.id, second.id, "the other one is not due");
    assert!(operations::end(&mut tx, second.id, OperationState::Stopped, "", now).await.unwrap());
    assert!(!operations::end(&mut tx, second.id, OperationState::Done, "", now).await.unwrap());
    assert!(!operations::advance(&mut tx, second.id, 3, "", now).await.unwrap(), "it has ended");
    assert!(operations::take_due(&mut tx, kind, now).await.unwrap().is_none());
    assert_eq!(operations::next_due(&mut tx, kind).await.unwrap(), Some(now.plus(hours(1))));
    let backup = Operation { id: OperationId::new(now), kind: OperationKind::Backup, ..second.clone() };
    operations::insert(&mut tx, &backup).await.unwrap();
    let failed = OperationState::Failed;
    assert_eq!(operations::end_all(&mut tx, OperationKind::Backup, failed, "gone", now).await.unwrap(), 1);
    assert_eq!(operations::end_all(&mut tx, OperationKind::Backup, failed, "gone", now).await.unwrap(), 0);
    let ended = operations::find(&mut tx, backup.id).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.problem.as_str(), ended.ended_at), (failed, "gone", Some(now)));
    assert_eq!(ended.kind.unit(), "bytes");
    tx.commit().await.unwrap();

    let mut db = store.read().await.unwrap();
    let found = operations::find(&mut db, first.id).await.unwrap().unwrap();
    assert_eq!((found.done, found.place.as_str(), found.state), (2, "failed dlv_1", OperationState::Running));
    let listed = operations::list(&mut db, Some(kind), &Page::first(1)).await.unwrap();
    assert!(listed.next.is_some());
    drop(db);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(operations::delete_old(&mut tx, now.plus(hours(24))).await.unwrap(), 2);
    assert!(operations::find(&mut tx, first.id).await.unwrap().is_some(), "what runs is never old");
}
