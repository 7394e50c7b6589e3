//! Files that runs brought to a server, for exporters that keep so many of theirs. Only what stands here is ever taken away
//! again, and only from where it was brought.

use consign_core::id::ConnectorId;

use super::stored;
use crate::db::query;
use crate::{Db, StoreError};

/// A file that a run brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFile {
    /// Its name.
    pub file_name: String,
    /// The number of its run.
    pub number: i64,
    /// Its size.
    pub bytes: u64,
    /// When its server wrote it, in seconds since 1970 by the clock of the server; absent where it does not say.
    pub made_at: Option<i64>,
}

/// Writes a file down. One of the same name took the place of the one before.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_file(
    db: &mut Db,
    connector: ConnectorId,
    place: &str,
    file: &RunFile,
) -> Result<(), StoreError> {
    let query = query(
        "insert into run_file (connector_id, place, file_name, number, bytes, made_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (connector_id, place, file_name) do update
           set number = excluded.number, bytes = excluded.bytes, made_at = excluded.made_at",
    );
    let query = query.bind(connector.to_string()).bind(place).bind(file.file_name.as_str());
    query.bind(file.number).bind(stored(file.bytes)).bind(file.made_at).execute(db).await?;
    Ok(())
}

/// At most `max` files in a place beyond the newest `keep`, the oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn files_beyond(
    db: &mut Db,
    connector: ConnectorId,
    place: &str,
    keep: u32,
    max: u32,
) -> Result<Vec<RunFile>, StoreError> {
    let query = query(
        "select file_name, number, bytes, made_at from run_file
         where connector_id = $1 and place = $2 and number < (
           select min(number) from (select number from run_file
             where connector_id = $1 and place = $2 order by number desc limit $3) as newest)
         order by number limit $4",
    );
    let query = query.bind(connector.to_string()).bind(place).bind(i64::from(keep)).bind(i64::from(max));
    let rows = query.all(db).await?;
    let file = |row: &crate::row::Row| {
        Ok(RunFile {
            file_name: row.text("file_name")?,
            number: row.number("number")?,
            bytes: row.count("bytes")?,
            made_at: row.optional_number("made_at")?,
        })
    };
    rows.iter().map(file).collect()
}

/// A file is gone, or no longer the one that was brought.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget_file(
    db: &mut Db,
    connector: ConnectorId,
    place: &str,
    file: &RunFile,
) -> Result<(), StoreError> {
    let query = query(
        "delete from run_file where connector_id = $1 and place = $2 and file_name = $3 and number = $4",
    );
    let query = query.bind(connector.to_string()).bind(place).bind(file.file_name.as_str());
    query.bind(file.number).execute(db).await?;
    Ok(())
}
