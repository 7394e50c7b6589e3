//! Calls through gateways: one row for each, without bodies.
//!
//! [`insert`] takes many at once, for the group commit; [`list`] gives the pages of one gateway, newest first. A row is
//! written once, after its call, and goes by age with [`crate::retention::delete_gateway_calls`].

use consign_core::id::{AttemptId, ConnectorId, KeyId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::{Row, stored};
use crate::statement::{Statement, chunks};
use crate::{Db, Listed, Page, StoreError};

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayCall {
    /// Its id: a call is an attempt without a delivery.
    pub id: AttemptId,
    /// The gateway.
    pub connector: ConnectorId,
    /// The API key that called; `None`: a person tried it.
    pub key: Option<KeyId>,
    /// The name of that key, which may be revoked by now, or of the person.
    pub key_name: String,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, to the last byte.
    pub duration_ms: u64,
    /// The method.
    pub method: String,
    /// The path below the gateway, without the query.
    pub path: String,
    /// The status that the tool answered; `None` when Consign itself answered.
    pub status: Option<u16>,
    /// The code that Consign itself answered, such as `tool_unreachable`; behind a status: how the answer broke off, `cut`
    /// or `client_gone`.
    pub code: Option<String>,
    /// The bytes of the body that the application sent, as far as they were passed on.
    pub request_bytes: u64,
    /// The bytes of the body that the application was given.
    pub answer_bytes: u64,
    /// Whether a token was renewed for it.
    pub renewed: bool,
    /// Whether a secret was hidden in the answer.
    pub hidden: bool,
}

/// Which calls a list shows; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// The API key that called.
    pub key: Option<KeyId>,
    /// The method.
    pub method: Option<String>,
    /// Only those that Consign itself answered, that broke off, or that the tool answered with 400 or more.
    pub errors_only: bool,
}

/// A call that did not end well, of whichever side.
const IS_ERROR: &str = "(code is not null or status >= 400)";

/// Calls of a gateway are counted up to here: beyond it a person does not care how many.
pub const COUNTED_MAX: u64 = 10_000;

/// How many calls there were in a while, the latest [`COUNTED_MAX`] of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCount {
    /// All of them.
    pub calls: u64,
    /// Those that did not end well.
    pub errors: u64,
}

/// Adds calls.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, calls: &[&GatewayCall]) -> Result<(), StoreError> {
    for chunk in chunks(calls) {
        let mut statement = Statement::new(
            db,
            "insert into gateway_call (id, connector_id, key_id, key_name, started_at, duration_ms, method, path,
               status, code, request_bytes, answer_bytes, renewed, hidden)
             values ",
        );
        statement.rows(chunk, |row, of| {
            row.bind(of.id.to_string()).push(", ").bind(of.connector.to_string()).push(", ");
            row.bind(of.key.map(|key| key.to_string())).push(", ").bind(of.key_name.as_str()).push(", ");
            row.bind(of.started_at.millis()).push(", ").bind(stored(of.duration_ms)).push(", ");
            row.bind(of.method.as_str()).push(", ").bind(of.path.as_str()).push(", ");
            row.bind(of.status.map(i64::from)).push(", ").bind(of.code.as_deref()).push(", ");
            row.bind(stored(of.request_bytes)).push(", ").bind(stored(of.answer_bytes)).push(", ");
            row.bind(i64::from(of.renewed)).push(", ").bind(i64::from(of.hidden));
        });
        statement.execute(db).await?;
    }
    Ok(())
}

/// A page of the calls of a gateway, newest first.
///
/// # Errors
/// `BadCursor`, or when the database cannot be read.
pub async fn list(
    db: &mut Db,
    connector: ConnectorId,
    filter: &CallFilter,
    page: &Page,
) -> Result<Listed<GatewayCall>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select * from gateway_call c where c.connector_id = ");
    statement.bind(connector.to_string());
    if let Some(key) = filter.key {
        statement.push(" and c.key_id = ").bind(key.to_string());
    }
    if let Some(method) = &filter.method {
        statement.push(" and c.method = ").bind(method.as_str());
    }
    if filter.errors_only {
        statement.push(" and ").push(IS_ERROR);
    }
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "c.id", turn.key_part()?);
    let calls = statement.all(db).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Listed { count, ..turn.listed(calls, |call| vec![call.id.to_string()]) })
}

/// How many calls of a gateway began since a time.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_since(
    db: &mut Db,
    connector: ConnectorId,
    since: Timestamp,
) -> Result<CallCount, StoreError> {
    let mut statement =
        Statement::new(db, "select count(*) as calls, coalesce(sum(failed), 0) as errors from (");
    statement.push("select case when ").push(IS_ERROR).push(" then 1 else 0 end as failed from gateway_call");
    statement.push(" where connector_id = ").bind(connector.to_string());
    statement.push(" and id >= ").bind(AttemptId::new(since).to_string());
    statement.push(" order by id desc limit ").bind(stored(COUNTED_MAX)).push(") as recent");
    let rows = statement.all(db).await?;
    let Some(row) = rows.first() else { return Ok(CallCount::default()) };
    Ok(CallCount { calls: row.count("calls")?, errors: row.count("errors")? })
}

/// One call.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: AttemptId) -> Result<Option<GatewayCall>, StoreError> {
    let query = query("select * from gateway_call where id = $1").bind(id.to_string());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

fn read(row: &Row) -> Result<GatewayCall, StoreError> {
    Ok(GatewayCall {
        id: row.id("id")?,
        connector: row.id("connector_id")?,
        key: row.optional_id("key_id")?,
        key_name: row.text("key_name")?,
        started_at: row.time("started_at")?,
        duration_ms: row.count("duration_ms")?,
        method: row.text("method")?,
        path: row.text("path")?,
        status: row.optional_count("status")?,
        code: row.optional_text("code")?,
        request_bytes: row.count("request_bytes")?,
        answer_bytes: row.count("answer_bytes")?,
        renewed: row.flag("renewed")?,
        hidden: row.flag("hidden")?,
    })
}
