//! People who sign in. Passwords are kept as hashes only.

use consign_core::id::UserId;
use consign_core::role::Role;
use consign_core::time::Timestamp;
use consign_core::vault::Sealed;

use crate::db::query;
use crate::row::{Row, millis};
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError};

/// A person.
#[derive(Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their name; empty until they have accepted their invitation.
    pub name: String,
    /// Their address; unique without regard to case.
    pub email: String,
    /// A hash made for passwords; empty for those who have none.
    pub password_hash: String,
    /// What they may do.
    pub role: Role,
    /// Since when they may not sign in.
    pub suspended_at: Option<Timestamp>,
    /// The link by which they become one of us.
    pub invitation: Option<Invitation>,
    /// The second step of signing in.
    pub two_step: Option<TwoStep>,
    /// Who they are at the provider that signs them in.
    pub identity: Option<Identity>,
    /// The look they chose.
    pub theme: String,
    /// The time zone they chose; empty for that of the installation.
    pub time_zone: String,
    /// When they were added.
    pub created_at: Timestamp,
    /// Their last request, to the minute.
    pub last_seen_at: Option<Timestamp>,
    /// Rises with each change but the look, the time zone and the last request.
    pub revision: i64,
}

/// A link that was given to somebody who has not come yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The hash of its token.
    pub hash: String,
    /// It works until then.
    pub until: Timestamp,
}

/// The second step of a person's sign-in.
#[derive(Clone, Debug)]
pub struct TwoStep {
    /// The key of the codes.
    pub key: Sealed,
    /// When it was set up: the generation of the sealed key.
    pub since: Timestamp,
    /// The hashes of the recovery codes that were not used.
    pub recovery: Vec<String>,
}

/// Somebody, as a provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Whom it never means anybody else by.
    pub subject: String,
}

impl User {
    /// Whether they have come, and may sign in.
    pub fn is_active(&self) -> bool {
        self.suspended_at.is_none() && self.invitation.is_none()
    }
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
        "insert into users (id, name, email, email_key, password_hash, role, suspended_at, invite_hash,
           invite_until, totp, totp_at, recovery_codes, theme, created_at, last_seen_at, revision, oidc_issuer,
           oidc_subject, time_zone)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    )
    .bind(user.id.to_string())
    .bind(user.name.as_str())
    .bind(user.email.as_str())
    .bind(key(&user.email))
    .bind(user.password_hash.as_str())
    .bind(user.role.kind())
    .bind(millis(user.suspended_at))
    .bind(user.invitation.as_ref().map(|invitation| invitation.hash.as_str()))
    .bind(millis(user.invitation.as_ref().map(|invitation| invitation.until)))
    .bind(user.two_step.as_ref().map(|two_step| two_step.key.as_stored()))
    .bind(millis(user.two_step.as_ref().map(|two_step| two_step.since)))
    .bind(user.two_step.as_ref().map(|two_step| two_step.recovery.join(" ")))
    .bind(user.theme.as_str())
    .bind(user.created_at.millis())
    .bind(millis(user.last_seen_at))
    .bind(user.revision)
    .bind(user.identity.as_ref().map(|identity| identity.issuer.as_str()))
    .bind(user.identity.as_ref().map(|identity| identity.subject.as_str()))
    .bind(user.time_zone.as_str())
    .execute(db)
    .await?;
    Ok(())
}

/// Saves a person over the revision that was read, and tells whether it was still that one.
///
/// # Errors
/// `NotUnique` when the address is taken.
pub async fn update(db: &mut Db, user: &User) -> Result<bool, StoreError> {
    let query = query(
        "update users set name = $1, email = $2, email_key = $3, password_hash = $4, role = $5,
           suspended_at = $6, invite_hash = $7, invite_until = $8, totp = $9, totp_at = $10,
           recovery_codes = $11, oidc_issuer = $12, oidc_subject = $13, revision = revision + 1
         where id = $14 and revision = $15",
    )
    .bind(user.name.as_str())
    .bind(user.email.as_str())
    .bind(key(&user.email))
    .bind(user.password_hash.as_str())
    .bind(user.role.kind())
    .bind(millis(user.suspended_at))
    .bind(user.invitation.as_ref().map(|invitation| invitation.hash.as_str()))
    .bind(millis(user.invitation.as_ref().map(|invitation| invitation.until)))
    .bind(user.two_step.as_ref().map(|two_step| two_step.key.as_stored()))
    .bind(millis(user.two_step.as_ref().map(|two_step| two_step.since)))
    .bind(user.two_step.as_ref().map(|two_step| two_step.recovery.join(" ")))
    .bind(user.identity.as_ref().map(|identity| identity.issuer.as_str()))
    .bind(user.identity.as_ref().map(|identity| identity.subject.as_str()))
    .bind(user.id.to_string())
    .bind(user.revision);
    Ok(query.execute(db).await? == 1)
}

/// Keeps others from changing a person until the transaction ends, and tells whether they are still as they were read.
///
/// # Errors
/// When the database cannot be written.
pub async fn hold(db: &mut Db, user: &User) -> Result<bool, StoreError> {
    let query = query("update users set revision = revision where id = $1 and revision = $2");
    Ok(query.bind(user.id.to_string()).bind(user.revision).execute(db).await? == 1)
}

/// Removes a person with their sessions, and tells whether they were there.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete(db: &mut Db, id: UserId) -> Result<bool, StoreError> {
    Ok(query("delete from users where id = $1").bind(id.to_string()).execute(db).await? == 1)
}

/// Removes those who were invited and have not come, and tells who they were.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_invited(db: &mut Db) -> Result<Vec<UserId>, StoreError> {
    let query = query("delete from users where invite_hash is not null returning id");
    query.all(db).await?.iter().map(|row| row.id("id")).collect()
}

/// A page of people, the newest first.
///
/// # Errors
/// `BadCursor`.
pub async fn list(db: &mut Db, page: &Page) -> Result<Listed<User>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select * from users where 1 = 1");
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "id", turn.key_part()?);
    let people = statement.all(db).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(turn.listed(people, |user| vec![user.id.to_string()]).of(count))
}

/// Those who have a role and may sign in, by name.
///
/// # Errors
/// When the database cannot be read.
pub async fn active_with(db: &mut Db, role: Role) -> Result<Vec<User>, StoreError> {
    let query = query(
        "select * from users where role = $1 and suspended_at is null and invite_hash is null order by name, id",
    );
    query.bind(role.kind()).all(db).await?.iter().map(read).collect()
}

/// Whose invitation has this token's hash.
///
/// # Errors
/// When the database cannot be read.
pub async fn find_by_invitation(db: &mut Db, hash: &str) -> Result<Option<User>, StoreError> {
    let query = query("select * from users where invite_hash = $1").bind(hash);
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// The step of the last code that was used.
///
/// # Errors
/// When the database cannot be read.
pub async fn last_code_step(db: &mut Db, id: UserId) -> Result<Option<i64>, StoreError> {
    let query = query("select totp_step from users where id = $1").bind(id.to_string());
    query.one(db).await?.optional_number("totp_step")
}

/// Takes the code of a step, unless one of this step or a later one was used: of two at once, one wins.
///
/// # Errors
/// When the database cannot be written.
pub async fn use_code(db: &mut Db, id: UserId, step: i64) -> Result<bool, StoreError> {
    let query = query("update users set totp_step = $1 where id = $2 and coalesce(totp_step, -1) < $1");
    Ok(query.bind(step).bind(id.to_string()).execute(db).await? == 1)
}

/// A person by their address, without regard to case.
///
/// # Errors
/// When the database cannot be read.
pub async fn find_by_email(db: &mut Db, email: &str) -> Result<Option<User>, StoreError> {
    let query = query("select * from users where email_key = $1").bind(key(email));
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// A person by who they are at a provider.
///
/// # Errors
/// When the database cannot be read.
pub async fn find_by_identity(db: &mut Db, identity: &Identity) -> Result<Option<User>, StoreError> {
    let query = query("select * from users where oidc_issuer = $1 and oidc_subject = $2")
        .bind(identity.issuer.as_str())
        .bind(identity.subject.as_str());
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

/// Keeps the time zone a person chose.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_time_zone(db: &mut Db, id: UserId, time_zone: &str) -> Result<(), StoreError> {
    let query = query("update users set time_zone = $1 where id = $2");
    query.bind(time_zone).bind(id.to_string()).execute(db).await?;
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
    let invitation = row.optional_text("invite_hash")?;
    let invitation = match invitation {
        Some(hash) => Some(Invitation { hash, until: row.time("invite_until")? }),
        None => None,
    };
    let two_step = match row.optional_text("totp")? {
        Some(key) => Some(TwoStep {
            key: Sealed::from_stored(key),
            since: row.time("totp_at")?,
            recovery: row
                .optional_text("recovery_codes")?
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        }),
        None => None,
    };
    Ok(User {
        id: row.id("id")?,
        name: row.text("name")?,
        email: row.text("email")?,
        password_hash: row.text("password_hash")?,
        role: row.word("role", Role::find)?,
        suspended_at: row.optional_time("suspended_at")?,
        invitation,
        two_step,
        identity: match (row.optional_text("oidc_issuer")?, row.optional_text("oidc_subject")?) {
            (Some(issuer), Some(subject)) => Some(Identity { issuer, subject }),
            _ => None,
        },
        theme: row.text("theme")?,
        time_zone: row.text("time_zone")?,
        created_at: row.time("created_at")?,
        last_seen_at: row.optional_time("last_seen_at")?,
        revision: row.number("revision")?,
    })
}
