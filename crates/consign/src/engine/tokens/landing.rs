//! What the end of a flight changes: tokens or a failure on disk, the status of the credential, and what waits for it.
//! All of it happens under the fence of the lease, and for the credential as it is then: what a tool said to a client
//! secret that was replaced meanwhile is no matter of the new one.

use std::sync::Arc;
use std::time::Duration;

use consign_core::catalog::Tokens;
use consign_core::connector::HeldBy;
use consign_core::credential::{Credential, Status, StatusCode};
use consign_core::delivery::Refusal;
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_core::token::{StoredToken, Token, TokenError};
use consign_store::tokens::{self, FailureKind, TokenFailure, TokenLease, TokenRow};
use consign_store::{StoreError, Tx, connectors, credentials, installation};

use super::super::Engine;
use super::super::authorize::Opened;
use super::super::token_request::AskError;
use super::{Landed, away, passing, saved_meanwhile};

/// A token address that refused is asked again after this time at the earliest.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// A token address that failed is asked again after these seconds; the last one repeats.
const BACK_OFF_SECONDS: [u64; 5] = [1, 5, 30, 120, 300];
/// So many failures in a row make the status *Cannot reach*.
const AWAY_MAX: u32 = 3;
/// A token address that asks for a longer wait makes it at once: nobody waits so long without being told.
const AWAY_UNTOLD_MAX: Duration = Duration::from_secs(300);
/// New tokens are written again so often while the database does not take them, and so long after: together well
/// within the lease.
const KEEP_TRIES: u32 = 20;
const KEEP_AGAIN: Duration = Duration::from_secs(1);

/// A row that a flight holds.
pub(super) struct Taken {
    /// The right to it.
    pub(super) lease: TokenLease,
    /// As it was when it was taken.
    pub(super) row: TokenRow,
    /// The tool refused the access token that is in it.
    pub(super) forced: bool,
}

impl Taken {
    /// Whether deliveries go on without a new token.
    fn serves(&self, now: Timestamp) -> bool {
        let token = self.row.token.as_ref().filter(|_| !self.forced);
        token.is_some_and(|token| token.access.is_some() && token.facts.is_usable(now))
    }
}

/// How a flight ended.
pub(super) enum Flown {
    /// With tokens, which are on disk.
    Landed(Arc<TokenRow>),
    /// Without.
    Refused(Refusal),
    /// Too late: someone else took its place.
    Overtaken,
}

/// Writes what exists nowhere else yet: this process holds the only copy, so that a database that is away for a
/// moment is asked again. The fence of a lease keeps a late copy from covering a newer one.
pub(in crate::engine) async fn persist<T, W>(
    credential: CredentialId,
    mut write: impl FnMut() -> W,
) -> Result<T, StoreError>
where
    W: Future<Output = Result<T, StoreError>>,
{
    let mut tries = KEEP_TRIES;
    loop {
        match write().await {
            Err(error) if tries > 0 => {
                tracing::error!(credential.id = %credential, %error, "new tokens are not on disk yet; trying again in a second");
                tries -= 1;
                tokio::time::sleep(KEEP_AGAIN).await;
            }
            written => return written,
        }
    }
}

impl Engine {
    /// Stores new tokens. Only after that may they be used.
    pub(super) async fn keep(
        &self,
        opened: &Opened<'_>,
        taken: &Taken,
        token: &Token,
    ) -> Result<Flown, StoreError> {
        let stored = opened.seal(token, taken.row.token.as_ref(), taken.row.generation + 1);
        persist(taken.lease.credential, || self.write_down(opened.credential, &taken.lease, &stored)).await
    }

    /// A credential that was saved meanwhile has no use for a token that was asked for before. A refresh token is
    /// stored all the same: the one before it may be spent, and the grant would go with it.
    async fn write_down(
        &self,
        asked: &Credential,
        lease: &TokenLease,
        stored: &StoredToken,
    ) -> Result<Flown, StoreError> {
        let mut tx = self.store.begin().await?;
        if unchanged(&mut tx, asked).await?.is_none() {
            let kept = match asked.authorization_type.tokens {
                Tokens::Granted => {
                    tokens::store(&mut tx, lease, &StoredToken { access: None, ..stored.clone() }).await?
                }
                Tokens::Fetched | Tokens::None => tokens::release(&mut tx, lease).await.map(|()| true)?,
            };
            tx.commit().await?;
            return Ok(if kept { Flown::Refused(saved_meanwhile(self.now())) } else { Flown::Overtaken });
        }
        if !tokens::store(&mut tx, lease, stored).await? {
            return Ok(Flown::Overtaken);
        }
        let row = tokens::find(&mut tx, lease.credential).await?;
        tx.commit().await?;
        Ok(row.map_or(Flown::Overtaken, |row| Flown::Landed(Arc::new(row))))
    }

    /// A token request brought no token. A token that the tool refused is dropped with it; while any other one
    /// serves, deliveries do not notice.
    pub(super) async fn draw_consequences(
        &self,
        asked: &Credential,
        taken: &Taken,
        error: AskError,
    ) -> Result<Flown, StoreError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let (failure, trust) = match failure_of(error, &taken.row, now) {
            Ok(found) => found,
            Err(refusal) => {
                tokens::release(&mut tx, &taken.lease).await?;
                tx.commit().await?;
                return Ok(Flown::Refused(refusal));
            }
        };
        let present = unchanged(&mut tx, asked).await?;
        // The fence says that the refresh token is still the one that was refused, whoever asked with it.
        if present.is_none() && failure.kind != FailureKind::GrantEnded {
            tokens::release(&mut tx, &taken.lease).await?;
            tx.commit().await?;
            return Ok(Flown::Refused(saved_meanwhile(self.now())));
        }
        let serves = taken.serves(now);
        let away = !serves && present.is_some() && failure.kind == FailureKind::Transient;
        if !tokens::fail(&mut tx, &taken.lease, &failure, taken.forced, away).await? {
            return Ok(Flown::Overtaken);
        }
        let mut changed = away;
        if let Some(present) = present.filter(|_| !serves) {
            changed |= set_status_of(&mut tx, &present, &failure, trust, now).await?;
        }
        self.end(tx, changed).await?;
        Ok(Flown::Refused(refusal_of(&failure, now)))
    }

    /// The address refused or failed a moment ago: what that means still holds.
    pub(super) async fn not_yet(&self, asked: &Credential, taken: &Taken, failure: &TokenFailure) -> Landed {
        let ended = async {
            let mut tx = self.store.begin().await?;
            let now = tx.now();
            let Some(present) = unchanged(&mut tx, asked).await? else {
                tokens::release(&mut tx, &taken.lease).await?;
                tx.commit().await?;
                return Ok(saved_meanwhile(self.now()));
            };
            if taken.serves(now) {
                tokens::release(&mut tx, &taken.lease).await?;
                tx.commit().await?;
                return Ok(away(self.now(), &failure.reason));
            }
            tokens::wait(&mut tx, &taken.lease).await?;
            set_status_of(&mut tx, &present, failure, false, now).await?;
            self.end(tx, true).await?;
            Ok(refusal_of(failure, now))
        };
        Err(ended.await.map_err(passing)?)
    }

    /// A person has to approve: nobody did yet, or what they approved has ended.
    pub(super) async fn no_grant(&self, asked: &Credential, taken: &Taken) -> Landed {
        let (code, held_by, reason) = match (&taken.row.token, &taken.row.failure) {
            (None, _) => (StatusCode::NotAuthorized, HeldBy::NotAuthorized, String::new()),
            (Some(_), Some(last)) if last.kind == FailureKind::GrantEnded => {
                (StatusCode::ReconnectNeeded, HeldBy::ReconnectNeeded, last.reason.clone())
            }
            (Some(_), _) => {
                let reason = "the token ended, and the tool gave no refresh token".to_owned();
                (StatusCode::ReconnectNeeded, HeldBy::ReconnectNeeded, reason)
            }
        };
        let held = async {
            let mut tx = self.store.begin().await?;
            let now = tx.now();
            let present = unchanged(&mut tx, asked).await?;
            tokens::release(&mut tx, &taken.lease).await?;
            if let Some(present) = &present {
                set_status(&mut tx, present, (code, &reason), Some(held_by), now).await?;
            }
            self.end(tx, present.is_some()).await
        };
        held.await.map_err(passing)?;
        Err(Refusal::NoGrant(reason))
    }

    /// Makes it so, and everyone sees it.
    async fn end(&self, mut tx: Tx, changed: bool) -> Result<(), StoreError> {
        if changed {
            installation::bump(&mut tx).await?;
        }
        tx.commit().await?;
        if changed {
            self.changed().await;
        } else {
            self.tokens.forget_known();
        }
        Ok(())
    }
}

/// The credential as it is now and stays until the end of the transaction; `None` when it no longer asks as it did.
async fn unchanged(tx: &mut Tx, asked: &Credential) -> Result<Option<Credential>, StoreError> {
    let present = credentials::lock(tx, asked.id).await?;
    Ok(present.filter(|present| present.signs_in_like(asked)))
}

/// What is kept of a request that brought no token, and whether the other side was not believed to be the one.
fn failure_of(error: AskError, row: &TokenRow, now: Timestamp) -> Result<(TokenFailure, bool), Refusal> {
    let count = row.failure.as_ref().map_or(0, |last| last.count) + 1;
    Ok(match error {
        AskError::Refused(refusal) => return Err(refusal),
        AskError::Unreached { reason, trust } => (passing_failure(reason, None, count, now), trust),
        AskError::Token(TokenError::Transient { reason, wait }) => {
            (passing_failure(reason, wait, count, now), false)
        }
        AskError::Token(TokenError::Refused { reason, .. }) => {
            let retry_at = now.plus(REFUSED_EVERY);
            (TokenFailure { kind: FailureKind::Refused, reason, count, retry_at }, false)
        }
        AskError::Token(TokenError::GrantEnded { reason, .. }) => {
            // The answer to an earlier try may have held the new one, and was lost: on its way, or with the program.
            let reason = match (row.spending, &row.failure) {
                (Some(_), Some(_)) => {
                    format!("{reason}; an earlier answer was lost while it was being replaced")
                }
                (Some(_), None) => format!("{reason}; the program stopped while it was being replaced"),
                (None, _) => reason,
            };
            (TokenFailure { kind: FailureKind::GrantEnded, reason, count, retry_at: now }, false)
        }
    })
}

/// A failure that passes by itself: asked again after growing waits, or when the tool says.
fn passing_failure(reason: String, wait: Option<Duration>, count: u32, now: Timestamp) -> TokenFailure {
    let place = usize::try_from(count - 1).unwrap_or(usize::MAX).min(BACK_OFF_SECONDS.len() - 1);
    let wait = wait.unwrap_or_else(|| Duration::from_secs(BACK_OFF_SECONDS[place]));
    TokenFailure { kind: FailureKind::Transient, reason, count, retry_at: now.plus(wait) }
}

/// The status that a failure makes, and the hold of all connectors that comes with it.
async fn set_status_of(
    tx: &mut Tx,
    present: &Credential,
    failure: &TokenFailure,
    trust: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let soon = failure.retry_at.since(now) <= AWAY_UNTOLD_MAX;
    let (code, held_by) = match failure.kind {
        FailureKind::Transient if failure.count < AWAY_MAX && soon && !trust => return Ok(false),
        // A refusal stands until the tool lets us in again, whether it can be reached or not.
        FailureKind::Transient if present.seen.code.holds() => return Ok(false),
        FailureKind::Transient => (StatusCode::CannotReach, None),
        FailureKind::Refused => (StatusCode::SignInRefused, Some(HeldBy::SignInRefused)),
        FailureKind::GrantEnded => (StatusCode::ReconnectNeeded, Some(HeldBy::ReconnectNeeded)),
    };
    set_status(tx, present, (code, &failure.reason), held_by, now).await
}

/// Sets the status of a locked credential and holds its connectors.
async fn set_status(
    tx: &mut Tx,
    present: &Credential,
    (code, reason): (StatusCode, &str),
    held_by: Option<HeldBy>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let since = if present.seen.code == code { present.seen.since } else { now };
    let status = Status { code, reason: reason.to_owned(), since };
    let set = credentials::set_seen(tx, present.id, present.revision, &status).await?;
    if let Some(by) = held_by.filter(|_| set) {
        let held = connectors::hold_by_credential(tx, present.id, by, reason, now).await?;
        tracing::warn!(credential.id = %present.id, credential.status = code.kind(), connectors = held, "credential needs attention; its deliveries wait");
    }
    Ok(set)
}

/// What a failure means for those who wait for a token: they are due again at once, and their connectors are closed or
/// held until there is a token to be had.
fn refusal_of(failure: &TokenFailure, now: Timestamp) -> Refusal {
    let reason = failure.reason.clone();
    match failure.kind {
        FailureKind::Transient => Refusal::TokenAway { until: now, reason },
        FailureKind::Refused => Refusal::TokenRefused(reason),
        FailureKind::GrantEnded => Refusal::NoGrant(reason),
    }
}
