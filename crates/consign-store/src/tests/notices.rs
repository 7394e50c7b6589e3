//! Notices: each once while its reason is there, and mailed by one process at a time.

use consign_core::connector::exporter::RunState;
use consign_core::time::Timestamp;
use serde_json::json;

use super::runs::{add, collected, end, push};
use super::{Fresh, hours, on_both};
use crate::db::Query;
use crate::notices::{self, Notice};
use crate::runs::{self, LAST_FAILED};

on_both!(
    a_notice_is_given_once_until_it_is_over,
    a_due_mail_is_taken_by_one,
    a_mail_is_settled_for_each_recipient,
    the_last_failed_runs_are_found_by_their_index,
);

fn notice(key: &str, now: Timestamp) -> Notice {
    Notice {
        key: key.to_owned(),
        kind: "consign.run.failed".to_owned(),
        said: json!({ "title": "“Nightly” failed" }),
        began_at: now,
        retry_at: Some(now),
        tries: 0,
        failure: None,
        owes_event: true,
        over: false,
    }
}

async fn a_notice_is_given_once_until_it_is_over(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    assert!(notices::begin(&mut tx, &notice("a", now)).await.unwrap());
    assert!(!notices::begin(&mut tx, &notice("a", now.plus(hours(1)))).await.unwrap());
    assert!(notices::begin(&mut tx, &notice("b", now.plus(hours(1)))).await.unwrap());
    let all = notices::all(&mut tx).await.unwrap();
    let keys: Vec<_> = all.iter().map(|notice| notice.key.as_str()).collect();
    assert_eq!(
        (keys, all[0].began_at, &all[0].said),
        (vec!["a", "b"], now, &json!({ "title": "“Nightly” failed" }))
    );
    // It is over, and goes once its event is stored and its mail done.
    notices::set_over(&mut tx, "a", true).await.unwrap();
    let keys = async |tx: &mut crate::Db| {
        let all = notices::all(tx).await.unwrap();
        all.into_iter().map(|notice| notice.key).collect::<Vec<_>>()
    };
    notices::sweep(&mut tx, now).await.unwrap();
    assert_eq!(keys(&mut tx).await, ["a", "b"]);
    let owing = notices::owing_events(&mut tx, 9).await.unwrap();
    assert_eq!(owing.len(), 2);
    notices::event_stored(&mut tx, &["a"]).await.unwrap();
    assert_eq!(notices::owing_events(&mut tx, 9).await.unwrap()[0].key, "b");
    notices::sweep(&mut tx, now).await.unwrap();
    assert_eq!(keys(&mut tx).await, ["a", "b"]);
    notices::take_due(&mut tx, "one", now, now.plus(hours(1))).await.unwrap();
    notices::mailed(&mut tx, ("a", "one"), None, None).await.unwrap();
    notices::sweep(&mut tx, now).await.unwrap();
    assert_eq!(keys(&mut tx).await, ["b"]);
    notices::set_over(&mut tx, "b", true).await.unwrap();
    notices::sweep(&mut tx, now.plus(hours(2))).await.unwrap();
    assert!(keys(&mut tx).await.is_empty(), "given up");
    assert!(notices::begin(&mut tx, &notice("a", now.plus(hours(2)))).await.unwrap());
}

async fn a_due_mail_is_taken_by_one(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    for (key, retry_at) in [("due", Some(now)), ("later", Some(now.plus(hours(2)))), ("none", None)] {
        notices::begin(&mut tx, &Notice { retry_at, ..notice(key, now) }).await.unwrap();
    }
    let taken = notices::take_due(&mut tx, "one", now, now.plus(hours(1))).await.unwrap();
    assert_eq!(taken.iter().map(|one| (one.key.as_str(), one.tries)).collect::<Vec<_>>(), [("due", 1)]);
    assert!(notices::take_due(&mut tx, "two", now, now.plus(hours(1))).await.unwrap().is_empty());
    // Whoever has it renews that; nobody else does, or writes down what became of it.
    assert_eq!(notices::keep_taken(&mut tx, "two", now).await.unwrap(), 0);
    assert_eq!(notices::keep_taken(&mut tx, "one", now.plus(hours(2))).await.unwrap(), 1);
    assert!(notices::take_due(&mut tx, "two", now.plus(hours(1)), now).await.unwrap().is_empty());
    notices::mailed(&mut tx, ("due", "two"), None, None).await.unwrap();
    notices::mailed(&mut tx, ("due", "one"), Some(now.plus(hours(1))), Some("away")).await.unwrap();
    assert_eq!(notices::failure(&mut tx).await.unwrap().as_deref(), Some("away"));
    assert_eq!(notices::keep_taken(&mut tx, "one", now).await.unwrap(), 0);
    let again = notices::take_due(&mut tx, "two", now.plus(hours(1)), now.plus(hours(3))).await.unwrap();
    assert_eq!((again[0].tries, again[0].failure.as_deref()), (2, Some("away")));
    notices::mailed(&mut tx, ("due", "two"), None, None).await.unwrap();
    assert_eq!(notices::failure(&mut tx).await.unwrap(), None);
    let rest = notices::take_due(&mut tx, "one", now.plus(hours(9)), now.plus(hours(10))).await.unwrap();
    assert_eq!(rest.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["later"]);
}

async fn a_mail_is_settled_for_each_recipient(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    for key in ["a", "b"] {
        notices::begin(&mut tx, &notice(key, now)).await.unwrap();
    }
    notices::take_due(&mut tx, "one", now, now.plus(hours(1))).await.unwrap();
    notices::settle(&mut tx, &["a", "b"], "ana@acme.example", None).await.unwrap();
    notices::settle(&mut tx, &["a"], "bo@acme.example", Some("no such person")).await.unwrap();
    notices::settle(&mut tx, &["a"], "bo@acme.example", None).await.unwrap();
    let settled = notices::settled(&mut tx, &["a", "b", "c"]).await.unwrap();
    assert_eq!((settled["a"].len(), settled["b"].len(), settled.len()), (2, 1, 2));
    // The refusal of one stays told, until somebody changes who is mailed.
    notices::mailed(&mut tx, ("a", "one"), None, None).await.unwrap();
    notices::mailed(&mut tx, ("b", "one"), None, None).await.unwrap();
    assert_eq!(notices::failure(&mut tx).await.unwrap().as_deref(), Some("no such person"));
    notices::forget_refusals(&mut tx).await.unwrap();
    assert_eq!(notices::failure(&mut tx).await.unwrap(), None);
    notices::event_stored(&mut tx, &["a", "b"]).await.unwrap();
    notices::set_over(&mut tx, "a", true).await.unwrap();
    notices::sweep(&mut tx, now).await.unwrap();
    assert_eq!(notices::settled(&mut tx, &["a", "b"]).await.unwrap().len(), 1, "gone with its notice");
}

async fn the_last_failed_runs_are_found_by_their_index(Fresh { store, .. }: Fresh) {
    let (failing, mended) = (add(&store, "Failing").await, add(&store, "Mended").await);
    for (connector, ends) in [
        (failing, [RunState::Failed, RunState::Done, RunState::Failed]),
        (mended, [RunState::Failed, RunState::Failed, RunState::Done]),
    ] {
        for (place, state) in ends.into_iter().enumerate() {
            push(&store, connector, [format!("rec_{place}").as_str()]).await;
            let run = collected(&store, connector, 10).await;
            assert!(end(&store, &run, state).await);
            store.advance(hours(1));
        }
    }
    let mut db = store.read().await.unwrap();
    let found = runs::last_failed_of_each(&mut db, Timestamp::from_millis(0)).await.unwrap();
    assert_eq!(found.iter().map(|run| (run.connector, run.number)).collect::<Vec<_>>(), [(failing, 3)]);
    let late = found[0].ended_at.unwrap().plus(hours(1));
    assert!(runs::last_failed_of_each(&mut db, late).await.unwrap().is_empty(), "long ago");
    // PostgreSQL chooses by how much there is.
    if !db.is_postgres() {
        let text = format!("explain query plan {}", LAST_FAILED.replace("$1", "0"));
        let plan = Query::built(text, Vec::new()).all(&mut db).await.unwrap();
        let plan: Vec<_> = plan.iter().map(|step| step.text("detail").unwrap()).collect();
        let found = plan.iter().any(|step| step.contains("INDEX run_last_ended (connector_id=?"));
        let sorted = plan
            .iter()
            .any(|step| step.starts_with("SCAN r") || step.starts_with("SCAN o") || step.contains("TEMP"));
        assert!(found && !sorted, "{plan:#?}");
    }
}
