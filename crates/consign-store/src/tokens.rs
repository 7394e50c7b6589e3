//! The sealed tokens of credentials, and whose turn it is to fetch the next ones.
//!
//! A refresh token that is spent twice can cost the whole grant, so one task of one replica at a time may ask: it
//! holds the *lease* of the row. Its *fence* tells a holder that was overtaken: what it stores late changes nothing.

use std::collections::HashMap;
use std::time::Duration;

use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_core::token::{SealedToken, StoredToken, TokenFacts};
use consign_core::vault::Sealed;

use crate::db::{Query, query};
use crate::row::{Row, millis};
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

/// What is stored for the tokens of a credential.
#[derive(Clone, Debug, Default)]
pub struct TokenRow {
    /// The generation of the tokens; 0 when there never were any.
    pub generation: i64,
    /// The tokens.
    pub token: Option<StoredToken>,
    /// Why the last request brought none.
    pub failure: Option<TokenFailure>,
    /// When a renewal was last forced by a refusal of the tool.
    pub forced_at: Option<Timestamp>,
    /// The generation whose refresh token was about to be spent, while no answer to that is stored.
    pub spending: Option<i64>,
    /// How long the token of this address lived that was fetched last.
    pub life: Option<Duration>,
    /// Until when nothing is sent, because there is no token and its address may not be asked.
    pub away_until: Option<Timestamp>,
}

impl TokenRow {
    /// Until when nothing is sent for want of a token, and why.
    pub fn away(&self, now: Timestamp) -> Option<(Timestamp, &str)> {
        let until = self.away_until.filter(|until| *until > now)?;
        Some((until, self.failure.as_ref()?.reason.as_str()))
    }

    /// Which access token there is.
    pub fn access_generation(&self) -> Option<i64> {
        Some(self.token.as_ref()?.access.as_ref()?.generation)
    }

    /// Whether its tokens were fetched before a time.
    pub fn is_unused_since(&self, before: Timestamp) -> bool {
        self.token.as_ref().is_some_and(|token| token.facts.obtained_at < before)
    }

    /// Which refresh token there is.
    pub fn refresh_generation(&self) -> Option<i64> {
        Some(self.token.as_ref()?.refresh.as_ref()?.generation)
    }
}

/// A token request that brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFailure {
    /// Of which kind.
    pub kind: FailureKind,
    /// What was seen, in one line.
    pub reason: String,
    /// How often in a row.
    pub count: u32,
    /// Nobody asks again before this time.
    pub retry_at: Timestamp,
}

/// The kinds of failed token requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Passing.
    Transient,
    /// Someone must look at the credential.
    Refused,
    /// A person must approve again.
    GrantEnded,
}

impl FailureKind {
    const ALL: [Self; 3] = [Self::Transient, Self::Refused, Self::GrantEnded];

    const fn kind(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Refused => "refused",
            Self::GrantEnded => "grant_ended",
        }
    }

    fn find(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.kind() == kind)
    }
}

/// The right to ask for the tokens of a credential, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLease {
    /// Whose tokens.
    pub credential: CredentialId,
    /// Which holder.
    pub fence: i64,
}

/// The row of a credential.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, credential: CredentialId) -> Result<Option<TokenRow>, StoreError> {
    let query = query("select * from token where credential_id = $1").bind(credential.to_string());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// The rows of credentials; those without one are absent.
///
/// # Errors
/// When the database cannot be read.
pub async fn of(
    db: &mut Db,
    credentials: &[CredentialId],
) -> Result<HashMap<CredentialId, TokenRow>, StoreError> {
    let mut rows = HashMap::new();
    for chunk in chunks(credentials) {
        let mut statement = Statement::new(db, "select * from token where credential_id in (");
        statement.list(chunk.iter().map(ToString::to_string));
        statement.push(")");
        for row in statement.all(db).await? {
            rows.insert(row.id("credential_id")?, read(&row)?);
        }
    }
    Ok(rows)
}

/// Takes the lease, and reads the row as of that moment. `None`: someone else holds it.
///
/// # Errors
/// When the database cannot be written.
pub async fn lease(
    db: &mut Db,
    credential: CredentialId,
    by: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<(TokenLease, TokenRow)>, StoreError> {
    let row = query(
        "insert into token (credential_id, generation, fence, failures, lease_until, lease_by)
         values ($1, 0, 1, 0, $2, $3)
         on conflict (credential_id) do update set fence = token.fence + 1, lease_until = excluded.lease_until,
           lease_by = excluded.lease_by
         where coalesce(token.lease_until, 0) <= $4
         returning *",
    )
    .bind(credential.to_string())
    .bind(until.millis())
    .bind(by)
    .bind(now.millis())
    .optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let fence = row.number("fence")?;
    Ok(Some((TokenLease { credential, fence }, read(&row)?)))
}

/// Notes before the request which refresh token it spends, and whether a refusal of the tool forced it. `false`:
/// the lease was lost.
///
/// # Errors
/// When the database cannot be written.
pub async fn note_intent(
    db: &mut Db,
    lease: &TokenLease,
    spending: Option<i64>,
    forced_at: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let query = query(
        "update token set spending = $1, forced_at = coalesce($2, forced_at)
         where credential_id = $3 and fence = $4",
    );
    let query = query.bind(spending).bind(millis(forced_at)).bind(lease.credential.to_string());
    Ok(query.bind(lease.fence).execute(db).await? == 1)
}

/// Stores new tokens and ends the lease. `false`, and no change, when it was lost.
///
/// # Errors
/// When the database cannot be written.
pub async fn store(db: &mut Db, lease: &TokenLease, new: &StoredToken) -> Result<bool, StoreError> {
    let query = query(
        "update token set generation = $1, sealed_access = $2, access_generation = $3, sealed_refresh = $4,
           refresh_generation = $5, obtained_at = $6, ends_at = $7, refresh_ends_at = $8, scope = $9,
           issuer = coalesce($10, issuer), life_ms = coalesce($11, life_ms), lease_until = null,
           lease_by = null, spending = null, failure = null, failure_reason = null, failures = 0,
           retry_at = null, away_until = null
         where credential_id = $12 and fence = $13",
    );
    let query =
        bind_sealed(bind_sealed(query.bind(new.generation), new.access.as_ref()), new.refresh.as_ref());
    let life = new.life.map(|life| i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
    let query = query
        .bind(new.facts.obtained_at.millis())
        .bind(millis(new.facts.ends_at))
        .bind(millis(new.facts.refresh_ends_at))
        .bind(new.facts.scope.as_deref())
        .bind(new.issuer.as_deref())
        .bind(life)
        .bind(lease.credential.to_string())
        .bind(lease.fence);
    Ok(query.execute(db).await? == 1)
}

/// Keeps why no token came, and ends the lease. What was about to be spent stays noted: the answer may have been lost
/// on its way. A grant that ended takes its refresh token with it, a token that the
/// tool refused is dropped. `away`: no token is left to send with until the address may be asked again. `false`, and
/// no change, when the lease was lost.
///
/// # Errors
/// When the database cannot be written.
pub async fn fail(
    db: &mut Db,
    lease: &TokenLease,
    failure: &TokenFailure,
    access_refused: bool,
    away: bool,
) -> Result<bool, StoreError> {
    let ended = i64::from(failure.kind == FailureKind::GrantEnded);
    let refused = i64::from(access_refused);
    let query = query(
        "update token set failure = $1, failure_reason = $2, failures = $3, retry_at = $4, lease_until = null,
           lease_by = null, spending = case when $5 = 1 then null else spending end,
           sealed_refresh = case when $5 = 1 then null else sealed_refresh end,
           sealed_access = case when $6 = 1 then null else sealed_access end, away_until = $7
         where credential_id = $8 and fence = $9",
    );
    let query = query
        .bind(failure.kind.kind())
        .bind(failure.reason.as_str())
        .bind(i64::from(failure.count))
        .bind(failure.retry_at.millis())
        .bind(ended)
        .bind(refused)
        .bind(millis(away.then_some(failure.retry_at)))
        .bind(lease.credential.to_string())
        .bind(lease.fence);
    Ok(query.execute(db).await? == 1)
}

/// Gives the lease back: nothing was asked.
///
/// # Errors
/// When the database cannot be written.
pub async fn release(db: &mut Db, lease: &TokenLease) -> Result<(), StoreError> {
    let query =
        query("update token set lease_until = null, lease_by = null where credential_id = $1 and fence = $2");
    query.bind(lease.credential.to_string()).bind(lease.fence).execute(db).await?;
    Ok(())
}

/// Gives the lease back because the address may not be asked yet: until then nothing is sent, unless what went wrong
/// was forgiven meanwhile.
///
/// # Errors
/// When the database cannot be written.
pub async fn wait(db: &mut Db, lease: &TokenLease) -> Result<(), StoreError> {
    let query = query(
        "update token set lease_until = null, lease_by = null,
           away_until = case when failure = 'transient' then retry_at end
         where credential_id = $1 and fence = $2",
    );
    query.bind(lease.credential.to_string()).bind(lease.fence).execute(db).await?;
    Ok(())
}

/// Until when nothing is sent with which credentials, because there is no token and its address may not be asked.
///
/// # Errors
/// When the database cannot be read.
pub async fn away(db: &mut Db) -> Result<HashMap<CredentialId, Timestamp>, StoreError> {
    let rows =
        query("select credential_id, away_until from token where away_until is not null").all(db).await?;
    rows.iter().map(|row| Ok((row.id("credential_id")?, row.time("away_until")?))).collect()
}

/// Drops the access token and forgets what went wrong: the next use asks for a new one.
///
/// # Errors
/// When the database cannot be written.
pub async fn drop_access(db: &mut Db, credential: CredentialId) -> Result<(), StoreError> {
    let query = query(
        "update token set sealed_access = null, forced_at = null,
           failure = null, failure_reason = null, failures = 0, retry_at = null, away_until = null
         where credential_id = $1",
    );
    query.bind(credential.to_string()).execute(db).await?;
    Ok(())
}

/// Forgets what went wrong: the address may be asked again at once. `true`: something did.
///
/// # Errors
/// When the database cannot be written.
pub async fn forgive(db: &mut Db, credential: CredentialId) -> Result<bool, StoreError> {
    let query = query(
        "update token set failure = null, failure_reason = null, failures = 0, retry_at = null, away_until = null
         where credential_id = $1 and failure is not null",
    );
    Ok(query.bind(credential.to_string()).execute(db).await? == 1)
}

/// Forgets the tokens of a credential, and overtakes whoever is asking for new ones: the row stays, and with it the
/// count of who was last. `true`: there was a row.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget(db: &mut Db, credential: CredentialId) -> Result<bool, StoreError> {
    let query = query(
        "update token set generation = generation + 1, fence = fence + 1, sealed_access = null,
           access_generation = null, sealed_refresh = null, refresh_generation = null, obtained_at = null,
           ends_at = null, refresh_ends_at = null, scope = null, issuer = null, life_ms = null,
           lease_until = null, lease_by = null, spending = null, forced_at = null, failure = null,
           failure_reason = null, failures = 0, retry_at = null, away_until = null
         where credential_id = $1",
    )
    .bind(credential.to_string());
    Ok(query.execute(db).await? == 1)
}

/// Ends the leases of other runs, on a database that only this process uses.
///
/// # Errors
/// When the database cannot be written.
pub async fn end_foreign_leases(db: &mut Db, by: &str) -> Result<(), StoreError> {
    let query = query(
        "update token set lease_until = null, lease_by = null where lease_by is not null and lease_by <> $1",
    );
    query.bind(by).execute(db).await?;
    Ok(())
}

/// Credentials whose refresh token was not used since a time, the longest unused first.
///
/// # Errors
/// When the database cannot be read.
pub async fn unused_since(
    db: &mut Db,
    before: Timestamp,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<CredentialId>, StoreError> {
    let query = query(
        "select credential_id from token where sealed_refresh is not null and obtained_at < $1
           and coalesce(retry_at, 0) <= $2
         order by obtained_at limit $3",
    );
    let rows = query.bind(before.millis()).bind(now.millis()).bind(i64::from(limit)).all(db).await?;
    rows.iter().map(|row| row.id("credential_id")).collect()
}

/// Lets every grant count as unused for long, so that it is used soon: after a restore its refresh token may be one that
/// the tool has replaced since. Tells how many there are.
///
/// # Errors
/// When the database cannot be written.
pub async fn use_all_soon(db: &mut Db) -> Result<u64, StoreError> {
    let query = query(
        "update token set obtained_at = 0, retry_at = null
         where sealed_refresh is not null and obtained_at is not null",
    );
    query.execute(db).await
}

fn bind_sealed(query: Query<&'static str>, token: Option<&SealedToken>) -> Query<&'static str> {
    query
        .bind(token.map(|token| token.sealed.as_stored().to_owned()))
        .bind(token.map(|token| token.generation))
}

fn read(row: &Row) -> Result<TokenRow, StoreError> {
    let generation = row.number("generation")?;
    let life = row.optional_count("life_ms")?.map(Duration::from_millis);
    let sealed = |text: &str, of: &str| -> Result<Option<SealedToken>, StoreError> {
        let Some(sealed) = row.optional_text(text)? else { return Ok(None) };
        Ok(Some(SealedToken { sealed: Sealed::from_stored(sealed), generation: row.number(of)? }))
    };
    let token = match row.optional_time("obtained_at")? {
        None => None,
        Some(obtained_at) => Some(StoredToken {
            generation,
            access: sealed("sealed_access", "access_generation")?,
            refresh: sealed("sealed_refresh", "refresh_generation")?,
            facts: TokenFacts {
                obtained_at,
                ends_at: row.optional_time("ends_at")?,
                scope: row.optional_text("scope")?,
                refresh_ends_at: row.optional_time("refresh_ends_at")?,
            },
            issuer: row.optional_text("issuer")?,
            life,
        }),
    };
    let failure = match row.optional_word("failure", FailureKind::find)? {
        None => None,
        Some(kind) => Some(TokenFailure {
            kind,
            reason: row.optional_text("failure_reason")?.unwrap_or_default(),
            count: row.count("failures")?,
            retry_at: row.optional_time("retry_at")?.unwrap_or(Timestamp::from_millis(0)),
        }),
    };
    Ok(TokenRow {
        generation,
        token,
        failure,
        forced_at: row.optional_time("forced_at")?,
        spending: row.optional_number("spending")?,
        life,
        away_until: row.optional_time("away_until")?,
    })
}
