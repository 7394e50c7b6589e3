//! The rows of Consign, on SQLite or PostgreSQL with one SQL text.
//!
//! Every query is a function over a connection, `&mut Db`, so that queries compose in one transaction:
//! begin with [`Store::begin`], call what belongs together, [`Tx::commit`]. What differs between the two
//! databases is in this file, in `sqlite`, in `migrate` and in `statement`, and nowhere else. Times that a
//! query needs are arguments, taken from [`Tx::now`] or [`Reader::now`]: the clock of the database, not of
//! a replica.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use consign_core::time::Timestamp;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, ConnectOptions as _, Connection as _, Row as _, Transaction};

pub use address::{BadAddress, DatabaseUrl};
pub use error::StoreError;
pub use page::{Listed, PAGE_ITEMS_MAX, Page};

mod address;
mod error;
mod migrate;
mod page;
mod row;
mod sqlite;
mod statement;

pub mod installation;
pub mod payload_keys;

pub mod connectors;
pub mod consents;
pub mod credential_tests;
pub mod credentials;
pub mod tokens;

pub mod attempts;
pub mod deliveries;
pub mod events;

pub mod api_keys;
pub mod audit;
pub mod idempotency;
pub mod protected;
pub mod sessions;
pub mod users;

pub mod retention;

/// A connection: what every query function works on.
pub type Db = sqlx::AnyConnection;

/// How long a request waits for a free connection before the database counts as unreachable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The database, open and migrated. A clone is the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// The connections that write; on SQLite there is one, because it writes serially anyway.
    writing: AnyPool,
    /// The connections that read; on PostgreSQL the same ones.
    reading: AnyPool,
    /// SQLite: kept locked so that a second process is refused.
    lock: Option<sqlite::FileLock>,
    /// Milliseconds by which tests moved the clock.
    offset: AtomicI64,
}

impl Store {
    /// Connects and migrates. `max_connections` is for PostgreSQL; SQLite has one that writes and three
    /// that read.
    ///
    /// # Errors
    /// When the database cannot be reached, is newer than the program, belongs to another process, or
    /// refuses a setting that keeps the data safe.
    pub async fn open(url: &DatabaseUrl, max_connections: u32) -> Result<Self, StoreError> {
        let store = Self::connect(url, max_connections).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Connects, and changes nothing: the key ring is judged before [`Store::migrate`].
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn connect(url: &DatabaseUrl, max_connections: u32) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let store = match url.sqlite_path() {
            Some(path) => {
                let (lock, writing, reading) = sqlite::open(path).await?;
                Self::of(writing, reading, Some(lock))
            }
            None => {
                let pool = open_postgres(url, max_connections).await?;
                Self::of(pool.clone(), pool, None)
            }
        };
        migrate::judge(&store).await?;
        Ok(store)
    }

    /// Brings the database to the version of this program.
    ///
    /// # Errors
    /// When a migration fails; those before it stay.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrate::run(self).await
    }

    fn of(writing: AnyPool, reading: AnyPool, lock: Option<sqlite::FileLock>) -> Self {
        Self(Arc::new(Inner { writing, reading, lock, offset: AtomicI64::new(0) }))
    }

    /// Begins a transaction. Dropped without a commit it changes nothing.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        // Immediate: on SQLite a transaction that turns from reading to writing can fail at once.
        let begin = if self.is_postgres() { "begin" } else { "begin immediate" };
        let begun: Result<Transaction<'static, Any>, _> = self.0.writing.begin_with(begin).await;
        let mut inner = match begun {
            // A full disk makes SQLite roll back by itself. The driver still counts that transaction as open and would
            // let no other one begin on this connection, so a fresh one takes its place.
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.0.writing.acquire().await?.close().await?;
                self.0.writing.begin_with(begin).await?
            }
            begun => begun?,
        };
        let now = self.now_on(&mut inner).await?;
        Ok(Tx { inner, now })
    }

    /// A connection for reading, so that a slow page never delays a write.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        let mut inner: PoolConnection<Any> = self.0.reading.acquire().await?;
        let now = self.now_on(&mut inner).await?;
        Ok(Reader { inner, now })
    }

    /// A view of the database as it is at its first query: what is read through it fits together.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn view(&self) -> Result<Tx, StoreError> {
        let begin = if self.is_postgres() {
            "begin isolation level repeatable read read only"
        } else {
            "begin deferred"
        };
        let mut inner = self.0.reading.begin_with(begin).await?;
        let now = self.now_on(&mut inner).await?;
        Ok(Tx { inner, now })
    }

    /// The clock of the database: on SQLite that of this host, without a query.
    ///
    /// # Errors
    /// When PostgreSQL cannot be reached.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        if self.is_postgres() { Ok(self.read().await?.now()) } else { Ok(self.shifted(local_now())) }
    }

    /// This host's clock, without asking the database.
    pub fn local_now(&self) -> Timestamp {
        self.shifted(local_now())
    }

    /// Moves the clock of this store forward. For tests: nothing in the database changes, so other replicas
    /// do not notice.
    pub fn advance(&self, by: Duration) {
        self.0.offset.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// A value of the installation; `None` in a database that was never set up.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn installation(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut db = self.read().await?;
        if migrate::has_table(&mut db, "installation").await? {
            installation::get(&mut db, key).await
        } else {
            Ok(None)
        }
    }

    /// Whether several replicas may share this database.
    pub fn is_postgres(&self) -> bool {
        self.0.lock.is_none()
    }

    /// Waits for running queries and closes all connections; on SQLite the write-ahead log is written back.
    pub async fn close(&self) {
        if let Some(lock) = &self.0.lock {
            self.0.reading.close().await;
            sqlite::write_back(&self.0.writing).await;
            self.0.writing.close().await;
            lock.release();
        } else {
            self.0.writing.close().await;
        }
    }

    async fn now_on(&self, db: &mut Db) -> Result<Timestamp, StoreError> {
        let now = if self.is_postgres() { postgres_clock(db).await? } else { local_now() };
        Ok(self.shifted(now))
    }

    fn shifted(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.millis().saturating_add(self.0.offset.load(Ordering::Relaxed)))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_postgres() { "Store(PostgreSQL)" } else { "Store(SQLite)" })
    }
}

/// A transaction.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Any>,
    now: Timestamp,
}

impl Tx {
    /// The clock of the database when the transaction began.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Makes the changes durable: when this returns, they are on disk.
    ///
    /// # Errors
    /// When they may not be. After [`StoreError::Unreachable`] it is unknown.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }
}

impl Deref for Tx {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Db {
        &mut self.inner
    }
}

/// A connection for reading.
#[derive(Debug)]
pub struct Reader {
    inner: PoolConnection<Any>,
    now: Timestamp,
}

impl Reader {
    /// The clock of the database when the connection was taken.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

impl Deref for Reader {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.inner
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Db {
        &mut self.inner
    }
}

/// Whether a connection speaks to PostgreSQL.
fn is_postgres(db: &Db) -> bool {
    db.backend_name() == "PostgreSQL"
}

/// Locks the rows of a query and passes over rows that another replica holds. SQLite has one writer and
/// needs no word.
fn skip_locked(db: &Db, of: &'static str) -> &'static str {
    match (is_postgres(db), of) {
        (false, _) => "",
        (true, "c") => " for update of c skip locked",
        (true, _) => " for update of d skip locked",
    }
}

/// This host's clock.
#[expect(clippy::disallowed_methods, reason = "the one clock of the program: SQLite runs on this host")]
pub fn local_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

async fn postgres_clock(db: &mut Db) -> Result<Timestamp, StoreError> {
    let clock = sqlx::query("select cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint)");
    Ok(Timestamp::from_millis(clock.fetch_one(db).await?.try_get(0)?))
}

/// Statements are not logged: the text is in this program, and the values are nobody's business.
fn options(address: &str) -> Result<AnyConnectOptions, StoreError> {
    let options: AnyConnectOptions = address.parse()?;
    Ok(options.disable_statement_logging())
}

async fn open_postgres(url: &DatabaseUrl, max_connections: u32) -> Result<AnyPool, StoreError> {
    let options = options(&url.postgres_address())?;
    // A pool tries again and again; the first connection is made without one, so that its error is seen.
    let mut first = options.connect().await?;
    let row = sqlx::query("show synchronous_commit").fetch_one(&mut first).await?;
    if row.try_get::<String, _>(0)? == "off" {
        tracing::warn!(
            "PostgreSQL has synchronous_commit off: accepted events can be lost when the server stops"
        );
    }
    first.close().await?;
    let pool = AnyPoolOptions::new()
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

#[cfg(test)]
mod tests;
