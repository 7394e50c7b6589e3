//! The database of one test: a file in its folder, or a database of its own on the PostgreSQL of the gate.

use consign_core::id::RequestId;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::variable;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    PostgreSql,
}

pub(crate) struct Database {
    pub(crate) kind: Kind,
    /// As `database.url` takes it.
    pub(crate) url: String,
    /// PostgreSQL: the server, and the name of our database there.
    server: Option<(String, String)>,
}

impl Database {
    pub(crate) fn sqlite(folder: &super::Folder) -> Self {
        let url = format!("sqlite:{}", folder.join("data/consign.db").display());
        Self { kind: Kind::Sqlite, url, server: None }
    }

    pub(crate) async fn postgres() -> Self {
        let server = variable("CONSIGN_TEST_POSTGRES");
        // Whatever database the address names, the test makes its own beside it.
        let authority = server.find("://").map_or(0, |scheme| scheme + 3);
        let end = server[authority..].find('/').map_or(server.len(), |path| authority + path);
        let server = server[..end].to_owned();
        let id = RequestId::new(consign_store::local_now()).to_string().to_lowercase();
        let name = format!("it_{}_{}", std::process::id(), &id[id.len() - 10..]);
        on(&format!("{server}/postgres"), &format!("create database {name}")).await;
        let url = format!("{server}/{name}");
        Self { kind: Kind::PostgreSql, url, server: Some((server, name)) }
    }

    /// Changes rows behind the back of the program.
    pub(crate) async fn execute(&self, sql: &str) {
        match self.sqlite_file() {
            Some(file) => rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap(),
            None => on(&self.url, sql).await,
        }
    }

    /// A number from the database.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        if let Some(file) = self.sqlite_file() {
            let db = rusqlite::Connection::open(file).unwrap();
            return db.query_row(sql, [], |row| row.get(0)).unwrap();
        }
        let mut db = open(&self.url).await;
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut db).await.unwrap();
        row.try_get(0).unwrap()
    }

    /// Changes rows and keeps them to itself until it is told to let go: whoever wants to change them waits.
    pub(crate) async fn begin(&self, sql: &str) -> Unfinished {
        match self.sqlite_file() {
            Some(file) => {
                let db = rusqlite::Connection::open(file).unwrap();
                db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
                db.execute_batch(&format!("begin immediate; {sql}")).unwrap();
                Unfinished::Sqlite(db)
            }
            None => {
                let mut db = open(&self.url).await;
                let sql = AssertSqlSafe(format!("begin; {sql}"));
                sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
                Unfinished::PostgreSql(Box::new(db))
            }
        }
    }

    /// Looks until so many wait for rows that somebody keeps; of PostgreSQL.
    pub(crate) async fn until_waiting(&self, count: i64) {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() \
                       and wait_event_type = 'Lock'";
        super::eventually("somebody to wait for a row", async || {
            (self.number(waiting).await >= count).then_some(())
        })
        .await;
    }

    pub(crate) fn sqlite_file(&self) -> Option<&str> {
        self.url.strip_prefix("sqlite:")
    }

    /// Every column of every row as text: what someone sees who steals the database. SQLite's is read from its files.
    pub(crate) async fn rows_as_text(&self) -> Vec<(String, Vec<u8>)> {
        if self.kind == Kind::Sqlite {
            return Vec::new();
        }
        let mut db = open(&self.url).await;
        let tables = sqlx::query("select cast(tablename as text) from pg_tables where schemaname = 'public'");
        let tables = tables.fetch_all(&mut db).await.unwrap();
        let mut found = Vec::new();
        for table in tables {
            let table: String = table.try_get(0).unwrap();
            let sql = format!("select cast(t as text) from \"{table}\" t");
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut db).await.unwrap();
            let mut text = String::new();
            for row in rows {
                text.push_str(&row.try_get::<String, _>(0).unwrap());
                text.push('\n');
            }
            found.push((format!("table {table}"), text.into_bytes()));
        }
        found
    }

    /// Gives the space back.
    pub(crate) async fn remove(&self) {
        if let Some((server, name)) = &self.server {
            on(&format!("{server}/postgres"), &format!("drop database if exists {name} with (force)")).await;
        }
    }
}

/// A transaction of a test.
pub(crate) enum Unfinished {
    Sqlite(rusqlite::Connection),
    PostgreSql(Box<PgConnection>),
}

impl Unfinished {
    /// Its changes are made, and those who wait go on.
    pub(crate) async fn commit(self) {
        match self {
            Self::Sqlite(db) => db.execute_batch("commit").unwrap(),
            Self::PostgreSql(mut db) => {
                sqlx::raw_sql("commit").execute(&mut *db).await.unwrap();
                db.close().await.unwrap();
            }
        }
    }
}

async fn open(address: &str) -> PgConnection {
    PgConnection::connect(address).await.expect("the test's database is there")
}

async fn on(address: &str, sql: &str) {
    let mut db = open(address).await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut db)
        .await
        .expect("the test's statement is right");
    db.close().await.unwrap();
}
