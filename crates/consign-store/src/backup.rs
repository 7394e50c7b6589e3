//! A copy of a SQLite database that is in use, and what a database holds, counted: for backups, and for whoever checks
//! them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::db::{Kind, query};
use crate::row::stored;
use crate::statement::Statement;
use crate::{Db, Store, StoreError, installation, migrate, sealed_values, sqlite};

mod schema;

/// More rows than these are not counted one by one where nothing is copied.
const COUNTED_MAX: u64 = 10_000;
/// A look at a copy takes so long at the most, whatever is in it: this, and a second for so many bytes.
const LOOK_MAX: Duration = Duration::from_secs(30);
const LOOK_BYTES_PER_SECOND: u64 = 4 << 20;
/// Rows of one look at sealed values: bounded, and few round trips.
const PORTION: u32 = 500;
const INSTALLATION: &str = "id";

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The newest migration that it has.
    pub schema: i64,
    /// The id of its installation; `None` when it was never set up.
    pub installation: Option<String>,
    /// The ids of the encryption keys that its values need, in their order.
    pub keys: Vec<String>,
    /// The rows of each table; of a large one in PostgreSQL about.
    pub counts: BTreeMap<String, u64>,
}

/// What a copy of a SQLite database was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// Every page and index fits, and it is a database of ours.
    Whole(Contents),
    /// It does not fit; in the words of SQLite.
    Damaged(String),
}

impl Store {
    /// Writes a copy of the database, as it is at this moment, into an empty file, while others write. SQLite only.
    ///
    /// # Errors
    /// When the disk is full, the file cannot be written, or this is not SQLite.
    pub async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let path = file.to_str().ok_or_else(|| StoreError::Database("the path is not UTF-8".to_owned()))?;
        let mut db = self.copier().await?;
        query("vacuum into $1").bind(path).execute(&mut db).await.map(drop)
    }

    /// How large a copy will be, about: without the pages that hold nothing. SQLite only.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn copy_bytes(&self) -> Result<u64, StoreError> {
        let text = "select (page_count - freelist_count) * page_size as bytes
             from pragma_page_count(), pragma_freelist_count(), pragma_page_size()";
        query(text).one(&mut *self.read().await?).await?.count("bytes")
    }

    /// What the database holds at this moment.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn contents(&self) -> Result<Contents, StoreError> {
        contents(&mut *self.view().await?).await
    }
}

/// Looks at a copy of a SQLite database that nobody uses: whether it is whole, and what it holds. It is not changed, and
/// who made it need not be trusted. Dropped, the look ends.
///
/// # Errors
/// When the file cannot be opened at all.
pub async fn inspect(file: &Path) -> Result<Inspected, StoreError> {
    let failed = |error: std::io::Error| StoreError::File { path: file.to_owned(), kind: error.kind() };
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    inspect_within(file, LOOK_MAX + Duration::from_secs(bytes / LOOK_BYTES_PER_SECOND)).await
}

pub(crate) async fn inspect_within(file: &Path, longest: Duration) -> Result<Inspected, StoreError> {
    let over = Over::default();
    match tokio::time::timeout(longest, look(file, over.0.clone())).await {
        // A file that is no database, or one that breaks off.
        Ok(Err(StoreError::Database(words) | StoreError::Damaged(words))) => Ok(Inspected::Damaged(words)),
        Ok(looked) => looked,
        Err(_) => Ok(Inspected::Damaged("it takes too long to read".to_owned())),
    }
}

/// Dropped, it ends the statement that nobody waits for any more.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn look(file: &Path, over: Arc<AtomicBool>) -> Result<Inspected, StoreError> {
    let mut db = Db(Kind::Sqlite(sqlite::copy(file, over).await?));
    if let Some(words) = schema::foreign(&mut db).await? {
        return Ok(Inspected::Damaged(words));
    }
    let row = query("pragma integrity_check(1)").one(&mut db).await?;
    let words = row.text("integrity_check")?;
    if words != "ok" {
        return Ok(Inspected::Damaged(words));
    }
    Ok(Inspected::Whole(contents(&mut db).await?))
}

/// Writes a value of the installation into a copy that nobody uses. It is on disk when this returns, and no second file
/// is beside the copy.
///
/// # Errors
/// When the file cannot be written.
pub async fn mark(file: &Path, key: &str, value: &str) -> Result<(), StoreError> {
    let mut db = Db(Kind::Sqlite(sqlite::own_copy(file).await?));
    installation::put(&mut db, key, value).await
}

/// Writes what stands in the logs of a SQLite database into its file, so that the file alone is all of it: a process that
/// was killed leaves committed changes in a log. Nobody may have it open. `false`: it cannot be read as a database, and
/// is as it was.
///
/// # Errors
/// `Locked` while somebody has it open; when it cannot be written.
pub async fn settle(file: &Path) -> Result<bool, StoreError> {
    let file = file.to_owned();
    let settled = tokio::task::spawn_blocking(move || sqlite::settle(&file));
    match settled.await.map_err(|_| StoreError::Unreachable)? {
        Ok(()) => Ok(true),
        Err(StoreError::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn contents(db: &mut Db) -> Result<Contents, StoreError> {
    Ok(Contents {
        schema: migrate::version(db).await?,
        installation: installation::get(db, INSTALLATION).await?,
        keys: keys(db).await?,
        counts: counts(db).await?,
    })
}

/// The size of the whole database.
pub(crate) async fn database_bytes(db: &mut Db) -> Result<u64, StoreError> {
    let text = if db.is_postgres() {
        "select pg_database_size(current_database()) as bytes"
    } else {
        "select page_count * page_size as bytes from pragma_page_count(), pragma_page_size()"
    };
    query(text).one(db).await?.count("bytes")
}

async fn counts(db: &mut Db) -> Result<BTreeMap<String, u64>, StoreError> {
    let text = if db.is_postgres() {
        "select tablename as name from pg_tables where schemaname = current_schema()"
    } else {
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
    };
    let mut counts = BTreeMap::new();
    for row in query(text).all(db).await? {
        let name = row.text("name")?;
        // A name of ours is of letters; any other was put there by somebody else, and is not run as a text.
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            continue;
        }
        let count = if db.is_postgres() {
            roughly(db, &name, COUNTED_MAX).await?
        } else {
            let count = Statement::named(db, "select count(*) as number from ", &name).one(db).await?;
            count.count("number")?
        };
        counts.insert(name, count);
    }
    Ok(counts)
}

/// The rows of a table in PostgreSQL: of more than `most` what the planner reckons with, so that a page with the numbers
/// does not read every table whole.
pub(crate) async fn roughly(db: &mut Db, table: &str, most: u64) -> Result<u64, StoreError> {
    let mut few = Statement::named(db, "select count(*) as number from (select 1 from ", table);
    few.push(" limit ").bind(stored(most.saturating_add(1))).push(") as counted");
    let counted = few.one(db).await?.count("number")?;
    if counted <= most {
        return Ok(counted);
    }
    let reckoned = query(
        "select cast(coalesce(max(reltuples), 0) as bigint) as number from pg_class
         where relname = $1 and relnamespace = (select oid from pg_namespace where nspname = current_schema())",
    );
    let reckoned = reckoned.bind(table).one(db).await?.number("number")?;
    Ok(u64::try_from(reckoned).unwrap_or(0).max(counted))
}

async fn keys(db: &mut Db) -> Result<Vec<String>, StoreError> {
    let mut ids = std::collections::BTreeSet::new();
    for kind in sealed_values::Kind::ALL {
        let mut after = Default::default();
        loop {
            let found = sealed_values::portion(db, kind, &after, PORTION).await?;
            let Some(last) = found.last() else { break };
            after = last.0.clone();
            let readable = found.iter().filter_map(|(_, value)| value.as_ref().ok());
            ids.extend(readable.filter_map(|value| value.sealed.key_id().map(str::to_owned)));
        }
    }
    Ok(ids.into_iter().collect())
}
