//! Replicas: the processes that share a PostgreSQL database, each with a heartbeat. SQLite has one process: this one.

use std::sync::Arc;
use std::time::Duration;

use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::replicas::{self, Leases, Replica};
use consign_store::{Db, Store, StoreError};
use serde_json::{Value, json};

use super::{Actor, OpError};
use crate::App;

/// Between two heartbeats: one small row.
const BEAT: Duration = Duration::from_secs(10);
/// Three heartbeats that did not come.
const MISSING_AFTER: Duration = Duration::from_secs(35);
/// Each process does everything: accepts, serves, sends.
const ROLE: &str = "all";

/// This process.
pub(crate) fn own(id: &str, store: &Store, sealing_key: String) -> Replica {
    // Only a name to tell machines apart by.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Replica {
        id: id.to_owned(),
        host: host.trim().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: ROLE.to_owned(),
        process: u64::from(std::process::id()),
        started_at: store.local_now(),
        sealing_key,
    }
}

/// Which other server seals with another key than this one, in a sentence; `None` when all that run agree.
pub(super) async fn sealing_otherwise(
    app: &App,
    db: &mut Db,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    if !app.store.is_postgres() {
        return Ok(None);
    }
    let own = app.vault.sealing_key_id();
    let known = replicas::list(db).await?;
    let mut running = known.into_iter().filter(|(_, seen_at)| now.since(*seen_at) <= MISSING_AFTER);
    let other = running.find(|(replica, _)| replica.sealing_key != own).map(|(replica, _)| replica);
    Ok(other.map(|Replica { host, process, sealing_key, .. }| {
        format!("The server {host}:{process} still seals with {sealing_key}: every server must seal with the same key")
    }))
}

/// The processes, the oldest first.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut db = app.store.read().await?;
    let now = db.now();
    let mut known = replicas::list(&mut db).await?;
    if !app.store.is_postgres() {
        known = vec![(app.replica.clone(), now)];
    }
    let leases = replicas::leases(&mut db, now).await?;
    let show = |(replica, seen_at): &(Replica, _)| {
        let Leases { deliveries, runs, tokens } = leases.get(&replica.id).copied().unwrap_or_default();
        json!({
            "id": replica.id,
            "name": format!("{}:{}", replica.host, replica.process),
            "version": replica.version,
            "role": replica.role,
            "started_at": replica.started_at,
            "last_seen_at": seen_at,
            "state": if now.since(*seen_at) > MISSING_AFTER { "missing" } else { "running" },
            "this_one": replica.id == app.replica.id,
            "leases": { "deliveries": deliveries, "runs": runs, "tokens": tokens },
        })
    };
    Ok(json!({
        "items": known.iter().map(show).collect::<Vec<_>>(),
        "database": if app.store.is_postgres() { "postgresql" } else { "sqlite" },
    }))
}

/// What every start does: others see this process from now on.
pub(crate) async fn start(app: &Arc<App>) -> Result<(), StoreError> {
    // Without workers it is a command that does one thing and ends.
    if !app.store.is_postgres() || app.config.delivery.workers == 0 {
        return Ok(());
    }
    beat(app).await?;
    tokio::spawn(keep(app.clone()));
    Ok(())
}

async fn beat(app: &App) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    replicas::beat(&mut tx, &app.replica, now).await?;
    tx.commit().await
}

async fn keep(app: Arc<App>) {
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if app.engine.is_stopping() {
            return;
        }
        if let Err(error) = beat(&app).await {
            tracing::warn!(%error, "the heartbeat of this process was not written");
        }
    }
}

/// What a clean stop does: others no longer wait for this process.
pub(crate) async fn leave(app: &App) {
    if !app.store.is_postgres() {
        return;
    }
    let left = async {
        let mut tx = app.store.begin().await?;
        replicas::leave(&mut tx, &app.replica.id).await?;
        tx.commit().await
    };
    if let Err(error) = left.await {
        tracing::debug!(%error, "this process is still listed");
    }
}
