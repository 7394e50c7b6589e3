//! Approving access for credentials whose tokens a person grants.

use std::sync::Arc;

use consign_core::catalog::Tokens;
use consign_core::credential::{Credential, Status};
use consign_core::id::CredentialId;
use consign_core::rights::Right;
use consign_core::secret::Secret;
use consign_core::token::OAuthError;
use consign_store::{credentials, tokens};
use serde_json::{Value, json};

use super::credentials::{by_reference, object, redirect_url, row};
use super::{Actor, OpError, audit_entry, commit, credential_tests, require_as_saved};
use crate::App;
use crate::engine::{Consented, Departure, Return};

/// Where an approval stands: for those who wait for it.
///
/// # Errors
/// Without the right, or when there is no such credential or it needs nobody's approval.
pub async fn state(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::CredentialsRead)?;
    describe(app, reference).await
}

/// The same for whoever wants to begin one: it tells the page that a person has to open.
///
/// # Errors
/// As [`state`].
pub async fn begin(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    describe(app, reference).await
}

async fn describe(app: &App, reference: &str) -> Result<Value, OpError> {
    let mut db = app.store.read().await?;
    let credential = by_reference(&mut db, reference).await?;
    needs_approval(&credential)?;
    let token = tokens::find(&mut db, credential.id).await?;
    let status = credential.status(app.now());
    Ok(json!({
        "authorized": token.as_ref().is_some_and(|row| row.token.is_some()) && !status.code.needs_consent(),
        "status": status.code.kind(),
        "reason": status.reason,
        "token": super::credentials::shown_token(token.as_ref()),
        "redirect_url": redirect_url(&app.public_url(), credential.id),
        "authorize_url": page_url(app, credential.id),
    }))
}

/// The page from which a person goes to the tool. It asks them to sign in first: an approval belongs to a session.
fn page_url(app: &App, id: CredentialId) -> String {
    format!("{}/credentials/{id}/authorize", app.public_url())
}

/// Prepares a way to the tool and back for the session of a person.
///
/// # Errors
/// Without the right, or when the credential cannot be opened or needs nobody's approval.
pub async fn depart(
    app: &App,
    actor: &Actor,
    reference: &str,
    session_hash: &str,
) -> Result<(Credential, Departure), OpError> {
    actor.require(Right::CredentialsWrite)?;
    let mut db = app.store.read().await?;
    let credential = by_reference(&mut db, reference).await?;
    require_as_saved(app, &mut db, &row(&credential)).await?;
    drop(db);
    needs_approval(&credential)?;
    let back = redirect_url(&app.public_url(), credential.id);
    match app.engine.depart(&credential, back, session_hash).await? {
        Ok(Some(departure)) => Ok((credential, departure)),
        Ok(None) => Err(not_needed(&credential)),
        Err(_) => {
            Err(OpError::WrongState("The credential cannot be opened. Enter its secrets again".to_owned()))
        }
    }
}

/// What came back with a person.
pub struct Arrival<'a> {
    /// `state`.
    pub state: Secret,
    /// `code`.
    pub code: Option<Secret>,
    /// `error`.
    pub error: &'a str,
    /// `error_description`.
    pub error_description: &'a str,
    /// `iss`.
    pub issuer: Option<&'a str>,
    /// Which of these came more than once.
    pub repeated: Option<&'static str>,
    /// The hash of the session that it came back in.
    pub session_hash: &'a str,
}

/// A person came back from the tool: the end of an approval, whatever it is.
///
/// # Errors
/// Without the right, or when there is no such credential or it needs nobody's approval.
pub async fn arrive(
    app: &Arc<App>,
    actor: &Actor,
    reference: &str,
    arrival: Arrival<'_>,
) -> Result<(Credential, Consented), OpError> {
    actor.require(Right::CredentialsWrite)?;
    let mut db = app.store.read().await?;
    let credential = Arc::new(by_reference(&mut db, reference).await?);
    require_as_saved(app, &mut db, &row(&credential)).await?;
    drop(db);
    needs_approval(&credential)?;
    let error = (!arrival.error.is_empty()).then(|| {
        let odd = || OAuthError { code: "error".to_owned(), description: String::new() };
        OAuthError::of(arrival.error, arrival.error_description).unwrap_or_else(odd)
    });
    let back = Return {
        code: arrival.code,
        error,
        issuer: arrival.issuer,
        repeated: arrival.repeated,
        session_hash: arrival.session_hash,
    };
    let ended = app.engine.arrive(&credential, &arrival.state, back).await?;
    let connected = matches!(ended, Consented::Connected(_) | Consented::ConnectedWillStop(_));
    let action = if connected { "Authorized credential" } else { "Authorization of credential failed" };
    let mut tx = app.store.begin().await?;
    let changes = json!({ "outcome": ended.kind() });
    audit_entry(app, &mut tx, actor, action, object(&credential), changes).await?;
    commit(app, tx).await?;
    if connected {
        credential_tests::start_in_background(app, actor, credential.id);
    }
    Ok((Arc::unwrap_or_clone(credential), ended))
}

/// Forgets what was granted. What uses the credential waits until someone approves again.
///
/// # Errors
/// Without the right, or when there is no such credential or it needs nobody's approval.
pub async fn forget(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let credential = by_reference(&mut tx, reference).await?;
    needs_approval(&credential)?;
    credentials::set_seen(&mut tx, credential.id, credential.revision, &Status::not_authorized(now)).await?;
    tokens::forget(&mut tx, credential.id).await?;
    consign_store::installation::bump(&mut tx).await?;
    audit_entry(app, &mut tx, actor, "Forgot tokens of credential", object(&credential), json!({})).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    describe(app, reference).await
}

fn needs_approval(credential: &Credential) -> Result<(), OpError> {
    if credential.authorization_type.tokens == Tokens::Granted { Ok(()) } else { Err(not_needed(credential)) }
}

fn not_needed(credential: &Credential) -> OpError {
    OpError::WrongState(format!("{} needs no approval", credential.authorization_type.label))
}
