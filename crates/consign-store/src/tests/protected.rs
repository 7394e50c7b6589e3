//! The texts of protected rows: every column is in them, or is meant not to be.

use consign_core::api_key::ApiKey;
use consign_core::audit::Table;
use consign_core::id::{ConnectorId, KeyId};
use consign_core::rights::Rights;
use consign_core::role::Role;

use super::{Fresh, connector, credential, on_both};
use crate::db::{Query, query};
use crate::{Db, api_keys, connectors, credentials, installation, protected, signing_keys, users};

on_both!(
    each_column_is_protected_or_changes_without_a_record,
    a_moved_secret_keeps_its_text,
    signing_keys_that_ended_go,
    some_settings_are_protected_and_no_other_value,
    a_person_from_before_there_were_roles_keeps_their_text,
);

/// What changes without an audit record.
const VOLATILE: &[(&str, &str)] = &[
    // Made of what is protected, each time that it is saved.
    ("credential", "ends_first"),
    ("connector", "slug"),
    ("credential", "seen_code"),
    ("credential", "seen_reason"),
    ("credential", "seen_since"),
    ("credential", "last_used_at"),
    ("connector", "state"),
    ("connector", "state_reason"),
    ("connector", "state_since"),
    ("connector", "closed_until"),
    ("connector", "failing_since"),
    ("connector", "next_run_at"),
    ("connector", "runs_started"),
    ("connector", "last_done_at"),
    ("users", "theme"),
    ("users", "time_zone"),
    ("users", "totp_step"),
    ("users", "last_seen_at"),
    ("api_key", "last_used_at"),
    ("api_key", "last_used_from"),
];

/// Those of them that are numbers, and the numbers of secrets.
const VOLATILE_NUMBERS: &[&str] = &[
    "seen_since",
    "last_used_at",
    "state_since",
    "closed_until",
    "failing_since",
    "next_run_at",
    "runs_started",
    "last_done_at",
    "last_seen_at",
    "totp_step",
    "generation",
    "updated_at",
    "ends_at",
];

async fn one_of_each(db: &mut Db, now: consign_core::time::Timestamp) {
    let tool = credential("Tool", now);
    credentials::insert(db, &tool).await.unwrap();
    connectors::insert(db, &connector("Hook", Some(tool.id), now)).await.unwrap();
    users::insert(db, &super::user("Ada", Role::Viewer, now)).await.unwrap();
    query(
        "insert into signing_key (connector_id, generation, kind, sealed, created_at, ends_at)
         select id, 1, 'hmac', 'v1.k-1.key.cc', 1, null from connector",
    )
    .execute(db)
    .await
    .unwrap();
    let key = ApiKey {
        id: KeyId::new(now),
        name: "key".to_owned(),
        rights: Rights::all(),
        gateways: Vec::new(),
        allowed_from: Vec::new(),
        hash: "hash".to_owned(),
        ends_at: None,
        last_used_at: None,
        last_used_from: None,
        created_at: now,
    };
    api_keys::insert(db, &key).await.unwrap();
}

async fn each_column_is_protected_or_changes_without_a_record(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    one_of_each(&mut tx, now).await;
    tx.commit().await.unwrap();
    let tables = [
        (Table::Credential, "credential"),
        (Table::Credential, "credential_secret"),
        (Table::Connector, "connector"),
        (Table::Connector, "signing_key"),
        (Table::User, "users"),
        (Table::ApiKey, "api_key"),
    ];
    let mut checked = 0;
    for (table, name) in tables {
        let mut db = store.read().await.unwrap();
        let all = protected::all(&mut db, table).await.unwrap();
        let [(id, before)] = all.as_slice() else { panic!("one row of each: {all:?}") };
        assert_eq!(protected::find(&mut db, table, id).await.unwrap().as_ref(), Some(before));
        assert_eq!(protected::find(&mut db, table, "none").await.unwrap(), None);
        let row = Query::built(format!("select * from {name} limit 1"), Vec::new());
        let row = row.one(&mut db).await.unwrap();
        drop(db);
        for column in row.columns() {
            let owner = [("credential_secret", "credential_id"), ("signing_key", "connector_id")];
            if column == "id" || owner.contains(&(name, column)) {
                // The row itself; another one has another text.
                continue;
            }
            let later = protected::later_columns(table).1.iter().any(|(name, _)| *name == column);
            let number =
                later || protected::columns(table).1.contains(&column) || VOLATILE_NUMBERS.contains(&column);
            let other = if number { "coalesce({}, 0) + 1" } else { "coalesce({}, '') || 'x'" };
            let sql = format!("update {name} set {column} = {}", other.replace("{}", column));
            let mut tx = store.begin().await.unwrap();
            Query::built(sql, Vec::new()).execute(&mut tx).await.unwrap();
            let after = protected::find(&mut tx, table, id).await.unwrap();
            let volatile = VOLATILE.contains(&(name, column));
            assert_eq!(after.as_ref() == Some(before), volatile, "{name}.{column}");
            checked += 1;
        }
    }
    assert!(checked > VOLATILE.len() * 3, "{checked}");
}

async fn some_settings_are_protected_and_no_other_value(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    for key in ["public_url", "notifications", "sign_in", "egress", "settings"] {
        installation::put(&mut tx, key, "one").await.unwrap();
    }
    let mut all = protected::all(&mut tx, Table::Setting).await.unwrap();
    all.sort_unstable();
    let ids: Vec<_> = all.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["egress", "notifications", "public_url", "sign_in"]);
    for (id, before) in &all {
        let found = protected::find(&mut tx, Table::Setting, id).await.unwrap();
        assert_eq!(found.as_ref(), Some(before));
        installation::put(&mut tx, id, "other").await.unwrap();
        assert_ne!(protected::find(&mut tx, Table::Setting, id).await.unwrap(), found, "{id}");
        installation::remove(&mut tx, id).await.unwrap();
        assert_eq!(protected::find(&mut tx, Table::Setting, id).await.unwrap(), None);
    }
    assert_eq!(protected::find(&mut tx, Table::Setting, "settings").await.unwrap(), None);
}

async fn a_person_from_before_there_were_roles_keeps_their_text(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    let ada = super::user("Ada", Role::Administrator, now);
    // As a program without roles wrote it.
    query(
        "insert into users (id, name, email, email_key, password_hash, theme, created_at, last_seen_at)
         values ($1, $2, $3, $3, $4, '', $5, null)",
    )
    .bind(ada.id.to_string())
    .bind(ada.name.as_str())
    .bind(ada.email.as_str())
    .bind(ada.password_hash.as_str())
    .bind(now.millis())
    .execute(&mut tx)
    .await
    .unwrap();
    let found = users::find(&mut tx, ada.id).await.unwrap().unwrap();
    assert_eq!((found.role, found.revision, found.suspended_at), (Role::Administrator, 1, None));
    let text = protected::find(&mut tx, Table::User, &ada.id.to_string()).await.unwrap().unwrap();
    let before = serde_json::json!([
        [
            Some(ada.id.to_string()),
            Some(ada.name.clone()),
            Some(ada.email.clone()),
            Some(ada.email),
            Some(ada.password_hash)
        ],
        [now.millis()],
        null
    ]);
    assert_eq!(text, before.to_string());
}

async fn a_moved_secret_keeps_its_text(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    one_of_each(&mut tx, now).await;
    let before = protected::all(&mut tx, Table::Credential).await.unwrap();
    let moved = "update credential_secret set sealed = 'v1.k-2.another.' || 'cc'";
    query(moved).execute(&mut tx).await.unwrap();
    assert_eq!(
        protected::all(&mut tx, Table::Credential).await.unwrap(),
        before,
        "wrapped under another key"
    );
    query("update credential_secret set sealed = 'v1.k-2.another.dd'").execute(&mut tx).await.unwrap();
    assert_ne!(protected::all(&mut tx, Table::Credential).await.unwrap(), before, "another secret");
    query("delete from credential_secret").execute(&mut tx).await.unwrap();
    assert_ne!(protected::all(&mut tx, Table::Credential).await.unwrap(), before, "no secrets");
    let before = protected::all(&mut tx, Table::Connector).await.unwrap();
    let moved = "update signing_key set sealed = 'v1.k-2.another.' || 'cc'";
    query(moved).execute(&mut tx).await.unwrap();
    assert_eq!(protected::all(&mut tx, Table::Connector).await.unwrap(), before, "wrapped under another key");
    query("delete from signing_key").execute(&mut tx).await.unwrap();
    assert_ne!(protected::all(&mut tx, Table::Connector).await.unwrap(), before, "no keys");
}

async fn signing_keys_that_ended_go(Fresh { store, .. }: Fresh) {
    let mut tx = store.begin().await.unwrap();
    let now = tx.now();
    one_of_each(&mut tx, now).await;
    assert!(signing_keys::with_ended(&mut tx, now).await.unwrap().is_empty());
    query(
        "insert into signing_key (connector_id, generation, kind, sealed, created_at, ends_at)
         select id, 2, 'hmac', 'v1.k-1.key.dd', 1, 2 from connector",
    )
    .execute(&mut tx)
    .await
    .unwrap();
    let owners = signing_keys::with_ended(&mut tx, now).await.unwrap();
    let [owner] = owners.as_slice() else { panic!("{owners:?}") };
    let other = ConnectorId::new(now);
    assert_eq!(signing_keys::delete_ended(&mut tx, other, now).await.unwrap(), 0);
    assert_eq!(signing_keys::delete_ended(&mut tx, *owner, now).await.unwrap(), 1);
    let left = signing_keys::of(&mut tx, *owner).await.unwrap();
    assert_eq!(left.iter().map(|key| key.generation).collect::<Vec<_>>(), [1]);
}
