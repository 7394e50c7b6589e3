//! The rows of Consign, on SQLite or PostgreSQL with one SQL text.
//!
//! Every query is a function over a connection, `&mut Db`, so that queries compose in one transaction:
//! begin with [`Store::begin`], call what belongs together, [`Tx::commit`]. What differs between the two
//! databases is in this file, in `sqlite`, `postgres`, `migrate`, `statement`, `audit` and `backup`, and nowhere else. Times that a
//! query needs are arguments, taken from [`Tx::now`] or [`Reader::now`]: the clock of the database, not of
//! a replica.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consign_core::time::Timestamp;
use sqlx::PgPool;

pub use address::{BadAddress, DatabaseUrl};
pub use db::Db;
pub use error::StoreError;
pub use page::{COUNT_MAX, Listed, PAGE_ITEMS_MAX, Page};
pub use sqlite::Closed;

use db::{Kind, query};

mod address;
mod db;
mod error;
mod migrate;
mod page;
mod postgres;
mod row;
mod sqlite;
mod statement;

pub mod backup;
pub mod installation;
pub mod payload_keys;

pub mod connectors;
pub mod consents;
pub mod credential_tests;
pub mod credentials;
pub mod signing_keys;
pub mod tokens;

pub mod attempts;
pub mod deliveries;
pub mod events;
pub mod gateway_calls;
pub mod operations;
pub mod overview;
pub mod runs;
pub mod uploads;

pub mod api_keys;
pub mod audit;
pub mod idempotency;
pub mod notices;
pub mod protected;
pub mod replicas;
pub mod second_steps;
pub mod sessions;
pub mod users;

pub mod retention;
pub mod sealed_values;

/// How long a request waits for a free connection before the database counts as unreachable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The database, open and migrated. A clone is the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    rows: Rows,
    /// Milliseconds by which tests moved the clock.
    offset: AtomicI64,
}

enum Rows {
    Sqlite(sqlite::Files),
    Postgres(PgPool),
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
        let rows = match url.sqlite_path() {
            Some(path) => Rows::Sqlite(sqlite::Files::open(path)?),
            None => Rows::Postgres(postgres::open(url, max_connections).await?),
        };
        let store = Self(Arc::new(Inner { rows, offset: AtomicI64::new(0) }));
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

    /// Begins a transaction. Dropped without a commit it changes nothing.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.begin_on(false).await
    }

    /// As [`Store::begin`], for a thread that may wait: statements of SQLite run on it, without the way to another.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin_on_this_thread(&self) -> Result<Tx, StoreError> {
        self.begin_on(true).await
    }

    async fn begin_on(&self, this_thread: bool) -> Result<Tx, StoreError> {
        let kind = match &self.0.rows {
            Rows::Sqlite(files) => {
                let mut lent = files.writing.take(this_thread).await?;
                // Immediate: a transaction that turns from reading to writing can fail at once.
                lent.script("begin immediate").await?;
                Kind::Sqlite(lent)
            }
            Rows::Postgres(pool) => Kind::PostgresTransaction(Box::pin(pool.begin()).await?),
        };
        let mut db = Db(kind);
        let now = self.now_on(&mut db).await?;
        Ok(Tx { db, now })
    }

    /// A connection for reading, so that a slow page never delays a write.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        let mut db = Db(match &self.0.rows {
            Rows::Sqlite(files) => Kind::Sqlite(files.reading.take(false).await?),
            Rows::Postgres(pool) => Kind::Postgres(Box::pin(pool.acquire()).await?),
        });
        let now = self.now_on(&mut db).await?;
        Ok(Reader { db, now })
    }

    /// A view of the database as it is at its first query: what is read through it fits together.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn view(&self) -> Result<Tx, StoreError> {
        let kind = match &self.0.rows {
            Rows::Sqlite(files) => {
                let mut lent = files.reading.take(false).await?;
                lent.script("begin deferred").await?;
                Kind::Sqlite(lent)
            }
            Rows::Postgres(pool) => {
                let begin = "begin isolation level repeatable read read only";
                Kind::PostgresTransaction(Box::pin(pool.begin_with(begin)).await?)
            }
        };
        let mut db = Db(kind);
        let now = self.now_on(&mut db).await?;
        Ok(Tx { db, now })
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

    /// This host's clock for spans, which nobody sets.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one clock of operations for spans: tests move it as they move the other"
    )]
    pub fn instant(&self) -> Instant {
        let moved = u64::try_from(self.0.offset.load(Ordering::Relaxed)).unwrap_or(0);
        Instant::now() + Duration::from_millis(moved)
    }

    /// Moves the clocks of this store forward. For tests: nothing in the database changes, so other replicas
    /// do not notice.
    pub fn advance(&self, by: Duration) {
        self.0.offset.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// The connection that copies the file of SQLite.
    async fn copier(&self) -> Result<Db, StoreError> {
        match &self.0.rows {
            Rows::Sqlite(files) => Ok(Db(Kind::Sqlite(files.copying.take(false).await?))),
            Rows::Postgres(_) => Err(StoreError::Database("PostgreSQL is copied by pg_dump".to_owned())),
        }
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
        matches!(self.0.rows, Rows::Postgres(_))
    }

    /// Waits for running queries and closes all connections; on SQLite the write-ahead log is written back.
    pub async fn close(&self) {
        match &self.0.rows {
            Rows::Sqlite(files) => files.close().await,
            Rows::Postgres(pool) => pool.close().await,
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
    db: Db,
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
        self.db.commit().await
    }
}

impl Deref for Tx {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Db {
        &mut self.db
    }
}

/// A connection for reading.
#[derive(Debug)]
pub struct Reader {
    db: Db,
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
        &self.db
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Db {
        &mut self.db
    }
}

/// Locks the rows of a query and passes over rows that another replica holds. SQLite has one writer and
/// needs no word.
fn skip_locked(db: &Db, of: &'static str) -> &'static str {
    match (db.is_postgres(), of) {
        (false, _) => "",
        (true, "c") => " for update of c skip locked",
        (true, "r") => " for update of r skip locked",
        (true, _) => " for update of d skip locked",
    }
}

/// Keeps the rows of a query as they are until the end of the transaction; SQLite has one writer at a time.
fn keep_locked(db: &Db) -> &'static str {
    if db.is_postgres() { " for no key update" } else { "" }
}

/// The newest version of a database that this program knows.
pub fn schema_known() -> i64 {
    i64::try_from(migrate::MIGRATIONS.len()).expect("a handful of migrations")
}

/// This host's clock.
#[expect(clippy::disallowed_methods, reason = "the one clock of the program: SQLite runs on this host")]
pub fn local_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

async fn postgres_clock(db: &mut Db) -> Result<Timestamp, StoreError> {
    let clock =
        query("select cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint) as clock_ms");
    clock.one(db).await?.time("clock_ms")
}

#[cfg(test)]
mod tests;
