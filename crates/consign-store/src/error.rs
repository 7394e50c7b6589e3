//! What can go wrong with the database. No message holds the value of a row.

use std::fmt;
use std::path::PathBuf;

use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
use sqlx::error::{DatabaseError, ErrorKind};

/// Unique constraints: the name of the index, its columns as SQLite lists them, and what is unique in words.
const UNIQUE: &[(&str, &str, &str)] = &[
    ("credential_name", "credential.name_key", "credential name"),
    ("connector_name", "connector.name_key", "connector name"),
    ("connector_slug", "connector.slug", "address part"),
    ("users_email", "users.email_key", "email address"),
];

/// Why the store could not do what was asked. `Display` and `Debug` show no row values.
#[derive(thiserror::Error)]
pub enum StoreError {
    /// A newer program changed the database; this one must not touch it.
    #[error("the database has version {found}, this program knows version {known}: use the newer program")]
    NewerDatabase {
        /// The version of the database.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// Another process uses the database file.
    #[error("another process uses the database")]
    Locked,
    /// The disk of the database is full; nothing was written.
    #[error("the disk of the database is full")]
    Full,
    /// The database does not answer, or refuses connections or writes for now.
    #[error("the database cannot be reached")]
    Unreachable,
    /// The system could not promise that written data is on the disk: the program must stop.
    #[error("the disk did not confirm a write")]
    SyncFailed,
    /// The database file or its folder cannot be used.
    #[error("cannot open the database file {}: {kind}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// A setting that protects the data could not be switched on.
    #[error("the database refuses the setting {0}")]
    Setting(&'static str),
    /// Something is stored that this program cannot have stored: the table and column, or the unknown word.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A value that must be unique is taken: what it is, in words.
    #[error("this {0} is taken")]
    NotUnique(&'static str),
    /// The cursor of a page is not one that a list gave out.
    #[error("not a cursor of this list")]
    BadCursor,
    /// The database refused a statement.
    #[error("the database refused a statement: {0}")]
    Database(String),
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreError({self})")
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        // A statement that does not fit the tables, in SQLite's own words.
        if let rusqlite::Error::SqlInputError { msg, .. } = &error {
            return Self::Database(msg.clone());
        }
        let Some(code) = error.sqlite_error().map(|refusal| refusal.extended_code) else {
            return Self::Database("the driver failed".to_owned());
        };
        // SQLite's own words name tables and columns, never values.
        let words = error.to_string();
        if matches!(code, SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY) {
            let taken = UNIQUE.iter().find(|(_, columns, _)| words.ends_with(columns));
            return taken.map_or(Self::Database(words), |(_, _, what)| Self::NotUnique(what));
        }
        sqlite(code).unwrap_or_else(|| Self::Database(format!("code {code}, {words}")))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(refusal) => refused(refusal.as_ref()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unreachable,
            sqlx::Error::ColumnDecode { index, .. } => Self::Damaged(format!("column {index}")),
            sqlx::Error::Configuration(_) => {
                Self::Database("the address of the database is not usable".to_owned())
            }
            _ => Self::Database("the driver failed".to_owned()),
        }
    }
}

fn refused(refusal: &dyn DatabaseError) -> StoreError {
    if refusal.kind() == ErrorKind::UniqueViolation {
        let taken = UNIQUE.iter().find(|(index, _, _)| refusal.constraint() == Some(index));
        if let Some((_, _, what)) = taken {
            return StoreError::NotUnique(what);
        }
    }
    let code = refusal.code().unwrap_or_default();
    postgres(&code).unwrap_or_else(|| {
        // Class 22, data exceptions, repeat the value.
        let words = if code.starts_with("22") { "" } else { refusal.message() };
        StoreError::Database(format!("code {code} {words}"))
    })
}

/// Result codes, <https://www.sqlite.org/rescode.html>. The low byte is the primary code.
fn sqlite(code: i32) -> Option<StoreError> {
    const FSYNC: i32 = 1034;
    const DIR_FSYNC: i32 = 1290;
    const SHM_SIZE: i32 = 4874;
    match (code, code & 0xff) {
        (FSYNC | DIR_FSYNC, _) => Some(StoreError::SyncFailed),
        // The index of the write-ahead log could not grow: no space, reported as an I/O error.
        (SHM_SIZE, _) | (_, 13) => Some(StoreError::Full),
        (_, 5 | 6) => Some(StoreError::Locked),
        (_, 11 | 26) => Some(StoreError::Damaged("the database file is malformed".to_owned())),
        (_, 8 | 14) => Some(StoreError::Unreachable),
        _ => None,
    }
}

/// Error codes, PostgreSQL documentation, appendix A.
fn postgres(code: &str) -> Option<StoreError> {
    match code {
        "53100" => Some(StoreError::Full),
        // Read-only, too many connections, shutting down, starting up.
        "25006" | "53300" | "57P01" | "57P02" | "57P03" => Some(StoreError::Unreachable),
        "XX001" | "XX002" => Some(StoreError::Damaged("the database reports corrupted data".to_owned())),
        _ if code.starts_with("08") => Some(StoreError::Unreachable),
        _ => None,
    }
}
