//! A webhook that stands still, and goes on.

use consign_core::connector::ConnectorState;
use consign_core::credential::Credential;
use consign_core::rights::Right;
use consign_store::{connectors, tokens};
use serde_json::{Value, json};

use super::show::shown;
use super::{by_reference, credential_of, last_hours, object, row};
use crate::App;
use crate::ops::{Actor, OpError, audit_entry, commit_answered, require_as_saved};

/// Pauses a webhook: events keep arriving and wait.
///
/// # Errors
/// When there is none.
pub async fn pause(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Paused webhook", |_| ConnectorState::Paused).await
}

/// Resumes a webhook that is paused or on hold.
///
/// # Errors
/// When there is none, or its credential must be repaired first.
pub async fn resume(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Resumed webhook", |credential| match credential {
        // Resuming is a person's word that the tool lets us in again: it is tried once more.
        Some(_) => ConnectorState::Active,
        None => ConnectorState::CredentialMissing,
    })
    .await
}

async fn set_state(
    app: &App,
    actor: &Actor,
    reference: &str,
    action: &str,
    state: impl FnOnce(Option<&Credential>) -> ConnectorState,
) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let hours = last_hours(app).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let connector = by_reference(&mut tx, reference).await?;
    let credential = credential_of(&mut tx, &connector).await?;
    let state = state(credential.as_ref());
    if state == ConnectorState::Active {
        require_as_saved(app, &mut tx, &row(&connector)).await?;
    }
    if let Some(credential) = credential.filter(|_| state == ConnectorState::Active) {
        tokens::forgive(&mut tx, credential.id).await?;
    }
    connectors::set_state(&mut tx, connector.id, None, state, "", now).await?;
    if state == ConnectorState::Active {
        connectors::reopen(&mut tx, connector.id).await?;
    }
    audit_entry(app, &mut tx, actor, action, object(&connector), json!({ "state": state.kind() })).await?;
    let connector = by_reference(&mut tx, &connector.id.to_string()).await?;
    let value = shown(&mut tx, &connector, &hours, now).await?;
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}
