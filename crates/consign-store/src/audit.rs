//! The audit log: appended in the transaction of the change, never updated, never deleted, chained by a
//! keyed hash.

use consign_core::audit::{AuditEntry, Ledger, Rows};
use consign_core::id::{self, AuditId};
use consign_core::time::Timestamp;
use consign_core::vault::DerivedKey;
use serde::Serialize;
use serde_json::{Value, json};

use crate::db::query;
use crate::row::{Row, anywhere, damaged};
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError};

/// How many entries are checked at a time, so that a long log needs little memory.
const VERIFY_ROWS: i64 = 500;
/// So many entries of one object are looked at.
const LOOKED_AT: i64 = 1_000;
/// The id of Consign itself, where it acts.
const SYSTEM: &str = "system";

/// An entry as stored.
#[derive(Clone, Debug, Serialize)]
pub struct AuditRecord {
    /// Its place in the chain, from 1 without gaps.
    pub sequence: i64,
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// `user`, `api_key` or `system`.
    pub actor_kind: String,
    /// The id of the person or key; empty for the system.
    pub actor_id: String,
    /// The name of the person or key at that time.
    pub actor: String,
    /// What was done, in words.
    pub action: String,
    /// The kind of object.
    pub object_kind: String,
    /// The id of the object.
    pub object_id: String,
    /// The name of the object at that time.
    pub object: String,
    /// Fields old → new.
    pub changes: Value,
    /// The address it came from.
    pub from: String,
    /// The request it belongs to.
    pub request_id: String,
    /// `done` or `refused`.
    pub result: String,
}

/// Which entries a list shows; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of the object with this id, or exactly this name.
    pub object: Option<String>,
    /// By the person or key with this id, or exactly this name.
    pub actor: Option<String>,
    /// Part of what was done, without regard to case.
    pub action: Option<String>,
    /// From this address.
    pub from: Option<String>,
    /// `done` or `refused`.
    pub result: Option<String>,
    /// At this time or later.
    pub after: Option<Timestamp>,
    /// Before this time.
    pub before: Option<Timestamp>,
    /// Before this place in the chain.
    pub below: Option<i64>,
}

/// A log that was found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many entries there are.
    pub entries: i64,
    /// The newest link; empty without entries.
    pub head: String,
}

/// The first place at which the chain does not fit: an entry was changed, removed, added or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log does not fit at entry {0}")]
pub struct BrokenAt(pub i64);

/// Appends an entry and gives its sequence. Call it in the transaction of the change.
///
/// # Errors
/// When it cannot be written: then the change must not be made either.
pub async fn append(db: &mut Db, entry: &AuditEntry, key: &DerivedKey) -> Result<i64, StoreError> {
    // The update locks the head, so that replicas append one after the other.
    let next = query(
        "update audit_head set sequence = sequence + 1 where one = 1 returning sequence, link as before",
    );
    let row = next.one(db).await?;
    let (sequence, before) = (row.number("sequence")?, row.text("before")?);
    let link = entry.link(key, sequence, &before);
    query(
        "insert into audit (sequence, object_id, actor_id, at, stored, link) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(sequence)
    .bind(entry.object_id.as_str())
    .bind(entry.actor_id.as_str())
    .bind(entry.at.millis())
    .bind(entry.stored())
    .bind(link.as_str())
    .execute(db)
    .await?;
    query("update audit_head set link = $1 where one = 1").bind(link).execute(db).await?;
    Ok(sequence)
}

/// A page of entries, in the order they were written.
///
/// # Errors
/// `BadCursor`.
pub async fn list(db: &mut Db, filter: &AuditFilter, page: &Page) -> Result<Listed<AuditRecord>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select sequence, stored from audit where 1 = 1");
    restrict(&mut statement, db, filter);
    let number = |from: &str| from.parse::<i64>().map_err(|_| StoreError::BadCursor);
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "sequence", turn.key_part()?.map(number).transpose()?);
    let records = statement.all(db).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(turn.listed(records, |record| vec![record.sequence.to_string()]).of(count))
}

/// What was done in the newest entries, each action once, for a choice.
///
/// # Errors
/// When the database cannot be read.
pub async fn newest_actions(db: &mut Db, entries: u32) -> Result<Vec<String>, StoreError> {
    let mut statement = Statement::new(db, "select distinct action from (select ");
    statement.push(part(db, Part::Action)).push(" as action from audit order by sequence desc limit ");
    statement.bind(i64::from(entries)).push(") as newest order by action");
    statement.all(db).await?.iter().map(|row| row.text("action")).collect()
}

/// Which entries of an object are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// All but those of this action, in exactly these words.
    Without(&'a str),
    /// Those of this action, in exactly these words.
    Action(&'a str),
    /// Those of what changed the object itself: not what was seen of it, or done with it.
    Saves,
}

/// The newest entries of the object with this id, at most so many, among the newest thousand that it has: however many it
/// has, the look is short.
///
/// # Errors
/// When the database cannot be read.
pub async fn newest_of(
    db: &mut Db,
    object_id: &str,
    wanted: Wanted<'_>,
    most: u32,
) -> Result<Vec<AuditRecord>, StoreError> {
    let mut statement = Statement::new(
        db,
        "select sequence, stored from (select sequence, stored from audit where object_id = ",
    );
    statement.bind(object_id).push(" order by sequence desc limit ").bind(LOOKED_AT);
    statement.push(") as newest where ");
    match wanted {
        Wanted::Without(action) => statement.push(part(db, Part::Action)).push(" <> ").bind(action),
        Wanted::Action(action) => statement.push(part(db, Part::Action)).push(" = ").bind(action),
        Wanted::Saves => {
            statement.push(part(db, Part::Rows)).push(" <> ").bind(json!(Rows::default()).to_string())
        }
    };
    statement.push(" order by sequence desc limit ").bind(i64::from(most));
    statement.all(db).await?.iter().map(read).collect()
}

/// One entry by its place in the chain.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, sequence: i64) -> Result<Option<AuditRecord>, StoreError> {
    let query = query("select sequence, stored from audit where sequence = $1").bind(sequence);
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

fn restrict(statement: &mut Statement, db: &Db, filter: &AuditFilter) {
    let part = |at: Part| part(db, at);
    if let Some(object) = &filter.object {
        let column = if is_id(object) { "object_id" } else { part(Part::Object) };
        statement.push(" and ").push(column).push(" = ").bind(object.as_str());
    }
    if let Some(actor) = &filter.actor {
        let column = if is_id(actor) { "actor_id" } else { part(Part::Actor) };
        statement.push(" and ").push(column).push(" = ").bind(actor.as_str());
    }
    if let Some(action) = &filter.action {
        statement.push(" and lower(").push(part(Part::Action)).push(") like ");
        statement.bind(anywhere(&action.to_lowercase())).push(" escape '!'");
    }
    if let Some(from) = &filter.from {
        statement.push(" and ").push(part(Part::From)).push(" = ").bind(from.as_str());
    }
    if let Some(result) = &filter.result {
        statement.push(" and ").push(part(Part::Result)).push(" = ").bind(result.as_str());
    }
    if let Some(after) = filter.after {
        statement.push(" and at >= ").bind(after.millis());
    }
    if let Some(before) = filter.before {
        statement.push(" and at < ").bind(before.millis());
    }
    if let Some(below) = filter.below {
        statement.push(" and sequence < ").bind(below);
    }
}

/// Whether a text is an id: ids are found by index, names are looked for.
fn is_id(text: &str) -> bool {
    text == SYSTEM || id::is_id(text)
}

/// A member of a stored entry, which is a JSON list.
#[derive(Clone, Copy)]
enum Part {
    Actor,
    Action,
    Object,
    From,
    Result,
    Rows,
}

/// The two databases have no common words for a member of a JSON list in a text.
fn part(db: &Db, part: Part) -> &'static str {
    match (part, db.is_postgres()) {
        (Part::Actor, false) => "stored ->> 4",
        (Part::Actor, true) => "(stored::json ->> 4)",
        (Part::Action, false) => "stored ->> 5",
        (Part::Action, true) => "(stored::json ->> 5)",
        (Part::Object, false) => "stored ->> 8",
        (Part::Object, true) => "(stored::json ->> 8)",
        (Part::From, false) => "stored ->> 10",
        (Part::From, true) => "(stored::json ->> 10)",
        (Part::Result, false) => "stored ->> 12",
        (Part::Result, true) => "(stored::json ->> 12)",
        (Part::Rows, false) => "stored ->> 13",
        (Part::Rows, true) => "(stored::json ->> 13)",
    }
}

/// Checks the whole log: every link, every place, and that the columns that lists filter by say what the
/// entries say.
///
/// # Errors
/// When the database cannot be read. A broken chain is a value.
pub async fn verify(db: &mut Db, key: &DerivedKey) -> Result<Result<Verified, BrokenAt>, StoreError> {
    let (head_sequence, head_link) = head(db).await?;
    let mut ledger = Ledger::default();
    follow(db, key, &mut ledger).await?;
    ledger.end_at(head_sequence, &head_link);
    Ok(match ledger.broken() {
        Some(place) => Err(BrokenAt(place)),
        None => Ok(Verified { entries: head_sequence, head: head_link }),
    })
}

/// Reads the entries that a ledger has not seen. Never call it in a transaction that has appended one: what is not
/// committed may never have been.
///
/// # Errors
/// When the database cannot be read. A broken chain is noted in the ledger.
pub async fn follow(db: &mut Db, key: &DerivedKey, ledger: &mut Ledger) -> Result<(), StoreError> {
    loop {
        let query = query("select * from audit where sequence > $1 order by sequence limit $2");
        let rows = query.bind(ledger.sequence()).bind(VERIFY_ROWS).all(db).await?;
        for row in &rows {
            let columns = row;
            let (stored, link) = (columns.text("stored")?, columns.text("link")?);
            ledger.follow(key, columns.number("sequence")?, &stored, link, agreeing(row)?);
        }
        if rows.len() < usize::try_from(VERIFY_ROWS).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Lets the log go on behind its last entry, where the head says something else.
///
/// # Errors
/// When the database cannot be written.
pub async fn mend_head(db: &mut Db) -> Result<(), StoreError> {
    query(
        "update audit_head set sequence = coalesce((select max(sequence) from audit), 0),
           link = coalesce((select link from audit order by sequence desc limit 1), '') where one = 1",
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The link of one entry.
///
/// # Errors
/// When the database cannot be read.
pub async fn link_at(db: &mut Db, sequence: i64) -> Result<Option<String>, StoreError> {
    let query = query("select link from audit where sequence = $1").bind(sequence);
    query.optional(db).await?.map(|row| row.text("link")).transpose()
}

/// The sequence and link of the newest entry: to be kept outside the database too, because whoever rolls
/// back the whole database rolls back its log with it.
///
/// # Errors
/// When the database cannot be read.
pub async fn head(db: &mut Db) -> Result<(i64, String), StoreError> {
    let row = query("select sequence, link from audit_head where one = 1").one(db).await?;
    Ok((row.number("sequence")?, row.text("link")?))
}

/// What an entry says of protected rows; `None` when it is no entry, or the columns beside it say something else.
fn agreeing(row: &Row) -> Result<Option<Rows>, StoreError> {
    let columns = row;
    let Ok((record, rows)) = read_all(row) else { return Ok(None) };
    let agrees = record.object_id == columns.text("object_id")?
        && record.actor_id == columns.text("actor_id")?
        && record.at == columns.time("at")?;
    Ok(agrees.then_some(rows))
}

/// An entry is what its link authenticates, not the columns beside it.
fn read(row: &Row) -> Result<AuditRecord, StoreError> {
    Ok(read_all(row)?.0)
}

fn read_all(row: &Row) -> Result<(AuditRecord, Rows), StoreError> {
    type Parts = (
        String,
        i64,
        String,
        String,
        String,
        String,
        String,
        String,
        String,
        Value,
        String,
        String,
        String,
        Rows,
    );
    let (
        id,
        at,
        actor_kind,
        actor_id,
        actor,
        action,
        object_kind,
        object_id,
        object,
        changes,
        from,
        request_id,
        result,
        rows,
    ): Parts = row.json("stored")?;
    let record = AuditRecord {
        sequence: row.number("sequence")?,
        id: id.parse().map_err(|_| damaged("audit.stored"))?,
        at: Timestamp::from_millis(at),
        actor_kind,
        actor_id,
        actor,
        action,
        object_kind,
        object_id,
        object,
        changes,
        from,
        request_id,
        result,
    };
    Ok((record, rows))
}
