//! What becomes of runs that nobody knows the fate of, in which order files of one name go, and whose turn it is.

use std::time::Duration;

use consign_core::connector::exporter::RunState;
use consign_core::delivery::HoldReason;
use consign_core::id::RunId;

use super::run_files::{claim_files, finish, ids, start_file};
use super::runs::{add, claim_all, collected, push, start};
use super::{Fresh, now, on_both};
use crate::runs::{self, Cause, Claimed, Run};
use crate::{Store, connectors};

on_both!(
    a_run_waits_for_a_person,
    a_name_that_was_refused_is_not_made,
    numbers_change_no_order,
    exporters_are_due_by_their_time,
);

async fn held(store: &Store, claimed: &Claimed) -> bool {
    let mut tx = store.begin().await.unwrap();
    let of = ("sftp", "It cannot be looked for.");
    let now = tx.now();
    let held = runs::hold(&mut tx, &claimed.run, HoldReason::NoAnswer, of, now).await.unwrap();
    tx.commit().await.unwrap();
    held
}

async fn found(store: &Store, id: RunId) -> Run {
    runs::find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap()
}

async fn a_run_waits_for_a_person(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    push(&store, connector, ["rec_1", "rec_2"]).await;
    let claimed = collected(&store, connector, 9).await;
    let id = claimed.run.id;
    let mut tx = store.begin().await.unwrap();
    let at = tx.now();
    assert!(runs::made(&mut tx, &claimed.run, 9, Some(7)).await.unwrap());
    assert!(!runs::send_again(&mut tx, id, at).await.unwrap(), "it waits for nobody");
    assert!(!runs::mark_done(&mut tx, id, "Marked.", at).await.unwrap());
    tx.commit().await.unwrap();
    assert!(held(&store, &claimed).await);
    // An attempt that was under way has lost it: it does nothing more.
    let mut tx = store.begin().await.unwrap();
    assert!(!runs::is_ours(&mut tx, &claimed.run).await.unwrap());
    assert!(!runs::made(&mut tx, &claimed.run, 10, None).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!held(&store, &claimed).await, "it does not hold it once more");
    let run = found(&store, id).await;
    assert_eq!((run.hold, run.lease_until, run.made_bytes), (Some(HoldReason::NoAnswer), None, Some(9)));
    assert_eq!((run.outcome.as_deref(), run.state(at)), (Some("sftp"), RunState::Waiting));
    store.advance(Duration::from_secs(86_400));
    assert!(claim_all(&store, "a").await.is_empty(), "however long it takes");
    let later = now(&store).await;
    let mut tx = store.begin().await.unwrap();
    let probe = runs::claim_held(&mut tx, connector, later, later.plus(Duration::from_secs(60)), "a");
    assert!(probe.await.unwrap().is_none());
    assert_eq!(runs::undecided(&mut tx, 9).await.unwrap().iter().map(|run| run.id).collect::<Vec<_>>(), [id]);

    // It has not arrived: what is known of the attempt before is forgotten.
    assert!(runs::send_again(&mut tx, id, later).await.unwrap());
    assert!(runs::undecided(&mut tx, 9).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    let again = claim_all(&store, "a").await.remove(0);
    assert_eq!((again.run.id, again.run.hold, again.run.made_bytes), (id, None, None));
    assert!(!held(&store, &claimed).await, "an earlier lease holds nothing");

    // It has arrived: its records are spent.
    assert!(held(&store, &again).await);
    let mut tx = store.begin().await.unwrap();
    let at = tx.now();
    assert!(runs::mark_done(&mut tx, id, "Marked.", at).await.unwrap());
    assert!(!runs::mark_done(&mut tx, id, "Marked.", at).await.unwrap());
    tx.commit().await.unwrap();
    let run = found(&store, id).await;
    assert_eq!((run.state(at), run.hold, run.ended_at), (RunState::Done, None, Some(at)));
    assert_eq!((run.sent_records, run.owes, run.message.as_deref()), (2, false, Some("Marked.")));
    assert_eq!(runs::waiting_count(&mut store.read().await.unwrap(), connector).await.unwrap(), 0);

    // It is given up: the next run takes them.
    push(&store, connector, ["rec_3"]).await;
    let third = collected(&store, connector, 9).await;
    assert!(held(&store, &third).await);
    let mut tx = store.begin().await.unwrap();
    let at = tx.now();
    assert!(runs::cancel(&mut tx, third.run.id, false, at).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(found(&store, third.run.id).await.hold, None);
    assert_eq!(runs::waiting_count(&mut store.read().await.unwrap(), connector).await.unwrap(), 1);

    // Of a deleted exporter nobody decides anything.
    let last = collected(&store, connector, 9).await;
    assert!(held(&store, &last).await);
    let mut tx = store.begin().await.unwrap();
    let at = tx.now();
    connectors::delete(&mut tx, connector).await.unwrap();
    runs::cancel_of_connector(&mut tx, connector, at).await.unwrap();
    assert!(runs::undecided(&mut tx, 9).await.unwrap().is_empty());
    tx.commit().await.unwrap();
}

async fn a_name_that_was_refused_is_not_made(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let claimed = collected(&store, connector, 9).await;
    let mut tx = store.begin().await.unwrap();
    assert!(runs::made(&mut tx, &claimed.run, 9, Some(7)).await.unwrap());
    assert!(runs::not_made(&mut tx, &claimed.run).await.unwrap());
    let run = runs::find(&mut tx, claimed.run.id).await.unwrap().unwrap();
    assert_eq!((run.made_bytes, run.made_at), (None, None));
    // What an earlier attempt may have brought stays known.
    let mut earlier = claimed.run.clone();
    (earlier.made_bytes, earlier.made_at) = (Some(5), Some(3));
    assert!(runs::made(&mut tx, &earlier, 9, Some(7)).await.unwrap());
    assert!(runs::not_made(&mut tx, &earlier).await.unwrap());
    let run = runs::find(&mut tx, claimed.run.id).await.unwrap().unwrap();
    assert_eq!((run.made_bytes, run.made_at), (Some(5), Some(3)));
    let mut lost = claimed.run.clone();
    lost.fence = 9;
    assert!(!runs::not_made(&mut tx, &lost).await.unwrap());
    tx.commit().await.unwrap();
}

async fn numbers_change_no_order(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let first = start_file(&store, connector, "a", 9).await;
    let second = start_file(&store, connector, "a", 9).await;
    let claimed = claim_files(&store, connector, 9, Duration::ZERO).await;
    assert_eq!(ids(&claimed), [first]);
    let mut tx = store.begin().await.unwrap();
    assert!(runs::choose_name(&mut tx, &claimed[0].run, "a-2").await.unwrap());
    tx.commit().await.unwrap();
    assert!(
        claim_files(&store, connector, 9, Duration::ZERO).await.is_empty(),
        "it is a file of that name still"
    );
    // Not even one that waits for a person is overtaken; others do not wait for it.
    assert!(held(&store, &claimed[0]).await);
    let other = start_file(&store, connector, "b", 9).await;
    let beside = claim_files(&store, connector, 9, Duration::ZERO).await;
    assert_eq!(ids(&beside), [other]);
    let mut tx = store.begin().await.unwrap();
    let at = tx.now();
    assert!(runs::send_again(&mut tx, first, at).await.unwrap());
    tx.commit().await.unwrap();
    let again = claim_files(&store, connector, 9, Duration::ZERO).await;
    assert_eq!(ids(&again), [first]);
    assert!(finish(&store, &again[0]).await);
    assert_eq!(ids(&claim_files(&store, connector, 9, Duration::ZERO).await), [second]);
}

async fn exporters_are_due_by_their_time(Fresh { store, .. }: Fresh) {
    let (late, early) = (add(&store, "Late").await, add(&store, "Early").await);
    start(&store, early, Cause::Hand).await;
    store.advance(Duration::from_secs(1));
    start(&store, late, Cause::Hand).await;
    store.advance(Duration::from_secs(1));
    let at = now(&store).await;
    let due = runs::due(&mut store.read().await.unwrap(), at).await.unwrap();
    assert_eq!(due, [early, late]);
    let mut tx = store.begin().await.unwrap();
    let until = at.plus(Duration::from_secs(60));
    assert!(runs::claim(&mut tx, &[], at, until, "a").await.unwrap().is_empty());
    let claimed = runs::claim(&mut tx, &[late], at, until, "a").await.unwrap();
    assert_eq!(claimed.iter().map(|one| one.run.connector).collect::<Vec<_>>(), [late]);
    assert_eq!(runs::due(&mut tx, at).await.unwrap(), [early]);
    tx.commit().await.unwrap();
}
