//! Sending many again: what there is, and the next portion of it. What was sent again before is never among it, so
//! that nothing is sent again twice, whoever asks.

use consign_core::delivery::DeliveryState;
use consign_core::id::{ConnectorId, DeliveryId, EventId, OperationId};
use consign_core::replay::{REPLAYS_MAX, ReplayRequest, Selection};
use consign_core::time::Timestamp;

use super::insert_all;
use super::list::{self, Since, search};
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
    /// How many cannot be sent as they were first sent, because no request of theirs is kept.
    pub without_request: u64,
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

/// A request of a delivery is kept.
const HAS_REQUEST: &str =
    "exists (select 1 from attempt a where a.delivery_id = d.id and a.request is not null)";

/// How a text is looked for while deliveries are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextBy {
    /// Few hold it: they are found by the index of texts. Also where there is none, or an id.
    Index,
    /// Many hold it: each delivery that the rest of the selection finds is looked at.
    Row,
}

/// Counts what a selection finds; `before`: only what had come to its state by then. No more are looked at than one
/// operation takes, be it for a text that few of them hold.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_again(
    db: &mut Db,
    selection: &Selection,
    before: Timestamp,
    request: ReplayRequest,
) -> Result<Found, StoreError> {
    let by = match &selection.q {
        Some(q) if !list::is_id(q) && !list::is_rare_text(db, q).await? => TextBy::Row,
        _ => TextBy::Index,
    };
    count_again_by(db, selection, (before, request), by, REPLAYS_MAX).await
}

/// The same count, whichever way a text is found.
pub(crate) async fn count_again_by(
    db: &mut Db,
    selection: &Selection,
    (before, request): (Timestamp, ReplayRequest),
    by: TextBy,
    looked_at_max: u64,
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    let mut looked_at = 0;
    for state in &selection.states {
        let mut statement = Statement::new(
            db,
            "select f.connector_id, f.name, count(*) as looked_at, cast(sum(f.is_found) as bigint) as found,
               cast(sum(f.is_found * f.is_gone) as bigint) as gone,
               cast(sum(f.is_found * f.is_unsent) as bigint) as unsent,
               min(case when f.is_found = 1 then f.created_at end) as oldest
             from (select d.connector_id, c.name, d.created_at,
               case when e.sealed_data is null then 1 else 0 end as is_gone, ",
        );
        match request {
            ReplayRequest::Present => statement.push("0"),
            ReplayRequest::AsFirstSent => statement
                .push("case when e.sealed_data is null or ")
                .push(HAS_REQUEST)
                .push(" then 0 else 1 end"),
        };
        statement.push(" as is_unsent, ");
        match (&selection.q, by) {
            (Some(q), TextBy::Row) => {
                statement.push("case when ");
                list::holds(&mut statement, q);
                statement.push(" then 1 else 0 end as is_found");
            }
            _ => {
                statement.push("1 as is_found");
            }
        }
        select(&mut statement, selection, *state, before);
        match (&selection.q, by) {
            (Some(q), TextBy::Index) if !list::is_id(q) => {
                statement.push(" and d.id in (");
                list::holding(&mut statement, q);
                statement.push(")");
            }
            (Some(q), TextBy::Index) => search(&mut statement, q),
            (_, TextBy::Row) | (None, _) => {}
        }
        let limit = stored(looked_at_max + 1);
        statement.push(" limit ").bind(limit).push(") as f group by f.connector_id, f.name order by f.name");
        for row in statement.all(db).await? {
            looked_at += row.count::<u64>("looked_at")?;
            found.take(&row)?;
        }
    }
    found.too_many = looked_at > looked_at_max;
    found.connectors.retain(|of| of.count > 0);
    Ok(found)
}

impl Found {
    /// One connector of one state.
    fn take(&mut self, row: &Row) -> Result<(), StoreError> {
        let (gone, unsent): (u64, u64) = (row.count("gone")?, row.count("unsent")?);
        self.without_payload += gone;
        self.without_request += unsent;
        let count = row.count::<u64>("found")?.saturating_sub(gone + unsent);
        self.add(row.id("connector_id")?, row.text("name")?, count);
        self.oldest = match (self.oldest, row.optional_time("oldest")?) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Ok(())
    }

    fn add(&mut self, connector: ConnectorId, name: String, count: u64) {
        match self.connectors.iter_mut().find(|of| of.connector == connector) {
            Some(of) => of.count += count,
            None if count > 0 => self.connectors.push(FoundOf { connector, name, count }),
            None => {}
        }
    }
}

/// The next deliveries of a state after an id, oldest first, of which what is to be sent is still there.
///
/// # Errors
/// When the database cannot be read.
pub async fn next_again(
    db: &mut Db,
    (selection, request): (&Selection, ReplayRequest),
    state: DeliveryState,
    before: Timestamp,
    after: &str,
    limit: u32,
) -> Result<Vec<Again>, StoreError> {
    let mut statement =
        Statement::new(db, "select d.id, d.event_id, d.connector_id, d.idempotency_key, d.test");
    select(&mut statement, selection, state, before);
    if let Some(q) = &selection.q {
        search(&mut statement, q);
    }
    if request == ReplayRequest::AsFirstSent {
        statement.push(" and ").push(HAS_REQUEST);
    }
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
    (state, request): (DeliveryState, ReplayRequest),
    again: &[Again],
    now: Timestamp,
) -> Result<(), StoreError> {
    let ids: Vec<DeliveryId> = if state == DeliveryState::Held {
        release_all(db, again, request, now).await?;
        again.iter().map(|one| one.id).collect()
    } else {
        let new: Vec<NewDelivery> = again.iter().map(|one| replay_of(one, request, now)).collect();
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

fn replay_of(one: &Again, request: ReplayRequest, now: Timestamp) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(now),
        connector: one.connector,
        due_at: now,
        lease: None,
        idempotency_key: one.idempotency_key,
        replay_of: Some(one.id),
        sent_as: (request == ReplayRequest::AsFirstSent).then_some(one.id),
        test: one.test,
    }
}

async fn release_all(
    db: &mut Db,
    held: &[Again],
    request: ReplayRequest,
    now: Timestamp,
) -> Result<(), StoreError> {
    for held in chunks(held) {
        let mut statement = Statement::new(
            db,
            "update delivery set state = 'pending', hold_reason = null, crashes = 0, sent_as = ",
        );
        statement.push(match request {
            ReplayRequest::Present => "null",
            ReplayRequest::AsFirstSent => "id",
        });
        statement.push(", due_at = ");
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

/// `from … where …`: what a selection finds in one state, but for its text.
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
}
