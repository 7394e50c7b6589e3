//! Deliveries: the table is the queue. Here is what is shown of them; the rest is in the modules below.

use consign_core::connector::ConnectorState;
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::{ConnectorId, DeliveryId, EventId, OperationId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::Row;
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

pub use crate::events::{Lease, NewDelivery};
pub use again::{Again, Found, FoundOf, count_again, next_again, send_again, states_of_operation};
#[cfg(test)]
pub(crate) use again::{TextBy, count_again_by};
pub use claim::{
    Claimed, LaneWork, abandon_foreign_leases, claim, claim_suspect, give_back, give_back_abandoned, lanes,
};
pub use decide::{cancel, cancel_of_connector, release, release_not_rendered, resolve_delivered, try_now};
pub use list::{ATTENTION_COUNT_MAX, DeliveryFilter, Line, attention_count, list, oldest_open, open_counts};
#[cfg(test)]
pub(crate) use list::{Rare, list_by};
pub use record::{Recording, record};

/// The columns of a delivery and its connector.
macro_rules! delivery_columns {
    () => {
        "d.*, c.name as connector_name, c.state as connector_state"
    };
}

/// Failed, and not sent again on purpose.
macro_rules! failed_for_good {
    () => {
        "d.state = 'failed' and not exists (select 1 from delivery r where r.replay_of = d.id)"
    };
}
pub(crate) use failed_for_good;

mod again;
mod claim;
mod decide;
mod list;
mod record;

/// A delivery as stored, with the name and state of its connector.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// What is delivered.
    pub event: EventId,
    /// Where to.
    pub connector: ConnectorId,
    /// The name of the connector; `None` after it was deleted.
    pub connector_name: Option<String>,
    /// Whether the connector sends; `None` after it was deleted.
    pub connector_state: Option<ConnectorState>,
    /// The stored state; [`Delivery::shown_state`] is the one to show.
    pub state: DeliveryState,
    /// When the next attempt is due.
    pub due_at: Timestamp,
    /// Attempts that count.
    pub attempts: u32,
    /// Attempts that ended with the program.
    pub crashes: u32,
    /// Why it is held on its own account.
    pub hold_reason: Option<HoldReason>,
    /// Until when a worker has it; it is under way while this is in the future.
    pub lease_until: Option<Timestamp>,
    /// The run of the program that has it.
    pub lease_by: Option<String>,
    /// Rises with every lease; a worker with a lower one changes nothing.
    pub fence: i64,
    /// The first delivery of this event to this connector.
    pub idempotency_key: DeliveryId,
    /// The delivery that is sent again on purpose.
    pub replay_of: Option<DeliveryId>,
    /// The delivery whose first request is sent, exactly as it was.
    pub sent_as: Option<DeliveryId>,
    /// The operation that sent it again.
    pub operation: Option<OperationId>,
    /// A test.
    pub test: bool,
    /// Deliveries of one connector with the same key go out one after the other.
    pub order_key: Option<String>,
    /// The class of the last outcome.
    pub last_outcome: Option<String>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
    /// What the tool said last.
    pub last_message: Option<String>,
    /// The record that the tool made of it, as it calls it.
    pub reference: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it came to one of its ends.
    pub ended_at: Option<Timestamp>,
}

impl Delivery {
    /// The state with its reason: what waits behind a connector that does not send is held by it.
    pub fn shown_state(&self) -> (DeliveryState, Option<HoldReason>) {
        match self.state {
            DeliveryState::Pending => match self.connector_state.and_then(ConnectorState::hold_reason) {
                Some(reason) => (DeliveryState::Held, Some(reason)),
                None => (DeliveryState::Pending, None),
            },
            DeliveryState::Held => (DeliveryState::Held, self.hold_reason),
            end @ (DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Cancelled) => {
                (end, None)
            }
        }
    }

    /// Whether a worker has it now.
    pub fn is_under_way(&self, now: Timestamp) -> bool {
        self.lease_until.is_some_and(|until| until > now)
    }
}

/// Adds a delivery of an event that is stored already: a replay.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    db: &mut Db,
    new: &NewDelivery,
    event: EventId,
    now: Timestamp,
) -> Result<(), StoreError> {
    insert_all(db, &[(event, now, new)]).await
}

/// Adds deliveries, each with its event and the time it was accepted.
pub(crate) async fn insert_all(
    db: &mut Db,
    new: &[(EventId, Timestamp, &NewDelivery)],
) -> Result<(), StoreError> {
    for chunk in chunks(new) {
        let mut statement = Statement::new(
            db,
            "insert into delivery (id, event_id, connector_id, state, due_at, attempts, crashes, lease_until,
               lease_by, fence, idempotency_key, replay_of, sent_as, test, created_at)
             values ",
        );
        statement.rows(chunk, |row, (event, created_at, new)| {
            let lease = new.lease.as_ref();
            row.bind(new.id.to_string()).push(", ").bind(event.to_string()).push(", ");
            row.bind(new.connector.to_string())
                .push(", 'pending', ")
                .bind(new.due_at.millis())
                .push(", 0, 0, ");
            row.bind(lease.map(|lease| lease.until.millis())).push(", ");
            row.bind(lease.map(|lease| &*lease.by)).push(", ").bind(i64::from(lease.is_some())).push(", ");
            row.bind(new.idempotency_key.to_string()).push(", ");
            row.bind(new.replay_of.map(|id| id.to_string())).push(", ");
            row.bind(new.sent_as.map(|id| id.to_string())).push(", ").bind(i64::from(new.test)).push(", ");
            row.bind(created_at.millis());
        });
        statement.execute(db).await?;
    }
    Ok(())
}

/// A delivery by its id.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let text = concat!(
        "select ",
        delivery_columns!(),
        " from delivery d left join connector c on c.id = d.connector_id where d.id = $1"
    );
    query(text).bind(id.to_string()).optional(db).await?.map(|row| read(&row)).transpose()
}

/// All deliveries of an event, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_event(db: &mut Db, event: EventId) -> Result<Vec<Delivery>, StoreError> {
    let text = concat!(
        "select ",
        delivery_columns!(),
        " from delivery d left join connector c on c.id = d.connector_id where d.event_id = $1 order by d.id"
    );
    query(text).bind(event.to_string()).all(db).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: row.id("id")?,
        event: row.id("event_id")?,
        connector: row.id("connector_id")?,
        connector_name: row.optional_text("connector_name")?,
        connector_state: row.optional_word("connector_state", ConnectorState::find)?,
        state: row.word("state", DeliveryState::find)?,
        due_at: row.time("due_at")?,
        attempts: row.count("attempts")?,
        crashes: row.count("crashes")?,
        hold_reason: row.optional_word("hold_reason", HoldReason::find)?,
        lease_until: row.optional_time("lease_until")?,
        lease_by: row.optional_text("lease_by")?,
        fence: row.number("fence")?,
        idempotency_key: row.id("idempotency_key")?,
        replay_of: row.optional_id("replay_of")?,
        sent_as: row.optional_id("sent_as")?,
        operation: row.optional_id("operation_id")?,
        test: row.flag("test")?,
        order_key: row.optional_text("order_key")?,
        last_outcome: row.optional_text("last_outcome")?,
        last_status: row.optional_count("last_status")?,
        last_message: row.optional_text("last_message")?,
        reference: row.optional_text("reference")?,
        created_at: row.time("created_at")?,
        ended_at: row.optional_time("ended_at")?,
    })
}
