//! Runs of pushed files: their pieces, and small ones that leave side by side.

use std::time::Duration;

use consign_core::catalog::Protocol;
use consign_core::connector::ConnectorState;
use consign_core::connector::exporter::RunState;
use consign_core::id::{ConnectorId, RunId};
use consign_core::time::Timestamp;

use super::runs::{MINUTE, add, claim_all, end, set_up, start};
use super::{Fresh, now, on_both};
use crate::runs::{self, Cause, Chunk, Claimed, FilesWanted, NewRun, PushedFile};
use crate::{Store, connectors, retention};

on_both!(pushed_files_in_pieces, small_files_side_by_side);

async fn pushed_files_in_pieces(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let (id, lost) = (RunId::new(now), RunId::new(now));
    for number in 0..3 {
        let chunk = Chunk { number, payload_key: 7, sealed_data: vec![u8::try_from(number).unwrap(); 3] };
        runs::insert_chunk(&mut tx, id, &chunk).await.unwrap();
        runs::insert_chunk(&mut tx, lost, &chunk).await.unwrap();
    }
    let file = PushedFile { content_type: "text/csv".to_owned(), digest: "ab".to_owned(), bytes: 9 };
    let new = NewRun {
        id,
        connector,
        number: 1,
        cause: Cause::File,
        started_by: "Ada",
        source: id,
        protocol: Protocol::Sftp,
        exporter_revision: 1,
        set_up: &set_up(),
        file_name: "a.csv",
        base_name: "a.csv",
        file: Some(&file),
    };
    runs::insert(&mut tx, &new, now).await.unwrap();
    let run = runs::find(&mut tx, id).await.unwrap().unwrap();
    assert_eq!((run.file.as_ref(), run.collected), (Some(&file), true));
    let chunks = runs::chunks(&mut tx, id, 1, 9).await.unwrap();
    let found: Vec<_> = chunks.iter().map(|chunk| (chunk.number, chunk.sealed_data[0])).collect();
    assert_eq!(found, [(1, 1), (2, 2)]);
    for expected in [2, 1, 0] {
        assert_eq!(retention::delete_unowned_pieces(&mut tx, 2).await.unwrap(), expected);
    }
    assert_eq!(runs::chunks(&mut tx, id, 0, 9).await.unwrap().len(), 3);
}

pub(super) async fn start_file(store: &Store, connector: ConnectorId, name: &str, bytes: u64) -> RunId {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let id = RunId::new(now);
    let number = runs::next_number(&mut tx, connector).await.unwrap().unwrap();
    let file = PushedFile { content_type: "text/csv".to_owned(), digest: "ab".to_owned(), bytes };
    let new = NewRun {
        id,
        connector,
        number,
        cause: Cause::File,
        started_by: "Ada",
        source: id,
        protocol: Protocol::Sftp,
        exporter_revision: 1,
        set_up: &set_up(),
        file_name: name,
        base_name: name,
        file: Some(&file),
    };
    runs::insert(&mut tx, &new, now).await.unwrap();
    let chunk = Chunk { number: 0, payload_key: 7, sealed_data: name.as_bytes().to_vec() };
    runs::insert_chunk(&mut tx, id, &chunk).await.unwrap();
    tx.commit().await.unwrap();
    id
}

pub(super) async fn claim_files(
    store: &Store,
    connector: ConnectorId,
    max: u32,
    later: Duration,
) -> Vec<Claimed> {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now().plus(later);
    let wanted = FilesWanted { connector, bytes_max: 50, max };
    let claimed = runs::claim_files(&mut tx, &wanted, now, now.plus(MINUTE), "a").await.unwrap();
    tx.commit().await.unwrap();
    claimed
}

pub(super) fn ids(claimed: &[Claimed]) -> Vec<RunId> {
    claimed.iter().map(|claimed| claimed.run.id).collect()
}

pub(super) async fn finish(store: &Store, claimed: &Claimed) -> bool {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let done = runs::finish(&mut tx, &claimed.run, "Sent.", now).await.unwrap();
    tx.commit().await.unwrap();
    done
}

async fn small_files_side_by_side(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let first = start_file(&store, connector, "a", 9).await;
    let second = start_file(&store, connector, "b", 50).await;
    let same_name = start_file(&store, connector, "a", 9).await;
    let large = start_file(&store, connector, "c", 51).await;
    let last = start_file(&store, connector, "d", 0).await;
    let due = async |later| {
        let now = now(&store).await.plus(later);
        runs::with_files_due(&mut store.read().await.unwrap(), 50, now).await.unwrap()
    };
    assert_eq!(due(Duration::ZERO).await, [connector]);
    let one = claim_files(&store, connector, 1, Duration::ZERO).await;
    assert_eq!(ids(&one), [first]);
    let claimed = claim_files(&store, connector, 9, Duration::ZERO).await;
    assert_eq!(ids(&claimed), [second, last], "neither the same name again nor a large one");
    assert!(claim_files(&store, connector, 9, Duration::ZERO).await.is_empty(), "each is taken once");
    assert!(claim_all(&store, "b").await.is_empty(), "the oldest is under way");
    let stored = runs::find(&mut store.read().await.unwrap(), last).await.unwrap().unwrap();
    assert_eq!((stored.fence, stored.crashes, stored.lease_until), (1, 0, claimed[1].run.lease_until));
    let mut db = store.read().await.unwrap();
    let pieces =
        runs::first_chunks(&mut db, &[first, last, RunId::new(Timestamp::from_millis(1))]).await.unwrap();
    assert_eq!((pieces.len(), pieces[&last].sealed_data.as_slice()), (2, b"d".as_slice()));
    drop(db);

    // A lease that ran out was a crash; whoever had it changes nothing any more.
    let again = claim_files(&store, connector, 9, 2 * MINUTE).await;
    assert_eq!(ids(&again), [first, second, last]);
    assert!(
        again.iter().all(|claimed| claimed.abandoned && claimed.run.crashes == 1 && claimed.run.fence == 2)
    );
    assert!(!finish(&store, &claimed[0]).await);
    assert!(finish(&store, &again[0]).await && !finish(&store, &again[0]).await);
    let done = runs::find(&mut store.read().await.unwrap(), first).await.unwrap().unwrap();
    assert_eq!((done.state(now(&store).await), done.crashes), (RunState::Done, 0));
    assert_eq!(done.message.as_deref(), Some("Sent."));
    let behind = claim_files(&store, connector, 9, Duration::ZERO).await;
    assert_eq!(ids(&behind), [same_name], "the first of that name has ended");

    // What was there at two crashes goes alone, as large files do.
    let later = claim_files(&store, connector, 9, 4 * MINUTE).await;
    assert_eq!(ids(&later), [second, same_name, last]);
    assert_eq!(ids(&claim_files(&store, connector, 9, 6 * MINUTE).await), [same_name]);

    // Records keep their place: no file overtakes them, and they wait for the files before them.
    let records = start(&store, connector, Cause::Hand).await;
    let behind_records = start_file(&store, connector, "e", 1).await;
    for run in [second, same_name, last, large] {
        assert!(claim_files(&store, connector, 9, Duration::ZERO).await.is_empty());
        let mut tx = store.begin().await.unwrap();
        let now = tx.now();
        assert!(runs::cancel(&mut tx, run, true, now).await.unwrap());
        tx.commit().await.unwrap();
    }
    assert!(claim_files(&store, connector, 9, Duration::ZERO).await.is_empty());
    let claimed = claim_all(&store, "a").await;
    assert_eq!(ids(&claimed), [records]);
    assert!(end(&store, &claimed[0], RunState::Done).await);
    assert_eq!(ids(&claim_files(&store, connector, 9, Duration::ZERO).await), [behind_records]);

    let mut tx = store.begin().await.unwrap();
    let at = tx.now();
    connectors::set_state(&mut tx, connector, None, ConnectorState::Paused, "", at).await.unwrap();
    tx.commit().await.unwrap();
    assert!(due(2 * MINUTE).await.is_empty(), "it is paused");
    assert!(claim_files(&store, connector, 9, 2 * MINUTE).await.is_empty());
}
