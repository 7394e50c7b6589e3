//! The audit log: appended with the change or not at all, and every tampering is found.

use consign_core::audit::{AuditEntry, Imprint, Rows, Table};
use consign_core::id::AuditId;
use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_core::vault::{DerivedKey, KeyRing, Place, Vault};
use serde_json::json;

use super::{Fresh, on_both};
use crate::audit::{self, AuditFilter, BrokenAt, Verified, Wanted};
use crate::db::query;
use crate::{Db, Page, Store, installation};

on_both!(
    entries_are_chained_and_listed,
    entries_are_found_by_each_of_their_parts,
    an_entry_goes_with_its_change,
    the_database_refuses_to_change_entries,
    tampering_is_found,
    replicas_append_to_one_chain,
);

fn key() -> DerivedKey {
    let binding = Binding::of(&[]);
    let place =
        Place { table: "installation", record: "audit", field: "key", generation: 1, binding: &binding };
    Vault::new(&KeyRing::generate(), "test").create_key(&place).0
}

fn entry(object: &str, now: Timestamp) -> AuditEntry {
    AuditEntry {
        id: AuditId::new(now),
        at: now,
        actor_kind: "user",
        actor_id: "usr_1".to_owned(),
        actor: "Ada".to_owned(),
        action: "Replaced password".to_owned(),
        object_kind: "credential",
        object_id: object.to_owned(),
        object: "Tool".to_owned(),
        changes: json!({ "password": "replaced", "a": [1, "ü"] }),
        from: "192.0.2.1".to_owned(),
        request_id: "req_1".to_owned(),
        result: "done",
        rows: Rows::default(),
    }
}

/// An id of full length.
fn numbered(number: i64) -> String {
    format!("crd_{number:026}")
}

async fn fill(store: &Store, key: &DerivedKey, count: i64) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    for number in 1..=count {
        let sequence = audit::append(&mut tx, &entry(&numbered(number % 2), now), key).await.unwrap();
        assert_eq!(sequence, number);
    }
    tx.commit().await.unwrap();
}

async fn entries_are_chained_and_listed(Fresh { store, .. }: Fresh) {
    let key = key();
    let mut tx = store.begin().await.unwrap();
    assert_eq!(audit::verify(&mut tx, &key).await.unwrap(), Ok(Verified { entries: 0, head: String::new() }));
    drop(tx);
    // More than one portion of the check.
    fill(&store, &key, 503).await;
    let mut db = store.read().await.unwrap();
    let verified = audit::verify(&mut db, &key).await.unwrap().unwrap();
    assert_eq!((verified.entries, audit::head(&mut db).await.unwrap()), (503, (503, verified.head)));
    assert_eq!(audit::verify(&mut db, &self::key()).await.unwrap(), Err(BrokenAt(1)), "another key");
    let of_one = AuditFilter { object: Some(numbered(1)), ..AuditFilter::default() };
    let first = audit::list(&mut db, &of_one, &Page::first(2)).await.unwrap();
    assert_eq!(first.items.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [503, 501]);
    assert_eq!((first.items[0].actor.as_str(), &first.items[0].changes["a"][1]), ("Ada", &json!("ü")));
    let second = Page { after: first.next.clone(), ..Page::first(2) };
    let second = audit::list(&mut db, &of_one, &second).await.unwrap();
    assert_eq!(second.items[0].sequence, 499);
    let oldest = Page { oldest_first: true, counted: true, ..Page::first(2) };
    let oldest = audit::list(&mut db, &of_one, &oldest).await.unwrap();
    assert_eq!(oldest.items.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((oldest.count, first.count), (Some(252), None));
    let nobody =
        AuditFilter { actor: Some("usr_01JDJ0M4X5K6P7Q8R9S0T1V2W3".to_owned()), ..AuditFilter::default() };
    assert!(audit::list(&mut db, &nobody, &Page::first(2)).await.unwrap().items.is_empty());
    let at = second.items[0].at;
    let before = AuditFilter { before: Some(at), ..AuditFilter::default() };
    assert!(audit::list(&mut db, &before, &Page::first(2)).await.unwrap().items.is_empty());
    let after = AuditFilter { after: Some(at), ..AuditFilter::default() };
    assert_eq!(audit::list(&mut db, &after, &Page::first(2)).await.unwrap().items.len(), 2);
}

const KEY: &str = "key_01JDJ0M4X5K6P7Q8R9S0T1V2W3";
const DELIVERY: &str = "dlv_01JDJ0M4X5K6P7Q8R9S0T1V2W3";

async fn entries_are_found_by_each_of_their_parts(Fresh { store, .. }: Fresh) {
    let key = key();
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let other = AuditEntry {
        actor_kind: "api_key",
        actor_id: KEY.to_owned(),
        actor: "nxt-in, 100% “a”".to_owned(),
        action: "Opened payload".to_owned(),
        object: "Tool's".to_owned(),
        from: "2001:db8::1".to_owned(),
        result: "refused",
        rows: Rows::Changed(vec![Imprint::of(&key, Table::Connector, "con_1", None)]),
        ..entry(DELIVERY, now)
    };
    audit::append(&mut tx, &entry("crd_1", now), &key).await.unwrap();
    audit::append(&mut tx, &other, &key).await.unwrap();
    tx.commit().await.unwrap();
    let mut db = store.read().await.unwrap();
    let mut check = async |filter: AuditFilter, expected: &[i64]| {
        let found = audit::list(&mut db, &filter, &Page { counted: true, ..Page::first(9) }).await.unwrap();
        let sequences: Vec<_> = found.items.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, expected, "{filter:?}");
        assert_eq!(found.count, Some(expected.len() as u64));
    };
    let text = |text: &str| Some(text.to_owned());
    let all = AuditFilter::default;
    check(all(), &[2, 1]).await;
    for object in [DELIVERY, "Tool's"] {
        check(AuditFilter { object: text(object), ..all() }, &[2]).await;
    }
    for actor in [KEY, "nxt-in, 100% “a”"] {
        check(AuditFilter { actor: text(actor), ..all() }, &[2]).await;
    }
    check(AuditFilter { actor: text("nxt-in"), ..all() }, &[]).await;
    check(AuditFilter { action: text("PAYLOAD"), ..all() }, &[2]).await;
    check(AuditFilter { action: text("%"), ..all() }, &[]).await;
    check(AuditFilter { from: text("192.0.2.1"), ..all() }, &[1]).await;
    check(AuditFilter { result: text("refused"), action: text("opened"), ..all() }, &[2]).await;
    check(AuditFilter { result: text("done"), action: text("opened"), ..all() }, &[]).await;
    let actions = audit::newest_actions(&mut db, 9).await.unwrap();
    assert_eq!(actions, ["Opened payload".to_owned(), entry("crd_1", now).action]);
    assert_eq!(audit::newest_actions(&mut db, 1).await.unwrap(), ["Opened payload"]);
    let mut check = async |object: &str, wanted: Wanted<'_>, expected: &[i64]| {
        let found = audit::newest_of(&mut db, object, wanted, 2).await.unwrap();
        let sequences: Vec<_> = found.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, expected, "{object} {wanted:?}");
    };
    check(DELIVERY, Wanted::Without("Opened payload"), &[]).await;
    check(DELIVERY, Wanted::Without("Opened"), &[2]).await;
    check(DELIVERY, Wanted::Action("Opened payload"), &[2]).await;
    check(DELIVERY, Wanted::Action("Opened"), &[]).await;
    check(DELIVERY, Wanted::Saves, &[2]).await;
    check("crd_1", Wanted::Saves, &[]).await;
    check("crd_1", Wanted::Without("Opened payload"), &[1]).await;
    assert_eq!(audit::find(&mut db, 2).await.unwrap().unwrap().object, "Tool's");
    assert!(audit::find(&mut db, 3).await.unwrap().is_none());
}

async fn an_entry_goes_with_its_change(Fresh { store, .. }: Fresh) {
    let key = key();
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    installation::put(&mut tx, "k", "v").await.unwrap();
    audit::append(&mut tx, &entry("crd_1", now), &key).await.unwrap();
    drop(tx);
    assert_eq!(store.installation("k").await.unwrap(), None);
    let mut db = store.read().await.unwrap();
    assert_eq!(audit::verify(&mut db, &key).await.unwrap().unwrap().entries, 0);
    drop(db);
    fill(&store, &key, 1).await;
}

async fn the_database_refuses_to_change_entries(Fresh { store, .. }: Fresh) {
    fill(&store, &key(), 2).await;
    for text in ["update audit set stored = ''", "delete from audit", "delete from audit_head"] {
        let mut tx = store.begin().await.unwrap();
        let refused = query(text).execute(&mut tx).await.unwrap_err();
        assert!(refused.to_string().contains("the audit log is append only"), "{text}: {refused}");
    }
}

/// Someone with every right on the database takes the triggers away.
async fn disarm(db: &mut Db) {
    let triggers = ["audit_no_update", "audit_no_delete"];
    for trigger in triggers {
        let text = if db.is_postgres() {
            format!("drop trigger {trigger} on audit")
        } else {
            format!("drop trigger {trigger}")
        };
        db.script(text).await.unwrap();
    }
}

async fn tampering_is_found(Fresh { store, .. }: Fresh) {
    let key = key();
    fill(&store, &key, 5).await;
    let head = audit::head(&mut store.read().await.unwrap()).await.unwrap();
    let check = async |tamper: &'static [&'static str], broken: i64| {
        let mut tx = store.begin().await.unwrap();
        disarm(&mut tx).await;
        for text in tamper {
            query(text).execute(&mut tx).await.unwrap();
        }
        assert_eq!(audit::verify(&mut tx, &key).await.unwrap(), Err(BrokenAt(broken)), "{tamper:?}");
    };
    check(&["update audit set stored = replace(stored, 'Ada', 'Eve') where sequence = 3"], 3).await;
    check(&["update audit set object_id = 'crd_9' where sequence = 3"], 3).await;
    check(&["update audit set actor_id = 'usr_9' where sequence = 2"], 2).await;
    check(&["update audit set at = at + 1 where sequence = 2"], 2).await;
    check(&["update audit set stored = 'nonsense' where sequence = 4"], 4).await;
    check(&["delete from audit where sequence = 2"], 2).await;
    check(&["delete from audit where sequence = 5"], 5).await;
    check(&["delete from audit where sequence = 2", "update audit set sequence = 2 where sequence = 3"], 2)
        .await;
    let swap = &[
        "update audit set sequence = 99 where sequence = 1",
        "update audit set sequence = 1 where sequence = 2",
        "update audit set sequence = 2 where sequence = 99",
    ];
    check(swap, 1).await;
    check(&["update audit_head set sequence = 4"], 5).await;
    check(&["update audit_head set link = ''"], 5).await;
    // A truncated log with a truncated head is whole in itself: what was kept outside tells.
    let mut tx = store.begin().await.unwrap();
    disarm(&mut tx).await;
    for text in [
        "update audit_head set sequence = 4, link = (select link from audit where sequence = 4)",
        "delete from audit where sequence = 5",
    ] {
        query(text).execute(&mut tx).await.unwrap();
    }
    let verified = audit::verify(&mut tx, &key).await.unwrap().unwrap();
    assert_ne!((verified.entries, verified.head), head);
}

async fn replicas_append_to_one_chain(Fresh { store, .. }: Fresh) {
    let key = std::sync::Arc::new(key());
    let append = |number: u32| {
        let (store, key) = (store.clone(), std::sync::Arc::clone(&key));
        async move {
            for _ in 0..10 {
                let mut tx = store.begin().await.unwrap();
                let now = tx.now();
                audit::append(&mut tx, &entry(&format!("crd_{number}"), now), &key).await.unwrap();
                tx.commit().await.unwrap();
            }
        }
    };
    let writers: Vec<_> = (0..4).map(|number| tokio::spawn(append(number))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut db = store.read().await.unwrap();
    assert_eq!(audit::verify(&mut db, &key).await.unwrap().unwrap().entries, 40);
}
