//! A run takes no more than one file may hold; what it leaves goes with the next one, which begins at once.

use consign_core::connector::exporter::RunState;
use consign_core::id::{ConnectorId, RunId};

use super::runs::{add, claim_all, end, push, start};
use super::{Fresh, on_both};
use crate::Store;
use crate::runs::{self, Cause, Claimed, Room, Taken};

on_both!(a_run_takes_what_a_file_may_hold, what_is_left_goes_on_at_once, runs_of_an_exporter_are_known);

/// What a record of five bytes counts.
const RECORD: u64 = 256 + 5;

async fn begun(store: &Store, connector: ConnectorId) -> Claimed {
    start(store, connector, Cause::Hand).await;
    claim_all(store, "a").await.remove(0)
}

async fn a_run_takes_what_a_file_may_hold(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let ids = ["rec_1", "rec_2", "rec_3", "rec_4", "rec_5", "rec_6", "rec_7"];
    push(&store, connector, ids).await;
    let first = begun(&store, connector).await;
    let mut tx = store.begin().await.unwrap();
    let to = runs::begin_collecting(&mut tx, &first.run).await.unwrap().unwrap();
    let room = |records, bytes, bytes_max| Room { records, bytes, bytes_max: Some(bytes_max) };
    let max = 4 * RECORD + 9;
    // Portion by portion, up to the limit; one record in any case.
    let taken = runs::collect(&mut tx, &first.run, &to, room(1, 0, 1)).await.unwrap();
    assert_eq!(taken, Taken { records: 1, bytes: RECORD, is_full: false });
    let taken = runs::collect(&mut tx, &first.run, &to, room(2, RECORD, max)).await.unwrap();
    assert_eq!(taken, Taken { records: 2, bytes: 2 * RECORD, is_full: false });
    assert_eq!(runs::taken_bytes(&mut tx, &first.run).await.unwrap(), 3 * RECORD);
    let taken = runs::collect(&mut tx, &first.run, &to, room(9, 3 * RECORD, max)).await.unwrap();
    assert_eq!(taken, Taken { records: 1, bytes: RECORD, is_full: true });
    let taken = runs::collect(&mut tx, &first.run, &to, room(9, 4 * RECORD, max)).await.unwrap();
    assert_eq!(taken, Taken { is_full: true, ..Taken::default() });
    assert_eq!(runs::end_collecting(&mut tx, &first.run, true).await.unwrap(), Some(4));
    tx.commit().await.unwrap();

    // What a failed run owes comes first, and has the same limit.
    assert!(end(&store, &first, RunState::Failed).await);
    let second = begun(&store, connector).await;
    let mut tx = store.begin().await.unwrap();
    let to = runs::begin_collecting(&mut tx, &second.run).await.unwrap().unwrap();
    let taken = runs::collect(&mut tx, &second.run, &to, room(9, 0, 3 * RECORD)).await.unwrap();
    assert_eq!(taken, Taken { records: 3, bytes: 3 * RECORD, is_full: true });
    assert_eq!(runs::end_collecting(&mut tx, &second.run, true).await.unwrap(), Some(3));
    tx.commit().await.unwrap();
    assert!(end(&store, &second, RunState::Done).await);
    let third = begun(&store, connector).await;
    let mut tx = store.begin().await.unwrap();
    let to = runs::begin_collecting(&mut tx, &third.run).await.unwrap().unwrap();
    let taken = runs::collect(&mut tx, &third.run, &to, room(9, 0, 5 * RECORD)).await.unwrap();
    assert_eq!(taken, Taken { records: 4, bytes: 4 * RECORD, is_full: false }, "owed and fresh ones");
    let page = runs::page(&mut tx, &third.run, "", 9, 99).await.unwrap();
    let ids: Vec<_> = page.iter().map(|record| record.id.as_str()).collect();
    assert_eq!(ids, ["rec_4", "rec_5", "rec_6", "rec_7"]);
}

async fn what_is_left_goes_on_at_once(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    push(&store, connector, ["rec_1"]).await;
    for (state, leaves_more, goes_on) in
        [(RunState::Done, false, false), (RunState::Failed, true, false), (RunState::Done, true, true)]
    {
        let claimed = begun(&store, connector).await;
        let mut tx = store.begin().await.unwrap();
        runs::begin_collecting(&mut tx, &claimed.run).await.unwrap().unwrap();
        runs::end_collecting(&mut tx, &claimed.run, leaves_more).await.unwrap().unwrap();
        assert!(runs::leaving_more(&mut tx).await.unwrap().is_empty(), "it is not done");
        tx.commit().await.unwrap();
        assert!(end(&store, &claimed, state).await);
        let mut tx = store.begin().await.unwrap();
        let found: Vec<_> = runs::leaving_more(&mut tx).await.unwrap().iter().map(|run| run.id).collect();
        assert_eq!(found, if goes_on { vec![claimed.run.id] } else { vec![] });
        assert_eq!(runs::take_more(&mut tx, claimed.run.id).await.unwrap(), leaves_more);
        assert!(!runs::take_more(&mut tx, claimed.run.id).await.unwrap(), "once");
        assert!(runs::leaving_more(&mut tx).await.unwrap().is_empty());
        tx.commit().await.unwrap();
    }
}

async fn runs_of_an_exporter_are_known(Fresh { store, .. }: Fresh) {
    let (connector, other) = (add(&store, "List").await, add(&store, "Other").await);
    let (own, theirs) =
        (start(&store, connector, Cause::Hand).await, start(&store, other, Cause::Hand).await);
    let mut db = store.read().await.unwrap();
    let nobody = RunId::new(consign_core::time::Timestamp::from_millis(1));
    let ours = runs::ours_of(&mut db, connector, &[theirs, own, nobody]).await.unwrap();
    assert_eq!(ours.into_iter().collect::<Vec<_>>(), [own]);
    assert!(runs::ours_of(&mut db, connector, &[]).await.unwrap().is_empty());
}
