//! What there is to choose from: credentials for a connector, and what their list is filtered by.

use std::collections::BTreeSet;

use consign_core::catalog::Protocol;
use consign_core::field_manager::FieldManager;
use consign_core::rights::Right;
use consign_store::credentials::{self, Choosable};

use super::by_reference;
use crate::App;
use crate::ops::{Actor, OpError};

/// Credentials to choose from, at most so many: what needs a person first, then by name.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn choosable(
    app: &App,
    actor: &Actor,
    protocol: Option<Protocol>,
    most: u32,
) -> Result<Vec<Choosable>, OpError> {
    actor.require(Right::CredentialsRead)?;
    Ok(credentials::choosable(&mut *app.store.read().await?, protocol, most, app.now()).await?)
}

/// One credential that is chosen, by id or name.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn chosen(app: &App, actor: &Actor, reference: &str) -> Result<Choosable, OpError> {
    actor.require(Right::CredentialsRead)?;
    let credential = by_reference(&mut *app.store.read().await?, reference).await?;
    Ok(Choosable::of(&credential, app.now()))
}

/// The labels that credentials have, with their values; of many sets of labels the first.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn labels(app: &App, actor: &Actor, most: u32) -> Result<BTreeSet<(String, String)>, OpError> {
    actor.require(Right::CredentialsRead)?;
    Ok(credentials::labels(&mut *app.store.read().await?, most).await?)
}

/// The names under which credentials are managed from files, at most so many.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn managers(app: &App, actor: &Actor, most: u32) -> Result<Vec<FieldManager>, OpError> {
    actor.require(Right::CredentialsRead)?;
    Ok(credentials::managers(&mut *app.store.read().await?, most).await?)
}
