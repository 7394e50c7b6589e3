//! The encryption keys of this server: which key seals how much, a new key in use, every value moved to it.
//!
//! A value that moves to another key keeps its ciphertext; the key of that ciphertext is wrapped anew. It is done in
//! small transactions while everything goes on, and goes on after a restart.

use std::sync::Arc;

use consign_core::audit::Rows;
use consign_core::catalog::{Reader, unknown_field};
use consign_core::rights::Right;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_core::vault::KeyRing;
use consign_store::sealed_values::{self, Kind};
use consign_store::{Db, StoreError, installation};
use serde_json::{Value, json};

use super::users::again::{require_password, take_password};
use super::{
    Actor, ActorKind, Object, OpError, Sent, audit_entry, commit, commit_answered, invalid, replicas,
};
use crate::App;
use crate::keys;
use crate::keys::recovery::{self, PASSPHRASE_CHARS_MIN};
use crate::keys::{KeysError, NewFirst};
use kept::{Kept, keys_of_kept};
use moving::move_all;
use values::Values;

mod kept;
mod moving;
mod values;

/// The key that every value is to be moved to, while that is not done.
const MOVING_TO: &str = "reseal";
/// The key that every value was moved to last.
const MOVED_TO: &str = "resealed";
/// When a key was first seen, in milliseconds since 1970.
const FIRST_SEEN: &str = "key_seen/";
/// Rows in one transaction: short enough that nobody waits behind it.
const PORTION: u32 = 50;
/// A key that has sealed for longer should be followed by another one.
const KEY_DAYS_MAX: u64 = 365;
/// When the recovery file was last taken, in milliseconds since 1970.
const RECOVERY_FILE: &str = "recovery_file";
const RECOVERY_FILE_FOR_PEOPLE: &str = "An API key takes no recovery file. A person takes it in the console, at Settings > Encryption, or on the \
     machine of the server with: consign key recovery-file";
const FAILURES_SHOWN_MAX: usize = 20;
/// The member of a body that holds it.
const PASSPHRASE: &str = "passphrase";
/// The name of the file.
pub const RECOVERY_FILE_NAME: &str = "consign-recovery.txt";
const OF_SETTINGS: (&str, &str, &str) = ("settings", "", "Encryption");
const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: "Encryption" };

/// The keys of the ring, and how many values each of them seals. Never a key.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let kept = keys_of_kept(app).await?;
    let mut db = app.store.read().await?;
    let now = db.now();
    shown(app, &mut db, now, &app.vault.key_ids(), &kept).await
}

async fn shown(
    app: &App,
    db: &mut Db,
    now: Timestamp,
    ids: &[String],
    kept: &Kept,
) -> Result<Value, OpError> {
    let (mut items, mut known) = (Vec::new(), 0);
    let moving = moving_to(db).await?.is_some();
    let elsewhere = replicas::sealing_otherwise(app, db, now).await?;
    for (place, id) in ids.iter().enumerate() {
        let lasting = sealed_values::count(db, Some(id)).await?;
        // The key that seals always seals such values, and stays: they are looked for where one could go.
        let passing = place == 0 || sealed_values::seals_passing(db, id).await?;
        let seen = first_seen(db, id).await?;
        known += lasting;
        let needed = kept.keys.iter().filter(|needed| *needed == id).count();
        let why_not = match (lasting, passing, needed) {
            _ if place == 0 => Some("It seals".to_owned()),
            (1.., ..) if moving => Some("Its values are being re-sealed".to_owned()),
            (1.., ..) => Some("Re-seal its values first".to_owned()),
            (_, true, _) => Some("What it seals ends by itself within a day".to_owned()),
            (.., 1..) => Some(format!("Kept backups need it: {needed}")),
            (0, false, 0) => kept.unknown.clone().or_else(|| elsewhere.clone()),
        };
        items.push(json!({
            "id": id,
            "role": if place == 0 { "seals" } else { "opens" },
            "values": lasting,
            "seals_passing": passing,
            "first_seen_at": seen,
            "needed_by_backups": needed,
            "removable": why_not.is_none(),
            "not_removable_because": why_not,
        }));
    }
    let all = sealed_values::count(db, None).await?;
    Ok(json!({
        "items": items,
        "source": keys::place(&app.config).to_string(),
        "moving": moving,
        "missing_key_values": all.saturating_sub(known),
        "new_key_refused": new_key_refused(app),
        "recovery_file_at": recovery_file_at(db).await?,
    }))
}

/// Why this server cannot put a new key in use by itself.
fn new_key_refused(app: &App) -> Option<String> {
    if app.store.is_postgres() {
        return Some(
            "Other servers may use this database, and each of them needs a new key before it seals. Add a line of \
             `consign key new` to the end of every key ring and restart the servers one after the other; then put it \
             first, restart again, and re-seal"
                .to_owned(),
        );
    }
    let place = keys::place(&app.config);
    if place.file().is_none() {
        return Some(format!(
            "The key ring comes from {place}, which this server cannot change. Put a line of `consign key new` first \
             there, restart, and re-seal"
        ));
    }
    None
}

/// Puts a new key in use (`new_key`, unless `false`), and moves every value to the key that seals. Returns while that
/// goes on.
///
/// # Errors
/// Without the right or the password, or when this server cannot change its key ring.
pub async fn rotate(app: &Arc<App>, actor: &Actor, mut sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let password = take_password(&mut sent);
    let mut reader = Reader::new(sent);
    let new_key = reader.flag("new_key", "New key", true);
    reader.refuse_unknown(&["new_key", "password"], &[]);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    require_password(app, actor, &password).await?;
    // Whoever asked may be gone in the middle of it: ring, vault and database are changed together.
    let (app, actor) = (app.clone(), actor.clone());
    let change = tokio::spawn(async move { change(&app, &actor, new_key).await });
    match change.await {
        Ok(changed) => changed,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(OpError::Draining),
        },
    }
}

/// One at a time, and the next new key when every value has moved: a second click is no second key. The ring is replaced when
/// the entry stands in the transaction, and seals when that is on disk: no key seals that no entry knows.
async fn change(app: &Arc<App>, actor: &Actor, new_key: bool) -> Result<Value, OpError> {
    let under_way = || {
        let sentence =
            "A new key was put in use just now, and values are moving to it. Look again when that is done";
        OpError::WrongState(sentence.to_owned())
    };
    let _alone = app.rotation.try_lock().map_err(|_| under_way())?;
    if new_key && moving_to(&mut *app.store.read().await?).await?.is_some() {
        return Err(under_way());
    }
    let before = app.vault.sealing_key_id();
    let new = if new_key { Some(prepare_key(app)?) } else { None };
    let ids = new.as_ref().map_or_else(|| app.vault.key_ids(), |new| ids_of(new.ring()));
    let now = ids.first().cloned().unwrap_or_default();
    let kept = keys_of_kept(app).await?;
    let mut tx = app.store.begin().await?;
    let at = tx.now();
    note_first_seen(&mut tx, &now, at.millis()).await?;
    installation::put(&mut tx, MOVING_TO, &now).await?;
    let action = if new_key { "Put a new encryption key in use" } else { "Started to re-seal" };
    audit_entry(app, &mut tx, actor, action, OBJECT, json!({ "key": { "old": before, "new": now } })).await?;
    let value = shown(app, &mut tx, at, &ids, &kept).await?;
    if let Some(new) = &new {
        new.put().map_err(|error| refused(&error))?;
    }
    if let Err(error) = commit_answered(app, actor, tx, &value).await {
        if let Some(Err(left)) = new.as_ref().map(NewFirst::take_back) {
            tracing::error!(error = %left, "the key ring holds a key that is not in use: restart");
        }
        return Err(error);
    }
    if let Some(new) = &new {
        app.vault.take(new.ring());
    }
    tokio::spawn(move_all(app.clone(), now));
    Ok(value)
}

fn prepare_key(app: &App) -> Result<NewFirst, OpError> {
    if let Some(why) = new_key_refused(app) {
        return Err(OpError::WrongState(why));
    }
    NewFirst::prepare(&keys::place(&app.config), &app.vault.key_ids()).map_err(|error| refused(&error))
}

fn refused(error: &KeysError) -> OpError {
    OpError::WrongState(format!("No new key was put in use: {error}"))
}

fn ids_of(ring: &KeyRing) -> Vec<String> {
    ring.keys().iter().map(|key| key.id().to_owned()).collect()
}

async fn recovery_file_at(db: &mut Db) -> Result<Option<Timestamp>, StoreError> {
    let at = installation::get(db, RECOVERY_FILE).await?;
    Ok(at.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis))
}

/// What a person should know of the keys before it is asked: whether no recovery file was ever taken, and the key that
/// seals once it has done so for a year. Nothing is counted.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn reminder(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut db = app.store.read().await?;
    let ids = app.vault.key_ids();
    let sealing = ids.first().map(String::as_str).unwrap_or_default();
    let seen = first_seen(&mut db, sealing).await?;
    let days = seen.map_or(0, |seen| app.now().since(seen).as_secs() / 86_400);
    let old = (days >= KEY_DAYS_MAX).then(|| json!({ "id": sealing, "days": days }));
    Ok(json!({ "no_recovery_file": recovery_file_at(&mut db).await?.is_none(), "old_key": old }))
}

async fn first_seen(db: &mut Db, key: &str) -> Result<Option<Timestamp>, StoreError> {
    let seen = installation::get(db, &format!("{FIRST_SEEN}{key}")).await?;
    Ok(seen.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis))
}

/// The whole ring, sealed with a passphrase, for people alone: whoever got hold of an API key must not carry the ring
/// away. A person enters their password again.
///
/// # Errors
/// Without the right or the password, when the passphrase is short, or when the ring cannot be read.
pub async fn recovery_file(app: &App, actor: &Actor, mut sent: Sent) -> Result<Secret, OpError> {
    actor.require(Right::Admin)?;
    if matches!(actor.kind, ActorKind::Key { .. }) {
        return Err(OpError::PeopleOnly(RECOVERY_FILE_FOR_PEOPLE));
    }
    let password = take_password(&mut sent);
    let passphrase = sent.remove(PASSPHRASE).and_then(|typed| typed.as_str().map(str::to_owned));
    let passphrase = Secret::new(passphrase.unwrap_or_default());
    if let Some(key) = sent.keys().next() {
        return Err(OpError::Invalid(vec![unknown_field(key, &[PASSPHRASE, "password"])]));
    }
    if passphrase.expose().chars().count() < PASSPHRASE_CHARS_MIN {
        let sentence = "Passphrase must be 12 characters or more. Longer is better";
        return Err(invalid(PASSPHRASE, "too_short", sentence));
    }
    require_password(app, actor, &password).await?;
    let found = keys::load(&app.config, false)
        .map_err(|error| OpError::WrongState(format!("The key ring cannot be read: {error}")))?;
    let ids = ids_of(&found.ring);
    let made = tokio::task::spawn_blocking(move || recovery::write(&found.ring, &passphrase));
    let text = made.await.map_err(|error| OpError::Internal(error.into()))?;
    let text = text.map_err(|error| OpError::Internal(error.into()))?;
    let mut tx = app.store.begin().await?;
    let at = tx.now();
    installation::put(&mut tx, RECOVERY_FILE, &at.millis().to_string()).await?;
    audit_entry(app, &mut tx, actor, "Took recovery file", OBJECT, json!({ "keys": ids })).await?;
    commit(app, tx).await?;
    Ok(text)
}

/// Opens every value at its place, and tells which ones do not open.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn check(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let (mut checked, mut failed) = (0_u64, Vec::new());
    for kind in Kind::ALL {
        let mut after = Default::default();
        loop {
            let mut db = app.store.read().await?;
            let found = sealed_values::portion(&mut db, kind, &after, PORTION).await?;
            let Some((last, _)) = found.last() else { break };
            after = last.clone();
            let mut values = Values::of(app);
            for (at, value) in &found {
                checked += 1;
                match value {
                    Ok(value) if values.opens(&mut db, value).await? => {}
                    Ok(value) => failed.push(values::name(&value.holder)),
                    Err(_) => failed.push(format!("a damaged row of {}", at.0)),
                }
            }
        }
    }
    let count = failed.len();
    failed.truncate(FAILURES_SHOWN_MAX);
    Ok(json!({ "checked": checked, "failed": count, "failures": failed }))
}

/// What every start does: the key that seals is known from now on, and a move that was under way goes on.
pub(crate) async fn go_on(app: &Arc<App>) -> Result<(), StoreError> {
    let id = app.vault.sealing_key_id();
    let mut tx = app.store.begin().await?;
    let at = tx.now();
    let is_new = note_first_seen(&mut tx, &id, at.millis()).await?;
    let mut moving = moving_to(&mut tx).await?;
    if moving.as_ref().is_some_and(|to| *to != id) && !app.store.is_postgres() {
        // The ring of the one server there is has another key first now.
        installation::put(&mut tx, MOVING_TO, &id).await?;
        moving = Some(id.clone());
    }
    if is_new && app.vault.key_ids().len() > 1 {
        let changes = json!({ "key": id });
        app.records
            .append_own(&mut tx, "A new encryption key seals", OF_SETTINGS, changes, Rows::default())
            .await?;
        app.records.commit(tx).await?;
    } else {
        tx.commit().await?;
    }
    // To another key only whoever has it first in its ring can move.
    if moving.as_ref() == Some(&id) {
        tokio::spawn(move_all(app.clone(), id));
    }
    Ok(())
}

async fn moving_to(db: &mut Db) -> Result<Option<String>, StoreError> {
    installation::get(db, MOVING_TO).await
}

async fn note_first_seen(db: &mut Db, id: &str, millis: i64) -> Result<bool, StoreError> {
    installation::put_if_absent(db, &format!("{FIRST_SEEN}{id}"), &millis.to_string()).await
}
