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
    /// The API key that called.
    pub key: KeyId,
    /// The name of that key, which may be revoked by now.
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
            row.bind(of.key.to_string()).push(", ").bind(of.key_name.as_str()).push(", ");
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
    page: &Page,
) -> Result<Listed<GatewayCall>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select * from gateway_call c where c.connector_id = ");
    statement.bind(connector.to_string());
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "c.id", turn.key_part()?);
    let calls = statement.all(db).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Listed { count, ..turn.listed(calls, |call| vec![call.id.to_string()]) })
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
        key: row.id("key_id")?,
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
