//! Brings the database to the version of this program: what is missing, in order, each in a transaction.

use crate::db::query;
use crate::{Db, Store, StoreError};

/// The migrations in order; the first has version 1. A published one is never changed.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_tokens.sql"),
    include_str!("../migrations/0003_token_away.sql"),
    include_str!("../migrations/0004_certificates.sql"),
    include_str!("../migrations/0005_people.sql"),
    include_str!("../migrations/0006_exporters.sql"),
    include_str!("../migrations/0007_operations.sql"),
    include_str!("../migrations/0008_signing_keys.sql"),
    include_str!("../migrations/0009_replicas.sql"),
    include_str!("../migrations/0010_signin.sql"),
    include_str!("../migrations/0011_gateway_calls.sql"),
    include_str!("../migrations/0012_time_zone.sql"),
    include_str!("../migrations/0013_first_requests.sql"),
    include_str!("../migrations/0014_key_addresses.sql"),
    include_str!("../migrations/0015_pushes.sql"),
    include_str!("../migrations/0016_field_managers.sql"),
    include_str!("../migrations/0017_lists.sql"),
];

const VERSIONS: &str =
    "create table if not exists schema_version (version bigint primary key, applied_at bigint not null)";

/// Two replicas that create the table of versions at the same moment can make one of them fail.
const TRIES: u32 = 5;

/// Runs what is missing.
pub(crate) async fn run(store: &Store) -> Result<(), StoreError> {
    let mut tries = 1;
    while let Err(error) = create_version_table(store).await {
        if tries == TRIES {
            return Err(error);
        }
        tries += 1;
    }
    judge(store).await?;
    for (version, text) in (1..).zip(MIGRATIONS) {
        apply(store, version, text).await?;
    }
    Ok(())
}

/// Refuses a database that a newer program changed.
pub(crate) async fn judge(store: &Store) -> Result<(), StoreError> {
    let known = crate::schema_known();
    let found = version(&mut *store.read().await?).await?;
    if found > known { Err(StoreError::NewerDatabase { found, known }) } else { Ok(()) }
}

/// The newest migration that the database has; 0 for one without tables.
pub(crate) async fn version(db: &mut Db) -> Result<i64, StoreError> {
    if !has_table(db, "schema_version").await? {
        return Ok(0);
    }
    let row = query("select coalesce(max(version), 0) as version from schema_version").one(db).await?;
    row.number("version")
}

/// Whether the database has a table.
pub(crate) async fn has_table(db: &mut Db, name: &str) -> Result<bool, StoreError> {
    let text = if db.is_postgres() {
        "select count(*) as found from pg_tables where schemaname = current_schema() and tablename = $1"
    } else {
        "select count(*) as found from sqlite_master where type = 'table' and name = $1"
    };
    Ok(query(text).bind(name).one(db).await?.number("found")? > 0)
}

/// What makes the tables of a SQLite database of this version, in order.
pub(crate) fn sqlite_texts(version: i64) -> Vec<&'static str> {
    let mut texts = vec![VERSIONS];
    texts.extend((1..=version).zip(MIGRATIONS).map(|(_, text)| text));
    if version > 0 {
        texts.push(audit_triggers(false));
    }
    texts
}

async fn create_version_table(store: &Store) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    query(VERSIONS).execute(&mut tx).await?;
    tx.commit().await
}

async fn apply(store: &Store, version: i64, text: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let now = tx.now();
    // The version row comes first: a second replica waits here for the first one, and then has nothing to do.
    let mine = query(
        "insert into schema_version (version, applied_at) values ($1, $2) on conflict (version) do nothing",
    )
    .bind(version)
    .bind(now.millis())
    .execute(&mut tx)
    .await?;
    if mine == 0 {
        return Ok(());
    }
    let postgres = tx.is_postgres();
    tx.script(translated(text, postgres)).await?;
    if version == 1 {
        tx.script(audit_triggers(postgres).to_owned()).await?;
    }
    tx.commit().await
}

/// The one type with two names.
fn translated(text: &str, postgres: bool) -> String {
    if postgres { text.replace(" blob", " bytea") } else { text.to_owned() }
}

/// Refuses to change or remove entries of the audit log. The two databases have no common text for triggers.
fn audit_triggers(postgres: bool) -> &'static str {
    if postgres {
        "create function audit_refuse() returns trigger language plpgsql as $$
         begin raise exception 'the audit log is append only'; end $$;
         create trigger audit_no_update before update on audit for each row execute function audit_refuse();
         create trigger audit_no_delete before delete on audit for each row execute function audit_refuse();
         create trigger audit_no_truncate before truncate on audit execute function audit_refuse();
         create trigger audit_head_no_delete before delete on audit_head
           for each row execute function audit_refuse();
         create trigger audit_head_no_truncate before truncate on audit_head execute function audit_refuse();"
    } else {
        "create trigger audit_no_update before update on audit
         begin select raise(abort, 'the audit log is append only'); end;
         create trigger audit_no_delete before delete on audit
         begin select raise(abort, 'the audit log is append only'); end;
         create trigger audit_head_no_delete before delete on audit_head
         begin select raise(abort, 'the audit log is append only'); end;"
    }
}
