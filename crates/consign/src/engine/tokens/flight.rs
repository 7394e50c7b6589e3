//! One flight: take the lease, look again, ask if that is still what is needed, and draw the consequences, all of it
//! under the fence of the lease.

use std::sync::Arc;
use std::time::Duration;

use consign_core::auth::Step;
use consign_core::connector::HeldBy;
use consign_core::credential::{Credential, Status, StatusCode};
use consign_core::delivery::Refusal;
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_core::token::{Exchange, Grant, StoredToken, Token, TokenError};
use consign_store::tokens::{self, FailureKind, TokenFailure, TokenLease, TokenRow};
use consign_store::{StoreError, Tx, connectors, credentials, installation};

use super::super::Engine;
use super::super::authorize::Opened;
use super::super::token_request::AskError;
use super::{KEEP_ALIVE, Landed, Why, away, passing};

/// A lease lasts longer than a token request may.
pub(in crate::engine) const LEASE: Duration = Duration::from_secs(60);
/// The longest wait for someone else's request.
pub(in crate::engine) const WAIT_MAX: Duration = Duration::from_secs(30);
/// Another replica that asks is looked at again this often.
pub(in crate::engine) const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Refusals of the tool force at most one renewal in this time.
const FORCED_EVERY: Duration = Duration::from_secs(60);
/// A token address that refused is asked again after this time at the earliest.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// A token address that failed is asked again after these seconds; the last one repeats.
const BACK_OFF_SECONDS: [u64; 5] = [1, 5, 30, 120, 300];
/// So many failures in a row make the status *Cannot reach*.
const AWAY_MAX: u32 = 3;
/// New tokens are written again so often while the database does not take them, and so long after: together well
/// within the lease.
const KEEP_TRIES: u32 = 20;
const KEEP_AGAIN: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes the lease, looks again, and asks if that is still what is needed.
    pub(super) async fn fly(self: &Arc<Self>, credential: &Arc<Credential>, why: Why) -> Landed {
        let opened = Opened::open(&self.vault, credential)?;
        let deadline = self.now().plus(WAIT_MAX);
        let (lease, row) = loop {
            if let Some(leased) = self.lease_tokens(credential.id).await.map_err(passing)? {
                break leased;
            }
            if self.now() >= deadline {
                return Err(away(self.now(), "another replica asks for a token"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        // Saved meanwhile: its old address must not be asked again, nor its answer be stored as that of the new one.
        if !self.is_saved_as(credential).await.map_err(passing)? {
            self.release_tokens(&lease).await;
            return Err(away(self.now(), "the credential was saved meanwhile"));
        }
        let planned = self.plan(&opened, &row, why);
        let (exchange, token) = match planned {
            Ok(Plan::Ask(exchange, token)) => (exchange, token),
            Ok(Plan::Use) => {
                self.release_tokens(&lease).await;
                return Ok(Arc::new(row));
            }
            Ok(Plan::NoGrant) => return self.no_grant(credential, &lease, &row).await,
            Ok(Plan::NotYet(failure)) => return self.not_yet(credential, &lease, &failure).await,
            Err(refusal) => {
                self.release_tokens(&lease).await;
                return Err(refusal);
            }
        };
        let forced = matches!(why, Why::Refused(used) if row.access_generation() == Some(used));
        let spending = row.refresh_generation().filter(|_| exchange.grant == Grant::RefreshToken);
        if row.spending.is_some() {
            tracing::warn!(credential.id = %credential.id, "a token request did not survive an earlier run; its refresh token is tried once more");
        }
        if !self.note_intent(&lease, spending, forced).await.map_err(passing)? {
            return self.overtaken(credential).await;
        }
        let asked = self.ask(&opened, &exchange, token, row.life, self.now()).await;
        let landed = match asked.result {
            Ok(token) => self.keep(&opened, &lease, &row, &token).await,
            Err(error) => self.draw_consequences(credential, (&lease, &row), error, forced).await,
        };
        match landed.map_err(passing)? {
            Flown::Landed(row) => Ok(row),
            Flown::Refused(refusal) => Err(refusal),
            Flown::Overtaken => self.overtaken(credential).await,
        }
    }

    /// What to do about a row that is leased, as it is now.
    fn plan(&self, opened: &Opened<'_>, row: &TokenRow, why: Why) -> Result<Plan, Refusal> {
        let now = self.now();
        let mut token = row.token.as_ref().map(|stored| opened.token(stored)).transpose()?;
        match why {
            Why::Needed => {}
            // Another one was fetched meanwhile, or this one was dropped.
            Why::Refused(used) if row.access_generation() != Some(used) => {}
            Why::Refused(_) if row.forced_at.is_some_and(|at| now.since(at) < FORCED_EVERY) => {
                return Ok(Plan::Use);
            }
            // Another replica was first.
            Why::KeepAlive if !row.is_unused_since(now.minus(KEEP_ALIVE)) => return Ok(Plan::Use),
            Why::Refused(_) | Why::KeepAlive => {
                if let Some(token) = &mut token {
                    token.access = None;
                }
            }
        }
        match opened.step(token.as_ref(), now) {
            Step::Apply(_) | Step::SignIn(_) => Ok(Plan::Use),
            Step::AskConsent => Ok(Plan::NoGrant),
            Step::Fetch { exchange, .. } => match &row.failure {
                Some(last) if last.retry_at > now => Ok(Plan::NotYet(last.clone())),
                _ => Ok(Plan::Ask(exchange, token)),
            },
        }
    }

    async fn lease_tokens(
        &self,
        credential: CredentialId,
    ) -> Result<Option<(TokenLease, TokenRow)>, StoreError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let leased = tokens::lease(&mut tx, credential, &self.by, now, now.plus(LEASE)).await?;
        tx.commit().await?;
        Ok(leased)
    }

    async fn is_saved_as(&self, credential: &Credential) -> Result<bool, StoreError> {
        let revision = credentials::revision(&mut *self.store.read().await?, credential.id).await?;
        Ok(revision == Some(credential.revision))
    }

    async fn note_intent(
        &self,
        lease: &TokenLease,
        spending: Option<i64>,
        forced: bool,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let forced_at = forced.then(|| tx.now());
        let ours = tokens::note_intent(&mut tx, lease, spending, forced_at).await?;
        tx.commit().await?;
        Ok(ours)
    }

    async fn release_tokens(&self, lease: &TokenLease) {
        let released = async {
            let mut tx = self.store.begin().await?;
            tokens::release(&mut tx, lease).await?;
            tx.commit().await
        };
        if let Err(error) = released.await {
            tracing::warn!(credential.id = %lease.credential, %error, "the lease of tokens was not given back; it runs out by itself");
        }
    }

    /// Stores new tokens. Only after that may they be used. This process holds the only copy, so that a database that
    /// is away for a moment is asked again; the fence keeps a late copy from covering a newer one.
    async fn keep(
        &self,
        opened: &Opened<'_>,
        lease: &TokenLease,
        row: &TokenRow,
        token: &Token,
    ) -> Result<Flown, StoreError> {
        let stored = opened.seal(token, row.token.as_ref(), row.generation + 1);
        let mut tries = KEEP_TRIES;
        loop {
            match self.write_down(lease, &stored).await {
                Err(error) if tries > 0 => {
                    tracing::error!(credential.id = %lease.credential, %error, "new tokens are not on disk yet; trying again in a second");
                    tries -= 1;
                    tokio::time::sleep(KEEP_AGAIN).await;
                }
                written => return written,
            }
        }
    }

    async fn write_down(&self, lease: &TokenLease, stored: &StoredToken) -> Result<Flown, StoreError> {
        let mut tx = self.store.begin().await?;
        if !tokens::store(&mut tx, lease, stored).await? {
            return Ok(Flown::Overtaken);
        }
        let row = tokens::find(&mut tx, lease.credential).await?;
        tx.commit().await?;
        Ok(row.map_or(Flown::Overtaken, |row| Flown::Landed(Arc::new(row))))
    }

    /// Another flight overtook this one: what it stored counts.
    async fn overtaken(&self, credential: &Credential) -> Landed {
        tracing::warn!(credential.id = %credential.id, "a token request was overtaken; the newer tokens are used");
        let read = async { tokens::find(&mut *self.store.read().await?, credential.id).await };
        let row = read.await.map_err(passing)?;
        row.map(Arc::new).ok_or_else(|| away(self.now(), "the tokens were removed meanwhile"))
    }

    /// A token request brought no token. A token that the tool refused is dropped with it; while any other one
    /// serves, deliveries do not notice.
    async fn draw_consequences(
        &self,
        credential: &Credential,
        (lease, row): (&TokenLease, &TokenRow),
        error: AskError,
        forced: bool,
    ) -> Result<Flown, StoreError> {
        let serves = row
            .token
            .as_ref()
            .is_some_and(|token| !forced && token.access.is_some() && token.facts.is_usable(self.now()));
        let count = row.failure.as_ref().map_or(0, |last| last.count) + 1;
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let (failure, trust) = match error {
            AskError::Refused(refusal) => {
                tokens::release(&mut tx, lease).await?;
                tx.commit().await?;
                return Ok(Flown::Refused(refusal));
            }
            AskError::Unreached { reason, trust } => (passing_failure(reason, None, count, now), trust),
            AskError::Token(TokenError::Transient { reason, wait }) => {
                (passing_failure(reason, wait, count, now), false)
            }
            AskError::Token(TokenError::Refused { reason, .. }) => {
                let retry_at = now.plus(REFUSED_EVERY);
                (TokenFailure { kind: FailureKind::Refused, reason, count, retry_at }, false)
            }
            AskError::Token(TokenError::GrantEnded { reason, .. }) => {
                let reason = match row.spending {
                    // The answer to the first try held the new one, and was lost with the program.
                    Some(_) => format!("{reason}; the program stopped while it was being replaced"),
                    None => reason,
                };
                (TokenFailure { kind: FailureKind::GrantEnded, reason, count, retry_at: now }, false)
            }
        };
        if !tokens::fail(&mut tx, lease, &failure, forced).await? {
            return Ok(Flown::Overtaken);
        }
        let changed = !serves && self.set_status_of(&mut tx, credential, &failure, trust, now).await?;
        tx.commit().await?;
        self.tokens.forget_known();
        if changed {
            self.changed().await;
        }
        Ok(Flown::Refused(refusal_of(&failure)))
    }

    /// The address refused or failed a moment ago: what that means still holds.
    async fn not_yet(&self, credential: &Credential, lease: &TokenLease, failure: &TokenFailure) -> Landed {
        let held = async {
            let mut tx = self.store.begin().await?;
            let now = tx.now();
            tokens::release(&mut tx, lease).await?;
            let changed = self.set_status_of(&mut tx, credential, failure, false, now).await?;
            tx.commit().await?;
            Ok::<bool, StoreError>(changed)
        };
        if held.await.map_err(passing)? {
            self.changed().await;
        }
        Err(refusal_of(failure))
    }

    /// The status that a failure makes, and the hold of all connectors that comes with it.
    async fn set_status_of(
        &self,
        tx: &mut Tx,
        credential: &Credential,
        failure: &TokenFailure,
        trust: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (code, held_by) = match failure.kind {
            FailureKind::Transient if failure.count < AWAY_MAX && !trust => return Ok(false),
            // A refusal stands until the tool lets us in again, whether it can be reached or not.
            FailureKind::Transient if credential.seen.code.holds() => return Ok(false),
            FailureKind::Transient => (StatusCode::CannotReach, None),
            FailureKind::Refused => (StatusCode::SignInRefused, Some(HeldBy::SignInRefused)),
            FailureKind::GrantEnded => (StatusCode::ReconnectNeeded, Some(HeldBy::ReconnectNeeded)),
        };
        set_status(tx, credential, (code, &failure.reason), held_by, now).await
    }

    /// A person has to approve: nobody did yet, or what they approved has ended.
    async fn no_grant(&self, credential: &Credential, lease: &TokenLease, row: &TokenRow) -> Landed {
        let (code, held_by, reason) = match (&row.token, &row.failure) {
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
            tokens::release(&mut tx, lease).await?;
            let changed = set_status(&mut tx, credential, (code, &reason), Some(held_by), now).await?;
            tx.commit().await?;
            Ok::<bool, StoreError>(changed)
        };
        if held.await.map_err(passing)? {
            self.changed().await;
        }
        Err(Refusal::NoGrant(reason))
    }
}

/// What a flight does about the row that it leased.
enum Plan {
    /// Nothing: the row has what is needed, or nothing may be done now.
    Use,
    /// Ask, with the token that the new one follows.
    Ask(Box<Exchange>, Option<Token>),
    /// A person must act.
    NoGrant,
    /// The address failed a moment ago and may not be asked yet.
    NotYet(TokenFailure),
}

/// How a flight ended.
enum Flown {
    Landed(Arc<TokenRow>),
    Refused(Refusal),
    Overtaken,
}

/// Sets the status of a credential and holds its connectors. `false`: it was saved since, and what the old secrets
/// met says nothing about the new ones.
async fn set_status(
    tx: &mut Tx,
    credential: &Credential,
    (code, reason): (StatusCode, &str),
    held_by: Option<HeldBy>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let since = if credential.seen.code == code { credential.seen.since } else { now };
    let status = Status { code, reason: reason.to_owned(), since };
    if !credentials::learn(tx, credential, &status).await? {
        return Ok(false);
    }
    if let Some(by) = held_by {
        let held = connectors::hold_by_credential(tx, credential.id, by, reason, now).await?;
        tracing::warn!(credential.id = %credential.id, credential.status = code.kind(), connectors = held, "credential needs attention; its deliveries wait");
    }
    installation::bump(tx).await?;
    Ok(true)
}

/// A failure that passes by itself: asked again after growing waits, or when the tool says.
fn passing_failure(reason: String, wait: Option<Duration>, count: u32, now: Timestamp) -> TokenFailure {
    let place = usize::try_from(count - 1).unwrap_or(usize::MAX).min(BACK_OFF_SECONDS.len() - 1);
    let wait = wait.unwrap_or_else(|| Duration::from_secs(BACK_OFF_SECONDS[place]));
    TokenFailure { kind: FailureKind::Transient, reason, count, retry_at: now.plus(wait) }
}

/// What a failure means for those who wait for a token.
fn refusal_of(failure: &TokenFailure) -> Refusal {
    let reason = failure.reason.clone();
    match failure.kind {
        FailureKind::Transient => Refusal::TokenAway { until: failure.retry_at, reason },
        FailureKind::Refused => Refusal::TokenRefused(reason),
        FailureKind::GrantEnded => Refusal::NoGrant(reason),
    }
}
