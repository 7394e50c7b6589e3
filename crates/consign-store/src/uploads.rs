//! Files that are being pushed: how far they have come. The pieces stand under the run that the file will be. Pieces without
//! a run and without a row here are needed by nobody.

use consign_core::id::{ConnectorId, RunId, UploadId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::Row;
use crate::statement::Statement;
use crate::{Db, StoreError};

/// A file on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The run that it will be.
    pub run: RunId,
    /// The exporter.
    pub connector: ConnectorId,
    /// Its name, as it was pushed.
    pub file_name: String,
    /// Its media type.
    pub content_type: String,
    /// How long it will be, where that was said.
    pub announced_bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal, where that was said.
    pub announced_digest: Option<String>,
    /// Who pushes it.
    pub created_by: String,
    /// Pieces that are stored.
    pub pieces: i64,
    /// Their length: where it goes on.
    pub bytes: u64,
    /// How far the SHA-256 of them has come, as whoever takes the file puts it down.
    pub digest_state: Option<Vec<u8>>,
    /// Rises with every request that goes on with it; an earlier one stores nothing more.
    pub fence: i64,
    /// All of it is there, and the run has begun.
    pub complete: bool,
    /// It comes in one request, and does not go on after a cut.
    pub one_request: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When something of it arrived last.
    pub touched_at: Timestamp,
}

impl Upload {
    /// One of which nothing is there, and nothing more is known.
    pub fn new(connector: ConnectorId, file_name: &str, created_by: String, now: Timestamp) -> Self {
        Self {
            id: UploadId::new(now),
            run: RunId::new(now),
            connector,
            file_name: file_name.to_owned(),
            content_type: String::new(),
            announced_bytes: None,
            announced_digest: None,
            created_by,
            pieces: 0,
            bytes: 0,
            digest_state: None,
            fence: 0,
            complete: false,
            one_request: false,
            created_at: now,
            touched_at: now,
        }
    }
}

/// Adds one.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, new: &Upload) -> Result<(), StoreError> {
    let query = query(
        "insert into upload (id, run_id, connector_id, file_name, content_type, announced_bytes, announced_digest,
           created_by, pieces, bytes, fence, complete, created_at, touched_at, digest_state,
           one_request)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    );
    query
        .bind(new.id.to_string())
        .bind(new.run.to_string())
        .bind(new.connector.to_string())
        .bind(new.file_name.as_str())
        .bind(new.content_type.as_str())
        .bind(new.announced_bytes.map(stored))
        .bind(new.announced_digest.as_deref())
        .bind(new.created_by.as_str())
        .bind(new.pieces)
        .bind(stored(new.bytes))
        .bind(new.fence)
        .bind(i64::from(new.complete))
        .bind(new.created_at.millis())
        .bind(new.touched_at.millis())
        .bind(new.digest_state.as_deref())
        .bind(i64::from(new.one_request))
        .execute(db)
        .await?;
    Ok(())
}

/// One by its id.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: UploadId) -> Result<Option<Upload>, StoreError> {
    let query = query("select * from upload where id = $1").bind(id.to_string());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// Those of an exporter that are not complete, the oldest first; of one caller, or of all. No more than `max`.
///
/// # Errors
/// When the database cannot be read.
pub async fn open_of(
    db: &mut Db,
    connector: ConnectorId,
    created_by: Option<&str>,
    max: u32,
) -> Result<Vec<Upload>, StoreError> {
    let mut statement = Statement::new(db, "select * from upload where complete = 0 and connector_id = ");
    statement.bind(connector.to_string());
    if let Some(caller) = created_by {
        statement.push(" and created_by = ").bind(caller);
    }
    statement.push(" order by id limit ").bind(i64::from(max));
    statement.all(db).await?.iter().map(read).collect()
}

/// How many of an exporter may go on and are not complete.
///
/// # Errors
/// When the database cannot be read.
pub async fn open_count(db: &mut Db, connector: ConnectorId) -> Result<u64, StoreError> {
    let query = query(
        "select count(*) as open from upload where connector_id = $1 and complete = 0 and one_request = 0",
    );
    query.bind(connector.to_string()).one(db).await?.count("open")
}

/// How many of them one caller began.
///
/// # Errors
/// When the database cannot be read.
pub async fn open_count_by(db: &mut Db, connector: ConnectorId, created_by: &str) -> Result<u64, StoreError> {
    let query = query(
        "select count(*) as open from upload
         where connector_id = $1 and complete = 0 and one_request = 0 and created_by = $2",
    );
    query.bind(connector.to_string()).bind(created_by).one(db).await?.count("open")
}

/// Pieces of all files that are on their way.
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting_pieces(db: &mut Db) -> Result<u64, StoreError> {
    let query =
        query("select cast(coalesce(sum(pieces), 0) as bigint) as pieces from upload where complete = 0");
    query.one(db).await?.count("pieces")
}

/// Takes one over at an offset, from whichever request went on with it before. `None` when it is complete, somewhere else,
/// or not there.
///
/// # Errors
/// When the database cannot be written.
pub async fn take(db: &mut Db, id: UploadId, at: u64) -> Result<Option<Upload>, StoreError> {
    let query = query(
        "update upload set fence = fence + 1
         where id = $1 and bytes = $2 and complete = 0 and one_request = 0 returning *",
    );
    query.bind(id.to_string()).bind(stored(at)).optional(db).await?.map(|row| read(&row)).transpose()
}

/// Writes down how far one has come. `false`: another request goes on with it.
///
/// # Errors
/// When the database cannot be written.
pub async fn advance(db: &mut Db, upload: &Upload, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update upload set pieces = $1, bytes = $2, complete = $3, touched_at = $4, digest_state = $5
         where id = $6 and fence = $7 and complete = 0",
    );
    let query = query.bind(upload.pieces).bind(stored(upload.bytes)).bind(i64::from(upload.complete));
    let query = query
        .bind(now.millis())
        .bind(upload.digest_state.as_deref())
        .bind(upload.id.to_string())
        .bind(upload.fence);
    Ok(query.execute(db).await? == 1)
}

/// Forgets one that is not complete, and tells whether there was one. Nobody needs its pieces then, and none is added.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete(db: &mut Db, id: UploadId) -> Result<bool, StoreError> {
    let query = query("delete from upload where id = $1 and complete = 0").bind(id.to_string());
    Ok(query.execute(db).await? == 1)
}

/// Forgets those that came in one request, which ended with the program: for one that knows it is alone, at its start.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_cut_off(db: &mut Db) -> Result<u64, StoreError> {
    query("delete from upload where one_request = 1 and complete = 0").execute(db).await
}

fn read(row: &Row) -> Result<Upload, StoreError> {
    Ok(Upload {
        id: row.id("id")?,
        run: row.id("run_id")?,
        connector: row.id("connector_id")?,
        file_name: row.text("file_name")?,
        content_type: row.text("content_type")?,
        announced_bytes: row.optional_number("announced_bytes")?.and_then(|bytes| u64::try_from(bytes).ok()),
        announced_digest: row.optional_text("announced_digest")?,
        created_by: row.text("created_by")?,
        pieces: row.number("pieces")?,
        bytes: row.count("bytes")?,
        digest_state: row.optional_bytes("digest_state")?,
        fence: row.number("fence")?,
        complete: row.flag("complete")?,
        one_request: row.flag("one_request")?,
        created_at: row.time("created_at")?,
        touched_at: row.time("touched_at")?,
    })
}

fn stored(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
