//! Calls through gateways: kept, paged, and gone when they are old.

use consign_core::id::{AttemptId, ConnectorId, KeyId};
use consign_core::time::Timestamp;

use super::{Fresh, hours, now, on_both};
use crate::gateway_calls::{self, CallCount, CallFilter, GatewayCall};
use crate::{Page, StoreError, retention};

on_both!(
    calls_are_kept_as_they_were,
    pages_hold_one_gateway_newest_first,
    lists_are_narrowed_and_calls_are_counted,
    old_calls_go_in_portions,
);

fn call(connector: ConnectorId, at: Timestamp) -> GatewayCall {
    GatewayCall {
        id: AttemptId::new(at),
        connector,
        key: Some(KeyId::new(at)),
        key_name: "Reports".to_owned(),
        started_at: at,
        duration_ms: 12,
        method: "GET".to_owned(),
        path: "/api/now/table/incident".to_owned(),
        status: Some(200),
        code: None,
        request_bytes: 0,
        answer_bytes: 5_000_000_000,
        renewed: false,
        hidden: false,
    }
}

async fn calls_are_kept_as_they_were(Fresh { store, .. }: Fresh) {
    let time = now(&store).await;
    let gateway = ConnectorId::new(time);
    let plain = call(gateway, time);
    let marked = GatewayCall {
        status: Some(206),
        code: Some("cut".to_owned()),
        request_bytes: 7,
        renewed: true,
        hidden: true,
        ..call(gateway, time)
    };
    let own = GatewayCall {
        key: None,
        status: None,
        code: Some("tool_too_slow".to_owned()),
        ..call(gateway, time)
    };
    let mut tx = store.begin().await.unwrap();
    gateway_calls::insert(&mut tx, &[]).await.unwrap();
    gateway_calls::insert(&mut tx, &[&plain, &marked, &own]).await.unwrap();
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    for expected in [plain, marked, own] {
        assert_eq!(gateway_calls::find(&mut db, expected.id).await.unwrap(), Some(expected));
    }
    assert_eq!(gateway_calls::find(&mut db, AttemptId::new(time)).await.unwrap(), None);
}

async fn pages_hold_one_gateway_newest_first(Fresh { store, .. }: Fresh) {
    let time = now(&store).await;
    let (gateway, other) = (ConnectorId::new(time), ConnectorId::new(time));
    let calls: Vec<_> = (0..5).map(|hour| call(gateway, time.plus(hours(hour)))).collect();
    let mut all: Vec<_> = calls.iter().collect();
    let elsewhere = call(other, time);
    all.push(&elsewhere);
    let mut tx = store.begin().await.unwrap();
    gateway_calls::insert(&mut tx, &all).await.unwrap();
    tx.commit().await.unwrap();

    let mut db = store.read().await.unwrap();
    let all_of_them = CallFilter::default();
    let mut page = Page { counted: true, ..Page::first(2) };
    let first = gateway_calls::list(&mut db, gateway, &all_of_them, &page).await.unwrap();
    assert_eq!(first.count, Some(5));
    assert_eq!(first.items, [calls[4].clone(), calls[3].clone()]);
    page.after = first.next;
    let second = gateway_calls::list(&mut db, gateway, &all_of_them, &page).await.unwrap();
    assert_eq!(second.items, [calls[2].clone(), calls[1].clone()]);
    page.after = second.next;
    let last = gateway_calls::list(&mut db, gateway, &all_of_them, &page).await.unwrap();
    assert_eq!((last.items, last.next.is_none()), (vec![calls[0].clone()], true));
    let back = Page { before: last.previous, ..Page::first(2) };
    assert_eq!(gateway_calls::list(&mut db, gateway, &all_of_them, &back).await.unwrap().items, second.items);
    let lost = Page { after: Some("zz".to_owned()), ..Page::first(2) };
    let lost = gateway_calls::list(&mut db, gateway, &all_of_them, &lost).await;
    assert!(matches!(lost, Err(StoreError::BadCursor)), "{lost:?}");
    assert_eq!(
        gateway_calls::list(&mut db, other, &all_of_them, &Page::first(9)).await.unwrap().items,
        [elsewhere]
    );
}

async fn lists_are_narrowed_and_calls_are_counted(Fresh { store, .. }: Fresh) {
    let time = now(&store).await;
    let gateway = ConnectorId::new(time);
    let old = call(gateway, time.minus(hours(25)));
    let fine = call(gateway, time.minus(hours(4)));
    let posted =
        GatewayCall { method: "POST".to_owned(), status: Some(422), ..call(gateway, time.minus(hours(3))) };
    let cut = GatewayCall { code: Some("cut".to_owned()), ..call(gateway, time.minus(hours(2))) };
    let own = GatewayCall {
        status: None,
        code: Some("gateway_paused".to_owned()),
        key: fine.key,
        ..call(gateway, time.minus(hours(1)))
    };
    let elsewhere = call(ConnectorId::new(time), time);
    let mut tx = store.begin().await.unwrap();
    gateway_calls::insert(&mut tx, &[&old, &fine, &posted, &cut, &own, &elsewhere]).await.unwrap();
    tx.commit().await.unwrap();

    let mut db = store.read().await.unwrap();
    let mut listed = async |filter: CallFilter| {
        let page = Page { counted: true, ..Page::first(9) };
        let listed = gateway_calls::list(&mut db, gateway, &filter, &page).await.unwrap();
        assert_eq!(listed.count, Some(u64::try_from(listed.items.len()).unwrap()));
        listed.items
    };
    let of_one_key = CallFilter { key: fine.key, ..CallFilter::default() };
    assert_eq!(listed(of_one_key).await, [own.clone(), fine]);
    let only_posted = CallFilter { method: Some("POST".to_owned()), ..CallFilter::default() };
    assert_eq!(listed(only_posted).await, std::slice::from_ref(&posted));
    assert_eq!(listed(CallFilter { errors_only: true, ..CallFilter::default() }).await, [own, cut, posted]);
    let counted = gateway_calls::count_since(&mut db, gateway, time.minus(hours(24))).await.unwrap();
    assert_eq!(counted, CallCount { calls: 4, errors: 3 });
    let nothing = gateway_calls::count_since(&mut db, ConnectorId::new(time), time.minus(hours(24))).await;
    assert_eq!(nothing.unwrap(), CallCount::default());
}

async fn old_calls_go_in_portions(Fresh { store, .. }: Fresh) {
    let time = now(&store).await;
    let gateway = ConnectorId::new(time);
    let old: Vec<_> = (1..=3).map(|hour| call(gateway, time.minus(hours(hour)))).collect();
    let young = call(gateway, time.plus(hours(1)));
    let mut tx = store.begin().await.unwrap();
    gateway_calls::insert(&mut tx, &old.iter().chain([&young]).collect::<Vec<_>>()).await.unwrap();
    for expected in [2, 1, 0] {
        assert_eq!(retention::delete_gateway_calls(&mut tx, time, 2).await.unwrap(), expected);
    }
    let left = gateway_calls::list(&mut tx, gateway, &CallFilter::default(), &Page::first(9)).await.unwrap();
    assert_eq!(left.items, [young]);
}
