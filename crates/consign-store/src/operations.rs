//! Long work, kept so that it goes on after a restart. Whoever takes an operation holds its row until his transaction
//! ends: what he did and how far he came are stored together, or not at all.

use consign_core::id::OperationId;
use consign_core::operation::{OperationKind, OperationState};
use consign_core::time::Timestamp;
use serde_json::Value;

use crate::db::query;
use crate::row::{Row, json_text, millis, stored};
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError};

/// An operation as stored.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What is done.
    pub kind: OperationKind,
    /// How it stands.
    pub state: OperationState,
    /// How many are done.
    pub done: u64,
    /// How many there were when it began.
    pub total: u64,
    /// What was asked for.
    pub settings: Value,
    /// Where it goes on; empty: at the beginning.
    pub place: String,
    /// When it goes on.
    pub due_at: Timestamp,
    /// The name of whoever started it.
    pub started_by: String,
    /// When.
    pub started_at: Timestamp,
    /// When it came to one of its ends.
    pub ended_at: Option<Timestamp>,
    /// Why it cannot go on; empty otherwise.
    pub problem: String,
}

/// Adds an operation.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, operation: &Operation) -> Result<(), StoreError> {
    let query = query(
        "insert into operation (id, kind, state, done, total, settings, place, due_at, started_by, started_at,
           ended_at, problem)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    );
    query
        .bind(operation.id.to_string())
        .bind(operation.kind.kind())
        .bind(operation.state.kind())
        .bind(stored(operation.done))
        .bind(stored(operation.total))
        .bind(json_text(&operation.settings))
        .bind(operation.place.as_str())
        .bind(operation.due_at.millis())
        .bind(operation.started_by.as_str())
        .bind(operation.started_at.millis())
        .bind(millis(operation.ended_at))
        .bind(operation.problem.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// An operation by its id.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: OperationId) -> Result<Option<Operation>, StoreError> {
    let query = query("select * from operation where id = $1");
    query.bind(id.to_string()).optional(db).await?.map(|row| read(&row)).transpose()
}

/// A page of operations, the newest first; of one kind, or of all.
///
/// # Errors
/// `BadCursor`.
pub async fn list(
    db: &mut Db,
    kind: Option<OperationKind>,
    page: &Page,
) -> Result<Listed<Operation>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select * from operation where 1 = 1");
    if let Some(kind) = kind {
        statement.push(" and kind = ").bind(kind.kind());
    }
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "id", turn.key_part()?);
    let operations = statement.all(db).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(turn.listed(operations, |operation| vec![operation.id.to_string()]).of(count))
}

/// The operation of a kind that has waited longest for its turn; it is ours until the end of the transaction. One that
/// another replica has is passed over.
///
/// # Errors
/// When the database cannot be reached.
pub async fn take_due(
    db: &mut Db,
    kind: OperationKind,
    now: Timestamp,
) -> Result<Option<Operation>, StoreError> {
    let mut statement = Statement::new(db, "select * from operation where state = 'running' and kind = ");
    statement.bind(kind.kind()).push(" and due_at <= ").bind(now.millis()).push(" order by due_at limit 1");
    statement.push(if db.is_postgres() { " for update skip locked" } else { "" });
    statement.all(db).await?.first().map(read).transpose()
}

/// When the next operation of a kind goes on; `None` while none is running.
///
/// # Errors
/// When the database cannot be read.
pub async fn next_due(db: &mut Db, kind: OperationKind) -> Result<Option<Timestamp>, StoreError> {
    let query = query("select min(due_at) as due_at from operation where state = 'running' and kind = $1")
        .bind(kind.kind());
    query.one(db).await?.optional_time("due_at")
}

/// Keeps how far an operation came. `false`, and no change, when it was ended meanwhile.
///
/// # Errors
/// When the database cannot be written.
pub async fn advance(
    db: &mut Db,
    id: OperationId,
    done: u64,
    place: &str,
    due_at: Timestamp,
) -> Result<bool, StoreError> {
    let query =
        query("update operation set done = $1, place = $2, due_at = $3 where id = $4 and state = 'running'");
    let query = query.bind(stored(done)).bind(place).bind(due_at.millis()).bind(id.to_string());
    Ok(query.execute(db).await? == 1)
}

/// Ends an operation. `false`, and no change, when it has ended already.
///
/// # Errors
/// When the database cannot be written.
pub async fn end(
    db: &mut Db,
    id: OperationId,
    state: OperationState,
    problem: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let query = query(
        "update operation set state = $1, problem = $2, ended_at = $3 where id = $4 and state = 'running'",
    );
    let query = query.bind(state.kind()).bind(problem).bind(now.millis()).bind(id.to_string());
    Ok(query.execute(db).await? == 1)
}

/// Ends every operation of a kind, and tells how many: nobody is left who does them.
///
/// # Errors
/// When the database cannot be written.
pub async fn end_all(
    db: &mut Db,
    kind: OperationKind,
    state: OperationState,
    problem: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let query = query(
        "update operation set state = $1, problem = $2, ended_at = $3 where state = 'running' and kind = $4",
    );
    query.bind(state.kind()).bind(problem).bind(now.millis()).bind(kind.kind()).execute(db).await
}

/// Removes operations that ended before a time, and tells how many. What they sent again stays, without them.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_old(db: &mut Db, before: Timestamp) -> Result<u64, StoreError> {
    let query = query("delete from operation where id < $1 and ended_at < $2");
    query.bind(OperationId::new(before).to_string()).bind(before.millis()).execute(db).await
}

fn read(row: &Row) -> Result<Operation, StoreError> {
    Ok(Operation {
        id: row.id("id")?,
        kind: row.word("kind", OperationKind::find)?,
        state: row.word("state", OperationState::find)?,
        done: row.count("done")?,
        total: row.count("total")?,
        settings: row.json("settings")?,
        place: row.text("place")?,
        due_at: row.time("due_at")?,
        started_by: row.text("started_by")?,
        started_at: row.time("started_at")?,
        ended_at: row.optional_time("ended_at")?,
        problem: row.text("problem")?,
    })
}
