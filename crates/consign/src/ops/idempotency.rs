//! Idempotency keys: the same request again gets the same answer, and is done once. The answer is kept in the
//! transaction of the change, so that no crash comes between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::vault::{Place, Sealed};
use consign_store::Tx;
use consign_store::idempotency::{self, Reserved};
use serde_json::Value;

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

/// A request under way that is to be done once, and how its answer is made of what was changed.
#[derive(Clone, Debug)]
pub struct Asked {
    idempotency: Idempotency,
    status: u16,
    body: fn(&Value) -> String,
    kept: Arc<AtomicBool>,
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

/// Takes the key for a request. What the actor changes from now on keeps this answer with it.
///
/// # Errors
/// When the first request is still running, or it was another one.
pub async fn begin(
    app: &App,
    actor: &Actor,
    idempotency: Idempotency,
    status: u16,
    body: fn(&Value) -> String,
) -> Result<Begun, OpError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let caller = actor.caller();
    let Idempotency { key, fingerprint } = &idempotency;
    let reserved = idempotency::reserve(&mut tx, key, &caller, fingerprint, now).await?;
    tx.commit().await?;
    match reserved {
        Reserved::New => {
            let kept = Arc::new(AtomicBool::new(false));
            let asked = Asked { idempotency, status, body, kept };
            actor.asked.set(asked).map_err(|_| OpError::Idempotency(IdempotencyFault::Running))?;
            Ok(Begun::New)
        }
        Reserved::Running => Err(OpError::Idempotency(IdempotencyFault::Running)),
        Reserved::Mismatch => Err(OpError::Idempotency(IdempotencyFault::Mismatch)),
        Reserved::Replay { status, body } => {
            let own = Binding::of(&[]);
            let opened = open(app, &place(&caller, key, &own), body)?;
            Ok(Begun::Replay { status, body: opened })
        }
    }
}

/// Keeps the answer in the transaction of the change. It is sealed: it may hold a key that is shown once.
///
/// # Errors
/// When the database did not take it, or somebody else has the key by now: then nothing must be changed.
pub(super) async fn keep(app: &App, actor: &Actor, tx: &mut Tx, made: &Value) -> Result<(), OpError> {
    let Some(asked) = actor.asked.get() else { return Ok(()) };
    if !write(app, actor, tx, asked, &(asked.body)(made)).await? {
        return Err(OpError::Idempotency(IdempotencyFault::Running));
    }
    asked.kept.store(true, Ordering::Relaxed);
    Ok(())
}

/// Keeps the answer of what keeps none with its change: events, which are known by their own ids.
///
/// # Errors
/// When the database did not take it.
pub async fn finish(app: &App, actor: &Actor, body: &str) -> Result<(), OpError> {
    let Some(asked) = actor.asked.get().filter(|asked| !asked.kept.load(Ordering::Relaxed)) else {
        return Ok(());
    };
    let mut tx = app.store.begin().await?;
    write(app, actor, &mut tx, asked, body).await?;
    tx.commit().await?;
    Ok(())
}

async fn write(app: &App, actor: &Actor, tx: &mut Tx, asked: &Asked, body: &str) -> Result<bool, OpError> {
    let caller = actor.caller();
    let own = Binding::of(&[]);
    let Idempotency { key, fingerprint } = &asked.idempotency;
    let sealed = app.vault.seal(&place(&caller, key, &own), &Secret::new(body.to_owned()));
    let answer = (asked.status, sealed.as_stored());
    Ok(idempotency::finish(tx, key, &caller, fingerprint, answer).await?)
}

/// The same text for each repeat of a request; `None` where it carries no key.
pub(super) fn source_id(app: &App, actor: &Actor) -> Option<String> {
    let asked = actor.asked.get()?;
    let Idempotency { key, fingerprint } = &asked.idempotency;
    Some(app.audit_key.authenticate(format!("{}\n{key}\n{fingerprint}", actor.caller()).as_bytes()))
}

/// Gives the key free again, unless something was done.
///
/// # Errors
/// When the database did not take it.
pub async fn forget(app: &App, actor: &Actor) -> Result<(), OpError> {
    let Some(asked) = actor.asked.get() else { return Ok(()) };
    let mut tx = app.store.begin().await?;
    idempotency::forget(&mut tx, &asked.idempotency.key, &actor.caller()).await?;
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
