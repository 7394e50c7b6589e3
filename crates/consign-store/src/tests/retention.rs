//! What is old goes; what waits or is held stays.

use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::vault::Sealed;

use super::{Fresh, accept, add_connector, delivery, hours, now, on_both, recording};
use crate::deliveries::{self, Recording};
use crate::{attempts, events, payload_keys, retention};

on_both!(payloads_go_before_records_and_waiting_ones_stay, portions_are_as_small_as_asked);

async fn payloads_go_before_records_and_waiting_ones_stay(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let time = now(&store).await;
    let made = [(); 3].map(|()| delivery(connector, time));
    let done = accept(&store, "done", &made[..1]).await;
    let held = accept(&store, "held", &made[1..2]).await;
    let waiting = accept(&store, "waiting", &made[2..]).await;
    let unmatched = accept(&store, "unmatched", &[]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let claimed = deliveries::claim(&mut tx, connector, 9, now, now.plus(hours(1)), "a").await.unwrap();
    for claimed in &claimed {
        let state = match claimed.event.event.id {
            id if id == done => DeliveryState::Delivered,
            id if id == held => DeliveryState::Held,
            _ => DeliveryState::Pending,
        };
        let reason = (state == DeliveryState::Held).then_some(HoldReason::NoAnswer);
        let mut result = Recording { hold_reason: reason, ..recording(claimed, state, now) };
        result.attempt.request = Some(b"request".to_vec());
        assert_eq!(deliveries::record(&mut tx, &[&result]).await.unwrap(), [true]);
    }
    payload_keys::insert_if_absent(&mut tx, 7, &Sealed::from_stored("v1.k".to_owned()), now).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.begin().await.unwrap();
    assert_eq!(retention::delete_payloads(&mut tx, now.minus(hours(1)), 100).await.unwrap(), 0, "too young");
    let later = now.plus(hours(1));
    assert_eq!(retention::delete_payloads(&mut tx, later, 100).await.unwrap(), 2);
    assert_eq!(retention::delete_payloads(&mut tx, later, 100).await.unwrap(), 0);
    for (event, kept) in [(done, false), (unmatched, false), (held, true), (waiting, true)] {
        let stored = events::find(&mut tx, event).await.unwrap().unwrap();
        assert_eq!(stored.sealed_data.is_some(), kept);
        for made in deliveries::of_event(&mut tx, event).await.unwrap() {
            let attempts = attempts::of_delivery(&mut tx, made.id).await.unwrap();
            assert!(attempts.iter().all(|attempt| attempt.answer_excerpt.is_some() == kept));
            assert_eq!(attempts::first_request(&mut tx, made.id).await.unwrap().is_some(), kept);
        }
    }
    assert_eq!(retention::delete_payload_keys(&mut tx, 99).await.unwrap(), 0, "still needed");

    assert_eq!(retention::delete_deliveries(&mut tx, later, 100).await.unwrap(), 1);
    assert_eq!(retention::delete_deliveries(&mut tx, later, 100).await.unwrap(), 0);
    assert_eq!(retention::delete_events(&mut tx, later, 100).await.unwrap(), 2);
    assert!(events::find(&mut tx, done).await.unwrap().is_none());
    assert!(attempts::of_delivery(&mut tx, made[0].id).await.unwrap().is_empty());
    for event in [held, waiting] {
        assert!(events::find(&mut tx, event).await.unwrap().is_some());
        assert_eq!(deliveries::of_event(&mut tx, event).await.unwrap().len(), 1);
    }
    for made in &made[1..] {
        assert!(deliveries::cancel(&mut tx, made.id, now).await.unwrap());
    }
    assert_eq!(retention::delete_payloads(&mut tx, later, 100).await.unwrap(), 2);
    assert_eq!(retention::delete_payload_keys(&mut tx, 7).await.unwrap(), 0, "not yet old");
    assert_eq!(retention::delete_payload_keys(&mut tx, 8).await.unwrap(), 1);
}

async fn portions_are_as_small_as_asked(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let time = now(&store).await;
    for number in 0..5 {
        accept(&store, &number.to_string(), &[delivery(connector, time)]).await;
    }
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(deliveries::cancel_of_connector(&mut tx, connector, now).await.unwrap(), 5);
    let later = now.plus(hours(1));
    for expected in [2, 2, 1, 0] {
        assert_eq!(retention::delete_payloads(&mut tx, later, 2).await.unwrap(), expected);
    }
    for expected in [2, 2, 1, 0] {
        assert_eq!(retention::delete_deliveries(&mut tx, later, 2).await.unwrap(), expected);
    }
    for expected in [2, 2, 1, 0] {
        assert_eq!(retention::delete_events(&mut tx, later, 2).await.unwrap(), expected);
    }
}
