//! The address of the database: a file of SQLite or a server of PostgreSQL.

use std::fmt;
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use crate::StoreError;

/// Where the rows are. `Display` and `Debug` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Sqlite(PathBuf),
    Postgres(String),
}

/// A text that is no address of a database. The text itself is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the database address must look like sqlite:/var/lib/consign/consign.db or postgres://user@host/database"
)]
pub struct BadAddress;

impl DatabaseUrl {
    /// Reads `sqlite:/path/consign.db` or `postgres://user:password@host:port/database?sslmode=…`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.ends_with('/') || path.contains(['?', '\0']) || path == ":memory:" {
                return Err(BadAddress);
            }
            return Ok(Self::sqlite(Path::new(path)));
        }
        let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let (_, host, _) = parts(text);
        let readable = text.parse::<PgConnectOptions>().is_ok();
        if !is_postgres || !readable || host.is_empty() || host.starts_with(':') {
            return Err(BadAddress);
        }
        Ok(Self(Kind::Postgres(text.to_owned())))
    }

    /// A file of SQLite.
    pub fn sqlite(path: &Path) -> Self {
        Self(Kind::Sqlite(path.to_owned()))
    }

    /// The file, when it is SQLite.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Sqlite(path) => Some(path),
            Kind::Postgres(_) => None,
        }
    }

    /// The address for the driver of PostgreSQL.
    pub(crate) fn postgres_options(&self) -> Result<PgConnectOptions, StoreError> {
        match &self.0 {
            Kind::Sqlite(_) => Ok(PgConnectOptions::new()),
            Kind::Postgres(text) => Ok(text.parse()?),
        }
    }
}

/// The user, the host with its port, and the path of an address of PostgreSQL: all that may be shown of it.
fn parts(text: &str) -> (&str, &str, &str) {
    let text = text.split_once("://").map_or("", |(_, rest)| rest);
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    let (sign_in, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    (sign_in.split(':').next().unwrap_or_default(), host, path)
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Postgres(text) => {
                let (user, host, path) = parts(text);
                let at = if user.is_empty() { "" } else { "@" };
                write!(f, "postgres://{user}{at}{host}{path}")
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
