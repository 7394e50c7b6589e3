//! SQLite: settings that make a commit durable, one connection that writes, and a lock against a second
//! process.
//!
//! A statement goes to a thread that may wait for the disk, and its rows come back together. Whoever has such a
//! thread to himself, as group commit has, spares the way.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::db::{Text, Value};
use crate::row::{Row, damaged};
use crate::{ACQUIRE_TIMEOUT, StoreError};

/// Lists and pages are read over so many connections.
const READERS: usize = 3;
/// Only the owner of the process reads the database.
const FILE_MODE: u32 = 0o600;
/// Enough for every statement of this program, so that each is prepared once per connection.
const STATEMENTS_PREPARED_MAX: usize = 256;

/// Settings without which an answer of 202 would be a lie or deleted secrets would stay in free pages: the
/// text, the name to read back, and the value it must have.
const PROTECTION: &[(&str, &str, &str)] = &[
    ("pragma journal_mode = wal", "journal_mode", "wal"),
    ("pragma synchronous = full", "synchronous", "2"),
    ("pragma foreign_keys = on", "foreign_keys", "1"),
    ("pragma secure_delete = on", "secure_delete", "1"),
];

/// A bigger log lets hot pages be written back once instead of many times, and a cap gives the disk back
/// after a burst; 16 MiB of cache hold the indexes of a long queue; sorting leaves nothing in temporary
/// files.
const WRITER: &str = "pragma wal_autocheckpoint = 4000; pragma journal_size_limit = 67108864; \
    pragma cache_size = -16384; pragma temp_store = memory; pragma busy_timeout = 5000;";
const READER: &str = "pragma query_only = on; pragma temp_store = memory; pragma busy_timeout = 5000;";

/// A statement over a copy looks so often whether somebody waits for it; some thousand steps take a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 5_000;
/// No value that this program stores is nearly so large.
const STRANGE_VALUE_BYTES_MAX: i32 = 256 << 20;
/// A copy that nobody else has is changed without a second file beside it.
const OWN: &str = "pragma journal_mode = memory; pragma synchronous = full; pragma temp_store = memory;";

/// A copy is written elsewhere, which `query_only` would refuse.
const COPIER: &str = "pragma temp_store = memory; pragma busy_timeout = 5000;";

/// The database file, open.
pub(crate) struct Files {
    /// The connection that writes: one, because SQLite writes serially anyway.
    pub(crate) writing: Arc<Pool>,
    /// The connections that read.
    pub(crate) reading: Arc<Pool>,
    /// The connection that copies: a long copy keeps no reader waiting.
    pub(crate) copying: Arc<Pool>,
    /// Kept locked so that a second process is refused.
    lock: FileLock,
}

/// A connection to a copy that nobody uses, and that somebody else may have made; the file is not changed. Its
/// statements end soon after `over` is set.
pub(crate) async fn copy(file: &Path, over: Arc<AtomicBool>) -> Result<Lent, StoreError> {
    let path = std::path::absolute(file);
    let path = path.map_err(|error| StoreError::File { path: file.to_owned(), kind: error.kind() })?;
    let mut lent = Pool::of(&path, Role::Stranger, 1).take(false).await?;
    if let Some(held) = &mut lent.held {
        let ends = move || over.load(Ordering::Relaxed);
        held.connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(ends))?;
    }
    Ok(lent)
}

/// One object of a schema: its type, its name, the table it belongs to, and its text.
pub(crate) type Object = (String, String, String, Option<String>);

/// The objects that these texts make in an empty database.
pub(crate) fn objects_of(texts: &[&str]) -> Result<Vec<Object>, StoreError> {
    let db = Connection::open_in_memory()?;
    for text in texts {
        db.execute_batch(text)?;
    }
    let mut statement = db.prepare("select type, name, tbl_name, sql from sqlite_master")?;
    let objects = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    Ok(objects)
}

/// A connection that writes into a copy that nobody uses.
pub(crate) async fn own_copy(file: &Path) -> Result<Lent, StoreError> {
    let path = std::path::absolute(file);
    let path = path.map_err(|error| StoreError::File { path: file.to_owned(), kind: error.kind() })?;
    Pool::of(&path, Role::Owner, 1).take(false).await
}

/// Writes the logs of a file into it; its last connection takes them away.
pub(crate) fn settle(file: &Path) -> Result<(), StoreError> {
    let db = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    guard(&db)?;
    // Without a write-ahead log the first read takes back what a journal says was not committed.
    db.execute_batch(
        "pragma synchronous = full; pragma busy_timeout = 1000; select count(*) from sqlite_schema",
    )?;
    let busy: i64 = db.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0))?;
    if busy != 0 {
        return Err(StoreError::Locked);
    }
    db.close().map_err(|(_, error)| error.into())
}

/// Keeps every process from opening a database file, until it is dropped.
#[derive(Debug)]
pub struct Closed {
    _lock: FileLock,
}

impl Closed {
    /// Locks a database file, which need not be there.
    ///
    /// # Errors
    /// `Locked` when a process uses it.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::File { path: path.to_owned(), kind: error.kind() };
        Ok(Self { _lock: FileLock::take(&std::path::absolute(path).map_err(failed)?)? })
    }
}

impl Files {
    /// Locks and opens the file, and proves its protection.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::File { path: path.to_owned(), kind: error.kind() };
        let path = std::path::absolute(path).map_err(failed)?;
        let lock = FileLock::take(&path)?;
        drop(create_private(&path)?);
        let writing = Pool::of(&path, Role::Writer, 1);
        let reading = Pool::of(&path, Role::Reader, READERS);
        let copying = Pool::of(&path, Role::Copier, 1);
        // The first one is made at once, so that its error is seen.
        let writer = writing.connect()?;
        read_back(&writer)?;
        writing.free().push(writer);
        Ok(Self { writing, reading, copying, lock })
    }

    /// Waits for running queries, closes all connections and lets another process open the file. The log is
    /// written back into the database file, so that a copy of that file alone is complete.
    pub(crate) async fn close(&self) {
        self.reading.close().await;
        self.copying.close().await;
        // Without it nothing is lost: the log is read at the next start.
        let written =
            async { self.writing.take(false).await?.script("pragma wal_checkpoint(truncate)").await };
        if let Err(error) = written.await {
            tracing::warn!(%error, "the write-ahead log was not written back");
        }
        self.writing.close().await;
        self.lock.release();
    }
}

/// Held while the store is open.
#[derive(Debug)]
struct FileLock(File);

impl FileLock {
    fn take(database: &Path) -> Result<Self, StoreError> {
        // A file of its own: closing any descriptor of the database file would end the locks that SQLite
        // has on it.
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = create_private(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked),
            Err(TryLockError::Error(error)) => Err(StoreError::File { path, kind: error.kind() }),
        }
    }

    fn release(&self) {
        // It ends with the process in any case.
        let _ = self.0.unlock();
    }
}

#[derive(Clone, Copy)]
enum Role {
    Writer,
    Reader,
    /// Reads the database to write a copy of it.
    Copier,
    /// Writes into a copy of its own.
    Owner,
    /// Reads a copy that somebody else may have made.
    Stranger,
}

/// Connections that are lent out one by one and opened when they are first needed.
pub(crate) struct Pool {
    path: PathBuf,
    role: Role,
    size: u32,
    places: Arc<Semaphore>,
    free: Mutex<Vec<Connection>>,
}

impl Pool {
    fn of(path: &Path, role: Role, size: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(size));
        let size = u32::try_from(size).expect("a handful of connections");
        Arc::new(Self { path: path.to_owned(), role, size, places, free: Mutex::default() })
    }

    /// A connection, as soon as one is free. `here`: this thread may wait for the disk.
    pub(crate) async fn take(self: &Arc<Self>, here: bool) -> Result<Lent, StoreError> {
        let place = match self.places.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => tokio::time::timeout(ACQUIRE_TIMEOUT, self.places.clone().acquire_owned())
                .await
                .map_err(|_| StoreError::Unreachable)?
                .map_err(|_| StoreError::Unreachable)?,
        };
        let free = self.free().pop();
        let connection = free.map_or_else(|| self.connect(), Ok)?;
        let held = Held { connection, _place: place };
        Ok(Lent { held: Some(held), pool: self.clone(), here })
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let access = match self.role {
            Role::Writer | Role::Owner => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Role::Reader | Role::Copier | Role::Stranger => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let db = Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_PREPARED_MAX);
        // Else a statement with a bound limit is planned anew at each use.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        guard(&db)?;
        match self.role {
            Role::Writer => {
                for (text, _, _) in PROTECTION {
                    db.execute_batch(text)?;
                }
                db.execute_batch(WRITER)?;
            }
            Role::Reader => db.execute_batch(READER)?,
            Role::Copier => db.execute_batch(COPIER)?,
            Role::Owner => db.execute_batch(OWN)?,
            Role::Stranger => {
                db.set_limit(Limit::SQLITE_LIMIT_LENGTH, STRANGE_VALUE_BYTES_MAX)?;
                db.execute_batch(READER)?;
            }
        }
        Ok(db)
    }

    async fn close(&self) {
        let _all = self.places.acquire_many(self.size).await;
        self.places.close();
        self.free().clear();
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection until it is dropped. A transaction that was not committed changes nothing.
pub(crate) struct Lent {
    /// Away while a statement runs; gone when its caller did not wait for the end.
    held: Option<Held>,
    pool: Arc<Pool>,
    /// Statements run on the thread that asks.
    here: bool,
}

struct Held {
    connection: Connection,
    _place: OwnedSemaphorePermit,
}

impl Lent {
    /// Counts the steps that SQLite takes from now on, about.
    #[cfg(test)]
    pub(crate) fn count_steps(&mut self) -> Arc<std::sync::atomic::AtomicU64> {
        const AT_ONCE: i32 = 100;
        let steps = Arc::<std::sync::atomic::AtomicU64>::default();
        let counted = steps.clone();
        let count = move || {
            counted.fetch_add(AT_ONCE as u64, Ordering::Relaxed);
            false
        };
        let held = self.held.as_mut().expect("no statement runs");
        held.connection.progress_handler(AT_ONCE, Some(count)).unwrap();
        steps
    }

    /// Runs a text of several statements.
    pub(crate) async fn script(&mut self, text: impl Text) -> Result<(), StoreError> {
        self.run(move |db| Ok(db.execute_batch(text.as_ref())?)).await
    }

    /// Runs a statement and tells how many rows it changed.
    pub(crate) async fn execute(&mut self, text: impl Text, values: Vec<Value>) -> Result<u64, StoreError> {
        self.run(move |db| {
            let mut statement = db.prepare_cached(text.as_ref())?;
            bind(&mut statement, &values)?;
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            Ok(db.changes())
        })
        .await
    }

    /// Runs a statement and gives its rows.
    pub(crate) async fn all(&mut self, text: impl Text, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.run(move |db| {
            let mut statement = db.prepare_cached(text.as_ref())?;
            let columns: Arc<[Box<str>]> = statement.column_names().map(Into::into).collect();
            bind(&mut statement, &values)?;
            let mut rows = statement.raw_query();
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let named = columns.iter().enumerate();
                let values = named.map(|(place, name)| read(row.get_ref(place)?, name));
                found.push(Row::new(columns.clone(), values.collect::<Result<_, StoreError>>()?));
            }
            Ok(found)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let held = self.held.take().ok_or(StoreError::Unreachable)?;
        let on_it = move || {
            let done = work(&held.connection);
            (held, done)
        };
        let (held, done) = if self.here {
            on_it()
        } else {
            tokio::task::spawn_blocking(on_it).await.map_err(|_| StoreError::Unreachable)?
        };
        self.held = Some(held);
        done
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(Held { connection, _place }) = self.held.take() else { return };
        // A full disk makes SQLite roll back by itself. A connection that cannot is closed, and the next one is new.
        if connection.is_autocommit() || connection.execute_batch("rollback").is_ok() {
            self.pool.free().push(connection);
        }
    }
}

/// What a schema brings along, which somebody who writes the file may have put there, calls nothing that reaches beyond
/// the database, and no statement writes the schema or a file as such.
fn guard(db: &Connection) -> Result<(), StoreError> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(())
}

/// To SQLite `$2` is a name, and its place is where it first stands.
fn bind(statement: &mut Statement<'_>, values: &[Value]) -> Result<(), StoreError> {
    for place in 1..=statement.parameter_count() {
        let number = statement.parameter_name(place).map_or(Some(place), |name| name[1..].parse().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        statement.raw_bind_parameter(place, value.expect("a statement binds what it names"))?;
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Number(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Number(None) | Self::Text(None) | Self::Bytes(None) => ValueRef::Null,
        }))
    }
}

fn read(value: ValueRef<'_>, column: &str) -> Result<Value, StoreError> {
    Ok(match value {
        ValueRef::Null => Value::Text(None),
        ValueRef::Integer(number) => Value::Number(Some(number)),
        ValueRef::Text(text) => {
            Value::Text(Some(str::from_utf8(text).map_err(|_| damaged(column))?.to_owned()))
        }
        ValueRef::Blob(bytes) => Value::Bytes(Some(bytes.to_vec())),
        ValueRef::Real(_) => return Err(damaged(column)),
    })
}

fn read_back(db: &Connection) -> Result<(), StoreError> {
    for (_, name, expected) in PROTECTION {
        let found = db.pragma_query_value(None, name, |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Integer(number) => number.to_string(),
                word => word.as_str()?.to_owned(),
            })
        })?;
        if found != *expected {
            return Err(StoreError::Setting(name));
        }
    }
    Ok(())
}

/// Opens a file that only its owner may read, and creates it if need be. SQLite gives its log the same mode.
fn create_private(path: &Path) -> Result<File, StoreError> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
    file.map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full,
        kind => StoreError::File { path: path.to_owned(), kind },
    })
}
