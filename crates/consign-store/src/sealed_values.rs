//! Every sealed value that lasts, wherever it stands: to move it to another key of the ring, and to see that it opens.
//! What ends by itself within a day (answers, approvals and forms under way) is only counted.

use consign_core::connector::signature::Signing;
use consign_core::id::{ConnectorId, CredentialId};
use consign_core::time::Timestamp;
use consign_core::token::Which;
use consign_core::vault::Sealed;

use crate::db::query;
use crate::row::Row;
use crate::statement::Statement;
use crate::{Db, StoreError, Tx};

/// Where a sealed value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Of the installation itself, by its key.
    Own(String),
    /// The key of the payloads of a day.
    PayloadKey(i64),
    /// A secret of a credential: its field, and the generation it was sealed in.
    Secret(CredentialId, String, i64),
    /// A token of a credential, and the generation it was sealed in.
    Token(CredentialId, Which, i64),
    /// What the requests of a webhook are signed with: its kind and generation.
    SigningKey(ConnectorId, Signing, i64),
    /// What the two-step sign-in of a person is checked with: the person, and since when.
    SecondStep(String, Timestamp),
}

/// A kind of holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Holder::Own`].
    Own,
    /// [`Holder::PayloadKey`].
    PayloadKey,
    /// [`Holder::Secret`].
    Secret,
    /// [`Holder::Token`], access tokens.
    Access,
    /// [`Holder::Token`], refresh tokens.
    Refresh,
    /// [`Holder::SigningKey`].
    SigningKey,
    /// [`Holder::SecondStep`].
    SecondStep,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Own,
        Self::PayloadKey,
        Self::Secret,
        Self::Access,
        Self::Refresh,
        Self::SigningKey,
        Self::SecondStep,
    ];

    /// The rows of a kind, as `(first, second, generation, sealed)`; first and second name one row.
    const fn rows(self) -> &'static str {
        match self {
            Self::Own => {
                "select key as first, '' as second, 1 as generation, value as sealed from installation
                 where value like 'v1.%'"
            }
            Self::PayloadKey => {
                "select cast(id as text) as first, '' as second, 1 as generation, sealed from payload_key"
            }
            Self::Secret => {
                "select credential_id as first, field as second, generation, sealed from credential_secret"
            }
            Self::Access => {
                "select credential_id as first, '' as second, access_generation as generation,
                 sealed_access as sealed from token where sealed_access is not null"
            }
            Self::Refresh => {
                "select credential_id as first, '' as second, refresh_generation as generation,
                 sealed_refresh as sealed from token where sealed_refresh is not null"
            }
            Self::SigningKey => {
                "select connector_id as first, kind || ' ' || cast(generation as text) as second, generation,
                 sealed from signing_key"
            }
            Self::SecondStep => {
                "select id as first, '' as second, totp_at as generation, totp as sealed from users
                 where totp is not null"
            }
        }
    }

    fn read(self, row: &Row, (first, second): At) -> Result<Found, StoreError> {
        let generation = row.number("generation")?;
        let damaged = || StoreError::Damaged("sealed".to_owned());
        let holder = match self {
            Self::Own => Holder::Own(first.clone()),
            Self::PayloadKey => Holder::PayloadKey(first.parse().map_err(|_| damaged())?),
            Self::Secret => Holder::Secret(row.id("first")?, second.clone(), generation),
            Self::Access => Holder::Token(row.id("first")?, Which::Access, generation),
            Self::Refresh => Holder::Token(row.id("first")?, Which::Refresh, generation),
            Self::SigningKey => {
                let kind = second.split(' ').next().and_then(Signing::find);
                Holder::SigningKey(row.id("first")?, kind.ok_or_else(damaged)?, generation)
            }
            Self::SecondStep => Holder::SecondStep(first.clone(), Timestamp::from_millis(generation)),
        };
        Ok(Found { holder, sealed: Sealed::from_stored(row.text("sealed")?), at: (first, second) })
    }
}

/// What names a row among those of its kind.
pub type At = (String, String);

/// A sealed value and its place.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it stands.
    pub holder: Holder,
    /// The value.
    pub sealed: Sealed,
    /// For the next portion: what comes after it.
    pub at: At,
}

/// Sealed values of a kind in their order, after a place, at most so many. A damaged row stands in none's way.
///
/// # Errors
/// When the database cannot be read.
pub async fn portion(
    db: &mut Db,
    kind: Kind,
    after: &At,
    most: u32,
) -> Result<Vec<(At, Result<Found, StoreError>)>, StoreError> {
    let mut statement = Statement::new(db, "select * from (");
    statement.push(kind.rows()).push(") as sealed_values where (first, second) > (");
    statement.bind(after.0.as_str()).push(", ").bind(after.1.as_str());
    statement.push(") order by first, second limit ").bind(i64::from(most));
    let read = |row: &Row| {
        let at = (row.text("first")?, row.text("second")?);
        Ok((at.clone(), kind.read(row, at)))
    };
    statement.all(db).await?.iter().map(read).collect()
}

/// Puts the same value under another key in place, unless it was replaced meanwhile. Tells whether it did.
///
/// # Errors
/// When the database cannot be written.
pub async fn replace(tx: &mut Tx, found: &Found, by: &Sealed) -> Result<bool, StoreError> {
    let (first, second) = &found.at;
    let query = match &found.holder {
        Holder::Own(_) => query("update installation set value = $1 where value = $2 and key = $3"),
        Holder::PayloadKey(_) => {
            query("update payload_key set sealed = $1 where sealed = $2 and cast(id as text) = $3")
        }
        Holder::Secret(..) => query(
            "update credential_secret set sealed = $1
             where sealed = $2 and credential_id = $3 and field = $4",
        ),
        Holder::Token(_, Which::Access, _) => {
            query("update token set sealed_access = $1 where sealed_access = $2 and credential_id = $3")
        }
        Holder::Token(_, Which::Refresh, _) => {
            query("update token set sealed_refresh = $1 where sealed_refresh = $2 and credential_id = $3")
        }
        Holder::SigningKey(..) => query(
            "update signing_key set sealed = $1
             where sealed = $2 and connector_id = $3 and kind || ' ' || cast(generation as text) = $4",
        ),
        Holder::SecondStep(..) => query("update users set totp = $1 where totp = $2 and id = $3"),
    };
    let query = query.bind(by.as_stored()).bind(found.sealed.as_stored()).bind(first.as_str());
    let query = if second.is_empty() { query } else { query.bind(second.as_str()) };
    Ok(query.execute(tx).await? == 1)
}

/// How many of the values that last a key of the ring seals, or all keys.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(db: &mut Db, key_id: Option<&str>) -> Result<u64, StoreError> {
    let pattern = key_id.map_or_else(|| "v1.%".to_owned(), |id| format!("v1.{id}.%"));
    let mut lasting = 0;
    for kind in Kind::ALL {
        let mut statement = Statement::new(db, "select count(*) as number from (");
        statement.push(kind.rows()).push(") as sealed_values where sealed like ");
        statement.bind(pattern.as_str());
        lasting += statement.one(db).await?.count::<u64>("number")?;
    }
    Ok(lasting)
}

/// Whether a key of the ring seals anything that ends by itself within a day. Kept answers are many and long, and read
/// up to the first of it.
///
/// # Errors
/// When the database cannot be read.
pub async fn seals_passing(db: &mut Db, key_id: &str) -> Result<bool, StoreError> {
    let pattern = format!("v1.{key_id}.%");
    // In sessions a time stands before the value.
    let found = query(
        "select case when exists (select 1 from consent where sealed_verifier like $1)
           or exists (select 1 from session where pending like $2)
           or exists (select 1 from idempotency where body like $1) then 1 else 0 end as found",
    );
    let found = found.bind(pattern.as_str()).bind(format!("%{pattern}"));
    Ok(found.one(db).await?.number("found")? == 1)
}
