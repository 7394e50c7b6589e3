//! SQLite: settings that make a commit durable, one connection that writes, and a lock against a second
//! process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, Row as _};

use crate::statement::run_script;
use crate::{ACQUIRE_TIMEOUT, Db, StoreError, options};

/// Lists and pages are read over so many connections.
const READERS: u32 = 3;
/// Only the owner of the process reads the database.
const FILE_MODE: u32 = 0o600;

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

/// Held while the store is open.
pub(crate) struct FileLock(File);

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

    /// Lets another process open the database.
    pub(crate) fn release(&self) {
        // It ends with the process in any case.
        let _ = self.0.unlock();
    }
}

/// The lock, the pool that writes and the pool that reads.
pub(crate) async fn open(path: &Path) -> Result<(FileLock, AnyPool, AnyPool), StoreError> {
    let failed = |error: std::io::Error| StoreError::File { path: path.to_owned(), kind: error.kind() };
    let path = std::path::absolute(path).map_err(failed)?;
    let lock = FileLock::take(&path)?;
    drop(create_private(&path)?);
    let (read_write, read_only) = (options(&address(&path, "rw"))?, options(&address(&path, "ro"))?);
    prove(&read_write).await?;
    let writing = AnyPoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|db, _| {
            Box::pin(async move {
                protect(&mut *db).await?;
                sqlx::raw_sql(WRITER).execute(db).await?;
                Ok(())
            })
        })
        .connect_with(read_write)
        .await?;
    let reading = AnyPoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|db, _| {
            Box::pin(async move {
                sqlx::raw_sql(READER).execute(db).await?;
                Ok(())
            })
        })
        .connect_lazy_with(read_only);
    Ok((lock, writing, reading))
}

/// Writes the log back into the database file, so that a copy of that file alone is complete.
pub(crate) async fn write_back(writing: &AnyPool) {
    let Ok(mut db) = writing.acquire().await else { return };
    // Without it nothing is lost: the log is read at the next start.
    if let Err(error) = run_script(&mut db, "pragma wal_checkpoint(truncate)".to_owned()).await {
        tracing::warn!(%error, "the write-ahead log was not written back");
    }
}

/// A pool tries again and again; the first connection is made without one, so that its error is seen.
async fn prove(options: &AnyConnectOptions) -> Result<(), StoreError> {
    let mut db = options.connect().await?;
    protect(&mut db).await?;
    read_back(&mut db).await?;
    Ok(db.close().await?)
}

async fn protect(db: &mut Db) -> Result<(), sqlx::Error> {
    for (text, _, _) in PROTECTION {
        sqlx::query(*text).execute(&mut *db).await?;
    }
    Ok(())
}

async fn read_back(db: &mut Db) -> Result<(), StoreError> {
    for (_, name, expected) in PROTECTION {
        let question = match *name {
            "journal_mode" => "pragma journal_mode",
            "synchronous" => "pragma synchronous",
            "foreign_keys" => "pragma foreign_keys",
            _ => "pragma secure_delete",
        };
        let row = sqlx::query(question).fetch_one(&mut *db).await?;
        let found = match row.try_get::<String, _>(0) {
            Ok(word) => word,
            Err(_) => row.try_get::<i64, _>(0)?.to_string(),
        };
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

/// The address for the driver, which decodes percent signs.
fn address(path: &Path, mode: &str) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut address = String::from("sqlite://");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            address.push(char::from(byte));
        } else {
            let _ = write!(address, "%{byte:02X}");
        }
    }
    let _ = write!(address, "?mode={mode}");
    address
}
