//! The audit log: who did what, when and from where.

use consign_core::rights::Right;
use consign_store::audit::{self, AuditFilter};
use consign_store::{Listed, Page};
use serde_json::{Value, json};

use super::{Actor, OpError};
use crate::App;

/// A page of entries, newest first.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    filter: &AuditFilter,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::AuditRead)?;
    let found = audit::list(&mut *app.store.read().await?, filter, page).await?;
    Ok(found.map(|entry| json!(entry)))
}
