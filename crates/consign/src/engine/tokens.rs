//! The tokens of credentials: used while they serve, renewed one at a time, never spent twice.
//!
//! Within a process all who need a new token wait for one *flight*. Across replicas the flight that holds the lease
//! of the row asks; the others look again until it has landed. Nothing is asked while a transaction is open, a new
//! refresh token is on disk before its access token is used, and what an overtaken flight brings back changes
//! nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consign_core::auth::Step;
use consign_core::credential::Credential;
use consign_core::delivery::Refusal;
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_store::StoreError;
use consign_store::tokens::{self, TokenRow};
use tokio::sync::watch;

use super::Engine;
use super::authorize::{Authorized, Opened};

pub(super) use flight::{LEASE, LOOK_AGAIN, WAIT_MAX};
pub(super) use landing::persist;

mod flight;
mod landing;

/// A refresh token that was not used for so long is used, so that the tool does not retire it.
const KEEP_ALIVE: Duration = Duration::from_secs(7 * 86_400);
/// So many are kept alive in one round.
const KEEP_ALIVE_MAX: u32 = 16;

/// What this process knows of tokens.
#[derive(Default)]
pub(super) struct Tokens {
    table: Mutex<HashMap<CredentialId, Slot>>,
}

#[derive(Default)]
struct Slot {
    /// The row as of a revision of the credential.
    known: Option<(i64, Arc<TokenRow>)>,
    /// A flight that is under way.
    flight: Option<watch::Receiver<Option<Landed>>>,
}

/// What a flight brought back.
type Landed = Result<Arc<TokenRow>, Refusal>;

/// Why a new token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// There is none that serves, or its end is near.
    Needed,
    /// The tool refused the access token of this generation.
    Refused(i64),
    /// Its refresh token was not used for long.
    KeepAlive,
}

impl Tokens {
    fn table(&self) -> MutexGuard<'_, HashMap<CredentialId, Slot>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything is read again at its next use: someone else may have changed it.
    pub(super) fn forget_known(&self) {
        self.table().values_mut().for_each(|slot| slot.known = None);
    }

    fn known(&self, credential: &Credential) -> Option<Arc<TokenRow>> {
        let table = self.table();
        let (revision, row) = table.get(&credential.id)?.known.as_ref()?;
        (*revision == credential.revision).then(|| row.clone())
    }

    fn learn(&self, credential: &Credential, row: &Arc<TokenRow>) {
        self.table().entry(credential.id).or_default().known = Some((credential.revision, row.clone()));
    }

    /// Flights under way.
    pub(super) fn under_way(&self) -> usize {
        self.table().values().filter(|slot| slot.flying().is_some()).count()
    }
}

impl Slot {
    /// The flight under way; one whose task is gone has landed, whatever it says.
    fn flying(&self) -> Option<&watch::Receiver<Option<Landed>>> {
        self.flight.as_ref().filter(|flight| flight.has_changed().is_ok())
    }
}

impl Engine {
    /// Opens a credential and makes the proof of it; fetches a token where one is needed.
    ///
    /// # Errors
    /// Why nothing may be sent.
    pub(super) async fn authorize(
        self: &Arc<Self>,
        credential: &Arc<Credential>,
        now: Timestamp,
    ) -> Result<Authorized, Refusal> {
        let opened = Opened::open(&self.vault, credential)?;
        let row = if opened.uses_tokens() { self.token_row(credential).await? } else { None };
        match self.proof(&opened, row.as_deref(), now)? {
            Some((authorized, due)) => {
                if due && row.is_some_and(|row| row.failure.as_ref().is_none_or(|last| last.retry_at <= now))
                {
                    // The old one serves meanwhile, and nobody waits.
                    self.flight(credential, Why::Needed);
                }
                Ok(authorized)
            }
            None => {
                let row = self.renewed(credential, Why::Needed).await?;
                let proof = self.proof(&opened, Some(&row), self.now())?;
                proof
                    .map(|(authorized, _)| authorized)
                    .ok_or_else(|| away(self.now(), "the token ended at once"))
            }
        }
    }

    /// The tool refused a token: fetches another one, unless that was done a moment ago. `None`: the refusal stands.
    ///
    /// # Errors
    /// Why there is no other token.
    pub(super) async fn authorize_again(
        self: &Arc<Self>,
        credential: &Arc<Credential>,
        refused: i64,
    ) -> Result<Option<Authorized>, Refusal> {
        let row = self.renewed(credential, Why::Refused(refused)).await?;
        if row.access_generation() == Some(refused) {
            return Ok(None);
        }
        let opened = Opened::open(&self.vault, credential)?;
        Ok(self.proof(&opened, Some(&row), self.now())?.map(|(authorized, _)| authorized))
    }

    /// The tokens of a credential as this process knows them.
    pub(super) async fn token_row(&self, credential: &Credential) -> Result<Option<Arc<TokenRow>>, Refusal> {
        if let Some(row) = self.tokens.known(credential) {
            return Ok(Some(row));
        }
        let read = async { tokens::find(&mut *self.store.read().await?, credential.id).await };
        let row = read.await.map_err(passing)?.map(Arc::new);
        if let Some(row) = &row {
            self.tokens.learn(credential, row);
        }
        Ok(row)
    }

    /// Whether a token serves: the access, and whether its renewal is due.
    fn proof(
        &self,
        opened: &Opened<'_>,
        row: Option<&TokenRow>,
        now: Timestamp,
    ) -> Result<Option<(Authorized, bool)>, Refusal> {
        let stored = row.and_then(|row| row.token.as_ref());
        let token = stored.map(|stored| opened.token(stored)).transpose()?;
        let (proof, due) = match opened.step(token.as_ref(), now) {
            Step::Apply(proof) => (proof, false),
            Step::Fetch { meanwhile: Some(proof), .. } => (proof, true),
            Step::Fetch { meanwhile: None, .. } | Step::AskConsent => return Ok(None),
            // Only what is made for the web has requests.
            Step::SignIn(_) => return Err(Refusal::CredentialLocked),
        };
        opened.enter(proof, stored.zip(token.as_ref()), now).map(|authorized| Some((authorized, due)))
    }

    /// Waits for a flight, one's own or someone else's.
    async fn renewed(self: &Arc<Self>, credential: &Arc<Credential>, why: Why) -> Landed {
        let (flight, own) = self.flight(credential, why);
        let landed = self.landed(flight).await;
        match (&landed, why) {
            // Someone else's flight did not know that this token was refused.
            (Ok(row), Why::Refused(used)) if !own && row.access_generation() == Some(used) => {
                let (flight, _) = self.flight(credential, why);
                self.landed(flight).await
            }
            _ => landed,
        }
    }

    async fn landed(&self, mut flight: watch::Receiver<Option<Landed>>) -> Landed {
        match tokio::time::timeout(WAIT_MAX, flight.wait_for(Option::is_some)).await {
            Ok(Ok(landed)) => landed.clone().unwrap_or(Err(Refusal::Stopping)),
            // It ended with a panic; the next one looks at what is in the row.
            Ok(Err(_)) => Err(away(self.now(), "the token request did not end")),
            Err(_) => Err(away(self.now(), "the token request takes long")),
        }
    }

    /// The flight that is under way, or a new one: `true`. It lands whether anyone waits for it or not.
    fn flight(
        self: &Arc<Self>,
        credential: &Arc<Credential>,
        why: Why,
    ) -> (watch::Receiver<Option<Landed>>, bool) {
        let mut table = self.tokens.table();
        let slot = table.entry(credential.id).or_default();
        if let Some(flight) = slot.flying() {
            return (flight.clone(), false);
        }
        let (landing, flight) = watch::channel(None);
        slot.flight = Some(flight.clone());
        let (engine, credential) = (self.clone(), credential.clone());
        tokio::spawn(async move {
            let landed = engine.fly(&credential, why).await;
            if let Ok(row) = &landed {
                engine.tokens.learn(&credential, row);
            }
            engine.tokens.table().entry(credential.id).or_default().flight = None;
            landing.send_replace(Some(landed));
        });
        (flight, true)
    }

    /// Uses refresh tokens that were not used for long.
    pub(super) async fn keep_grants_alive(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        let before = now.minus(KEEP_ALIVE);
        let mut db = self.store.read().await?;
        let unused = tokens::unused_since(&mut db, before, now, KEEP_ALIVE_MAX).await?;
        let snapshot = self.snapshot();
        for id in unused {
            if let Some(credential) = snapshot.credential(id).filter(|saved| snapshot.fits(saved.id)) {
                self.flight(credential, Why::KeepAlive);
            }
        }
        Ok(())
    }
}

/// Ours and passing: tried again in a second.
fn away(now: Timestamp, reason: &str) -> Refusal {
    Refusal::TokenAway { until: now.plus(Duration::from_secs(1)), reason: reason.to_owned() }
}

/// Ours and passing as well: the next try is made with what was saved.
fn saved_meanwhile(now: Timestamp) -> Refusal {
    away(now, "the credential was saved meanwhile")
}

/// The database could not be asked: the delivery goes back into the queue and costs no attempt.
fn passing(error: StoreError) -> Refusal {
    tracing::error!(%error, "the tokens of a credential could not be read or stored");
    Refusal::Stopping
}
