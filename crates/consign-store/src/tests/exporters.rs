//! What waits for exporters, what is lost with them, which files they brought, and files on their way in.

use consign_core::catalog::Protocol;
use consign_core::connector::exporter::{RunState, Step};
use consign_core::id::{ConnectorId, RunId};

use super::runs::{MINUTE, add, claim_all, collected, end, payloads_gone, push, set_up};
use super::{Fresh, hours, on_both};
use crate::runs::{self, Cause, Chunk, Loss, NewRun, Progress, PushedFile, RunFile};
use crate::uploads::{self, Upload};
use crate::{Store, connectors, retention};

on_both!(
    what_an_ended_run_sent_goes,
    what_is_lost_with_an_exporter,
    a_page_of_exporters,
    files_of_runs,
    uploads_go_on,
    what_is_given_up_takes_no_room,
);

/// Begins a run of a pushed file of so many pieces.
async fn push_file(store: &Store, connector: ConnectorId, pieces: i64) -> RunId {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let id = RunId::new(now);
    for number in 0..pieces {
        let chunk = Chunk { number, payload_key: 7, sealed_data: vec![1; 3] };
        runs::insert_chunk(&mut tx, id, &chunk).await.unwrap();
    }
    let file = PushedFile { content_type: "text/csv".to_owned(), digest: "ab".to_owned(), bytes: 9 };
    let number = runs::next_number(&mut tx, connector).await.unwrap().unwrap();
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
        file_name: "a.csv",
        base_name: "a.csv",
        file: Some(&file),
    };
    runs::insert(&mut tx, &new, now).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn what_an_ended_run_sent_goes(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let id = push_file(&store, connector, 5).await;
    let claimed = claim_all(&store, "a").await.remove(0);
    let mut tx = store.begin().await.unwrap();
    let later = tx.now().plus(hours(1));
    assert_eq!(payloads_gone(&mut tx, later, (9, 2)).await, (0, 0), "it has not ended");
    tx.commit().await.unwrap();
    assert!(end(&store, &claimed, RunState::Done).await);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(retention::delete_payload_keys(&mut tx, 99).await.unwrap(), 0);
    assert_eq!(payloads_gone(&mut tx, later, (9, 2)).await, (0, 5));
    assert!(runs::chunks(&mut tx, id, 0, 9).await.unwrap().is_empty());
    assert!(!runs::has_payloads(&mut tx, id).await.unwrap());
    assert!(runs::find(&mut tx, id).await.unwrap().unwrap().set_up.is_none());
    assert_eq!(payloads_gone(&mut tx, later, (9, 2)).await, (0, 0), "once");
}

async fn what_is_lost_with_an_exporter(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let other = add(&store, "Other").await;
    push(&store, other, ["rec_9"]).await;
    let lost = |runs, records, files| Loss { runs, records, files };
    let now_lost = async || runs::unsent(&mut store.read().await.unwrap(), connector).await.unwrap();
    assert_eq!(now_lost().await, Loss::default());
    push(&store, connector, ["rec_1", "rec_2", "rec_3"]).await;
    assert_eq!(now_lost().await, lost(0, 3, 0));
    // Those of a run under way count until they arrived.
    let claimed = collected(&store, connector, 10).await;
    push(&store, connector, ["rec_4"]).await;
    assert_eq!(now_lost().await, lost(1, 4, 0));
    let progress = Progress {
        step: Step::Upload,
        sent_records: 2,
        sent_bytes: 9,
        requests: 1,
        sent_to: "rec_2".to_owned(),
    };
    let mut tx = store.begin().await.unwrap();
    let until = tx.now().plus(MINUTE);
    assert!(runs::advance(&mut tx, &claimed.run, &progress, until).await.unwrap());
    tx.commit().await.unwrap();
    push_file(&store, connector, 1).await;
    assert_eq!(now_lost().await, lost(2, 2, 1));
    // What a failed run owes is lost too; a repetition loses nothing.
    assert!(end(&store, &claimed, RunState::Failed).await);
    assert_eq!(now_lost().await, lost(1, 2, 1));
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(runs::cancel_of_connector(&mut tx, connector, now).await.unwrap(), lost(1, 2, 1));
    assert_eq!(runs::unsent(&mut tx, other).await.unwrap(), lost(0, 1, 0));
}

async fn a_page_of_exporters(Fresh { store, .. }: Fresh) {
    let (one, two, none) = (add(&store, "One").await, add(&store, "Two").await, add(&store, "None").await);
    push(&store, one, ["rec_1", "rec_2"]).await;
    let failed = collected(&store, one, 10).await;
    assert!(end(&store, &failed, RunState::Failed).await);
    push(&store, one, ["rec_3"]).await;
    let many: Vec<_> = (0..1_001).map(|n| format!("rec_{n:04}")).collect();
    push(&store, two, many.iter().map(String::as_str)).await;
    let mut tx = store.begin().await.unwrap();
    let at = tx.now().plus(MINUTE);
    runs::set_next_run(&mut tx, two, Some(at)).await.unwrap();
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let page = runs::waiting_of(&mut db, &[one, two, none]).await.unwrap();
    assert_eq!((page[&one].records, page[&two].records, page[&none].records), (3, 1_000, 0));
    assert_eq!((page[&one].is_capped, page[&two].is_capped), (false, true));
    assert_eq!((page[&one].next_run_at, page[&two].next_run_at), (None, Some(at)));
    assert_eq!(page[&one].last_run.as_ref().map(|run| run.id), Some(failed.run.id));
    assert!(page[&two].last_run.is_none());
    assert!(runs::last_success_of_each(&mut db).await.unwrap().is_empty());
    drop(db);
    let done = collected(&store, two, 2_000).await;
    assert!(end(&store, &done, RunState::Done).await);
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    runs::note_done(&mut tx, two, now).await.unwrap();
    runs::note_done(&mut tx, two, now.minus(MINUTE)).await.unwrap();
    tx.commit().await.unwrap();
    let done = runs::last_success_of_each(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(done, [(two, now)], "the last one counts");
}

async fn files_of_runs(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let mut tx = store.begin().await.unwrap();
    let file =
        |name: &str, number| RunFile { file_name: name.to_owned(), number, bytes: 9, made_at: Some(7) };
    for (place, name, number) in
        [("a", "1.csv", 1), ("a", "2.csv", 2), ("a", "3.csv", 4), ("b", "1.csv", 3), ("a", "2.csv", 5)]
    {
        runs::insert_file(&mut tx, connector, place, &file(name, number)).await.unwrap();
    }
    for (place, keep, beyond) in [
        ("a", 3, vec![]),
        ("a", 2, vec![file("1.csv", 1)]),
        ("a", 1, vec![file("1.csv", 1), file("3.csv", 4)]),
        ("b", 1, vec![]),
    ] {
        let found = runs::files_beyond(&mut tx, connector, place, keep, 9).await.unwrap();
        assert_eq!(found, beyond, "{keep} in {place}");
    }
    assert_eq!(runs::files_beyond(&mut tx, connector, "a", 1, 1).await.unwrap(), [file("1.csv", 1)]);
    // A newer one took the place of what is forgotten: it stays known.
    runs::forget_file(&mut tx, connector, "a", &file("2.csv", 2)).await.unwrap();
    runs::forget_file(&mut tx, connector, "a", &file("1.csv", 1)).await.unwrap();
    assert_eq!(runs::files_beyond(&mut tx, connector, "a", 1, 9).await.unwrap(), [file("3.csv", 4)]);
    connectors::delete(&mut tx, connector).await.unwrap();
    assert!(runs::files_beyond(&mut tx, connector, "a", 1, 9).await.unwrap().is_empty());
}

async fn uploads_go_on(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let new = Upload { announced_bytes: Some(9), ..Upload::new(connector, "a.csv", "key_1".to_owned(), now) };
    uploads::insert(&mut tx, &new).await.unwrap();
    assert_eq!(uploads::find(&mut tx, new.id).await.unwrap().as_ref(), Some(&new));
    assert_eq!(uploads::open_count(&mut tx, connector).await.unwrap(), 1);
    assert_eq!(uploads::open_count_by(&mut tx, connector, "key_1").await.unwrap(), 1);
    assert_eq!(uploads::open_count_by(&mut tx, connector, "key_2").await.unwrap(), 0);
    assert_eq!(uploads::waiting_pieces(&mut tx).await.unwrap(), 0);
    let first = uploads::take(&mut tx, new.id, 0).await.unwrap().unwrap();
    assert!(uploads::take(&mut tx, new.id, 3).await.unwrap().is_none(), "it is not there");
    let second = uploads::take(&mut tx, new.id, 0).await.unwrap().unwrap();
    let further = |of: &Upload| Upload { pieces: 1, bytes: 6, digest_state: Some(vec![1, 2]), ..of.clone() };
    let at = now.plus(hours(1));
    assert!(
        !uploads::advance(&mut tx, &further(&first), at).await.unwrap(),
        "another request goes on with it"
    );
    assert!(uploads::advance(&mut tx, &further(&second), at).await.unwrap());
    let chunk = Chunk { number: 0, payload_key: 7, sealed_data: vec![1; 3] };
    runs::insert_chunk(&mut tx, new.run, &chunk).await.unwrap();
    assert_eq!(uploads::waiting_pieces(&mut tx).await.unwrap(), 1);
    let stored = uploads::find(&mut tx, new.id).await.unwrap().unwrap();
    assert_eq!((stored.pieces, stored.bytes, stored.touched_at), (1, 6, at));
    assert_eq!(stored.digest_state.as_deref(), Some(&[1, 2][..]));
    for of in [Some("key_1"), None] {
        let open = uploads::open_of(&mut tx, connector, of, 9).await.unwrap();
        assert_eq!(open.as_slice(), std::slice::from_ref(&stored));
    }
    assert!(
        uploads::open_of(&mut tx, connector, Some("key_2"), 9).await.unwrap().is_empty(),
        "another one's"
    );
    // Its pieces stay as long as it may go on, which it may for a time after the last of them.
    let day = now.plus(hours(24));
    assert_eq!(retention::delete_uploads(&mut tx, now.plus(MINUTE), 9).await.unwrap(), 0);
    assert_eq!(retention::delete_unowned_pieces(&mut tx, 9).await.unwrap(), 0);
    assert_eq!(retention::delete_uploads(&mut tx, day, 9).await.unwrap(), 1);
    assert_eq!(retention::delete_unowned_pieces(&mut tx, 9).await.unwrap(), 1);
    // One that is complete is neither taken nor deleted.
    uploads::insert(&mut tx, &new).await.unwrap();
    assert!(uploads::advance(&mut tx, &Upload { complete: true, ..new.clone() }, at).await.unwrap());
    assert!(uploads::take(&mut tx, new.id, 0).await.unwrap().is_none());
    assert!(!uploads::delete(&mut tx, new.id).await.unwrap());
    assert_eq!(uploads::open_count(&mut tx, connector).await.unwrap(), 0);
    assert!(uploads::open_of(&mut tx, connector, None, 9).await.unwrap().is_empty());
}

async fn what_is_given_up_takes_no_room(Fresh { store, .. }: Fresh) {
    let connector = add(&store, "List").await;
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let mut begin = async |one_request: bool, pieces: i64| {
        let new = Upload { one_request, pieces, ..Upload::new(connector, "a", "key_1".to_owned(), now) };
        uploads::insert(&mut tx, &new).await.unwrap();
        for number in 0..pieces {
            let chunk = Chunk { number, payload_key: 7, sealed_data: vec![1; 3] };
            runs::insert_chunk(&mut tx, new.run, &chunk).await.unwrap();
        }
        new
    };
    let (kept, given_up, cut_off) = (begin(false, 1).await, begin(false, 5).await, begin(true, 2).await);
    assert_eq!(uploads::waiting_pieces(&mut tx).await.unwrap(), 8, "of all files");
    assert_eq!(retention::delete_unowned_pieces(&mut tx, 9).await.unwrap(), 0, "each is on its way");
    // One that comes in one request takes nobody's place, and does not go on.
    assert_eq!(uploads::open_count(&mut tx, connector).await.unwrap(), 2);
    assert_eq!(uploads::open_count_by(&mut tx, connector, "key_1").await.unwrap(), 2);
    assert_eq!(uploads::open_of(&mut tx, connector, None, 9).await.unwrap().len(), 3);
    assert!(uploads::take(&mut tx, cut_off.id, 0).await.unwrap().is_none());

    // There is room at once, and the pieces go in portions.
    assert!(uploads::delete(&mut tx, given_up.id).await.unwrap());
    assert_eq!(uploads::waiting_pieces(&mut tx).await.unwrap(), 3);
    assert_eq!(retention::delete_pieces_of(&mut tx, given_up.run, 3).await.unwrap(), 3);
    assert!(!uploads::advance(&mut tx, &Upload { pieces: 6, ..given_up }, now).await.unwrap());
    assert_eq!(retention::delete_unowned_pieces(&mut tx, 9).await.unwrap(), 2, "those that were left");
    // At the start of a program that is alone.
    assert_eq!(uploads::delete_cut_off(&mut tx).await.unwrap(), 1);
    assert_eq!(retention::delete_unowned_pieces(&mut tx, 9).await.unwrap(), 2);
    assert_eq!(uploads::open_of(&mut tx, connector, None, 9).await.unwrap(), [kept]);
    assert_eq!(uploads::waiting_pieces(&mut tx).await.unwrap(), 1);
}
