//! Sending many again: what there is, and the next portion of it. What was sent again before is never among it, so
//! that nothing is sent again twice, whoever asks.

use consign_core::delivery::DeliveryState;
use consign_core::id::{ConnectorId, DeliveryId, EventId, OperationId};
use consign_core::replay::{REPLAYS_MAX, Selection};
use consign_core::time::Timestamp;

use super::insert_all;
use super::list::{Since, search};
use crate::events::NewDelivery;
use crate::row::{Row, stored};
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

/// What a selection finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many to each connector.
    pub connectors: Vec<FoundOf>,
    /// How many cannot be sent again, because their payload was removed.
    pub without_payload: u64,
    /// When the oldest was accepted.
    pub oldest: Option<Timestamp>,
    /// There are more than one operation takes; what is counted is a part.
    pub too_many: bool,
}

/// How many go to one connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundOf {
    /// The connector.
    pub connector: ConnectorId,
    /// Its name.
    pub name: String,
    /// How many.
    pub count: u64,
}

impl Found {
    /// How many there are in all.
    pub fn count(&self) -> u64 {
        self.connectors.iter().map(|of| of.count).sum()
    }
}

/// A delivery to be sent again.
#[derive(Clone, Debug)]
pub struct Again {
    /// Its id.
    pub id: DeliveryId,
    /// What is delivered.
    pub event: EventId,
    /// Where to.
    pub connector: ConnectorId,
    /// The first delivery of this event to this connector.
    pub idempotency_key: DeliveryId,
    /// A test.
    pub test: bool,
}

/// Counts what a selection finds; `before`: only what had come to its state by then.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_again(db: &mut Db, selection: &Selection, before: Timestamp) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut looked_at = 0;
    for state in &selection.states {
        let mut statement = Statement::new(
            db,
            "select f.connector_id, f.name, count(*) as found,
               cast(sum(f.is_gone) as bigint) as gone, min(f.created_at) as oldest
             from (select d.connector_id, c.name, d.created_at,
               case when e.sealed_data is null then 1 else 0 end as is_gone",
        );
        select(&mut statement, selection, *state, before);
        let limit = stored(REPLAYS_MAX + 1);
        statement.push(" limit ").bind(limit).push(") as f group by f.connector_id, f.name order by f.name");
        for row in statement.all(db).await? {
            let (count, gone): (u64, u64) = (row.count("found")?, row.count("gone")?);
            looked_at += count;
            found.without_payload += gone;
            found.add(row.id("connector_id")?, row.text("name")?, count.saturating_sub(gone));
            let oldest = row.optional_time("oldest")?;
            found.oldest = match (found.oldest, oldest) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
    found.too_many = looked_at > REPLAYS_MAX;
    Ok(found)
}

impl Found {
    fn add(&mut self, connector: ConnectorId, name: String, count: u64) {
        match self.connectors.iter_mut().find(|of| of.connector == connector) {
            Some(of) => of.count += count,
            None if count > 0 => self.connectors.push(FoundOf { connector, name, count }),
            None => {}
        }
    }
}

/// The next deliveries of a state after an id, oldest first, whose payload is still there.
///
/// # Errors
/// When the database cannot be read.
pub async fn next_again(
    db: &mut Db,
    selection: &Selection,
    state: DeliveryState,
    before: Timestamp,
    after: &str,
    limit: u32,
) -> Result<Vec<Again>, StoreError> {
    let mut statement =
        Statement::new(db, "select d.id, d.event_id, d.connector_id, d.idempotency_key, d.test");
    select(&mut statement, selection, state, before);
    statement.push(" and e.sealed_data is not null and d.id > ").bind(after);
    statement.push(" order by d.id limit ").bind(i64::from(limit));
    let read = |row: &Row| {
        Ok(Again {
            id: row.id("id")?,
            event: row.id("event_id")?,
            connector: row.id("connector_id")?,
            idempotency_key: row.id("idempotency_key")?,
            test: row.flag("test")?,
        })
    };
    statement.all(db).await?.iter().map(read).collect()
}

/// Adds a new delivery for each of these, as parts of an operation. Held ones are sent again themselves.
///
/// # Errors
/// When nothing was written; the transaction is to be dropped.
pub async fn send_again(
    db: &mut Db,
    operation: OperationId,
    state: DeliveryState,
    again: &[Again],
    now: Timestamp,
) -> Result<(), StoreError> {
    let ids: Vec<DeliveryId> = if state == DeliveryState::Held {
        release_all(db, again, now).await?;
        again.iter().map(|one| one.id).collect()
    } else {
        let new: Vec<NewDelivery> = again.iter().map(|one| replay_of(one, now)).collect();
        let rows: Vec<_> = again.iter().zip(&new).map(|(one, new)| (one.event, now, new)).collect();
        insert_all(db, &rows).await?;
        new.iter().map(|new| new.id).collect()
    };
    for ids in chunks(&ids) {
        let mut statement = Statement::new(db, "update delivery set operation_id = ");
        statement.bind(operation.to_string()).push(" where id in (");
        statement.list(ids.iter().map(ToString::to_string)).push(")");
        statement.execute(db).await?;
    }
    Ok(())
}

fn replay_of(one: &Again, now: Timestamp) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(now),
        connector: one.connector,
        due_at: now,
        lease: None,
        idempotency_key: one.idempotency_key,
        replay_of: Some(one.id),
        test: one.test,
    }
}

async fn release_all(db: &mut Db, held: &[Again], now: Timestamp) -> Result<(), StoreError> {
    for held in chunks(held) {
        let mut statement = Statement::new(
            db,
            "update delivery set state = 'pending', hold_reason = null, crashes = 0, due_at = ",
        );
        statement.bind(now.millis()).push(" where state = 'held' and id in (");
        statement.list(held.iter().map(|one| one.id.to_string())).push(")");
        statement.execute(db).await?;
    }
    Ok(())
}

/// How the deliveries of an operation stand: how many in each state that there is, up to `most`.
///
/// # Errors
/// When the database cannot be read.
pub async fn states_of_operation(
    db: &mut Db,
    operation: OperationId,
    most: u64,
) -> Result<Vec<(DeliveryState, u64)>, StoreError> {
    let most = stored(most);
    let mut statement = Statement::new(db, "");
    for (place, state) in DeliveryState::ALL.iter().enumerate() {
        statement.push(if place == 0 { "select " } else { " union all select " });
        statement.bind(state.kind()).push(" as state, count(*) as found from (select 1 from delivery ");
        statement.push("where operation_id = ").bind(operation.to_string());
        statement.push(" and state = ").bind(state.kind()).push(" limit ").bind(most).push(") as counted");
    }
    let rows = statement.all(db).await?;
    let read = |row: &Row| Ok((row.word("state", DeliveryState::find)?, row.count("found")?));
    let mut states = rows.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
    states.retain(|(_, count)| *count > 0);
    Ok(states)
}

/// `from … where …`: what a selection finds in one state.
fn select(statement: &mut Statement, selection: &Selection, state: DeliveryState, before: Timestamp) {
    // A webhook that was deleted gets nothing any more.
    statement.push(
        " from delivery d join event e on e.id = d.event_id join connector c on c.id = d.connector_id where ",
    );
    // `<> 'delivered'` says nothing new: it lets the index without delivered rows be used.
    statement.push(match state {
        DeliveryState::Delivered => "d.state = 'delivered'",
        DeliveryState::Failed => "d.state <> 'delivered' and d.state = 'failed'",
        DeliveryState::Cancelled => "d.state <> 'delivered' and d.state = 'cancelled'",
        DeliveryState::Held => "d.state <> 'delivered' and d.state = 'held'",
        DeliveryState::Pending => "1 = 0",
    });
    statement.push(" and d.created_at < ").bind(before.millis());
    if state != DeliveryState::Held {
        statement.push(" and d.ended_at < ").bind(before.millis());
        statement.push(" and not exists (select 1 from delivery r where r.replay_of = d.id)");
    }
    if !selection.tests {
        statement.push(" and d.test = 0");
    }
    if !selection.ids.is_empty() {
        statement.push(" and d.id in (").list(selection.ids.iter().map(ToString::to_string)).push(")");
    }
    if let Some(connector) = selection.connector {
        statement.push(" and d.connector_id = ").bind(connector.to_string());
    }
    if let Some(event_type) = &selection.event_type {
        statement.push(" and e.event_type = ").bind(event_type.as_str());
    }
    Since(selection.created_after).restrict(statement);
    if let Some(before) = selection.created_before {
        statement.push(" and d.created_at < ").bind(before.millis());
    }
    if let Some(q) = &selection.q {
        search(statement, q);
    }
}
