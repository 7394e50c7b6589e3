//! Notices: each once while its reason is there, and mailed by one process at a time.

use serde_json::json;

use super::{Fresh, hours, on_both};
use crate::notices::{self, Notice};

on_both!(a_notice_is_given_once_until_it_is_over, a_due_mail_is_taken_by_one,);

fn notice(key: &str, now: consign_core::time::Timestamp) -> Notice {
    Notice {
        key: key.to_owned(),
        kind: "consign.run.failed".to_owned(),
        said: json!({ "title": "“Nightly” failed" }),
        began_at: now,
        retry_at: Some(now),
        tries: 0,
        failure: None,
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
    notices::end(&mut tx, "a").await.unwrap();
    assert!(notices::begin(&mut tx, &notice("a", now.plus(hours(2)))).await.unwrap());
}

async fn a_due_mail_is_taken_by_one(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    for (key, retry_at) in [("due", Some(now)), ("later", Some(now.plus(hours(2)))), ("none", None)] {
        notices::begin(&mut tx, &Notice { retry_at, ..notice(key, now) }).await.unwrap();
    }
    let taken = notices::take_due(&mut tx, now, now.plus(hours(1))).await.unwrap();
    assert_eq!(taken.iter().map(|one| (one.key.as_str(), one.tries)).collect::<Vec<_>>(), [("due", 1)]);
    assert!(notices::take_due(&mut tx, now, now.plus(hours(1))).await.unwrap().is_empty());
    notices::mailed(&mut tx, "due", Some(now.plus(hours(1))), Some("away")).await.unwrap();
    assert_eq!(notices::failure(&mut tx).await.unwrap().as_deref(), Some("away"));
    let again = notices::take_due(&mut tx, now.plus(hours(1)), now.plus(hours(3))).await.unwrap();
    assert_eq!((again[0].tries, again[0].failure.as_deref()), (2, Some("away")));
    notices::mailed(&mut tx, "due", None, None).await.unwrap();
    assert_eq!(notices::failure(&mut tx).await.unwrap(), None);
    let rest = notices::take_due(&mut tx, now.plus(hours(9)), now.plus(hours(10))).await.unwrap();
    assert_eq!(rest.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["later"]);
}
