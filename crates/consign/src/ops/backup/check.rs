//! Whether a backup can be restored: one of the folder, or a file that somebody sends. One at a time is taken in, unpacked
//! and read to its last byte, and room is left for what the server goes on to accept.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use consign_core::rights::Right;
use consign_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::OwnedMutexGuard;

use super::{failed, find, missing_or};
use crate::App;
use crate::archive::{Draft, Examined, Room, examine};
use crate::ops::{Actor, Object, OpError, audit_entry, commit};

/// Whoever finds one being checked asks again so soon.
const CHECKED_AGAIN_SECONDS: u64 = 5;
/// A check hears so soon that the server stops.
const STOP_LOOK: Duration = Duration::from_millis(200);

/// A file that somebody sends to be checked, as far as it arrived. Nobody else has one checked until this one is.
pub struct Arriving {
    turn: OwnedMutexGuard<()>,
    draft: Draft,
    file: tokio::fs::File,
    room: Room,
}

impl Arriving {
    /// Takes the next piece.
    ///
    /// # Errors
    /// When there is no room for it.
    pub async fn take(&mut self, piece: &[u8]) -> Result<(), OpError> {
        self.room.take(piece.len() as u64).map_err(unwritten)?;
        self.file.write_all(piece).await.map_err(unwritten)
    }
}

fn unwritten(error: io::Error) -> OpError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpError::StorageFull,
        _ => OpError::Internal(error.into()),
    }
}

/// Begins to take in a file that somebody sends to be checked.
///
/// # Errors
/// Without the right, when another one is being checked, or when the folder cannot be written or is nearly full.
pub fn begin_check(app: &App, actor: &Actor) -> Result<Arriving, OpError> {
    actor.require(Right::Admin)?;
    let turn = turn(app)?;
    let folder = beside(app);
    let begin = || {
        let room = room(app)?;
        room.require(0)?;
        let mut draft = Draft::new(folder, app.now())?;
        let file = tokio::fs::File::from_std(draft.take_file());
        Ok((room, draft, file))
    };
    let (room, draft, file) = begin().map_err(|error| failed(folder, &error))?;
    Ok(Arriving { turn, draft, file, room })
}

fn turn(app: &App) -> Result<OwnedMutexGuard<()>, OpError> {
    let turn = app.backups.check.clone().try_lock_owned();
    turn.map_err(|_| OpError::TooMany { seconds: CHECKED_AGAIN_SECONDS })
}

/// Backups are unpacked where there is room for them.
fn beside(app: &App) -> &Path {
    app.config.backup.dir.as_deref().filter(|folder| folder.is_dir()).unwrap_or(&app.config.data.dir)
}

fn room(app: &App) -> io::Result<Room> {
    Room::shared(beside(app), app.config.limits.disk_low_bytes)
}

/// Checks a backup of the folder.
///
/// # Errors
/// When there is none of this name, another one is being checked, or there is no room to unpack it.
pub async fn check_kept(app: &App, actor: &Actor, name: &str) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let (name, path) = find(app, name)?;
    let file = File::open(path).map_err(|error| missing_or(&error))?;
    let _turn = turn(app)?;
    look(app, actor, file, name.as_str()).await
}

/// Checks a file that arrived. Whether it is whole and which keys it needs is the answer; a damaged one is no error.
///
/// # Errors
/// When there is no room to unpack it, or the server stops.
pub async fn check(app: &App, actor: &Actor, arrived: Arriving, name: &str) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let Arriving { turn: _turn, draft, mut file, room: _ } = arrived;
    file.flush().await.map_err(unwritten)?;
    drop(file);
    let file = File::open(draft.path()).map_err(unwritten)?;
    look(app, actor, file, name).await
}

async fn look(app: &App, actor: &Actor, file: File, name: &str) -> Result<Value, OpError> {
    let folder = beside(app);
    let room = room(app).map_err(|error| failed(folder, &error))?;
    let examined = tokio::select! {
        examined = examine(file, room, app.now()) => examined.map_err(|error| failed(folder, &error))?,
        () = stopping(app) => return Err(OpError::Draining),
    };
    let mut tx = app.store.begin().await?;
    let whole = matches!(examined, Examined::Whole(..));
    let checked = Object { kind: "backup", id: String::new(), name };
    audit_entry(app, &mut tx, actor, "Checked backup", checked, json!({ "whole": whole })).await?;
    commit(app, tx).await?;
    Ok(told(app, &examined))
}

/// Until the server stops.
async fn stopping(app: &App) {
    while !app.engine.is_stopping() {
        tokio::time::sleep(STOP_LOOK).await;
    }
}

fn told(app: &App, examined: &Examined) -> Value {
    let manifest = match examined {
        Examined::Refused(why) => {
            let message = format!("This file cannot be restored: {why}.");
            return json!({ "whole": false, "message": message, "manifest": null, "encryption_keys": [] });
        }
        Examined::Whole(manifest, _) => manifest,
    };
    let loaded = app.vault.key_ids();
    let keys: Vec<_> =
        manifest.keys().into_iter().map(|id| (id, loaded.iter().any(|key| key == id))).collect();
    let missing: Vec<_> = keys.iter().filter(|(_, loaded)| !loaded).map(|(id, _)| *id).collect();
    let made_at = manifest.json()["made_at"].as_str().and_then(Timestamp::parse_rfc3339);
    let made_on = made_at.map(Timestamp::day).unwrap_or_default();
    let version = manifest.json()["version"].as_str().unwrap_or_default();
    let keys_told = if missing.is_empty() {
        "This server has every encryption key that it needs".to_owned()
    } else {
        format!("It needs encryption keys that this server does not have: {}", missing.join(", "))
    };
    let keys = keys.iter().map(|(id, loaded)| json!({ "id": id, "loaded": loaded })).collect::<Vec<_>>();
    json!({
        "whole": true,
        "message": format!("This backup is whole. Consign {version} made it on {made_on}. {keys_told}."),
        "manifest": manifest.json(),
        "encryption_keys": keys,
    })
}
