//! Sending as a whole: paused and resumed by a person, and how much of it is kept.

use consign_core::rights::Right;
use consign_store::{Db, Tx, installation, overview};
use serde_json::{Value, json};

use super::figures::Told;
use super::{Actor, Object, OpError, audit_entry, commit};
use crate::App;
use crate::engine::{SENDING_PAUSE, SendingPause};

const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: "Delivery" };
const DAY_SECONDS: u64 = 86_400;

/// "All sending is paused since 2026-11-27T14:02:00Z by Ana Silva"
pub fn sentence(pause: &SendingPause) -> String {
    format!("All sending is paused since {} by {}", pause.since, pause.by)
}

/// Whether all sending is paused, since when and by whom.
///
/// # Errors
/// Without the right.
pub fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    Ok(shown(app.engine.snapshot().sending_pause()))
}

pub(super) fn shown(pause: Option<&SendingPause>) -> Value {
    json!({
        "paused": pause.is_some(),
        "since": pause.map(|pause| pause.since),
        "by": pause.map(|pause| pause.by.as_str()),
    })
}

/// Pauses all sending: what is under way ends, nothing new leaves, events are accepted and wait. Other replicas follow
/// within a second.
///
/// # Errors
/// Without the right, or when the database cannot be written.
pub async fn pause(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut tx = app.store.begin().await?;
    if let Some(pause) = present(&mut tx).await? {
        return Ok(shown(Some(&pause)));
    }
    let pause = SendingPause { since: tx.now(), by: actor.name().to_owned() };
    installation::put(&mut tx, SENDING_PAUSE, &pause.text()).await?;
    changed(app, tx, actor, "Paused all sending").await?;
    Ok(shown(Some(&pause)))
}

/// Lets everything go on.
///
/// # Errors
/// Without the right, or when the database cannot be written.
pub async fn resume(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut tx = app.store.begin().await?;
    if installation::remove(&mut tx, SENDING_PAUSE).await? {
        changed(app, tx, actor, "Resumed all sending").await?;
    }
    Ok(shown(None))
}

async fn present(db: &mut Db) -> Result<Option<SendingPause>, OpError> {
    let text = installation::get(db, SENDING_PAUSE).await?;
    Ok(text.map(|text| SendingPause::read(&text)))
}

async fn changed(app: &App, mut tx: Tx, actor: &Actor, action: &str) -> Result<(), OpError> {
    installation::bump(&mut tx).await?;
    audit_entry(app, &mut tx, actor, action, OBJECT, json!({})).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(())
}

/// How much is kept now, and how much it will be at the pace of the last 24 hours when the oldest has reached the age at
/// which it goes.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn storage(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let rules = app.engine.delivery_rules();
    let days = u64::from(rules.delivery_days);
    let since = app.now().minus(std::time::Duration::from_secs(DAY_SECONDS));
    let count = async { overview::kept(&mut *app.store.read().await?, since).await };
    let Told { value: kept, age } = app.figures.kept.get(|| app.store.instant(), count).await?;
    let disk = if app.store.is_postgres() { None } else { disk_free(app) };
    let forecast = kept.last_day.saturating_mul(days);
    let bytes_each = kept.bytes.checked_div(kept.deliveries.max(1)).unwrap_or(0);
    Ok(json!({
        "counted_at": app.now().minus(age),
        "database_bytes": kept.bytes,
        "disk_free_bytes": disk,
        "deliveries": kept.deliveries,
        "events": kept.events,
        "deliveries_last_24_hours": kept.last_day,
        "forecast_deliveries": forecast,
        // A database that holds little says little about the size of what it will hold.
        "forecast_bytes": (kept.deliveries >= MEASURED_MIN).then(|| forecast.saturating_mul(bytes_each)),
        "delivery_days": days,
        "payload_days": rules.payload_days,
        "payloads": kept.payloads,
        "payload_bytes": kept.payload_bytes,
        "forecast_payload_bytes": kept.payload_bytes_last_day.saturating_mul(u64::from(rules.payload_days)),
    }))
}

/// So many deliveries tell what one takes.
const MEASURED_MIN: u64 = 1_000;

pub(super) fn disk_free(app: &App) -> Option<u64> {
    let disk = rustix::fs::statvfs(&app.config.data.dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
