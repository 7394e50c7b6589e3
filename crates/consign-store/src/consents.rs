//! People who were sent to a tool to approve access, until they come back.

use consign_core::id::CredentialId;
use consign_core::time::Timestamp;

use crate::db::query;
use crate::{Db, StoreError};

/// Someone on the way to a tool and back. Each is good for one return.
#[derive(Clone)]
pub struct PendingConsent {
    /// The hash of its state.
    pub state_hash: String,
    /// For which credential.
    pub credential: CredentialId,
    /// As of which revision: a changed credential makes it void.
    pub revision: i64,
    /// The hash of the web session that began it.
    pub session_hash: String,
    /// Where the tool sends the person back to.
    pub redirect_url: String,
    /// The proof key, sealed.
    pub sealed_verifier: String,
    /// When it began.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for PendingConsent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PendingConsent({})", self.credential)
    }
}

/// Adds one.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, pending: &PendingConsent) -> Result<(), StoreError> {
    query(
        "insert into consent (state_hash, credential_id, credential_revision, session_hash, redirect_url,
           sealed_verifier, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(pending.state_hash.as_str())
    .bind(pending.credential.to_string())
    .bind(pending.revision)
    .bind(pending.session_hash.as_str())
    .bind(pending.redirect_url.as_str())
    .bind(pending.sealed_verifier.as_str())
    .bind(pending.created_at.millis())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes one out: whoever comes second finds nothing.
///
/// # Errors
/// When the database cannot be written.
pub async fn take(db: &mut Db, state_hash: &str) -> Result<Option<PendingConsent>, StoreError> {
    let query = query("delete from consent where state_hash = $1 returning *").bind(state_hash);
    let Some(row) = query.optional(db).await? else { return Ok(None) };
    Ok(Some(PendingConsent {
        state_hash: row.text("state_hash")?,
        credential: row.id("credential_id")?,
        revision: row.number("credential_revision")?,
        session_hash: row.text("session_hash")?,
        redirect_url: row.text("redirect_url")?,
        sealed_verifier: row.text("sealed_verifier")?,
        created_at: row.time("created_at")?,
    }))
}

/// Removes those that began before a time.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_before(db: &mut Db, time: Timestamp) -> Result<u64, StoreError> {
    let query = query("delete from consent where created_at < $1").bind(time.millis());
    query.execute(db).await
}
