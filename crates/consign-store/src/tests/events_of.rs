//! Accepting events: batches, repeats, lists.

use consign_core::id::EventId;
use consign_core::time::Timestamp;

use super::{Fresh, accept, add_connector, by, delivery, event, on_both};
use crate::events::{self, Accepted, EventFilter, Lease, NewRow};
use crate::{Page, deliveries};

on_both!(
    an_event_comes_back_as_it_was,
    repeats_are_recognised_across_and_within_batches,
    a_batch_of_any_size_is_stored_whole,
    lists_filter_and_turn_pages,
);

async fn an_event_comes_back_as_it_was(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let event = event("1", now);
    let lease = Lease { until: now.plus(super::hours(1)), by: by("run-1") };
    let born_leased = events::NewDelivery { lease: Some(lease), ..delivery(connector.id, now) };
    let row = NewRow {
        event: &event,
        sealed_data: &[0, 255, 7],
        payload_key: 42,
        deliveries: &[born_leased.clone(), delivery(connector.id, now)],
        exporters: &[],
    };
    events::accept(&mut tx, &[row]).await.unwrap();
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let stored = events::find(&mut db, event.id).await.unwrap().unwrap();
    assert_eq!(format!("{:?}", stored.event), format!("{event:?}"));
    assert_eq!((stored.sealed_data.as_deref(), stored.payload_key), (Some(&[0, 255, 7][..]), 42));
    let made = deliveries::of_event(&mut db, event.id).await.unwrap();
    assert_eq!(made.len(), 2);
    let first = made.iter().find(|made| made.id == born_leased.id).unwrap();
    assert_eq!((first.fence, first.lease_by.as_deref()), (1, Some("run-1")));
    assert!(first.is_under_way(now));
    let second = made.iter().find(|made| made.id != born_leased.id).unwrap();
    assert_eq!((second.fence, second.lease_until, second.connector_name.as_deref()), (0, None, Some("One")));
}

async fn repeats_are_recognised_across_and_within_batches(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let first = accept(&store, "a", &[]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let events: Vec<_> = ["b", "a", "b", "c", "b"].iter().map(|source_id| event(source_id, now)).collect();
    let deliveries: Vec<_> = events.iter().map(|_| [delivery(connector.id, now)]).collect();
    let rows: Vec<_> = events
        .iter()
        .zip(&deliveries)
        .map(|(event, deliveries)| NewRow {
            event,
            sealed_data: b"x",
            payload_key: 1,
            deliveries,
            exporters: &[],
        })
        .collect();
    let accepted = events::accept(&mut tx, &rows).await.unwrap();
    let b = Accepted::Duplicate(events[0].id);
    assert_eq!(accepted, [Accepted::New, Accepted::Duplicate(first), b, Accepted::New, b]);
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    for (index, expected) in [1, 0, 0, 1, 0].into_iter().enumerate() {
        assert_eq!(deliveries::of_event(&mut db, events[index].id).await.unwrap().len(), expected, "{index}");
        assert_eq!(events::find(&mut db, events[index].id).await.unwrap().is_some(), expected == 1);
    }
}

async fn a_batch_of_any_size_is_stored_whole(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let events: Vec<_> = (0..131).map(|number| event(&number.to_string(), now)).collect();
    let deliveries = [delivery(connector.id, now)];
    let rows: Vec<_> = events
        .iter()
        .enumerate()
        .map(|(index, event)| {
            let deliveries = if index == 130 { &deliveries[..] } else { &[] };
            NewRow { event, sealed_data: b"x", payload_key: 1, deliveries, exporters: &[] }
        })
        .collect();
    assert!(events::accept(&mut tx, &rows).await.unwrap().iter().all(|accepted| *accepted == Accepted::New));
    assert!(events::accept(&mut tx, &[]).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let listed = events::list(&mut db, &EventFilter::default(), &Page::first(500)).await.unwrap();
    assert_eq!(listed.items.len(), 131);
    let unmatched = EventFilter { unmatched_only: true, ..EventFilter::default() };
    assert_eq!(events::list(&mut db, &unmatched, &Page::first(500)).await.unwrap().items.len(), 130);
}

async fn lists_filter_and_turn_pages(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let mut made = Vec::new();
    for number in 0..5_i64 {
        let at = Timestamp::from_millis(1_800_000_000_000 + number * 1_000);
        let mut event = event(&number.to_string(), at);
        event.event_type = if number == 3 { "other".to_owned() } else { event.event_type };
        event.subject = (number == 2).then(|| "Printer_A".to_owned());
        let row =
            NewRow { event: &event, sealed_data: b"x", payload_key: 1, deliveries: &[], exporters: &[] };
        events::accept(&mut tx, &[row]).await.unwrap();
        made.push(event.id);
    }
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let all = EventFilter::default();
    let numbers = |listed: &crate::Listed<events::EventSummary>| -> Vec<usize> {
        let place = |id: EventId| made.iter().position(|made| *made == id).unwrap();
        listed.items.iter().map(|event| place(event.id)).collect()
    };
    let first = events::list(&mut db, &all, &Page::first(2)).await.unwrap();
    assert_eq!((numbers(&first), first.previous.clone()), (vec![4, 3], None));
    let second = Page { after: first.next, ..Page::first(2) };
    let second = events::list(&mut db, &all, &second).await.unwrap();
    assert_eq!(numbers(&second), [2, 1]);
    let third = Page { after: second.next.clone(), ..Page::first(2) };
    let third = events::list(&mut db, &all, &third).await.unwrap();
    assert_eq!((numbers(&third), third.next.clone()), (vec![0], None));
    let back = Page { before: third.previous, ..Page::first(2) };
    let back = events::list(&mut db, &all, &back).await.unwrap();
    assert_eq!(numbers(&back), [2, 1]);
    let start = Page { before: back.previous, ..Page::first(2) };
    let start = events::list(&mut db, &all, &start).await.unwrap();
    assert_eq!((numbers(&start), start.previous.clone()), (vec![4, 3], None));
    let oldest = Page { oldest_first: true, counted: true, ..Page::first(2) };
    let first = events::list(&mut db, &all, &oldest).await.unwrap();
    assert_eq!((numbers(&first), first.previous.clone(), first.count), (vec![0, 1], None, Some(5)));
    let second = events::list(&mut db, &all, &Page { after: first.next, ..oldest.clone() }).await.unwrap();
    assert_eq!((numbers(&second), second.count), (vec![2, 3], Some(5)));
    let back = Page { before: second.previous, counted: false, ..oldest };
    let back = events::list(&mut db, &all, &back).await.unwrap();
    assert_eq!((numbers(&back), back.previous.clone(), back.count), (vec![0, 1], None, None));
    let check = async |db: &mut crate::Db, filter: EventFilter, expected: &[usize]| {
        let listed = events::list(db, &filter, &Page::first(9)).await.unwrap();
        assert_eq!(numbers(&listed), expected, "{filter:?}");
    };
    let with_q = |q: &str| EventFilter { q: Some(q.to_owned()), ..EventFilter::default() };
    check(&mut db, EventFilter { event_type: Some("other".to_owned()), ..all.clone() }, &[3]).await;
    check(&mut db, with_q("printer_a"), &[2]).await;
    check(&mut db, with_q("printerxa"), &[]).await;
    check(&mut db, with_q(&made[1].to_string()), &[1]).await;
    let from = Timestamp::from_millis(1_800_000_001_000);
    let until = Timestamp::from_millis(1_800_000_003_000);
    check(&mut db, EventFilter { after_time: Some(from), before_time: Some(until), ..all.clone() }, &[2, 1])
        .await;
}
