//! What people decide about deliveries, what connectors hold, and what lists and counts show of it.

use consign_core::connector::{ConnectorState, HeldBy};
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::{DeliveryId, EventId};

use super::{Fresh, accept, add_connector, connector, credential, delivery, now, on_both, recording};
use crate::deliveries::{self, DeliveryFilter, Line, Rare, Recording, list_by};
use crate::{Db, Listed, Page, Store, connectors, credentials};

on_both!(
    held_deliveries_are_released_resolved_or_cancelled,
    a_cancelled_delivery_ignores_its_late_result,
    a_replay_keeps_the_idempotency_key,
    a_held_connector_holds_what_waits,
    a_deleted_connector_leaves_its_records,
    try_now_makes_due,
);

/// Accepts one delivery and ends its first attempt in this state.
async fn settle(
    store: &Store,
    source_id: &str,
    connector: consign_core::id::ConnectorId,
    state: DeliveryState,
    reason: Option<HoldReason>,
) -> DeliveryId {
    let time = now(store).await;
    accept(store, source_id, &[delivery(connector, time)]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let claimed =
        deliveries::claim(&mut tx, connector, 1, now, now.plus(super::hours(1)), "a").await.unwrap();
    let result = Recording { hold_reason: reason, ..recording(&claimed[0], state, now) };
    deliveries::record(&mut tx, &[&result]).await.unwrap();
    tx.commit().await.unwrap();
    claimed[0].id
}

async fn shown(db: &mut Db, filter: &DeliveryFilter) -> Vec<DeliveryId> {
    let ids = |found: Listed<Line>| found.items.iter().map(|line| line.delivery.id).collect::<Vec<_>>();
    let page = Page::first(50);
    let shown = ids(deliveries::list(db, filter, &page).await.unwrap());
    // Rare or not, the same is found.
    let asked = Rare::look(db, filter).await.unwrap();
    let frequent = Rare { waiting: false, held: false, attention: false, event_type: false, text: false };
    assert_eq!(asked != frequent, of_rare(filter));
    for rare in [asked, frequent] {
        assert_eq!(ids(list_by(db, filter, &page, rare).await.unwrap()), shown, "{rare:?}");
    }
    shown
}

fn of_rare(filter: &DeliveryFilter) -> bool {
    let open = [Some(DeliveryState::Pending), Some(DeliveryState::Held)].contains(&filter.state);
    let is_id = |q: &str| q.parse::<DeliveryId>().is_ok() || q.parse::<EventId>().is_ok();
    let text = filter.q.as_deref().is_some_and(|q| !is_id(q.trim()));
    open || filter.needs_attention || filter.event_type.is_some() || text
}

fn of_state(state: DeliveryState) -> DeliveryFilter {
    DeliveryFilter { state: Some(state), ..DeliveryFilter::default() }
}

async fn held_deliveries_are_released_resolved_or_cancelled(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let held = DeliveryState::Held;
    let one = settle(&store, "1", connector, held, Some(HoldReason::NoAnswer)).await;
    let two = settle(&store, "2", connector, held, Some(HoldReason::NoAnswer)).await;
    let three = settle(&store, "3", connector, held, Some(HoldReason::NotRendered)).await;
    let done = settle(&store, "4", connector, DeliveryState::Delivered, None).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(deliveries::attention_count(&mut tx, 9).await.unwrap(), 3);
    assert_eq!(deliveries::attention_count(&mut tx, 2).await.unwrap(), 2);
    assert_eq!(shown(&mut tx, &of_state(held)).await.len(), 3);
    let no_answer = DeliveryFilter { hold_reason: Some(HoldReason::NoAnswer), ..DeliveryFilter::default() };
    assert_eq!(shown(&mut tx, &no_answer).await.len(), 2);
    let counts = deliveries::open_counts(&mut tx).await.unwrap();
    assert!(counts.contains(&(held, Some(HoldReason::NoAnswer), 2)), "{counts:?}");
    assert!(counts.contains(&(held, Some(HoldReason::NotRendered), 1)), "{counts:?}");
    assert!(deliveries::resolve_delivered(&mut tx, one, now).await.unwrap());
    assert!(deliveries::cancel(&mut tx, two, now).await.unwrap());
    assert_eq!(deliveries::release_not_rendered(&mut tx, connector, now).await.unwrap(), 1);
    for ended in [one, two, done] {
        assert!(!deliveries::cancel(&mut tx, ended, now).await.unwrap());
        assert!(!deliveries::resolve_delivered(&mut tx, ended, now).await.unwrap());
        assert!(!deliveries::try_now(&mut tx, ended, now).await.unwrap());
    }
    assert_eq!(shown(&mut tx, &of_state(DeliveryState::Pending)).await, [three]);
    assert_eq!(shown(&mut tx, &of_state(DeliveryState::Cancelled)).await, [two]);
    assert_eq!(shown(&mut tx, &of_state(DeliveryState::Delivered)).await.len(), 2);
    assert_eq!(deliveries::attention_count(&mut tx, 9).await.unwrap(), 0);
    let three = deliveries::find(&mut tx, three).await.unwrap().unwrap();
    assert_eq!(deliveries::oldest_open(&mut tx).await.unwrap(), Some(three.created_at));
    let q = |q: String| DeliveryFilter { q: Some(q), ..DeliveryFilter::default() };
    assert_eq!(shown(&mut tx, &q(three.event.to_string())).await, [three.id]);
    assert_eq!(shown(&mut tx, &q(format!(" {} ", three.id))).await, [three.id]);
    let typed =
        |kind: &str| DeliveryFilter { event_type: Some(kind.to_owned()), ..DeliveryFilter::default() };
    assert_eq!(shown(&mut tx, &typed("device.score.low")).await.len(), 4);
    assert_eq!(shown(&mut tx, &typed("a.other")).await.len(), 0);
    assert_eq!(shown(&mut tx, &q("inc0001".to_owned())).await.len(), 4);
    assert_eq!(shown(&mut tx, &q("100%".to_owned())).await.len(), 4);
    assert_eq!(shown(&mut tx, &q("100_".to_owned())).await.len(), 0);
}

async fn a_cancelled_delivery_ignores_its_late_result(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let time = now(&store).await;
    accept(&store, "1", &[delivery(connector, time)]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let claimed =
        deliveries::claim(&mut tx, connector, 1, now, now.plus(super::hours(1)), "a").await.unwrap();
    assert!(!deliveries::try_now(&mut tx, claimed[0].id, now).await.unwrap(), "it is under way");
    assert!(deliveries::cancel(&mut tx, claimed[0].id, now).await.unwrap());
    let late = recording(&claimed[0], DeliveryState::Delivered, now);
    assert_eq!(deliveries::record(&mut tx, &[&late]).await.unwrap(), [false]);
    let stored = deliveries::find(&mut tx, claimed[0].id).await.unwrap().unwrap();
    assert_eq!(stored.shown_state(), (DeliveryState::Cancelled, None));
}

async fn a_replay_keeps_the_idempotency_key(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let failed = settle(&store, "1", connector, DeliveryState::Failed, None).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(deliveries::attention_count(&mut tx, 9).await.unwrap(), 1);
    let attention = DeliveryFilter { needs_attention: true, ..DeliveryFilter::default() };
    assert_eq!(shown(&mut tx, &attention).await, [failed]);
    let first = deliveries::find(&mut tx, failed).await.unwrap().unwrap();
    let replay = crate::events::NewDelivery {
        idempotency_key: first.idempotency_key,
        replay_of: Some(failed),
        ..delivery(connector, now)
    };
    deliveries::insert(&mut tx, &replay, first.event, now).await.unwrap();
    let stored = deliveries::find(&mut tx, replay.id).await.unwrap().unwrap();
    assert_eq!((stored.replay_of, stored.idempotency_key, stored.event), (Some(failed), failed, first.event));
    // What was sent again on purpose needs no person any more.
    assert_eq!(deliveries::attention_count(&mut tx, 9).await.unwrap(), 0);
    assert_eq!(shown(&mut tx, &attention).await, []);
    assert_eq!(shown(&mut tx, &of_state(DeliveryState::Failed)).await, [failed]);
}

async fn a_held_connector_holds_what_waits(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let time = tx.now();
    let tool = credential("Tool", time);
    credentials::insert(&mut tx, &tool).await.unwrap();
    let (active, paused) = (connector("A", Some(tool.id), time), connector("B", Some(tool.id), time));
    connectors::insert(&mut tx, &active).await.unwrap();
    connectors::insert(&mut tx, &paused).await.unwrap();
    assert!(connectors::set_state(&mut tx, paused.id, None, ConnectorState::Paused, "", time).await.unwrap());
    assert!(
        !connectors::set_state(&mut tx, paused.id, None, ConnectorState::Paused, "", time).await.unwrap()
    );
    tx.commit().await.unwrap();
    accept(&store, "1", &[delivery(active.id, time), delivery(paused.id, time)]).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let refused = HeldBy::SignInRefused;
    let held = connectors::hold_by_credential(&mut tx, tool.id, refused, "401 on 22 Nov", now).await.unwrap();
    assert_eq!(held, 1, "a paused connector stays paused");
    let of = connectors::find(&mut tx, active.id).await.unwrap().unwrap();
    assert_eq!((of.state, of.state_reason.as_str()), (ConnectorState::Held(refused), "401 on 22 Nov"));
    assert_eq!(shown(&mut tx, &of_state(DeliveryState::Held)).await.len(), 2);
    assert_eq!(shown(&mut tx, &of_state(DeliveryState::Pending)).await.len(), 0);
    let by_reason = |reason| DeliveryFilter { hold_reason: Some(reason), ..DeliveryFilter::default() };
    assert_eq!(shown(&mut tx, &by_reason(HoldReason::SignInRefused)).await.len(), 1);
    assert_eq!(shown(&mut tx, &by_reason(HoldReason::ConnectorPaused)).await.len(), 1);
    assert_eq!(deliveries::attention_count(&mut tx, 9).await.unwrap(), 1, "a pause is a person's own doing");
    let attention = DeliveryFilter { needs_attention: true, ..DeliveryFilter::default() };
    assert_eq!(shown(&mut tx, &attention).await.len(), 1);
    let counts = deliveries::open_counts(&mut tx).await.unwrap();
    assert!(counts.contains(&(DeliveryState::Held, Some(HoldReason::SignInRefused), 1)), "{counts:?}");
    assert_eq!(connectors::release_by_credential(&mut tx, tool.id, now).await.unwrap(), 1);
    assert_eq!(shown(&mut tx, &of_state(DeliveryState::Pending)).await.len(), 1);
    for state in ConnectorState::ALL.iter().copied() {
        let ConnectorState::Held(by) = state else { continue };
        connectors::set_state(&mut tx, active.id, None, state, "", now).await.unwrap();
        // The rules for addresses are judged again with the credential.
        let ends = by.is_of_credential() || by == HeldBy::DestinationBlocked;
        let released = connectors::release_by_credential(&mut tx, tool.id, now).await.unwrap();
        assert_eq!(released, u64::from(ends), "{by:?}");
    }
    connectors::set_state(&mut tx, active.id, None, ConnectorState::Active, "", now).await.unwrap();
    let lost = connectors::lose_credential(&mut tx, tool.id, &tool.name, now).await.unwrap();
    assert_eq!(lost.len(), 2);
    let of = connectors::find(&mut tx, active.id).await.unwrap().unwrap();
    assert_eq!((of.state, of.credential), (ConnectorState::CredentialMissing, None));
    assert_eq!(of.lost_credential.as_deref(), Some("Tool"));
    assert_eq!(shown(&mut tx, &by_reason(HoldReason::CredentialMissing)).await.len(), 1);
    assert_eq!(shown(&mut tx, &by_reason(HoldReason::ConnectorPaused)).await.len(), 1, "a pause stays");
    let missing = ConnectorState::Held(HeldBy::NotAllowed);
    let active = Some(ConnectorState::Active);
    assert!(!connectors::set_state(&mut tx, paused.id, active, missing, "403", now).await.unwrap());
    let paused_by_hand = Some(ConnectorState::Paused);
    assert!(connectors::set_state(&mut tx, paused.id, paused_by_hand, missing, "403", now).await.unwrap());
}

async fn a_deleted_connector_leaves_its_records(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let done = settle(&store, "1", connector, DeliveryState::Delivered, None).await;
    let time = now(&store).await;
    let waiting = delivery(connector, time);
    accept(&store, "2", std::slice::from_ref(&waiting)).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(deliveries::cancel_of_connector(&mut tx, connector, now).await.unwrap(), 1);
    assert!(connectors::delete(&mut tx, connector).await.unwrap());
    assert!(!connectors::delete(&mut tx, connector).await.unwrap());
    let stopped = deliveries::find(&mut tx, waiting.id).await.unwrap().unwrap();
    assert_eq!((stopped.state, stopped.connector_name), (DeliveryState::Cancelled, None));
    assert_eq!(
        shown(&mut tx, &DeliveryFilter { connector: Some(connector), ..Default::default() }).await.len(),
        2
    );
    assert!(deliveries::find(&mut tx, done).await.unwrap().is_some());
}

async fn try_now_makes_due(Fresh { store, .. }: Fresh) {
    let connector = add_connector(&store, "One").await.id;
    let time = now(&store).await;
    let later =
        crate::events::NewDelivery { due_at: time.plus(super::hours(5)), ..delivery(connector, time) };
    accept(&store, "1", std::slice::from_ref(&later)).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(deliveries::lanes(&mut tx, now, 9).await.unwrap(), []);
    assert!(deliveries::try_now(&mut tx, later.id, now).await.unwrap());
    assert_eq!(deliveries::lanes(&mut tx, now, 9).await.unwrap().len(), 1);
}
