//! One flight: take the lease, look again, and ask if that is still what is needed. What comes of it is in
//! the module `landing`.

use std::sync::Arc;
use std::time::Duration;

use consign_core::auth::Step;
use consign_core::credential::Credential;
use consign_core::delivery::Refusal;
use consign_core::id::CredentialId;
use consign_core::token::{Exchange, Grant, Token};
use consign_store::tokens::{self, TokenFailure, TokenLease, TokenRow};
use consign_store::{StoreError, credentials};

use super::super::Engine;
use super::super::authorize::Opened;
use super::landing::{Flown, Taken};
use super::{KEEP_ALIVE, Landed, Why, away, passing, saved_meanwhile};

/// A lease lasts longer than a token request may.
pub(in crate::engine) const LEASE: Duration = Duration::from_secs(60);
/// The longest wait for someone else's request.
pub(in crate::engine) const WAIT_MAX: Duration = Duration::from_secs(30);
/// Another replica that asks is looked at again this often.
pub(in crate::engine) const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Refusals of the tool force at most one renewal in this time.
const FORCED_EVERY: Duration = Duration::from_secs(60);

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
            return Err(saved_meanwhile(self.now()));
        }
        let forced = matches!(why, Why::Refused(used) if row.access_generation() == Some(used));
        let taken = Taken { lease, row, forced };
        let (lease, row) = (&taken.lease, &taken.row);
        let (exchange, token) = match self.plan(&opened, row, why) {
            Ok(Plan::Ask(exchange, token)) => (exchange, token),
            Ok(Plan::Use) => {
                self.release_tokens(lease).await;
                return Ok(Arc::new(taken.row));
            }
            Ok(Plan::NoGrant) => return self.no_grant(credential, &taken).await,
            Ok(Plan::NotYet(failure)) => return self.not_yet(credential, &taken, &failure).await,
            Err(refusal) => {
                self.release_tokens(lease).await;
                return Err(refusal);
            }
        };
        let spending = row.refresh_generation().filter(|_| exchange.grant == Grant::RefreshToken);
        if row.spending.is_some() {
            tracing::warn!(credential.id = %credential.id, "no answer to an earlier token request is stored; its refresh token is tried once more");
        }
        if !self.note_intent(lease, spending, forced).await.map_err(passing)? {
            return self.overtaken(credential).await;
        }
        let asked = self.ask(&opened, &exchange, token, row.life, self.now()).await;
        let landed = match asked.result {
            Ok(token) => self.keep(&opened, &taken, &token).await,
            Err(error) => self.draw_consequences(credential, &taken, error).await,
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
            Step::Apply(_) => Ok(Plan::Use),
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

    /// Another flight overtook this one: what it stored counts.
    async fn overtaken(&self, credential: &Credential) -> Landed {
        tracing::warn!(credential.id = %credential.id, "a token request was overtaken; the newer tokens are used");
        let read = async { tokens::find(&mut *self.store.read().await?, credential.id).await };
        let row = read.await.map_err(passing)?;
        row.map(Arc::new).ok_or_else(|| away(self.now(), "the tokens were removed meanwhile"))
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
