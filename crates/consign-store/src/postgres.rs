//! PostgreSQL: a small pool, read committed, and statements with typed values.

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgPoolOptions, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _};
use sqlx::{PgConnection, PgPool, Row as _, TypeInfo as _, ValueRef as _};

use crate::db::Value;
use crate::row::Row;
use crate::{ACQUIRE_TIMEOUT, DatabaseUrl, StoreError};

/// Enough for every statement of this program, so that each is prepared once per connection.
const STATEMENTS_PREPARED_MAX: usize = 256;

/// Connects a pool.
pub(crate) async fn open(url: &DatabaseUrl, max_connections: u32) -> Result<PgPool, StoreError> {
    // Statements are not logged: the text is in this program, and the values are nobody's business.
    let options = url.postgres_options()?.statement_cache_capacity(STATEMENTS_PREPARED_MAX);
    let options = options.disable_statement_logging();
    // A pool tries again and again; the first connection is made without one, so that its error is seen.
    let mut first = options.connect().await?;
    let setting: String = sqlx::query_scalar("show synchronous_commit").fetch_one(&mut first).await?;
    if setting == "off" {
        tracing::warn!(
            "PostgreSQL has synchronous_commit off: accepted events can be lost when the server stops"
        );
    }
    first.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(max_connections.max(2))
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|db, _| {
            Box::pin(async move {
                sqlx::query("set default_transaction_isolation = 'read committed'").execute(db).await?;
                Ok(())
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Runs a text of several statements.
pub(crate) async fn script(db: &mut PgConnection, text: String) -> Result<(), StoreError> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(db).await?;
    Ok(())
}

/// Runs a statement and tells how many rows it changed.
pub(crate) async fn execute(db: &mut PgConnection, text: &str, values: &[Value]) -> Result<u64, StoreError> {
    let query = sqlx::query_with(AssertSqlSafe(text.to_owned()), arguments(values));
    Ok(query.execute(db).await?.rows_affected())
}

/// Runs a statement and gives its rows.
pub(crate) async fn all(db: &mut PgConnection, text: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
    let query = sqlx::query_with(AssertSqlSafe(text.to_owned()), arguments(values));
    let rows = query.fetch_all(db).await?;
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let columns: Arc<[Box<str>]> = first.columns().iter().map(|column| column.name().into()).collect();
    rows.iter().map(|row| Ok(Row::new(columns.clone(), read(row)?))).collect()
}

fn arguments(values: &[Value]) -> PgArguments {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
        };
        added.expect("text, numbers and bytes always encode");
    }
    arguments
}

fn read(row: &PgRow) -> Result<Vec<Value>, sqlx::Error> {
    let value = |place: usize| {
        let raw = row.try_get_raw(place)?;
        Ok(match raw.type_info().name() {
            "INT8" => Value::Number(row.try_get(place)?),
            "INT4" => Value::Number(row.try_get::<Option<i32>, _>(place)?.map(i64::from)),
            "BYTEA" => Value::Bytes(row.try_get(place)?),
            _ => Value::Text(row.try_get_unchecked(place)?),
        })
    };
    (0..row.len()).map(value).collect()
}
