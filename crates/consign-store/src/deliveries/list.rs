//! Lists of deliveries and counts over the queue.

use std::time::Duration;

use consign_core::connector::ConnectorState;
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::{ConnectorId, DeliveryId, EventId, OperationId};
use consign_core::time::Timestamp;

use super::{Delivery, read};
use crate::db::query;
use crate::row::{Row, anywhere, stored};
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError};

/// Beyond this a person does not care how many: counting a long queue on every page would cost more than it
/// tells.
pub const ATTENTION_COUNT_MAX: u64 = 10_000;

/// An id is made before its row is stamped, and perhaps by another clock; never by so much.
const ID_BEFORE_ROW_MAX: Duration = Duration::from_secs(600);

/// What waits for connectors that send. `cross join` keeps SQLite from reading the queues of the others, and
/// `due_at >= 0`, which says nothing new, lets it take the index that passes over what has ended.
macro_rules! waiting {
    ($what:literal) => {
        concat!(
            "select ",
            $what,
            " from connector k cross join delivery w \
             where w.connector_id = k.id and w.state = 'pending' and w.due_at >= 0 and k.state = 'active'"
        )
    };
}

/// What is held on its own account, and what waits behind connectors that do not send.
macro_rules! held {
    ($of_delivery:literal, $of_queue:literal) => {
        concat!(
            "select ",
            $of_delivery,
            " from delivery f where f.state <> 'delivered' and f.state = 'held' union all select ",
            $of_queue,
            " from connector k cross join delivery w \
             where w.connector_id = k.id and w.state = 'pending' and w.due_at >= 0 and k.state <> 'active'"
        )
    };
}

/// Which deliveries a list shows; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// The state that is shown: what waits behind a connector that does not send is held.
    pub state: Option<DeliveryState>,
    /// Only what a person should look at, as [`attention_count`] counts.
    pub needs_attention: bool,
    /// Why it is held.
    pub hold_reason: Option<HoldReason>,
    /// Where it goes.
    pub connector: Option<ConnectorId>,
    /// Exactly this type of event.
    pub event_type: Option<String>,
    /// Sent again by this operation.
    pub operation: Option<OperationId>,
    /// Accepted at this time or later.
    pub created_after: Option<Timestamp>,
    /// Accepted before this time.
    pub created_before: Option<Timestamp>,
    /// Part of the event's subject or of the tool's reference without regard to case, or a whole id of the
    /// delivery or its event.
    pub q: Option<String>,
}

/// A line in the list of deliveries.
#[derive(Clone, Debug)]
pub struct Line {
    /// The delivery.
    pub delivery: Delivery,
    /// The type of its event.
    pub event_type: String,
    /// What its event is about.
    pub subject: Option<String>,
}

/// A page of deliveries, by the time they were made.
///
/// # Errors
/// `BadCursor`.
pub async fn list(db: &mut Db, filter: &DeliveryFilter, page: &Page) -> Result<Listed<Line>, StoreError> {
    let rare = Rare::look(db, filter).await?;
    list_by(db, filter, page, rare).await
}

/// The same page, whichever way it is found.
pub(crate) async fn list_by(
    db: &mut Db,
    filter: &DeliveryFilter,
    page: &Page,
    rare: Rare,
) -> Result<Listed<Line>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(
        db,
        concat!(
            "select ",
            delivery_columns!(),
            ", e.event_type, e.subject from delivery d join event e on e.id = d.event_id \
             left join connector c on c.id = d.connector_id where 1 = 1"
        ),
    );
    restrict(&mut statement, filter, rare);
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "d.id", turn.key_part()?);
    let line = |row: &Row| {
        let event_type = row.text("event_type")?;
        Ok::<_, StoreError>(Line { delivery: read(row)?, event_type, subject: row.optional_text("subject")? })
    };
    let lines = statement.all(db).await?.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    Ok(turn.listed(lines, |line| vec![line.delivery.id.to_string()]).of(count))
}

/// Fewer than this are looked up one by one; of more, the next are met soon in the order of the list.
const RARE_MAX: u64 = 10_000;

/// What a filter asks for and is rare: rare things are found by an index of their own, all others in the order of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    pub(crate) waiting: bool,
    pub(crate) held: bool,
    pub(crate) attention: bool,
    pub(crate) event_type: bool,
    pub(crate) text: bool,
}

impl Rare {
    pub(crate) async fn look(db: &mut Db, filter: &DeliveryFilter) -> Result<Self, StoreError> {
        let waiting = filter.state == Some(DeliveryState::Pending) && is_rare(db, waiting!("1")).await?;
        let held = filter.state == Some(DeliveryState::Held) && is_rare(db, held!("1", "1")).await?;
        let attention =
            filter.needs_attention && attention_count(db, ATTENTION_COUNT_MAX).await? < ATTENTION_COUNT_MAX;
        let event_type = match &filter.event_type {
            None => false,
            Some(event_type) => {
                let query = query(
                    "select count(*) as found from (select 1 from event where event_type = $1 limit $2) as counted",
                );
                let row = query.bind(event_type.as_str()).bind(stored(RARE_MAX)).one(db).await?;
                row.count::<u64>("found")? < RARE_MAX
            }
        };
        let text = match filter.q.as_deref().map(str::trim) {
            Some(q) => is_rare_text(db, q).await?,
            None => false,
        };
        Ok(Self { waiting, held, attention, event_type, text })
    }
}

/// Whether few deliveries hold a text; of an id there is nothing to find out.
pub(super) async fn is_rare_text(db: &mut Db, q: &str) -> Result<bool, StoreError> {
    if is_id(q) {
        return Ok(false);
    }
    let mut statement = Statement::new(db, "select count(*) as found from (");
    holding(&mut statement, q);
    statement.push(" limit ").bind(stored(RARE_MAX)).push(") as counted");
    Ok(statement.one(db).await?.count::<u64>("found")? < RARE_MAX)
}

async fn is_rare(db: &mut Db, rows: &'static str) -> Result<bool, StoreError> {
    let mut statement = Statement::new(db, "select count(*) as found from (");
    statement.push(rows).push(" limit ").bind(stored(RARE_MAX)).push(") as counted");
    Ok(statement.one(db).await?.count::<u64>("found")? < RARE_MAX)
}

fn restrict(statement: &mut Statement, filter: &DeliveryFilter, rare: Rare) {
    // `<> 'delivered'` says nothing new: it lets the index without delivered rows be used.
    statement.push(match filter.state {
        None => "",
        Some(DeliveryState::Pending) => {
            " and d.state <> 'delivered' and d.state = 'pending' and coalesce(c.state, 'active') = 'active'"
        }
        Some(DeliveryState::Held) => {
            " and d.state <> 'delivered'
              and (d.state = 'held' or d.state = 'pending' and c.state <> 'active')"
        }
        Some(DeliveryState::Delivered) => " and d.state = 'delivered'",
        Some(DeliveryState::Failed) => " and d.state <> 'delivered' and d.state = 'failed'",
        Some(DeliveryState::Cancelled) => " and d.state <> 'delivered' and d.state = 'cancelled'",
    });
    if rare.waiting {
        statement.push(concat!(" and d.id in (", waiting!("w.id"), ")"));
    }
    if rare.held {
        statement.push(concat!(" and d.id in (", held!("f.id", "w.id"), ")"));
    }
    if rare.attention {
        statement.push(
            " and d.id in (select f.id from delivery f where f.state <> 'delivered' and f.state in ('failed', 'held')
              union all select w.id from connector k cross join delivery w where w.connector_id = k.id
                and w.state = 'pending' and w.due_at >= 0 and k.state <> 'active' and k.state <> 'paused')",
        );
    }
    if filter.needs_attention {
        statement.push(concat!(" and d.state <> 'delivered' and (d.state = 'held' or ", failed_for_good!()));
        statement.push(" or d.state = 'pending' and c.state <> 'active' and c.state <> 'paused')");
    }
    match filter.hold_reason {
        None => {}
        Some(reason) if reason.is_own() => {
            statement.push(" and d.state <> 'delivered' and d.state = 'held' and d.hold_reason = ");
            statement.bind(reason.kind());
        }
        Some(reason) => {
            let states = ConnectorState::ALL.iter().filter(|state| state.hold_reason() == Some(reason));
            statement.push(" and d.state <> 'delivered' and d.state = 'pending' and c.state in (");
            statement.list(states.map(|state| state.stored())).push(")");
        }
    }
    if let Some(connector) = filter.connector {
        statement.push(" and d.connector_id = ").bind(connector.to_string());
    }
    if let Some(event_type) = &filter.event_type {
        // Of a frequent type not all are to be found and sorted: with a text put to it the column is of no index.
        statement.push(if rare.event_type { " and e.event_type = " } else { " and e.event_type || '' = " });
        statement.bind(event_type.as_str());
    }
    if let Some(operation) = filter.operation {
        statement.push(" and d.operation_id = ").bind(operation.to_string());
    }
    Since(filter.created_after).restrict(statement);
    if let Some(before) = filter.created_before {
        statement.push(" and d.created_at < ").bind(before.millis());
    }
    if let Some(q) = filter.q.as_deref().map(str::trim) {
        if rare.text {
            statement.push(" and d.id in (");
            holding(statement, q);
            statement.push(")");
        } else {
            search(statement, q);
        }
    }
}

pub(super) fn is_id(q: &str) -> bool {
    q.parse::<DeliveryId>().is_ok() || q.parse::<EventId>().is_ok()
}

/// The deliveries that [`search`] finds by a text, from indexes that hold nothing but those texts.
pub(super) fn holding(statement: &mut Statement, q: &str) {
    let pattern = anywhere(&q.to_lowercase());
    statement.push(
        "select w.id from event s cross join delivery w
         where w.event_id = s.id and s.subject is not null and lower(s.subject) like ",
    );
    statement.bind(pattern.clone()).push(" escape '!'");
    statement.push(
        " union all select r.id from delivery r where r.reference is not null and lower(r.reference) like ",
    );
    statement.bind(pattern).push(" escape '!'");
}

/// The text that a person looks for, in what a delivery is about. A whole id is found by its index.
pub(super) fn search(statement: &mut Statement, q: &str) {
    if q.parse::<DeliveryId>().is_ok() {
        statement.push(" and d.id = ").bind(q);
        return;
    }
    if q.parse::<EventId>().is_ok() {
        statement.push(" and d.event_id = ").bind(q);
        return;
    }
    statement.push(" and ");
    holds(statement, q);
}

/// That a delivery holds a text, as a condition.
pub(super) fn holds(statement: &mut Statement, q: &str) {
    let pattern = anywhere(&q.to_lowercase());
    statement.push("(lower(e.subject) like ").bind(pattern.clone()).push(" escape '!'");
    statement.push(" or lower(d.reference) like ").bind(pattern).push(" escape '!')");
}

/// Accepted at a time or later.
pub(super) struct Since(pub(super) Option<Timestamp>);

impl Since {
    /// Ids sort by time, so that older rows are not even looked at.
    pub(super) fn restrict(self, statement: &mut Statement) {
        let Some(after) = self.0 else { return };
        statement.push(" and d.created_at >= ").bind(after.millis());
        statement.push(" and d.id >= ").bind(DeliveryId::new(after.minus(ID_BEFORE_ROW_MAX)).to_string());
    }
}

/// How many deliveries a person should look at: failed and not replayed, held on their own account, or
/// waiting behind a connector that something other than a person stopped. Counts to `most`.
///
/// # Errors
/// When the database cannot be read.
pub async fn attention_count(db: &mut Db, most: u64) -> Result<u64, StoreError> {
    // `cross join` keeps SQLite from reading the queues of connectors that send.
    let mut statement = Statement::new(
        db,
        concat!(
            "select count(*) as pressing from (select 1 from delivery d where d.state <> 'delivered' and ",
            failed_for_good!(),
            " union all select 1 from delivery d where d.state <> 'delivered' and d.state = 'held' \
             union all select 1 from connector c cross join delivery d where d.connector_id = c.id \
             and d.state = 'pending' and d.due_at >= 0 and c.state <> 'active' and c.state <> 'paused' limit "
        ),
    );
    statement.bind(stored(most)).push(") as counted");
    statement.one(db).await?.count("pressing")
}

/// How many deliveries are pending and held, for each reason, as they are shown.
///
/// # Errors
/// When the database cannot be read.
pub async fn open_counts(db: &mut Db) -> Result<Vec<(DeliveryState, Option<HoldReason>, u64)>, StoreError> {
    let mut counts: Vec<(DeliveryState, Option<HoldReason>, u64)> = Vec::new();
    let mut add = |state, reason, more: u64| match counts
        .iter_mut()
        .find(|(of, because, _)| (*of, *because) == (state, reason))
    {
        Some((_, _, count)) => *count += more,
        None => counts.push((state, reason, more)),
    };
    let pending = query(
        "select p.waiting, c.state from (select connector_id, count(*) as waiting from delivery
           where state = 'pending' group by connector_id) as p
         left join connector c on c.id = p.connector_id",
    );
    for row in pending.all(db).await? {
        let reason = row.optional_word("state", ConnectorState::find)?.and_then(ConnectorState::hold_reason);
        let state = if reason.is_some() { DeliveryState::Held } else { DeliveryState::Pending };
        add(state, reason, row.count("waiting")?);
    }
    let held = query(
        "select hold_reason, count(*) as waiting from delivery
         where state <> 'delivered' and state = 'held' group by hold_reason order by hold_reason",
    );
    for row in held.all(db).await? {
        add(DeliveryState::Held, row.optional_word("hold_reason", HoldReason::find)?, row.count("waiting")?);
    }
    Ok(counts)
}

/// When the delivery that has waited longest was accepted.
///
/// # Errors
/// When the database cannot be read.
pub async fn oldest_open(db: &mut Db) -> Result<Option<Timestamp>, StoreError> {
    let query = query(
        "select min(created_at) as created_at from delivery where id in (
           (select min(id) from delivery where state <> 'delivered' and state = 'pending'),
           (select min(id) from delivery where state <> 'delivered' and state = 'held'))",
    );
    let row = query.one(db).await?;
    row.optional_time("created_at")
}
