//! The data exporters of the demo: the same events once more, as rows of one CSV request and of a file on a server.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::file_server::{self, FileServer};
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
        "columns": columns(),
    });
    let made = ops::exporters::create(app, actor, object(exporter)).await.map_err(explain)?;
    made["id"].as_str().map(str::to_owned).context("an exporter has an id")
}

/// Creates one that brings the same events to a file server, with a credential for it; the answer is its id.
pub(super) async fn create_for(app: &App, actor: &Actor, files: &FileServer) -> anyhow::Result<String> {
    let credential = object(files.credential());
    ops::credentials::create(app, actor, credential).await.map_err(explain)?;
    let exporter = json!({
        "name": "Demo device files",
        "credential": file_server::NAME,
        "folder": files.inbox().display().to_string(),
        "event_types": ["demo.*"],
        "schedule": "daily",
        "format": "csv",
        "columns": columns(),
    });
    let made = ops::exporters::create(app, actor, object(exporter)).await.map_err(explain)?;
    made["id"].as_str().map(str::to_owned).context("an exporter has an id")
}

/// Runs that one once; the answer is what it says, and the first lines of the file that arrived.
pub(super) async fn bring(
    app: &Arc<App>,
    actor: &Actor,
    exporter: &str,
    files: &FileServer,
) -> anyhow::Result<(String, Vec<String>)> {
    let run = run(app, actor, exporter).await?;
    let name = run["file_name"].as_str().unwrap_or_default();
    let text = std::fs::read_to_string(files.inbox().join(name)).context("the file is not there")?;
    let lines = text.lines().take(2).map(str::to_owned).collect();
    Ok((run["message"].as_str().unwrap_or_default().to_owned(), lines))
}

/// What both exporters of the demo send of an event.
fn columns() -> Value {
    json!([
        { "name": "time", "path": "event.time" },
        { "name": "type", "path": "event.type" },
        { "name": "device" },
        { "name": "score" },
    ])
}

/// Runs an exporter once; the answer is the run, done.
pub(super) async fn run(app: &Arc<App>, actor: &Actor, exporter: &str) -> anyhow::Result<Value> {
    let started = ops::runs::start(app, actor, exporter).await.map_err(explain)?;
    let id = started["id"].as_str().and_then(|id| id.parse().ok()).context("a run has an id")?;
    for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
        let run: Value = ops::runs::find(app, actor, id).await.map_err(explain)?;
        let message = run["message"].as_str().unwrap_or_default();
        match run["state"].as_str() {
            Some("done") => return Ok(run),
            Some("failed" | "cancelled") => bail!("the run of the exporter ended: {message}"),
            // On loopback nothing passes by itself.
            Some("waiting") if !run["hold_text"].is_null() => bail!("{}", run["hold_text"]),
            Some("waiting") if run["attempts"] != 0 => bail!("{message}"),
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    bail!("the run of the exporter did not end within {} seconds", PATIENCE.as_secs())
}
