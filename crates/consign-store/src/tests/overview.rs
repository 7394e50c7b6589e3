//! What an overview counts.

use consign_core::connector::ConnectorState;
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::event::{Event, OWN_SOURCE};
use consign_core::id::ConnectorId;

use super::{
    Fresh, accept, add_connector, connector, credential, delivery, event, hours, now, on_both, recording,
};
use crate::deliveries::{self, Recording};
use crate::events::{self, EventFilter, NewRow};
use crate::overview::{self, HOUR_MS, HourCount, Waiting};
use crate::{Page, Store, attempts, connectors, credentials, retention};

on_both!(
    hours_are_counted_by_connector,
    what_waits_is_counted_where_it_is_sent,
    a_long_queue_is_counted_up_to_a_bound,
    what_needs_a_person_is_counted_by_reason,
    events_without_a_webhook_are_counted,
    what_is_tried_again_is_told_with_its_answer,
    what_is_kept_is_counted_with_its_payloads,
    what_was_ever_sent_is_told,
);

/// Accepts one delivery and ends its first attempt in this state.
async fn settle(store: &Store, connector: ConnectorId, name: &str, state: DeliveryState) {
    let time = now(store).await;
    accept(store, name, &[delivery(connector, time)]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let claimed = deliveries::claim(&mut tx, connector, 1, now, now.plus(hours(1)), "a").await.unwrap();
    let reason = (state == DeliveryState::Held).then_some(HoldReason::NoAnswer);
    let result = Recording { hold_reason: reason, ..recording(&claimed[0], state, now) };
    deliveries::record(&mut tx, &[&result]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn hours_are_counted_by_connector(Fresh { store, .. }: Fresh) {
    let (one, two) = (add_connector(&store, "One").await.id, add_connector(&store, "Two").await.id);
    assert!(
        overview::by_hour(&mut store.read().await.unwrap(), 0, i64::MAX / HOUR_MS).await.unwrap().is_empty()
    );
    for (number, (connector, state)) in [
        (one, DeliveryState::Delivered),
        (one, DeliveryState::Delivered),
        (one, DeliveryState::Failed),
        (two, DeliveryState::Failed),
        (two, DeliveryState::Cancelled),
        (two, DeliveryState::Held),
    ]
    .into_iter()
    .enumerate()
    {
        settle(&store, connector, &number.to_string(), state).await;
    }
    // A webhook that was deleted keeps its past.
    let mut tx = store.begin().await.unwrap();
    connectors::delete(&mut tx, two).await.unwrap();
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let hour = db.now().millis() / HOUR_MS;
    // The clock may have passed the hour meanwhile.
    let found = overview::by_hour(&mut db, hour - 1, hour + 1).await.unwrap();
    let sum = |connector: ConnectorId| {
        let of = found.iter().filter(|one| one.connector == connector);
        of.fold((0, 0), |(all, lost), one: &HourCount| (all + one.delivered, lost + one.failed))
    };
    assert_eq!((sum(one), sum(two)), ((2, 1), (0, 1)));
    assert!(overview::by_hour(&mut db, hour + 1, hour + 9).await.unwrap().is_empty());
}

async fn what_waits_is_counted_where_it_is_sent(Fresh { store, .. }: Fresh) {
    let (one, two) = (add_connector(&store, "One").await.id, add_connector(&store, "Two").await.id);
    let mut db = store.read().await.unwrap();
    assert_eq!(overview::waiting(&mut db).await.unwrap(), Waiting::default());
    drop(db);
    let time = now(&store).await;
    accept(&store, "1", &[delivery(two, time), delivery(one, time)]).await;
    accept(&store, "2", &[delivery(one, now(&store).await)]).await;
    let mut tx = store.begin().await.unwrap();
    let at = tx.now();
    connectors::set_state(&mut tx, two, None, ConnectorState::Paused, "", at).await.unwrap();
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let waiting = overview::waiting(&mut db).await.unwrap();
    assert_eq!(waiting.count, 2);
    assert!(waiting.oldest.is_some());
    assert_eq!(overview::waiting_for(&mut db, two).await.unwrap(), 1);
    drop(db);
    settle(&store, one, "3", DeliveryState::Held).await;
    settle(&store, one, "4", DeliveryState::Delivered).await;
    let mut db = store.read().await.unwrap();
    let counts = connectors::waiting_counts(&mut db, &[one, two]).await.unwrap();
    // The two that settled were the oldest of the queue: two still wait, and one of them is held.
    assert_eq!((counts[&one].waiting, counts[&two].waiting), (3, 1));
    assert!(counts[&one].last_delivery_at.is_some() && counts[&two].last_delivery_at.is_none());
}

async fn what_was_ever_sent_is_told(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let made_at = tx.now();
    let tool = credential("Tool", made_at);
    credentials::insert(&mut tx, &tool).await.unwrap();
    assert_eq!(credentials::total(&mut tx).await.unwrap(), 1);
    connectors::insert(&mut tx, &connector("Later", Some(tool.id), made_at)).await.unwrap();
    assert!(!overview::anything_sent(&mut tx).await.unwrap());
    credentials::mark_used(&mut tx, tool.id, made_at.plus(hours(1))).await.unwrap();
    assert!(!overview::anything_sent(&mut tx).await.unwrap(), "it may have been a test");
    credentials::mark_used(&mut tx, tool.id, made_at.plus(hours(25))).await.unwrap();
    assert!(overview::anything_sent(&mut tx).await.unwrap(), "also when all records are gone");
    credentials::delete(&mut tx, tool.id).await.unwrap();
    assert!(!overview::anything_sent(&mut tx).await.unwrap());
    tx.commit().await.unwrap();
    let one = add_connector(&store, "One").await.id;
    accept(&store, "1", &[delivery(one, made_at)]).await;
    assert!(overview::anything_sent(&mut store.read().await.unwrap()).await.unwrap());
}

async fn a_long_queue_is_counted_up_to_a_bound(Fresh { store, .. }: Fresh) {
    let (one, two) = (add_connector(&store, "One").await.id, add_connector(&store, "Two").await.id);
    let time = now(&store).await;
    let most = usize::try_from(connectors::WAITING_MAX).unwrap();
    let mut queue: Vec<_> = (0..most + 3).map(|_| delivery(one, time)).collect();
    queue.extend((0..most - 1).map(|_| delivery(two, time)));
    accept(&store, "1", &queue).await;
    let mut db = store.read().await.unwrap();
    let counts = connectors::waiting_counts(&mut db, &[one, two]).await.unwrap();
    assert_eq!(
        (counts[&one].waiting, counts[&two].waiting),
        (connectors::WAITING_MAX, connectors::WAITING_MAX - 1)
    );
    assert_eq!(overview::waiting_for(&mut db, one).await.unwrap(), connectors::WAITING_MAX);
    drop(db);
    // What is held for its own reason stands beside what is pending, within the same bound.
    settle(&store, two, "2", DeliveryState::Held).await;
    settle(&store, two, "3", DeliveryState::Held).await;
    let mut db = store.read().await.unwrap();
    let counts = connectors::waiting_counts(&mut db, &[two]).await.unwrap();
    assert_eq!(counts[&two].waiting, connectors::WAITING_MAX);
}

async fn what_needs_a_person_is_counted_by_reason(Fresh { store, .. }: Fresh) {
    let (one, two) = (add_connector(&store, "One").await.id, add_connector(&store, "Two").await.id);
    for (number, (connector, state)) in [
        (one, DeliveryState::Failed),
        (one, DeliveryState::Failed),
        (one, DeliveryState::Held),
        (two, DeliveryState::Failed),
        (two, DeliveryState::Delivered),
    ]
    .into_iter()
    .enumerate()
    {
        settle(&store, connector, &number.to_string(), state).await;
    }
    let found = overview::pressing(&mut store.read().await.unwrap()).await.unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.connector, one.state, one.reason, one.count)).collect();
    let held = (one, DeliveryState::Held, Some(HoldReason::NoAnswer), 1);
    let failed = |connector, count| (connector, DeliveryState::Failed, None, count);
    assert_eq!(found, [held, failed(one, 2), failed(two, 1)]);
}

async fn events_without_a_webhook_are_counted(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let time = now(&store).await;
    accept(&store, "1", &[delivery(connector, time)]).await;
    accept(&store, "2", &[]).await;
    accept(&store, "3", &[]).await;
    let mut tx = store.begin().await.unwrap();
    let own = Event { source: OWN_SOURCE.to_owned(), ..event("4", tx.now()) };
    let row = NewRow { event: &own, sealed_data: b"x", payload_key: 1, deliveries: &[], exporters: &[] };
    events::accept(&mut tx, &[row]).await.unwrap();
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let unmatched = EventFilter { unmatched_only: true, ..EventFilter::default() };
    let listed = events::list(&mut db, &unmatched, &Page::first(9)).await.unwrap();
    let sources: Vec<_> = listed.items.iter().map(|event| event.source.as_str()).collect();
    assert!(
        sources.len() == 2 && !sources.contains(&OWN_SOURCE),
        "what Consign tells of itself is no loss: {sources:?}"
    );
    let now = db.now();
    assert_eq!(overview::unmatched(&mut db, now.minus(hours(24))).await.unwrap(), 2);
    assert_eq!(overview::unmatched(&mut db, now.plus(hours(1))).await.unwrap(), 0);
}

async fn what_is_tried_again_is_told_with_its_answer(Fresh { store, .. }: Fresh) {
    let (one, two) = (add_connector(&store, "One").await.id, add_connector(&store, "Two").await.id);
    let time = now(&store).await;
    let (tried, fresh) = (delivery(one, time), delivery(two, time));
    accept(&store, "1", std::slice::from_ref(&tried)).await;
    for round in 1..3 {
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        let claimed = deliveries::claim(&mut tx, one, 1, now, now.plus(hours(1)), "a").await.unwrap();
        let result = Recording {
            attempts: round - 1,
            status: Some(404),
            due_at: now,
            ..recording(&claimed[0], DeliveryState::Pending, now)
        };
        deliveries::record(&mut tx, &[&result]).await.unwrap();
        tx.commit().await.unwrap();
    }
    // What came in and was not tried yet is no retry.
    accept(&store, "2", &[delivery(one, time), fresh.clone()]).await;
    let mut db = store.read().await.unwrap();
    let counts = connectors::waiting_counts(&mut db, &[one, two]).await.unwrap();
    let told = |id| (counts[&id].waiting, counts[&id].retrying, counts[&id].retrying_status);
    assert_eq!((told(one), told(two)), ((2, 1, Some(404)), (1, 0, None)));
    let found = attempts::tried(&mut db, &[tried.id, fresh.id]).await.unwrap();
    assert_eq!((found.len(), found[&tried.id].attempts), (1, 2), "the one that did not count was made");
    let made = attempts::of_delivery(&mut db, tried.id).await.unwrap();
    assert_eq!(found[&tried.id].last_duration_ms, made[1].duration_ms);
}

async fn what_is_kept_is_counted_with_its_payloads(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let kept = async |since| overview::kept(&mut store.read().await.unwrap(), since).await.unwrap();
    let before = now(&store).await.minus(hours(1));
    let empty = kept(before).await;
    assert_eq!(
        (empty.events, empty.payloads, empty.payload_bytes, empty.payload_bytes_last_day),
        (0, 0, 0, 0)
    );
    settle(&store, connector, "1", DeliveryState::Delivered).await;
    settle(&store, connector, "2", DeliveryState::Held).await;
    let both = kept(before).await;
    assert_eq!((both.deliveries, both.last_day, both.events, both.payloads), (2, 2, 2, 2));
    assert!(both.payload_bytes > 0);
    assert_eq!(both.payload_bytes_last_day, both.payload_bytes);
    let later = now(&store).await.plus(hours(1));
    let nothing_new = kept(later).await;
    assert_eq!((nothing_new.last_day, nothing_new.payload_bytes_last_day), (0, 0));
    assert_eq!(nothing_new.payload_bytes, both.payload_bytes);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(retention::delete_payloads(&mut tx, later, 100).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let rest = kept(before).await;
    assert_eq!((rest.events, rest.payloads), (2, 1));
    assert!(rest.payload_bytes > 0 && rest.payload_bytes < both.payload_bytes);
}
