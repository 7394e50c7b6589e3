//! Rows of connectors: what they send, and whether they may.

use std::collections::HashMap;

use consign_core::connector::gateway::Slug;
use consign_core::connector::{
    Connector, ConnectorState, ExporterDraft, GatewayDraft, HeldBy, Kind, WebhookDraft,
};
use consign_core::field_manager::FieldManager;
use consign_core::id::{ConnectorId, CredentialId};
use consign_core::name::Name;
use consign_core::time::Timestamp;
use serde_json::Value;

use crate::db::{Query, query};
use crate::row::{Row, damaged, millis, stored};
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError, installation, keep_locked};

pub use list::{ConnectorFilter, ConnectorSort, list, managers};

mod list;

/// A page of connectors counts each one's queue up to here: beyond it a person does not care how many.
pub const WAITING_MAX: u64 = 1_000;

/// Retries are looked for among so many that wait, those that are due last.
pub const RETRYING_MAX: u64 = 100;

/// What waits for a connector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingCount {
    /// Pending or held, up to [`WAITING_MAX`].
    pub waiting: u64,
    /// Those among them that were tried and are tried again, up to [`RETRYING_MAX`].
    pub retrying: u64,
    /// What the tool answered to one of those.
    pub retrying_status: Option<u16>,
    /// When the last one was delivered, however long ago.
    pub last_delivery_at: Option<Timestamp>,
}

/// Adds a connector.
///
/// # Errors
/// `NotUnique` when its name or its address part is taken.
pub async fn insert(db: &mut Db, connector: &Connector) -> Result<(), StoreError> {
    let query = query(
        "insert into connector (name, name_key, description, kind, credential_id, lost_credential, settings,
           in_flight_max, slug, state, state_reason, state_since, closed_until, failing_since, updated_at,
           revision, managed_by, id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    );
    let query = bind_saved(query, connector);
    query.bind(connector.id.to_string()).bind(connector.created_at.millis()).execute(db).await?;
    installation::bump(db).await
}

/// Replaces a connector. `false`, and no change, when someone else saved it in the meantime.
///
/// # Errors
/// `NotUnique` when its name or its address part is taken.
pub async fn update(db: &mut Db, connector: &Connector, expected_revision: i64) -> Result<bool, StoreError> {
    let query = query(
        "update connector set name = $1, name_key = $2, description = $3, kind = $4, credential_id = $5,
           lost_credential = $6, settings = $7, in_flight_max = $8, slug = $9, state = $10,
           state_reason = $11, state_since = $12, closed_until = $13, failing_since = $14, updated_at = $15,
           revision = $16, managed_by = $17
         where id = $18 and revision = $19",
    );
    let query = bind_saved(query, connector).bind(connector.id.to_string()).bind(expected_revision);
    let updated = query.execute(db).await? == 1;
    if updated {
        installation::bump(db).await?;
    }
    Ok(updated)
}

/// The columns that a save writes, in the order of both statements above.
fn bind_saved(query: Query<&'static str>, connector: &Connector) -> Query<&'static str> {
    query
        .bind(connector.name.as_str())
        .bind(connector.name.key())
        .bind(connector.description.as_str())
        .bind(connector.kind.word())
        .bind(connector.credential.map(|id| id.to_string()))
        .bind(connector.lost_credential.as_deref())
        .bind(connector.kind.to_json().to_string())
        .bind(i64::from(in_flight_max(&connector.kind)))
        .bind(connector.gateway().map(|gateway| gateway.slug.as_str()))
        .bind(connector.state.stored())
        .bind(connector.state_reason.as_str())
        .bind(connector.state_since.millis())
        .bind(millis(connector.closed_until))
        .bind(millis(connector.failing_since))
        .bind(connector.updated_at.millis())
        .bind(connector.revision)
        .bind(connector.managed_by.as_ref().map(FieldManager::as_str))
}

fn in_flight_max(kind: &Kind) -> u32 {
    match kind {
        Kind::Webhook(webhook) => webhook.max_concurrency,
        // The requests of a run go out one after the other.
        Kind::Exporter(_) => 1,
        Kind::Gateway(gateway) => gateway.max_concurrency,
    }
}

/// Removes a connector, and tells whether it was there. Its deliveries stay.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete(db: &mut Db, id: ConnectorId) -> Result<bool, StoreError> {
    let deletion = query("delete from connector where id = $1").bind(id.to_string());
    let deleted = deletion.execute(db).await? == 1;
    query("delete from run_file where connector_id = $1").bind(id.to_string()).execute(db).await?;
    installation::bump(db).await?;
    Ok(deleted)
}

/// A connector by its id.
///
/// # Errors
/// `Damaged` when a newer program stored a setting that this one does not know.
pub async fn find(db: &mut Db, id: ConnectorId) -> Result<Option<Connector>, StoreError> {
    let query = query("select * from connector where id = $1").bind(id.to_string());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// A connector by its id, kept as it is until the end of the transaction.
///
/// # Errors
/// As [`find`].
pub async fn lock(db: &mut Db, id: ConnectorId) -> Result<Option<Connector>, StoreError> {
    let mut statement = Statement::new(db, "select * from connector where id = ");
    statement.bind(id.to_string()).push(keep_locked(db));
    statement.all(db).await?.first().map(read).transpose()
}

/// A connector by its name, without regard to case.
///
/// # Errors
/// As [`find`].
pub async fn find_by_name(db: &mut Db, name: &Name) -> Result<Option<Connector>, StoreError> {
    let query = query("select * from connector where name_key = $1").bind(name.key());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// The gateway with an address part; there is one at most.
///
/// # Errors
/// As [`find`].
pub async fn find_by_slug(db: &mut Db, slug: &Slug) -> Result<Option<Connector>, StoreError> {
    let query = query("select * from connector where slug = $1").bind(slug.as_str());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// Every connector, for matching events.
///
/// # Errors
/// As [`find`].
pub async fn all(db: &mut Db) -> Result<Vec<Connector>, StoreError> {
    let rows = query("select * from connector order by id").all(db).await?;
    rows.iter().map(read).collect()
}

/// The connectors that use a credential, by name.
///
/// # Errors
/// As [`find`].
pub async fn by_credential(db: &mut Db, credential: CredentialId) -> Result<Vec<Connector>, StoreError> {
    let query = query("select * from connector where credential_id = $1 order by name_key, id");
    query.bind(credential.to_string()).all(db).await?.iter().map(read).collect()
}

/// Sets the state with its reason, only when it is another one, and tells whether it was. With `from` only a connector
/// in that state is changed: a pause by a person stays one.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_state(
    db: &mut Db,
    id: ConnectorId,
    from: Option<ConnectorState>,
    to: ConnectorState,
    reason: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let query = query(
        "update connector set state = $1, state_reason = $2, state_since = $3
         where id = $4 and state <> $1 and state = coalesce($5, state)",
    );
    let query = query.bind(to.stored()).bind(reason).bind(now.millis()).bind(id.to_string());
    let query = query.bind(from.map(ConnectorState::stored));
    let changed = query.execute(db).await? == 1;
    if changed {
        installation::bump(db).await?;
    }
    Ok(changed)
}

/// Holds the active connectors of a credential, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn hold_by_credential(
    db: &mut Db,
    credential: CredentialId,
    held_by: HeldBy,
    reason: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let query = query(
        "update connector set state = $1, state_reason = $2, state_since = $3
         where credential_id = $4 and state = 'active'",
    );
    let query = query.bind(ConnectorState::Held(held_by).stored()).bind(reason).bind(now.millis());
    let held = query.bind(credential.to_string()).execute(db).await?;
    if held > 0 {
        installation::bump(db).await?;
    }
    Ok(held)
}

/// Makes the connectors active that wait for a repair of their credential, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn release_by_credential(
    db: &mut Db,
    credential: CredentialId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let query = query(
        "update connector set state = 'active', state_reason = '', state_since = $1
         where credential_id = $2
           and state in ('held_sign_in_refused', 'held_host_key_changed', 'held_not_authorized',
             'held_reconnect_needed', 'held_credential_locked', 'held_destination_blocked')",
    );
    let query = query.bind(now.millis()).bind(credential.to_string());
    let released = query.execute(db).await?;
    if released > 0 {
        installation::bump(db).await?;
    }
    Ok(released)
}

/// Takes a credential that is about to be deleted away from its connectors; they wait for another one. The
/// answer is the connectors with their names.
///
/// # Errors
/// When the database cannot be written.
pub async fn lose_credential(
    db: &mut Db,
    credential: CredentialId,
    name: &Name,
    now: Timestamp,
) -> Result<Vec<(ConnectorId, String)>, StoreError> {
    let query = query(
        "update connector set credential_id = null, lost_credential = $1, state_reason = '', state_since = $2,
           state = case when state = 'paused' then state else 'credential_missing' end
         where credential_id = $3 returning id, name",
    );
    let query = query.bind(name.as_str()).bind(now.millis()).bind(credential.to_string());
    let rows = query.all(db).await?;
    installation::bump(db).await?;
    rows.iter().map(|row| Ok((row.id("id")?, row.text("name")?))).collect()
}

/// Sends nothing before a time; an earlier time than the one that is set changes nothing.
///
/// # Errors
/// When the database cannot be written.
pub async fn close_until(db: &mut Db, id: ConnectorId, until: Timestamp) -> Result<(), StoreError> {
    query("update connector set closed_until = $1 where id = $2 and coalesce(closed_until, 0) < $1")
        .bind(until.millis())
        .bind(id.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets a wait that the tool asked for and since when it has failed: a person says to go on.
///
/// # Errors
/// When the database cannot be written.
pub async fn reopen(db: &mut Db, id: ConnectorId) -> Result<(), StoreError> {
    let query = query("update connector set closed_until = null, failing_since = null where id = $1");
    query.bind(id.to_string()).execute(db).await?;
    installation::bump(db).await
}

/// Keeps since when every attempt has failed; `None` after one that did not.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_failing_since(
    db: &mut Db,
    id: ConnectorId,
    since: Option<Timestamp>,
) -> Result<(), StoreError> {
    let query = query("update connector set failing_since = $1 where id = $2");
    query.bind(millis(since)).bind(id.to_string()).execute(db).await?;
    Ok(())
}

/// What waits for these connectors.
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting_counts(
    db: &mut Db,
    ids: &[ConnectorId],
) -> Result<HashMap<ConnectorId, WaitingCount>, StoreError> {
    let held = held_counts(db).await?;
    // `due_at >= 0` says nothing new: it lets the index that passes over what has ended be used.
    let mut counts = HashMap::new();
    for chunk in chunks(ids) {
        let mut statement = Statement::new(
            db,
            "select v.column1 as id,
               (select count(*) from (select 1 from delivery d where d.connector_id = v.column1
                  and d.state = 'pending' and d.due_at >= 0 limit ",
        );
        statement.bind(stored(WAITING_MAX));
        statement.push(
            ") as counted) as pending,
               (select count(*) * 1000 + coalesce(max(last.last_status), 0) from ",
        );
        last_due(&mut statement);
        statement.push(
            " where last.last_outcome is not null) as retrying,
               (select d.ended_at from delivery d where d.connector_id = v.column1
                  and d.ended_at is not null and d.state = 'delivered' order by d.ended_at desc limit 1)
                 as last_delivery_at
             from (values ",
        );
        statement.rows(chunk, |row, id| {
            row.bind(id.to_string());
        });
        statement.push(") as v");
        for row in statement.all(db).await? {
            let open = row.count::<u64>("pending")? + held.get(&row.id("id")?).copied().unwrap_or(0);
            let last_delivery_at = row.optional_time("last_delivery_at")?;
            // How many, and behind that in three digits what the tool answered: so the rows are looked at once.
            let retrying: u64 = row.count("retrying")?;
            let status = u16::try_from(retrying % 1_000).unwrap_or_default();
            let count = WaitingCount {
                waiting: open.min(WAITING_MAX),
                retrying: retrying / 1_000,
                retrying_status: (status > 0).then_some(status),
                last_delivery_at,
            };
            counts.insert(row.id("id")?, count);
        }
    }
    Ok(counts)
}

/// What waits and is due last: a retry is due after what came in and was not tried yet.
fn last_due(statement: &mut Statement) {
    statement.push(
        "(select d.last_outcome, d.last_status from delivery d where d.connector_id = v.column1
            and d.state = 'pending' order by d.due_at desc limit ",
    );
    statement.bind(stored(RETRYING_MAX)).push(") as last");
}

/// What is held on its own account, by connector: few, so that they are counted in one go.
async fn held_counts(db: &mut Db) -> Result<HashMap<ConnectorId, u64>, StoreError> {
    let query = query(
        "select connector_id, count(*) as held from delivery
         where state = 'held' and state <> 'delivered' group by connector_id",
    );
    let rows = query.all(db).await?;
    rows.iter().map(|row| Ok((row.id("connector_id")?, row.count("held")?))).collect()
}

fn read(row: &Row) -> Result<Connector, StoreError> {
    Ok(Connector {
        id: row.id("id")?,
        name: Name::from_stored(row.text("name")?),
        description: row.text("description")?,
        credential: row.optional_id("credential_id")?,
        lost_credential: row.optional_text("lost_credential")?,
        kind: read_kind(row)?,
        managed_by: row.optional_text("managed_by")?.map(FieldManager::from_stored),
        state: row.word("state", ConnectorState::find)?,
        state_reason: row.text("state_reason")?,
        state_since: row.time("state_since")?,
        closed_until: row.optional_time("closed_until")?,
        failing_since: row.optional_time("failing_since")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.number("revision")?,
    })
}

fn read_kind(row: &Row) -> Result<Kind, StoreError> {
    let Value::Object(settings) = row.json("settings")? else { return Err(damaged("connector.settings")) };
    let read = match row.text("kind")?.as_str() {
        "webhook" => WebhookDraft::parse_stored(settings).map(Kind::Webhook),
        "exporter" => ExporterDraft::parse_stored(settings).map(Kind::Exporter),
        "gateway" => GatewayDraft::parse_stored(settings).map(Kind::Gateway),
        kind => return Err(StoreError::Damaged(format!("unknown connector kind {kind}"))),
    };
    read.map_err(|_| damaged("connector.settings"))
}
