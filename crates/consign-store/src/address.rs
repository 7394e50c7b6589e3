//! The address of the database: a file of SQLite or a server of PostgreSQL.

use std::fmt;
use std::path::{Path, PathBuf};

use sqlx::any::AnyConnectOptions;

/// Enough for every statement of this program, so that each is prepared once per connection.
const STATEMENTS_PREPARED_MAX: &str = "256";

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
        let options: AnyConnectOptions = text.parse().map_err(|_| BadAddress)?;
        if !is_postgres || options.database_url.host_str().is_none_or(str::is_empty) {
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

    /// The address for the driver, with room for all prepared statements.
    pub(crate) fn postgres_address(&self) -> String {
        match &self.0 {
            Kind::Sqlite(_) => String::new(),
            Kind::Postgres(text) => {
                let joint = if text.contains('?') { '&' } else { '?' };
                format!("{text}{joint}statement-cache-capacity={STATEMENTS_PREPARED_MAX}")
            }
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Kind::Postgres(text) => {
                let Ok(options) = text.parse::<AnyConnectOptions>() else { return f.write_str("postgres:") };
                let url = options.database_url;
                let user =
                    if url.username().is_empty() { String::new() } else { format!("{}@", url.username()) };
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                write!(f, "postgres://{user}{}{port}{}", url.host_str().unwrap_or_default(), url.path())
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
