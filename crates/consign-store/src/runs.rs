//! Runs of exporters: what they send, how far they have come, and what became of them.
//!
//! A record without a run waits for the next one. A run takes records in portions, and then has them for good: they
//! are spent when it is done, and the next run takes them first when it failed.

use std::collections::HashSet;

use consign_core::catalog::Protocol;
use consign_core::connector::exporter::{RunState, Step};
use consign_core::delivery::HoldReason;
use consign_core::id::{AttemptId, ConnectorId, RunId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::{Row, damaged, stored};
use crate::statement::{Statement, chunks as chunks_of};
use crate::{Db, Listed, Page, StoreError};

pub use chunks::{Chunk, chunks, first_chunks, insert_chunk};
pub use claim::{
    Claimed, FilesWanted, abandon_foreign_leases, claim, claim_files, claim_held, due, give_back,
    with_files_due,
};
pub use collect::{
    Room, Taken, begin_collecting, collect, end_collecting, leaving_more, take_more, taken_bytes,
};
pub use decide::{hold, mark_done, send_again, undecided};
pub use files::{RunFile, files_beyond, forget_file, insert_file};
pub use progress::{
    End, Progress, advance, cancel, cancel_of_connector, choose_name, end, finish, hurry, keep_lease,
    keep_lease_only, made, not_made, note_done, retry,
};
pub(crate) use records::insert_of_events;
pub use records::{Content, NewRecord, StoredRecord, insert_records, page};
pub use ticks::{Tick, next_number, next_run_at, set_next_run, take_tick, ticks_due};
#[cfg(test)]
pub(crate) use waiting::LAST_FAILED;
pub use waiting::{
    Loss, UNSENT_COUNT_MAX, WAITING_COUNT_MAX, Waiting, last_failed_of_each, last_success_of_each, unsent,
    waiting_count, waiting_of,
};

mod chunks;
mod claim;
mod collect;
mod decide;
mod files;
mod progress;
mod records;
mod ticks;
mod waiting;

/// Why a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its time had come.
    Schedule,
    /// Somebody asked for it.
    Hand,
    /// A file was pushed.
    File,
    /// Somebody asked for a run that was done to be sent again.
    Again,
}

impl Cause {
    /// All.
    pub const ALL: &'static [Self] = &[Self::Schedule, Self::Hand, Self::File, Self::Again];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Hand => "hand",
            Self::File => "file",
            Self::Again => "again",
        }
    }

    fn find(kind: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.kind() == kind)
    }
}

/// A pushed file as it was announced and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedFile {
    /// Its media type.
    pub content_type: String,
    /// SHA-256, in hexadecimal.
    pub digest: String,
    /// Its size.
    pub bytes: u64,
}

/// What a run is made by, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSetUp {
    /// The day of the payload key.
    pub payload_key: i64,
    /// Under the payload key.
    pub sealed_data: Vec<u8>,
}

/// A run as stored.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// The exporter.
    pub connector: ConnectorId,
    /// Its number among the runs of its exporter, from 1.
    pub number: i64,
    /// Why it began.
    pub cause: Cause,
    /// Who began it; empty for the schedule.
    pub started_by: String,
    /// Whose records or file it sends: its own, or those of the run it repeats.
    pub source: RunId,
    /// Where it goes.
    pub protocol: Protocol,
    /// Which edit of its exporter it is made by.
    pub exporter_revision: i64,
    /// What it is made by; absent once it was removed with what the run sent.
    pub set_up: Option<SealedSetUp>,
    /// The name of its file.
    pub file_name: String,
    /// The file that was pushed, if it sends one.
    pub file: Option<PushedFile>,
    /// The size of the file that an attempt may have given its final name.
    pub made_bytes: Option<u64>,
    /// When its server wrote that file, in seconds since 1970 by the clock of the server; absent where it does not say.
    pub made_at: Option<i64>,
    /// The stored state; `None` while it is open. [`Run::state`] is the one to show.
    ended_as: Option<RunState>,
    /// Why it waits for a person to decide about it; its exporter may wait besides.
    pub hold: Option<HoldReason>,
    /// What it is at.
    pub step: Step,
    /// Records up to this one are its own; `None` before it began.
    pub collect_to: Option<String>,
    /// It has all of its records.
    pub collected: bool,
    /// How many records it has.
    pub records: u64,
    /// How many of them arrived.
    pub sent_records: u64,
    /// The bytes that arrived, as they were sent.
    pub sent_bytes: u64,
    /// Requests that were accepted.
    pub requests: u64,
    /// The last record that arrived; empty before the first.
    pub sent_to: String,
    /// The next run takes what it did not send.
    pub owes: bool,
    /// When its next attempt is due; of one that waits for a person, since when it does.
    pub due_at: Timestamp,
    /// Attempts in a row that failed.
    pub attempts: u32,
    /// Attempts in a row that ended with the program.
    pub crashes: u32,
    /// Since when it has met nothing but throttling.
    pub throttled_since: Option<Timestamp>,
    /// Until when a worker has it.
    pub lease_until: Option<Timestamp>,
    /// Rises with every lease; a worker with a lower one changes nothing.
    pub fence: i64,
    /// The class of the last outcome.
    pub outcome: Option<String>,
    /// What the tool said last, or what was seen instead.
    pub message: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was first worked on.
    pub started_at: Option<Timestamp>,
    /// When it came to one of its ends.
    pub ended_at: Option<Timestamp>,
}

impl Run {
    /// Its state at a time.
    pub fn state(&self, now: Timestamp) -> RunState {
        match self.ended_as {
            Some(end) => end,
            None if self.lease_until.is_some_and(|until| until > now) => RunState::Running,
            None => RunState::Waiting,
        }
    }

    /// Whether it has come to one of its ends.
    pub fn has_ended(&self) -> bool {
        self.ended_as.is_some()
    }
}

/// A run to begin.
#[derive(Clone, Debug)]
pub struct NewRun<'a> {
    /// Its id.
    pub id: RunId,
    /// The exporter.
    pub connector: ConnectorId,
    /// From [`next_number`].
    pub number: i64,
    /// Why it begins.
    pub cause: Cause,
    /// Who begins it.
    pub started_by: &'a str,
    /// Whose records or file it sends.
    pub source: RunId,
    /// Where it goes.
    pub protocol: Protocol,
    /// Which edit of its exporter it is made by.
    pub exporter_revision: i64,
    /// What it is made by.
    pub set_up: &'a SealedSetUp,
    /// The name of its file.
    pub file_name: &'a str,
    /// The same before it got a number.
    pub base_name: &'a str,
    /// The file that was pushed.
    pub file: Option<&'a PushedFile>,
}

/// Adds a run that is due at once. One that repeats another has its records already.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, new: &NewRun<'_>, now: Timestamp) -> Result<(), StoreError> {
    let query = query(
        "insert into run (id, connector_id, number, cause, started_by, source_id, file_name, content_type, digest,
           file_bytes, state, step, collected, records, sent_records, sent_bytes, requests, sent_to, owes,
           payloads_kept, due_at, attempts, crashes, fence, created_at, protocol, exporter_revision, payload_key,
           sealed_set_up, base_name)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', 'collect', $11,
           coalesce((select records from run where id = $6), 0), 0, 0, 0, '', 0, 1, $12, 0, 0, 0, $12, $13, $14, $15,
           $16, $17)",
    );
    let has_all = new.file.is_some() || new.source != new.id;
    let bytes = new.file.map(|file| stored(file.bytes));
    query
        .bind(new.id.to_string())
        .bind(new.connector.to_string())
        .bind(new.number)
        .bind(new.cause.kind())
        .bind(new.started_by)
        .bind(new.source.to_string())
        .bind(new.file_name)
        .bind(new.file.map(|file| file.content_type.as_str()))
        .bind(new.file.map(|file| file.digest.as_str()))
        .bind(bytes)
        .bind(i64::from(has_all))
        .bind(now.millis())
        .bind(new.protocol.kind())
        .bind(new.exporter_revision)
        .bind(new.set_up.payload_key)
        .bind(new.set_up.sealed_data.as_slice())
        .bind(new.base_name)
        .execute(db)
        .await?;
    Ok(())
}

/// A run by its id.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: RunId) -> Result<Option<Run>, StoreError> {
    let query = query("select * from run where id = $1").bind(id.to_string());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// Those of these runs that are of an exporter.
///
/// # Errors
/// When the database cannot be read.
pub async fn ours_of(
    db: &mut Db,
    connector: ConnectorId,
    runs: &[RunId],
) -> Result<HashSet<RunId>, StoreError> {
    let mut ours = HashSet::with_capacity(runs.len());
    for some in chunks_of(runs) {
        let mut statement = Statement::new(db, "select id from run where connector_id = ");
        statement.bind(connector.to_string()).push(" and id in (");
        statement.list(some.iter().map(RunId::to_string)).push(")");
        for row in statement.all(db).await? {
            ours.insert(row.id("id")?);
        }
    }
    Ok(ours)
}

/// Whether a lease of a run still counts: nobody took it over, and no person stopped the run.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_ours(db: &mut Db, run: &Run) -> Result<bool, StoreError> {
    let query = query("select id from run where id = $1 and fence = $2 and state = 'open'");
    Ok(query.bind(run.id.to_string()).bind(run.fence).optional(db).await?.is_some())
}

/// The leases of these runs that count now: one that is not among them was taken over, or a person stopped its run.
///
/// # Errors
/// When the database cannot be read.
pub async fn leases_of(db: &mut Db, runs: &[RunId]) -> Result<HashSet<(RunId, i64)>, StoreError> {
    let mut leases = HashSet::with_capacity(runs.len());
    for some in chunks_of(runs) {
        let mut statement = Statement::new(db, "select id, fence from run where state = 'open' and id in (");
        statement.list(some.iter().map(RunId::to_string)).push(")");
        for row in statement.all(db).await? {
            leases.insert((row.id("id")?, row.number("fence")?));
        }
    }
    Ok(leases)
}

/// Whether what a run sends is still there.
///
/// # Errors
/// When the database cannot be read.
pub async fn has_payloads(db: &mut Db, id: RunId) -> Result<bool, StoreError> {
    let query = query("select payloads_kept from run where id = $1").bind(id.to_string());
    Ok(query.optional(db).await?.map(|row| row.flag("payloads_kept")).transpose()?.unwrap_or(false))
}

/// The run of an exporter that has not ended, if there is one; the oldest of several pushed files.
///
/// # Errors
/// When the database cannot be read.
pub async fn open_of(db: &mut Db, connector: ConnectorId) -> Result<Option<Run>, StoreError> {
    let query = query("select * from run where connector_id = $1 and state = 'open' order by number limit 1");
    query.bind(connector.to_string()).optional(db).await?.map(|row| read(&row)).transpose()
}

/// The run of an exporter that has not ended and sends records, if there is one.
///
/// # Errors
/// When the database cannot be read.
pub async fn open_of_records(db: &mut Db, connector: ConnectorId) -> Result<Option<Run>, StoreError> {
    let query = query(
        "select * from run where connector_id = $1 and state = 'open' and digest is null order by number limit 1",
    );
    query.bind(connector.to_string()).optional(db).await?.map(|row| read(&row)).transpose()
}

/// A page of the runs of an exporter, newest first; `state` restricts it.
///
/// # Errors
/// `BadCursor`.
pub async fn list(
    db: &mut Db,
    connector: ConnectorId,
    state: Option<RunState>,
    now: Timestamp,
    page: &Page,
) -> Result<Listed<Run>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select * from run where connector_id = ");
    statement.bind(connector.to_string());
    match state {
        None => {}
        Some(RunState::Running) => {
            statement.push(" and state = 'open' and coalesce(lease_until, 0) > ").bind(now.millis());
        }
        Some(RunState::Waiting) => {
            statement.push(" and state = 'open' and coalesce(lease_until, 0) <= ").bind(now.millis());
        }
        Some(end @ (RunState::Done | RunState::Failed | RunState::Cancelled)) => {
            statement.push(" and state = ").bind(end.kind());
        }
    }
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "id", turn.key_part()?);
    let runs = statement.all(db).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(turn.listed(runs, |run| vec![run.id.to_string()]).of(count))
}

/// A line of the log of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// What happened, in words.
    pub line: String,
}

/// Adds a line to the log of a run.
///
/// # Errors
/// When the database cannot be written.
pub async fn log(db: &mut Db, run: RunId, line: &str, now: Timestamp) -> Result<(), StoreError> {
    log_lines(db, run, &[line], now).await
}

/// Adds a line to the log of a run, unless it has it already.
///
/// # Errors
/// When the database cannot be written.
pub async fn log_once(db: &mut Db, run: RunId, line: &str, now: Timestamp) -> Result<(), StoreError> {
    let known = query("select 1 as known from run_log where run_id = $1 and line = $2 limit 1");
    if known.bind(run.to_string()).bind(line).optional(db).await?.is_none() {
        log(db, run, line, now).await?;
    }
    Ok(())
}

/// Adds lines to the log of a run, in their order.
///
/// # Errors
/// When the database cannot be written.
pub async fn log_lines(db: &mut Db, run: RunId, lines: &[&str], now: Timestamp) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let together = AttemptId::new(now);
    let mut statement = Statement::new(db, "insert into run_log (run_id, id, at, line) values ");
    statement.rows(lines.iter().enumerate(), |row, (place, line)| {
        row.bind(run.to_string()).push(", ").bind(format!("{together}.{place:03}")).push(", ");
        row.bind(now.millis()).push(", ").bind(*line);
    });
    statement.execute(db).await?;
    Ok(())
}

/// The newest lines of the log of a run, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn log_of(db: &mut Db, run: RunId, max: u32) -> Result<Vec<LogLine>, StoreError> {
    let query = query("select at, line from run_log where run_id = $1 order by id desc limit $2");
    let rows = query.bind(run.to_string()).bind(i64::from(max)).all(db).await?;
    let line = |row: &Row| Ok(LogLine { at: row.time("at")?, line: row.text("line")? });
    let mut lines = rows.iter().map(line).collect::<Result<Vec<_>, StoreError>>()?;
    lines.reverse();
    Ok(lines)
}

fn read(row: &Row) -> Result<Run, StoreError> {
    let file = match row.optional_text("digest")? {
        Some(digest) => Some(PushedFile {
            content_type: row.text("content_type")?,
            digest,
            bytes: row.count("file_bytes")?,
        }),
        None => None,
    };
    let set_up = match row.optional_bytes("sealed_set_up")? {
        Some(sealed_data) => Some(SealedSetUp { payload_key: row.number("payload_key")?, sealed_data }),
        None => None,
    };
    let state = row.text("state")?;
    let ended_as = match RunState::find(&state).filter(|state| state.is_end()) {
        None if state == "open" => None,
        Some(end) => Some(end),
        None => return Err(damaged("run.state")),
    };
    Ok(Run {
        id: row.id("id")?,
        connector: row.id("connector_id")?,
        number: row.number("number")?,
        cause: row.word("cause", Cause::find)?,
        started_by: row.text("started_by")?,
        source: row.id("source_id")?,
        protocol: row.word("protocol", Protocol::find)?,
        exporter_revision: row.number("exporter_revision")?,
        set_up,
        file_name: row.text("file_name")?,
        file,
        made_at: row.optional_number("made_at")?,
        made_bytes: row.optional_number("made_bytes")?.and_then(|bytes| u64::try_from(bytes).ok()),
        ended_as,
        hold: row.optional_word("hold_reason", HoldReason::find)?,
        step: row.word("step", Step::find)?,
        collect_to: row.optional_text("collect_to")?,
        collected: row.flag("collected")?,
        records: row.count("records")?,
        sent_records: row.count("sent_records")?,
        sent_bytes: row.count("sent_bytes")?,
        requests: row.count("requests")?,
        sent_to: row.text("sent_to")?,
        owes: row.flag("owes")?,
        due_at: row.time("due_at")?,
        attempts: row.count("attempts")?,
        crashes: row.count("crashes")?,
        throttled_since: row.optional_time("throttled_since")?,
        lease_until: row.optional_time("lease_until")?,
        fence: row.number("fence")?,
        outcome: row.optional_text("outcome")?,
        message: row.optional_text("message")?,
        created_at: row.time("created_at")?,
        started_at: row.optional_time("started_at")?,
        ended_at: row.optional_time("ended_at")?,
    })
}
