//! The pieces of pushed files.

use std::collections::HashMap;

use consign_core::id::RunId;

use crate::db::query;
use crate::row::Row;
use crate::statement::{self, Statement};
use crate::{Db, StoreError};

/// A piece of a file, sealed.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// From 0.
    pub number: i64,
    /// The day of the payload key.
    pub payload_key: i64,
    /// Under the payload key.
    pub sealed_data: Vec<u8>,
}

/// Keeps a piece. Without the run that it is for it goes after a day.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_chunk(db: &mut Db, run: RunId, chunk: &Chunk) -> Result<(), StoreError> {
    query("insert into run_chunk (run_id, number, payload_key, sealed_data) values ($1, $2, $3, $4)")
        .bind(run.to_string())
        .bind(chunk.number)
        .bind(chunk.payload_key)
        .bind(chunk.sealed_data.as_slice())
        .execute(db)
        .await?;
    Ok(())
}

/// The next pieces from a number on, in their order.
///
/// # Errors
/// When the database cannot be read.
pub async fn chunks(db: &mut Db, run: RunId, from: i64, max: u32) -> Result<Vec<Chunk>, StoreError> {
    let query = query(
        "select number, payload_key, sealed_data from run_chunk
         where run_id = $1 and number >= $2 order by number limit $3",
    );
    let rows = query.bind(run.to_string()).bind(from).bind(i64::from(max)).all(db).await?;
    rows.into_iter().map(read).collect()
}

/// The first pieces of several files, read together; for one that is not there, none.
///
/// # Errors
/// When the database cannot be read.
pub async fn first_chunks(db: &mut Db, runs: &[RunId]) -> Result<HashMap<RunId, Chunk>, StoreError> {
    let mut first = HashMap::with_capacity(runs.len());
    for some in statement::chunks(runs) {
        let text =
            "select run_id, number, payload_key, sealed_data from run_chunk where number = 0 and run_id in (";
        let mut statement = Statement::new(db, text);
        statement.list(some.iter().map(RunId::to_string)).push(")");
        for row in statement.all(db).await? {
            first.insert(row.id("run_id")?, read(row)?);
        }
    }
    Ok(first)
}

fn read(mut row: Row) -> Result<Chunk, StoreError> {
    Ok(Chunk {
        number: row.number("number")?,
        payload_key: row.number("payload_key")?,
        sealed_data: row.take_bytes("sealed_data")?.unwrap_or_default(),
    })
}
