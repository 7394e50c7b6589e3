//! Idempotency keys: the same request again gets the same answer, and is done once.

use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::vault::{Place, Sealed};
use consign_store::idempotency::{self, Reserved};

use super::{Actor, OpError};
use crate::App;

/// A key that a client chose, and a keyed fingerprint of what it asked: never the body itself.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// The fingerprint of method, path and body.
    pub fingerprint: String,
}

/// Why a key cannot be used for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyFault {
    /// The first request with it is still running.
    #[error("the first request with this Idempotency-Key is still running")]
    Running,
    /// It was used for another request.
    #[error("this Idempotency-Key was used for another request")]
    Mismatch,
}

/// Whether a request is to be done.
#[derive(Debug)]
pub enum Begun {
    /// It is new: do it.
    New,
    /// It was done: this was the answer.
    Replay {
        /// The status.
        status: u16,
        /// The body.
        body: Secret,
    },
}

impl Idempotency {
    /// The fingerprint is keyed, so that a stolen database does not tell what was asked.
    pub fn new(app: &App, key: String, method: &str, path: &str, body: &[u8]) -> Self {
        let mut asked = format!("{method}\n{path}\n").into_bytes();
        asked.extend_from_slice(body);
        Self { key, fingerprint: app.audit_key.authenticate(&asked) }
    }
}

/// Takes the key for a request.
///
/// # Errors
/// When the first request is still running, or it was another one.
pub async fn begin(app: &App, actor: &Actor, asked: &Idempotency) -> Result<Begun, OpError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let caller = actor.caller();
    let reserved = idempotency::reserve(&mut tx, &asked.key, &caller, &asked.fingerprint, now).await?;
    tx.commit().await?;
    match reserved {
        Reserved::New => Ok(Begun::New),
        Reserved::Running => Err(OpError::Idempotency(IdempotencyFault::Running)),
        Reserved::Mismatch => Err(OpError::Idempotency(IdempotencyFault::Mismatch)),
        Reserved::Replay { status, body } => {
            let own = Binding::of(&[]);
            let opened = open(app, &place(&caller, &asked.key, &own), body)?;
            Ok(Begun::Replay { status, body: opened })
        }
    }
}

/// Keeps the answer, sealed: it may hold a key that is shown once.
///
/// # Errors
/// When the database did not take it.
pub async fn finish(
    app: &App,
    actor: &Actor,
    asked: &Idempotency,
    status: u16,
    body: &str,
) -> Result<(), OpError> {
    let caller = actor.caller();
    let own = Binding::of(&[]);
    let sealed = app.vault.seal(&place(&caller, &asked.key, &own), &Secret::new(body.to_owned()));
    let mut tx = app.store.begin().await?;
    idempotency::finish(&mut tx, &asked.key, &caller, status, sealed.as_stored()).await?;
    tx.commit().await?;
    Ok(())
}

/// Gives the key free again: nothing was done.
///
/// # Errors
/// When the database did not take it.
pub async fn forget(app: &App, actor: &Actor, asked: &Idempotency) -> Result<(), OpError> {
    let mut tx = app.store.begin().await?;
    idempotency::forget(&mut tx, &asked.key, &actor.caller()).await?;
    tx.commit().await?;
    Ok(())
}

fn place<'a>(caller: &'a str, key: &'a str, binding: &'a Binding) -> Place<'a> {
    Place { table: "idempotency", record: caller, field: key, generation: 1, binding }
}

fn open(app: &App, place: &Place<'_>, stored: String) -> Result<Secret, OpError> {
    let opened = app.vault.open_own(place, &Sealed::from_stored(stored));
    opened.map_err(|error| OpError::Internal(error.into()))
}
