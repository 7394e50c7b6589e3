//! What runs here: version, build, database, and for how long; and what it is built of.

use consign_core::rights::Right;
use serde_json::{Value, json};

use super::{Actor, OpError};
use crate::{App, BUILD, COMMIT, third_party};

/// What runs here.
///
/// # Errors
/// Without the right.
pub fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let started_at = app.replica.started_at;
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT,
        "build": BUILD,
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "started_at": started_at,
        "uptime_seconds": app.store.local_now().since(started_at).as_secs(),
        "database": if app.store.is_postgres() { "postgresql" } else { "sqlite" },
        "schema": consign_store::schema_known(),
        "encryption_key": app.vault.sealing_key_id(),
        "licence": env!("CARGO_PKG_LICENSE"),
    }))
}

/// What it is built of, with the licence of each.
///
/// # Errors
/// Without the right.
pub fn licences(actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let shown = third_party::all().map(|one| {
        json!({ "name": one.name, "version": one.version, "licence": one.licence, "source": one.source })
    });
    Ok(json!({ "items": shown.collect::<Vec<_>>() }))
}
