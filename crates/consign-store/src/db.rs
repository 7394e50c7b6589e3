//! A connection with four verbs over a text and its values: `execute`, `one`, `optional` and `all`.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::row::Row;
use crate::{StoreError, postgres, sqlite};

/// A connection: what every query function works on.
pub struct Db(pub(crate) Kind);

/// To which database, and for what.
pub(crate) enum Kind {
    /// SQLite, in a transaction or for reading.
    Sqlite(sqlite::Lent),
    /// PostgreSQL, for reading.
    Postgres(PoolConnection<Postgres>),
    /// PostgreSQL, in a transaction.
    PostgresTransaction(Transaction<'static, Postgres>),
}

/// What speaks to PostgreSQL is boxed: its futures are large, and would be part of every future of the program.
enum Side<'a> {
    Sqlite(&'a mut sqlite::Lent),
    Postgres(&'a mut PgConnection),
}

impl Db {
    /// Whether it speaks to PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        !matches!(self.0, Kind::Sqlite(_))
    }

    /// Makes the changes of a transaction durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Kind::Sqlite(mut lent) => lent.script("commit").await,
            Kind::Postgres(_) => Ok(()),
            Kind::PostgresTransaction(transaction) => Ok(Box::pin(transaction.commit()).await?),
        }
    }

    /// Runs a text of several statements that is part of this program, such as a migration.
    pub(crate) async fn script(&mut self, text: String) -> Result<(), StoreError> {
        match self.side() {
            Side::Sqlite(lent) => lent.script(text).await,
            Side::Postgres(db) => Box::pin(postgres::script(db, text)).await,
        }
    }

    async fn execute(&mut self, text: impl Text, values: Vec<Value>) -> Result<u64, StoreError> {
        match self.side() {
            Side::Sqlite(lent) => lent.execute(text, values).await,
            Side::Postgres(db) => Box::pin(postgres::execute(db, text.as_ref(), &values)).await,
        }
    }

    async fn all(&mut self, text: impl Text, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self.side() {
            Side::Sqlite(lent) => lent.all(text, values).await,
            Side::Postgres(db) => Box::pin(postgres::all(db, text.as_ref(), &values)).await,
        }
    }

    fn side(&mut self) -> Side<'_> {
        match &mut self.0 {
            Kind::Sqlite(lent) => Side::Sqlite(lent),
            Kind::Postgres(db) => Side::Postgres(db),
            Kind::PostgresTransaction(db) => Side::Postgres(db),
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_postgres() { "Db(PostgreSQL)" } else { "Db(SQLite)" })
    }
}

/// A value of a row, or for a placeholder. What is absent keeps its type: PostgreSQL asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Whole numbers, times, yes and no.
    Number(Option<i64>),
    /// Ids, words, JSON.
    Text(Option<String>),
    /// Sealed data.
    Bytes(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Some(bytes.to_vec()))
    }
}

impl From<Option<&[u8]>> for Value {
    fn from(bytes: Option<&[u8]>) -> Self {
        Self::Bytes(bytes.map(<[u8]>::to_vec))
    }
}

/// The text of a statement.
pub(crate) trait Text: AsRef<str> + Send + 'static {}

impl Text for &'static str {}
impl Text for String {}

/// A statement and the values of its placeholders.
pub(crate) struct Query<T> {
    text: T,
    values: Vec<Value>,
}

/// A statement with a fixed text.
pub(crate) fn query(text: &'static str) -> Query<&'static str> {
    Query { text, values: Vec::new() }
}

impl<T: Text> Query<T> {
    /// A statement whose text was put together by `statement`.
    pub(crate) fn built(text: T, values: Vec<Value>) -> Self {
        Self { text, values }
    }

    /// The value of the next placeholder.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it and tells how many rows it changed.
    pub(crate) async fn execute(self, db: &mut Db) -> Result<u64, StoreError> {
        db.execute(self.text, self.values).await
    }

    /// Its one row.
    pub(crate) async fn one(self, db: &mut Db) -> Result<Row, StoreError> {
        let missing = || StoreError::Database("a row that must exist is missing".to_owned());
        self.optional(db).await?.ok_or_else(missing)
    }

    /// Its first row, if there is one.
    pub(crate) async fn optional(self, db: &mut Db) -> Result<Option<Row>, StoreError> {
        Ok(self.all(db).await?.into_iter().next())
    }

    /// All its rows.
    pub(crate) async fn all(self, db: &mut Db) -> Result<Vec<Row>, StoreError> {
        db.all(self.text, self.values).await
    }
}
