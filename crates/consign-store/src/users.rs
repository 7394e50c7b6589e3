//! People who sign in. Passwords are kept as hashes only.

use consign_core::id::UserId;
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::{Row, millis};
use crate::{Db, StoreError};

/// A person.
#[derive(Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their address; unique without regard to case.
    pub email: String,
    /// A hash made for passwords.
    pub password_hash: String,
    /// The look they chose.
    pub theme: String,
    /// When they were added.
    pub created_at: Timestamp,
    /// Their last request, to the minute.
    pub last_seen_at: Option<Timestamp>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.id)
    }
}

/// Adds a person.
///
/// # Errors
/// `NotUnique` when the address is taken.
pub async fn insert(db: &mut Db, user: &User) -> Result<(), StoreError> {
    query(
        "insert into users (id, name, email, email_key, password_hash, theme, created_at, last_seen_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(user.id.to_string())
    .bind(user.name.as_str())
    .bind(user.email.as_str())
    .bind(key(&user.email))
    .bind(user.password_hash.as_str())
    .bind(user.theme.as_str())
    .bind(user.created_at.millis())
    .bind(millis(user.last_seen_at))
    .execute(db)
    .await?;
    Ok(())
}

/// A person by their address, without regard to case.
///
/// # Errors
/// When the database cannot be read.
pub async fn find_by_email(db: &mut Db, email: &str) -> Result<Option<User>, StoreError> {
    let query = query("select * from users where email_key = $1").bind(key(email));
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// A person by their id.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: UserId) -> Result<Option<User>, StoreError> {
    let query = query("select * from users where id = $1").bind(id.to_string());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// How many people there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(db: &mut Db) -> Result<u64, StoreError> {
    let count = query("select count(*) as users from users").one(db).await?.number("users")?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Keeps the look a person chose.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_theme(db: &mut Db, id: UserId, theme: &str) -> Result<(), StoreError> {
    query("update users set theme = $1 where id = $2").bind(theme).bind(id.to_string()).execute(db).await?;
    Ok(())
}

/// Keeps the time of a person's last request.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_seen(db: &mut Db, id: UserId, now: Timestamp) -> Result<(), StoreError> {
    let query = query("update users set last_seen_at = $1 where id = $2");
    query.bind(now.millis()).bind(id.to_string()).execute(db).await?;
    Ok(())
}

fn key(email: &str) -> String {
    email.trim().to_lowercase()
}

fn read(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.id("id")?,
        name: row.text("name")?,
        email: row.text("email")?,
        password_hash: row.text("password_hash")?,
        theme: row.text("theme")?,
        created_at: row.time("created_at")?,
        last_seen_at: row.optional_time("last_seen_at")?,
    })
}
