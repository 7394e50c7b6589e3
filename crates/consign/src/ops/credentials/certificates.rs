//! The certificates of a credential: read, a next one beside, and the switch from one to the other. Private keys go in,
//! and never come out.

use consign_core::credential::key_pairs::{self, Which};
use consign_core::credential::{Credential, NextPair, NoSuchPair, Save};
use consign_core::rights::Right;
use consign_store::{Tx, connectors, credentials, tokens};
use serde_json::{Value, json};

use super::{at_length, by_reference, lay_over, object, row, shown};
use crate::App;
use crate::engine::NotInUse;
use crate::ops::{
    Actor, IfMatch, OpError, Sent, audit_rows, commit_answered, differences, require_as_saved, with_manager,
};

/// A certificate in PEM, and the name of its credential.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn pem(
    app: &App,
    actor: &Actor,
    reference: &str,
    which: Which,
) -> Result<(String, String), OpError> {
    actor.require(Right::CredentialsRead)?;
    let credential = by_reference(&mut *app.store.read().await?, reference).await?;
    let certificate = credential.certificate(which, app.now()).ok_or(OpError::NotFound("certificate"))?;
    Ok((certificate.pem(), credential.name.to_string()))
}

/// What an assertion would say now, unsigned: nothing that the credential does not show as well.
///
/// # Errors
/// Without the right, or when the credential signs no assertions or does not open.
pub async fn preview(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::CredentialsRead)?;
    let mut db = app.store.read().await?;
    let credential = by_reference(&mut db, reference).await?;
    require_as_saved(app, &mut db, &row(&credential)).await?;
    drop(db);
    match app.engine.preview_assertion(&credential) {
        Ok(Some(assertion)) => Ok(json!({ "assertion": assertion })),
        Ok(None) => {
            let label = credential.authorization_type.label;
            Err(OpError::WrongState(format!("{label} signs no assertions")))
        }
        Err(_) => Err(locked()),
    }
}

/// Puts a new key pair next to the one that signs; it waits until it is put to use.
///
/// # Errors
/// Every value that was not accepted.
pub async fn create_next(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    let now = app.now();
    let read = as_read(app, reference, if_match).await?;
    let entry = read.authorization_type;
    if key_pairs::fields(entry).is_none() {
        return Err(no_pair(&read, NoSuchPair::OfType));
    }
    let made = at_length(true, || {
        NextPair::parse(entry, sent, now).map(|pair| pair.made(read.id, now)).map_err(OpError::Invalid)
    });
    let (certificate, key) = made?;
    let save = Save { now, by: actor.name() };
    let next = read.clone().with_next_pair((&certificate, &key), &app.vault, &save);
    let next = next.map_err(|why| no_pair(&read, why))?;
    store(app, actor, &read, next, "Created the next certificate").await
}

/// Lets the next key pair sign, or the one before again.
///
/// # Errors
/// Without the right, or when there is no such pair.
pub async fn put_to_use(
    app: &App,
    actor: &Actor,
    reference: &str,
    which: Which,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    let read = as_read(app, reference, if_match).await?;
    let save = Save { now: app.now(), by: actor.name() };
    let next = app.engine.put_to_use(&read, which, &save).map_err(|why| match why {
        NotInUse::NoSuchPair(why) => no_pair(&read, why),
        NotInUse::Locked => locked(),
    })?;
    let action = match which {
        Which::Next | Which::Present => "Put the next certificate to use",
        Which::Previous => "Went back to the certificate before",
    };
    store(app, actor, &read, next, action).await
}

/// Destroys the key pair that waits.
///
/// # Errors
/// Without the right, or when none waits.
pub async fn drop_next(
    app: &App,
    actor: &Actor,
    reference: &str,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    let read = as_read(app, reference, if_match).await?;
    let save = Save { now: app.now(), by: actor.name() };
    let next = read.clone().without_next_pair(&save).map_err(|why| no_pair(&read, why))?;
    store(app, actor, &read, next, "Dropped the next certificate").await
}

/// The credential that is to be changed, as the caller knows it.
async fn as_read(app: &App, reference: &str, if_match: IfMatch) -> Result<Credential, OpError> {
    let read = by_reference(&mut *app.store.read().await?, reference).await?;
    if_match.judge(read.revision)?;
    Ok(read)
}

async fn store(
    app: &App,
    actor: &Actor,
    read: &Credential,
    mut next: Credential,
    action: &str,
) -> Result<Value, OpError> {
    let mut tx = app.store.begin().await?;
    let seen = lay_over(&mut tx, read, &mut next).await?;
    require_as_saved(app, &mut tx, &row(&seen)).await?;
    if !credentials::update(&mut tx, &next, seen.revision).await? {
        return Err(OpError::NotFound("credential"));
    }
    let public_url = app.public_url();
    let old = shown(&mut tx, &seen, &public_url, app.now()).await?;
    if !next.signs_in_like(&seen) {
        in_use(&mut tx, &next).await?;
    }
    let new = shown(&mut tx, &next, &public_url, app.now()).await?;
    let changes = with_manager(differences(&old, &new), actor, seen.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, action, object(&next), changes, &[row(&next)]).await?;
    commit_answered(app, actor, tx, &new).await?;
    app.engine.changed().await;
    Ok(new)
}

/// Another key signs from now on: as with a new secret, the token of the old one goes, and what waited tries again.
async fn in_use(tx: &mut Tx, next: &Credential) -> Result<(), OpError> {
    let now = tx.now();
    tokens::drop_access(tx, next.id).await?;
    connectors::release_by_credential(tx, next.id, now).await?;
    Ok(())
}

fn no_pair(credential: &Credential, why: NoSuchPair) -> OpError {
    let label = credential.authorization_type.label;
    OpError::WrongState(match why {
        NoSuchPair::OfType => format!("{label} has no certificate"),
        NoSuchPair::Next => "No next certificate waits. Create one first".to_owned(),
        NoSuchPair::Previous => {
            "There is no certificate to go back to: one step back is possible for 7 days".to_owned()
        }
    })
}

fn locked() -> OpError {
    OpError::WrongState("The credential cannot be opened. Enter its secrets again".to_owned())
}
