//! Backups: copies of the database in a folder of the operator, made while everything goes on. Secrets and payloads stay
//! sealed in them, and the encryption key is never there.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use consign_core::rights::Right;
use consign_core::time::Timestamp;

use serde_json::{Value, json};

use super::users::again::{require_password, take_password};
use super::{Actor, Object, OpError, Sent, audit_entry, commit};
use crate::App;
use crate::archive::{self, Archive, Manifest, Name};

pub use check::{Arriving, begin_check, check, check_kept};
pub(crate) use coming::finish_coming;
pub use deletion::delete;
pub(crate) use deletion::finish_deletions;
pub use make::start;
pub(super) use make::{result, step};
pub use schedule::overdue_days;
pub(crate) use schedule::start as keep;

mod check;
mod coming;
mod deletion;
mod make;
mod schedule;

/// When the last backup was made, in milliseconds since 1970.
const LAST: &str = "backup_last";
/// What the audit log says of one that was made.
const CREATED: &str = "Created backup";
const NOT_SET_UP: &str = "No folder for backups is set. Set backup.dir in the configuration and restart";
const BY_PG_DUMP: &str = "This database is copied by PostgreSQL itself: pg_dump --format=custom --file=consign.dump \"$DATABASE_URL\". \
     Keep the manifest with the file, and the encryption keys that it names away from both";
const KEY_LEFT_OUT: &str = "Not in the backup: the encryption key. Keep it separately";

/// What this process knows of backups.
#[derive(Default)]
pub struct Backups {
    /// Held while one is made.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// When the last one was made; 0 for never.
    last: AtomicI64,
    /// Since when there could have been one; 0 while nobody asked for any.
    since: AtomicI64,
    failure: Mutex<Option<Failure>>,
    /// One backup is checked at a time: it is unpacked, and read to its last byte.
    check: Arc<tokio::sync::Mutex<()>>,
}

/// A backup that was not made.
#[derive(Clone)]
struct Failure {
    at: Timestamp,
    sentence: String,
}

impl Backups {
    /// When the last one was made.
    pub fn last(&self) -> Option<Timestamp> {
        Some(self.last.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Timestamp::from_millis)
    }

    /// Whether one is being made: whoever makes one holds its turn.
    pub(super) fn is_making(&self) -> bool {
        Arc::strong_count(&self.turn) > 1
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the last backup was not made, in a sentence; `None` when it was.
pub(super) fn last_failure(app: &App) -> Option<String> {
    app.backups.failure().as_ref().map(|failure| failure.sentence.clone())
}

/// What there is, the newest first; where it is and when the next one comes.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let (mut items, mut unreadable) = (Vec::new(), None);
    if let Some(folder) = app.config.backup.dir.clone() {
        let shown = tokio::task::spawn_blocking(move || {
            archive::names(&folder).map(|names| names.iter().filter_map(|name| show(&folder, name)).collect())
        });
        match shown.await.map_err(|error| OpError::Internal(error.into()))? {
            Ok(shown) => items = shown,
            Err(error) => {
                unreadable = Some(format!("The folder of backups cannot be read: {}", words(&error)))
            }
        }
    }
    let postgres = app.store.is_postgres();
    let manifest = if postgres { Some(present(app).await?) } else { None };
    let failure = app.backups.failure().clone();
    Ok(json!({
        "items": items,
        "folder": app.config.backup.dir.as_ref().map(|folder| folder.display().to_string()),
        "schedule": app.config.backup.schedule.to_string(),
        "keep": app.config.backup.keep,
        "next_at": schedule::next(app),
        "last_success_at": app.backups.last(),
        "last_failure": failure.map(|failure| json!({ "at": failure.at, "message": failure.sentence })),
        "unavailable": unavailable(app).or(unreadable.as_deref()),
        "manifest": manifest.as_ref().map(Manifest::json),
        "left_out": KEY_LEFT_OUT,
    }))
}

/// Why none can be made here.
fn unavailable(app: &App) -> Option<&'static str> {
    match (&app.config.backup.dir, app.store.is_postgres()) {
        (_, true) => Some(BY_PG_DUMP),
        (None, false) => Some(NOT_SET_UP),
        (Some(_), false) => None,
    }
}

/// What the database is like now, as a manifest.
async fn present(app: &App) -> Result<Manifest, OpError> {
    let database = if app.store.is_postgres() { "postgresql" } else { "sqlite" };
    Ok(Manifest::new(&app.store.contents().await?, app.now(), database))
}

/// One file of the folder; `None` when it went meanwhile.
fn show(folder: &Path, name: &Name) -> Option<Value> {
    let file = File::open(folder.join(name.as_str())).ok()?;
    let bytes = file.metadata().ok()?.len();
    let mut shown = json!({ "name": name.as_str(), "bytes": bytes });
    match Archive::open(file) {
        Ok(archive) => merge(&mut shown, archive.manifest().json()),
        Err(error) => shown["problem"] = json!(error.to_string()),
    }
    Some(shown)
}

fn merge(shown: &mut Value, manifest: &Value) {
    let keys = ["made_at", "version", "schema", "encryption_keys", "counts", "database_bytes"];
    for key in keys {
        shown[key] = manifest[key].clone();
    }
}

fn object(name: &Name) -> Object<'_> {
    Object { kind: "backup", id: name.as_str().to_owned(), name: name.as_str() }
}

/// Proves that this server wrote a note of what is to happen to a file: whoever writes into the database must not delete
/// backups by it.
fn proof(app: &App, kind: &str, name: &Name) -> String {
    app.audit_key.authenticate(format!("{kind}\n{}", name.as_str()).as_bytes())
}

fn failed(folder: &Path, error: &io::Error) -> OpError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpError::StorageFull,
        _ => OpError::WrongState(format!(
            "No backup was made: the folder {} cannot be used: {}. Set backup.dir to a folder that this server can \
             write",
            folder.display(),
            words(error)
        )),
    }
}

/// What the system says, without the number of its error.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn find(app: &App, name: &str) -> Result<(Name, std::path::PathBuf), OpError> {
    let found = Name::parse(name).zip(app.config.backup.dir.as_ref());
    let (name, folder) = found.ok_or(OpError::NotFound("backup"))?;
    let path = folder.join(name.as_str());
    Ok((name, path))
}

fn missing_or(error: &io::Error) -> OpError {
    match error.kind() {
        io::ErrorKind::NotFound => OpError::NotFound("backup"),
        _ => OpError::WrongState(format!("The backup cannot be used: {}", words(error))),
    }
}

/// Opens a backup to be carried away: the file, its name and size. A person enters their password again.
///
/// # Errors
/// When there is none of this name, or the password is not right.
pub async fn download(
    app: &App,
    actor: &Actor,
    name: &str,
    mut sent: Sent,
) -> Result<(File, String, u64), OpError> {
    actor.require(Right::Admin)?;
    let password = take_password(&mut sent);
    if let Some(key) = sent.keys().next() {
        return Err(OpError::Invalid(vec![consign_core::catalog::unknown_field(key, &["password"])]));
    }
    require_password(app, actor, &password).await?;
    let (name, path) = find(app, name)?;
    let file = File::open(&path).map_err(|error| missing_or(&error))?;
    let bytes = file.metadata().map_err(|error| missing_or(&error))?.len();
    let mut tx = app.store.begin().await?;
    audit_entry(app, &mut tx, actor, "Downloaded backup", object(&name), json!({ "bytes": bytes })).await?;
    commit(app, tx).await?;
    Ok((file, name.as_str().to_owned(), bytes))
}
