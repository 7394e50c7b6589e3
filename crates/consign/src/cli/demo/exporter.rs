//! The data exporter of the demo: the same events once more, as rows of one CSV request.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{LOOK_EVERY, PATIENCE, explain, object, tool};
use crate::App;
use crate::ops::{self, Actor};

pub(super) const NAME: &str = "Demo device list";

/// Creates it; the answer is its id.
pub(super) async fn create(app: &App, actor: &Actor) -> anyhow::Result<String> {
    let exporter = json!({
        "name": NAME,
        "credential": "Demo Basic",
        "path": tool::BULK,
        "event_types": ["demo.*"],
        "schedule": "daily",
        "format": "csv",
        "columns": [
            { "name": "time", "path": "event.time" },
            { "name": "type", "path": "event.type" },
            { "name": "device" },
            { "name": "score" },
        ],
    });
    let made = ops::exporters::create(app, actor, object(exporter)).await.map_err(explain)?;
    made["id"].as_str().map(str::to_owned).context("an exporter has an id")
}

/// Runs it once, and says what it sent.
pub(super) async fn run(app: &Arc<App>, actor: &Actor, exporter: &str) -> anyhow::Result<String> {
    let started = ops::runs::start(app, actor, exporter).await.map_err(explain)?;
    let id = started["id"].as_str().and_then(|id| id.parse().ok()).context("a run has an id")?;
    for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
        let run: Value = ops::runs::find(app, actor, id).await.map_err(explain)?;
        let message = run["message"].as_str().unwrap_or_default().to_owned();
        match run["state"].as_str() {
            Some("done") => return Ok(message),
            Some("failed" | "cancelled") => bail!("the run of the exporter ended: {message}"),
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    bail!("the run of the exporter did not end within {} seconds", PATIENCE.as_secs())
}
