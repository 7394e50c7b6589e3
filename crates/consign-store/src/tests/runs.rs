//! Runs of exporters: records are collected once, spent once, and never lost.

use std::collections::HashSet;
use std::time::Duration;

use consign_core::catalog::Protocol;
use consign_core::connector::exporter::{ExporterDraft, RunState, Step};
use consign_core::connector::{Connector, ConnectorState, HeldBy, Kind};
use consign_core::id::{ConnectorId, RunId};
use consign_core::time::Timestamp;
use serde_json::json;

use super::{Fresh, by, connector, event, hours, now, object, on_both};
use crate::events::{self, NewRow};
use crate::runs::{
    self, Cause, Claimed, Content, End, Loss, NewRecord, NewRun, Progress, Room, SealedSetUp, Tick,
};
use crate::{Db, Page, Store, StoreError, connectors, retention};

on_both!(
    a_failed_run_owes_its_records_to_the_next,
    what_arrived_is_not_sent_again,
    a_person_stops_a_run,
    a_lost_lease_changes_nothing,
    two_replicas_take_one_tick_and_one_run,
    an_exporter_that_is_held_runs_nothing,
    events_leave_records,
    old_runs_go_and_owing_ones_stay,
    a_run_is_repeated,
    pages_and_logs,
);

pub(super) const MINUTE: Duration = Duration::from_secs(60);

fn exporter(name: &str, now: Timestamp) -> Connector {
    let settings = json!({ "source": "events", "event_types": ["*"], "path": "/in", "columns": [{ "name": "a" }],
        "destination": "https" });
    let kind = Kind::Exporter(ExporterDraft::parse_stored(object(settings)).unwrap());
    Connector { kind, ..connector(name, None, now) }
}

pub(super) async fn add(store: &Store, name: &str) -> ConnectorId {
    let mut tx = store.begin().await.unwrap();
    let connector = exporter(name, tx.now());
    connectors::insert(&mut tx, &connector).await.unwrap();
    tx.commit().await.unwrap();
    connector.id
}

pub(super) async fn push(store: &Store, connector: ConnectorId, ids: impl IntoIterator<Item = &str>) {
    let records: Vec<_> = ids
        .into_iter()
        .map(|id| NewRecord { id: id.to_owned(), sealed_data: id.as_bytes().to_vec() })
        .collect();
    let mut tx = store.begin().await.unwrap();
    runs::insert_records(&mut tx, connector, 7, records).await.unwrap();
    tx.commit().await.unwrap();
}

pub(super) fn set_up() -> SealedSetUp {
    SealedSetUp { payload_key: 7, sealed_data: b"sealed".to_vec() }
}

pub(super) async fn start(store: &Store, connector: ConnectorId, cause: Cause) -> RunId {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let id = RunId::new(now);
    let number = runs::next_number(&mut tx, connector).await.unwrap().unwrap();
    let new = NewRun {
        id,
        connector,
        number,
        cause,
        started_by: "Ada",
        source: id,
        protocol: Protocol::Sftp,
        exporter_revision: 1,
        set_up: &set_up(),
        file_name: "a.csv",
        base_name: "a.csv",
        file: None,
    };
    runs::insert(&mut tx, &new, now).await.unwrap();
    tx.commit().await.unwrap();
    id
}

pub(super) async fn claim_all(store: &Store, process: &str) -> Vec<Claimed> {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let due = runs::due(&mut tx, now).await.unwrap();
    let claimed = runs::claim(&mut tx, &due, now, now.plus(MINUTE), process).await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

/// Starts a run, claims it and collects in portions of `portion`.
pub(super) async fn collected(store: &Store, connector: ConnectorId, portion: u32) -> Claimed {
    start(store, connector, Cause::Hand).await;
    let claimed = claim_all(store, "a").await.remove(0);
    collect(store, &claimed, portion).await;
    claimed
}

async fn collect(store: &Store, claimed: &Claimed, portion: u32) {
    let mut tx = store.begin().await.unwrap();
    let to = runs::begin_collecting(&mut tx, &claimed.run).await.unwrap().unwrap();
    let room = Room { records: portion, bytes: 0, bytes_max: None };
    while runs::collect(&mut tx, &claimed.run, &to, room).await.unwrap().records >= u64::from(portion) {}
    assert!(runs::end_collecting(&mut tx, &claimed.run, false).await.unwrap().is_some());
    tx.commit().await.unwrap();
}

async fn ids_of(store: &Store, claimed: &Claimed) -> Vec<String> {
    let mut db = store.read().await.unwrap();
    let mut ids: Vec<String> = Vec::new();
    loop {
        let after = ids.last().cloned().unwrap_or_default();
        let page = runs::page(&mut db, &claimed.run, &after, 2, 99).await.unwrap();
        if page.is_empty() {
            return ids;
        }
        ids.extend(page.into_iter().map(|record| record.id));
    }
}

pub(super) async fn end(store: &Store, claimed: &Claimed, state: RunState) -> bool {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let end = End { state, outcome: "ok", message: "" };
    let ended = runs::end(&mut tx, &claimed.run, &end, now).await.unwrap();
    tx.commit().await.unwrap();
    ended
}

async fn waiting(store: &Store, connector: ConnectorId) -> u64 {
    runs::waiting_count(&mut store.read().await.unwrap(), connector).await.unwrap()
}

async fn a_failed_run_owes_its_records_to_the_next(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let other = add(&store, "Other").await;
    push(&store, connector, ["rec_1", "rec_2", "rec_3", "rec_4", "rec_5"]).await;
    push(&store, other, ["rec_1"]).await;
    let first = collected(&store, connector, 2).await;
    push(&store, connector, ["rec_6"]).await;
    assert_eq!(ids_of(&store, &first).await, ["rec_1", "rec_2", "rec_3", "rec_4", "rec_5"]);
    let mut db = store.read().await.unwrap();
    for (bytes_max, records) in [(0, 1), (9, 1), (10, 2), (14, 2), (99, 5)] {
        let page = runs::page(&mut db, &first.run, "", 9, bytes_max).await.unwrap();
        assert_eq!(page.len(), records, "{bytes_max} bytes");
    }
    drop(db);
    assert_eq!(waiting(&store, connector).await, 1);
    assert!(end(&store, &first, RunState::Failed).await);
    assert_eq!(waiting(&store, connector).await, 6);
    let second = collected(&store, connector, 2).await;
    assert_eq!(ids_of(&store, &second).await.len(), 6);
    assert!(ids_of(&store, &first).await.is_empty());
    assert_eq!(waiting(&store, connector).await, 0);
    assert!(end(&store, &second, RunState::Done).await);
    let third = collected(&store, connector, 2).await;
    assert!(ids_of(&store, &third).await.is_empty(), "what is spent stays spent");
    assert_eq!(waiting(&store, other).await, 1);
}

async fn what_arrived_is_not_sent_again(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    push(&store, connector, ["rec_1", "rec_2", "rec_3"]).await;
    let first = collected(&store, connector, 10).await;
    let progress = Progress {
        step: Step::Upload,
        sent_records: 2,
        sent_bytes: 9,
        requests: 1,
        sent_to: "rec_2".to_owned(),
    };
    let mut tx = store.begin().await.unwrap();
    let until = tx.now().plus(MINUTE);
    assert!(runs::advance(&mut tx, &first.run, &progress, until).await.unwrap());
    tx.commit().await.unwrap();
    assert!(end(&store, &first, RunState::Failed).await);
    assert_eq!(waiting(&store, connector).await, 1);
    let second = collected(&store, connector, 10).await;
    assert_eq!(ids_of(&store, &second).await, ["rec_3"]);
    assert_eq!(ids_of(&store, &first).await, ["rec_1", "rec_2"]);
}

async fn a_person_stops_a_run(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    for (leave_out, left) in [(false, 2), (true, 0)] {
        push(&store, connector, [if leave_out { "rec_2" } else { "rec_1" }]).await;
        let claimed = collected(&store, connector, 10).await;
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        assert!(runs::cancel(&mut tx, claimed.run.id, leave_out, now).await.unwrap());
        assert!(!runs::cancel(&mut tx, claimed.run.id, leave_out, now).await.unwrap(), "it has ended");
        tx.commit().await.unwrap();
        assert!(!end(&store, &claimed, RunState::Done).await, "the worker notices");
        let expected = if leave_out { left } else { 1 };
        assert_eq!(waiting(&store, connector).await, expected);
    }
}

async fn a_lost_lease_changes_nothing(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    push(&store, connector, ["rec_1"]).await;
    start(&store, connector, Cause::Hand).await;
    let late = claim_all(&store, "a").await.remove(0);
    assert!(!late.abandoned && late.run.fence == 1);
    assert!(claim_all(&store, "b").await.is_empty(), "it is leased");
    store.advance(2 * MINUTE);
    let newer = claim_all(&store, "b").await.remove(0);
    assert!(newer.abandoned && newer.run.crashes == 1 && newer.run.fence == 2);
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let (run, until) = (&late.run, now.plus(MINUTE));
    let progress =
        Progress { step: Step::Upload, sent_records: 1, sent_bytes: 1, requests: 1, sent_to: "x".to_owned() };
    assert!(runs::begin_collecting(&mut tx, run).await.unwrap().is_none());
    assert!(runs::end_collecting(&mut tx, run, false).await.unwrap().is_none());
    assert!(!runs::advance(&mut tx, run, &progress, until).await.unwrap());
    assert!(!runs::keep_lease(&mut tx, run, Step::Upload, 1, until).await.unwrap());
    assert!(!runs::keep_lease_only(&mut tx, run, until).await.unwrap());
    assert!(!runs::is_ours(&mut tx, run).await.unwrap() && runs::is_ours(&mut tx, &newer.run).await.unwrap());
    let leases = runs::leases_of(&mut tx, &[run.id, RunId::new(now)]).await.unwrap();
    assert_eq!(leases, [(run.id, 2)].into());
    assert!(!runs::retry(&mut tx, run, now, (1, None), ("dns", "")).await.unwrap());
    let done = End { state: RunState::Done, outcome: "ok", message: "" };
    assert!(!runs::end(&mut tx, run, &done, now).await.unwrap());
    tx.commit().await.unwrap();
    collect(&store, &newer, 10).await;
    assert!(end(&store, &newer, RunState::Done).await);
    let leases = runs::leases_of(&mut store.read().await.unwrap(), &[newer.run.id]).await.unwrap();
    assert!(leases.is_empty(), "it has ended");
}

async fn two_replicas_take_one_tick_and_one_run(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let at = now(&store).await;
    let mut tx = store.begin().await.unwrap();
    runs::set_next_run(&mut tx, connector, Some(at)).await.unwrap();
    tx.commit().await.unwrap();
    let due = runs::ticks_due(&mut store.read().await.unwrap(), at).await.unwrap();
    assert_eq!(due, [Tick { connector, at }]);
    let take = || async {
        let mut tx = store.begin().await.unwrap();
        let mine = runs::take_tick(&mut tx, due[0], Some(at.plus(MINUTE))).await.unwrap();
        tx.commit().await.unwrap();
        mine
    };
    let (one, two) = tokio::join!(take(), take());
    assert!(one ^ two, "exactly one of them");
    assert_eq!(
        runs::next_run_at(&mut store.read().await.unwrap(), connector).await.unwrap(),
        Some(at.plus(MINUTE))
    );

    for _ in 0..3 {
        start(&store, connector, Cause::File).await;
    }
    let (mine, theirs) = tokio::join!(claim_all(&store, "a"), claim_all(&store, "b"));
    let mut ids: HashSet<_> = mine.iter().chain(&theirs).map(|claimed| claimed.run.id).collect();
    assert_eq!((ids.len(), mine.len() + theirs.len()), (1, 1), "one run at a time, the oldest");
    let first = mine.into_iter().chain(theirs).next().unwrap();
    assert_eq!(first.run.number, 1);
    assert!(end(&store, &first, RunState::Done).await);
    ids.extend(claim_all(&store, "a").await.iter().map(|claimed| claimed.run.id));
    assert_eq!(ids.len(), 2);
}

async fn an_exporter_that_is_held_runs_nothing(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    start(&store, connector, Cause::Hand).await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let held = ConnectorState::Held(HeldBy::SignInRefused);
    connectors::set_state(&mut tx, connector, None, held, "", now).await.unwrap();
    assert!(runs::claim(&mut tx, &[connector], now, now.plus(MINUTE), "a").await.unwrap().is_empty());
    let probe = runs::claim_held(&mut tx, connector, now, now.plus(MINUTE), "a").await.unwrap().unwrap();
    runs::give_back(&mut tx, probe.run.id, probe.run.fence).await.unwrap();
    connectors::set_state(&mut tx, connector, None, ConnectorState::Active, "", now).await.unwrap();
    connectors::close_until(&mut tx, connector, now.plus(MINUTE)).await.unwrap();
    assert!(
        runs::claim(&mut tx, &[connector], now, now.plus(MINUTE), "a").await.unwrap().is_empty(),
        "asked to wait"
    );
    let later = now.plus(2 * MINUTE);
    let again = runs::claim(&mut tx, &[connector], later, later.plus(MINUTE), "a").await.unwrap().remove(0);
    assert!(!again.abandoned, "it was given back");
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    assert_eq!(runs::abandon_foreign_leases(&mut tx, "a", later).await.unwrap(), 0);
    assert_eq!(runs::abandon_foreign_leases(&mut tx, &by("b"), later).await.unwrap(), 1);
}

async fn events_leave_records(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let mut tx = store.begin().await.unwrap();
    let made: Vec<_> = (0..3).map(|number| event(&number.to_string(), tx.now())).collect();
    let rows: Vec<_> = made
        .iter()
        .map(|event| NewRow {
            event,
            sealed_data: b"sealed",
            payload_key: 7,
            deliveries: &[],
            exporters: std::slice::from_ref(&connector),
        })
        .collect();
    events::accept(&mut tx, &rows).await.unwrap();
    // A repeat leaves no second record.
    events::accept(&mut tx, &rows[..1]).await.unwrap();
    tx.commit().await.unwrap();
    let unmatched = events::EventFilter { unmatched_only: true, ..Default::default() };
    let mut db = store.read().await.unwrap();
    assert!(events::list(&mut db, &unmatched, &Page::first(9)).await.unwrap().items.is_empty());
    drop(db);
    let claimed = collected(&store, connector, 10).await;
    let mut db = store.read().await.unwrap();
    let page = runs::page(&mut db, &claimed.run, "", 10, 99).await.unwrap();
    let found: HashSet<_> = page
        .iter()
        .map(|record| match &record.content {
            Content::Event(stored) => {
                assert_eq!(stored.sealed_data.as_deref(), Some(&b"sealed"[..]));
                stored.event.id
            }
            other => panic!("not an event: {other:?}"),
        })
        .collect();
    assert_eq!(found, made.iter().map(|event| event.id).collect());
}

async fn old_runs_go_and_owing_ones_stay(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    push(&store, connector, ["rec_1", "rec_2", "rec_3"]).await;
    let done = collected(&store, connector, 10).await;
    assert!(end(&store, &done, RunState::Done).await);
    push(&store, connector, ["rec_4"]).await;
    let failed = collected(&store, connector, 10).await;
    assert!(end(&store, &failed, RunState::Failed).await);
    let mut tx = store.begin().await.unwrap();
    let later = tx.now().plus(hours(1));
    runs::log(&mut tx, done.run.id, "A line.", later).await.unwrap();
    assert_eq!(retention::delete_runs(&mut tx, later, 9).await.unwrap(), 0, "its records are still there");
    assert_eq!(retention::delete_payload_keys(&mut tx, 99).await.unwrap(), 0);
    assert!(runs::find(&mut tx, done.run.id).await.unwrap().unwrap().set_up.is_some());
    assert_eq!(payloads_gone(&mut tx, later, (2, 2)).await, (3, 0));
    assert!(runs::find(&mut tx, done.run.id).await.unwrap().unwrap().set_up.is_none());
    assert_eq!(retention::delete_runs(&mut tx, later, 9).await.unwrap(), 1);
    assert!(runs::find(&mut tx, done.run.id).await.unwrap().is_none());
    assert!(runs::log_of(&mut tx, done.run.id, 9).await.unwrap().is_empty());
    assert!(runs::find(&mut tx, failed.run.id).await.unwrap().is_some(), "the next run takes its records");
    assert_eq!(retention::delete_unowned_records(&mut tx, 9).await.unwrap(), 0);
    tx.commit().await.unwrap();
    push(&store, connector, ["rec_5"]).await;
    let mut tx = store.begin().await.unwrap();
    connectors::delete(&mut tx, connector).await.unwrap();
    let lost = runs::cancel_of_connector(&mut tx, connector, later).await.unwrap();
    assert_eq!(lost, Loss { runs: 0, records: 2, files: 0 }, "those of the failed run are lost too");
    assert_eq!(retention::delete_unowned_records(&mut tx, 9).await.unwrap(), 1);
    assert_eq!(payloads_gone(&mut tx, later, (9, 9)).await, (1, 0));
    assert_eq!(retention::delete_runs(&mut tx, later, 9).await.unwrap(), 1);
}

/// Removes all that ended before a time, in portions of so many records and pieces, and tells how many of both.
pub(super) async fn payloads_gone(db: &mut Db, before: Timestamp, portion: (u32, u32)) -> (u64, u64) {
    let (mut records, mut pieces) = (0, 0);
    loop {
        let gone = retention::delete_run_payloads(db, before, portion.0, portion.1).await.unwrap();
        assert!(gone.records <= u64::from(portion.0) && gone.pieces <= u64::from(portion.1), "{gone:?}");
        records += gone.records;
        pieces += gone.pieces;
        if !gone.more {
            return (records, pieces);
        }
    }
}

async fn a_run_is_repeated(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    push(&store, connector, ["rec_1", "rec_2"]).await;
    let done = collected(&store, connector, 10).await;
    assert!(end(&store, &done, RunState::Done).await);
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let id = RunId::new(now);
    let new = NewRun {
        id,
        connector,
        number: 2,
        cause: Cause::Again,
        started_by: "Ada",
        source: done.run.id,
        protocol: Protocol::Sftp,
        exporter_revision: 1,
        set_up: &set_up(),
        file_name: "a.csv",
        base_name: "a.csv",
        file: None,
    };
    runs::insert(&mut tx, &new, now).await.unwrap();
    tx.commit().await.unwrap();
    let again = claim_all(&store, "a").await.remove(0);
    assert!(again.run.collected && again.run.records == 2);
    assert_eq!(ids_of(&store, &again).await, ["rec_1", "rec_2"]);
    let mut tx = store.begin().await.unwrap();
    let later = now.plus(hours(1));
    let gone = retention::delete_run_payloads(&mut tx, later, 9, 9).await.unwrap();
    assert!(!gone.more, "it is being repeated: {gone:?}");
    tx.commit().await.unwrap();
    assert!(end(&store, &again, RunState::Failed).await);
    assert_eq!(waiting(&store, connector).await, 0, "a repetition owes nothing");
}

async fn pages_and_logs(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let first = start(&store, connector, Cause::Schedule).await;
    let claimed = claim_all(&store, "a").await.remove(0);
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    for line in ["One.", "Two.", "Three."] {
        runs::log(&mut tx, first, line, now).await.unwrap();
    }
    assert_eq!(runs::log_of(&mut tx, first, 2).await.unwrap().len(), 2);
    assert!(
        runs::retry(&mut tx, &claimed.run, now.plus(MINUTE), (2, Some(now)), ("http_5xx", "No."))
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let run = runs::find(&mut db, first).await.unwrap().unwrap();
    assert_eq!((run.state(now), run.attempts, run.throttled_since), (RunState::Waiting, 2, Some(now)));
    assert_eq!((run.outcome.as_deref(), run.message.as_deref()), (Some("http_5xx"), Some("No.")));
    assert_eq!(runs::open_of(&mut db, connector).await.unwrap().unwrap().id, first);
    drop(db);
    assert!(claim_all(&store, "a").await.is_empty(), "not yet due");
    store.advance(2 * MINUTE);
    let again = claim_all(&store, "a").await.remove(0);
    assert!(end(&store, &again, RunState::Done).await);
    let second = start(&store, connector, Cause::Hand).await;
    let mut db = store.read().await.unwrap();
    let now = db.now();
    let all = runs::list(&mut db, connector, None, now, &Page::first(1)).await.unwrap();
    assert_eq!((all.items[0].id, all.items[0].number), (second, 2));
    let page = Page { after: all.next, ..Page::first(1) };
    assert_eq!(runs::list(&mut db, connector, None, now, &page).await.unwrap().items[0].id, first);
    for (state, found) in
        [(RunState::Done, Some(first)), (RunState::Waiting, Some(second)), (RunState::Running, None)]
    {
        let listed = runs::list(&mut db, connector, Some(state), now, &Page::first(9)).await.unwrap();
        assert_eq!(listed.items.first().map(|run| run.id), found, "{state:?}");
    }
    let page = runs::waiting_of(&mut db, &[connector]).await.unwrap();
    assert_eq!(page[&connector].last_run.as_ref().unwrap().id, second);
    let wrong = Page { after: Some("zz".to_owned()), ..Page::first(1) };
    let refused = runs::list(&mut db, connector, None, now, &wrong).await;
    assert!(matches!(refused, Err(StoreError::BadCursor)));
}
