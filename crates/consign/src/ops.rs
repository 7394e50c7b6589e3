//! Operations: what can be done, by whom. Right, validation, audit and wake-up are in one place for console, API and
//! CLI; reads may go straight to the store.

use std::net::IpAddr;
use std::sync::OnceLock;

use consign_core::audit::{AuditEntry, Table};
use consign_core::catalog::{Fault, Invalid};
use consign_core::field_manager::{Applying, FieldManager, owner_after};
use consign_core::id::{AuditId, KeyId, RequestId, UserId};
use consign_core::rights::{Right, Rights};
use consign_core::time::Timestamp;
use consign_store::{Db, StoreError, Tx, audit as audit_log};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::App;
use crate::engine::CommitError;

pub mod about;
pub mod api_keys;
pub mod audit;
pub mod backup;
pub mod calls;
pub mod connector;
pub mod consent;
pub mod credential_tests;
pub mod credentials;
pub mod deliveries;
pub mod encryption;
pub mod events;
mod exceptions;
pub mod exporters;
pub mod figures;
pub mod gateways;
pub mod host_keys;
pub mod idempotency;
pub mod mail;
pub mod notices;
pub mod operations;
pub mod overview;
pub mod people;
pub mod presets;
pub mod public_url;
pub mod pushes;
pub mod replays;
pub mod replicas;
pub mod runs;
pub mod sending;
pub mod settings;
pub mod signing;
pub mod support;
pub mod troubles;
pub mod uploads;
pub mod users;
pub mod webhooks;

/// A JSON object: the body of a request, or a form turned into one.
pub type Sent = Map<String, Value>;

/// Says whose file an object is.
const MANAGED_BY: &str = "managed_by";

/// Whoever acts.
#[derive(Clone, Debug)]
pub struct Actor {
    /// A person, a program, or Consign itself.
    pub kind: ActorKind,
    /// What it may do.
    pub rights: Rights,
    /// The address it comes from.
    pub from: Option<IpAddr>,
    /// The request it acts in.
    pub request_id: RequestId,
    /// When a person signed in.
    pub signed_in_at: Option<Timestamp>,
    /// The file that is applied, when it is not a change by hand.
    pub applying: Option<Applying>,
    /// What is kept with a change, when the request is one that is done once.
    pub asked: OnceLock<idempotency::Asked>,
}

/// A person, a program, or Consign itself.
#[derive(Clone, Debug)]
pub enum ActorKind {
    /// A person who is signed in.
    User {
        /// Their id.
        id: UserId,
        /// Their name.
        name: String,
    },
    /// A program with an API key.
    Key {
        /// The key's id.
        id: KeyId,
        /// The key's name.
        name: String,
    },
    /// Consign itself, or whoever owns its data folder.
    System,
}

impl Actor {
    /// Consign itself.
    pub fn system(now: Timestamp) -> Self {
        Self::new(ActorKind::System, Rights::all(), None, RequestId::new(now))
    }

    /// Somebody who acts in one request.
    pub fn new(kind: ActorKind, rights: Rights, from: Option<IpAddr>, request_id: RequestId) -> Self {
        let (signed_in_at, applying) = (None, None);
        Self { kind, rights, from, request_id, signed_in_at, applying, asked: OnceLock::new() }
    }

    /// The one policy question: deny unless the right is there.
    ///
    /// # Errors
    /// [`OpError::NotAllowed`] with the right that is missing.
    pub fn require(&self, right: Right) -> Result<(), OpError> {
        if self.rights.allow(right) { Ok(()) } else { Err(OpError::NotAllowed(right)) }
    }

    /// Whose an object is once this actor changed it.
    ///
    /// # Errors
    /// [`OpError::ManagedElsewhere`] when another file manages it.
    fn owner_after(&self, owner: Option<&FieldManager>) -> Result<Option<FieldManager>, OpError> {
        owner_after(self.applying.as_ref(), owner).map_err(OpError::ManagedElsewhere)
    }

    /// The same for a change to what was `sent`: by hand, `"managed_by": null` takes an object out of the hands of a file.
    ///
    /// # Errors
    /// [`OpError::ManagedElsewhere`] when another file manages it.
    fn owner_after_save(
        &self,
        owner: Option<&FieldManager>,
        sent: &Sent,
    ) -> Result<Option<FieldManager>, OpError> {
        let is_released = self.applying.is_none() && sent.get(MANAGED_BY).is_some_and(Value::is_null);
        Ok(self.owner_after(owner)?.filter(|_| !is_released))
    }

    /// Whether nothing is to be changed: what it asks is only tried.
    pub fn only_tries(&self) -> bool {
        self.applying.as_ref().is_some_and(|applying| applying.dry_run)
    }

    /// The name to show.
    pub fn name(&self) -> &str {
        match &self.kind {
            ActorKind::User { name, .. } | ActorKind::Key { name, .. } => name,
            ActorKind::System => "Consign",
        }
    }

    /// The id, to tell callers apart.
    pub fn caller(&self) -> String {
        match &self.kind {
            ActorKind::User { id, .. } => id.to_string(),
            ActorKind::Key { id, .. } => id.to_string(),
            ActorKind::System => "system".to_owned(),
        }
    }

    const fn kind(&self) -> &'static str {
        match self.kind {
            ActorKind::User { .. } => "user",
            ActorKind::Key { .. } => "api_key",
            ActorKind::System => "system",
        }
    }
}

/// What an operation acts on, for the audit log.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// `credential`, `webhook`, …
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: &'a str,
}

/// Writes the audit entry of a change into its transaction: both are stored, or neither.
async fn audit_entry(
    app: &App,
    tx: &mut Tx,
    actor: &Actor,
    action: &str,
    object: Object<'_>,
    changes: Value,
) -> Result<(), OpError> {
    audit_rows(app, tx, actor, action, object, changes, &[]).await
}

/// The same for a change of rows that decide where secrets go or who may say so: the entry holds what they look like
/// now, and they must look like that from now on.
async fn audit_rows(
    app: &App,
    tx: &mut Tx,
    actor: &Actor,
    action: &str,
    object: Object<'_>,
    changes: Value,
    rows: &[(Table, String)],
) -> Result<(), OpError> {
    append(app, tx, actor, action, object, changes, (rows, "done")).await
}

/// The entry of something that somebody was refused.
async fn audit_refusal(
    app: &App,
    tx: &mut Tx,
    actor: &Actor,
    action: &str,
    object: Object<'_>,
    changes: Value,
) -> Result<(), OpError> {
    append(app, tx, actor, action, object, changes, (&[], "refused")).await
}

async fn append(
    app: &App,
    tx: &mut Tx,
    actor: &Actor,
    action: &str,
    object: Object<'_>,
    changes: Value,
    (rows, result): (&[(Table, String)], &'static str),
) -> Result<(), OpError> {
    let now = tx.now();
    let rows = app.records.changed(tx, rows).await?;
    let entry = AuditEntry {
        id: AuditId::new(now),
        at: now,
        actor_kind: actor.kind(),
        actor_id: actor.caller(),
        actor: actor.name().to_owned(),
        action: action.to_owned(),
        object_kind: object.kind,
        object_id: object.id,
        object: object.name.to_owned(),
        changes,
        from: actor.from.map(|address| address.to_string()).unwrap_or_default(),
        request_id: actor.request_id.to_string(),
        result,
        rows,
    };
    audit_log::append(tx, &entry, &app.audit_key).await?;
    Ok(())
}

/// Makes a change durable, and then tells the anchor outside the database how far the audit log has come.
async fn commit(app: &App, tx: Tx) -> Result<(), OpError> {
    Ok(app.records.commit(tx).await?)
}

/// The same, and with it is kept what a repeat of the request is answered.
async fn commit_answered(app: &App, actor: &Actor, mut tx: Tx, made: &Value) -> Result<(), OpError> {
    idempotency::keep(app, actor, &mut tx, made).await?;
    commit(app, tx).await
}

/// Nothing is built on a row that was changed behind our back.
async fn require_as_saved(app: &App, db: &mut Db, (table, id): &(Table, String)) -> Result<(), OpError> {
    if app.records.fits(db, *table, id).await? {
        return Ok(());
    }
    let sentence = "This is not as it was saved last: the database was changed outside Consign. \
                    Save it whole, with every secret entered again, or delete it";
    Err(OpError::WrongState(sentence.to_owned()))
}

/// Why an operation was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// The actor lacks a right.
    #[error("this needs the right {}", .0.kind())]
    NotAllowed(Right),
    /// Programs may not, whatever their rights; the sentence says who does it and how.
    #[error("{0}")]
    PeopleOnly(&'static str),
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Some values were not accepted.
    #[error("some values were not accepted")]
    Invalid(Vec<Invalid>),
    /// Someone else changed it meanwhile.
    #[error("someone else changed it meanwhile")]
    Changed {
        /// The present revision.
        current: i64,
    },
    /// Connectors use it.
    #[error("connectors use it")]
    StillUsed(Vec<Usage>),
    /// A file that is applied under this name manages it.
    #[error("it is managed from a file by {0}")]
    ManagedElsewhere(FieldManager),
    /// Not in this state; the sentence says what is.
    #[error("{0}")]
    WrongState(String),
    /// Too often; after so many seconds it is taken again.
    #[error("too many requests; try again in {seconds} s")]
    TooMany {
        /// The wait.
        seconds: u64,
    },
    /// The intake is full.
    #[error("the queue of this server is full")]
    QueueFull,
    /// The disk is full.
    #[error("the disk of this server is full")]
    StorageFull,
    /// The server is stopping.
    #[error("the server is stopping")]
    Draining,
    /// The database cannot be reached.
    #[error("the database cannot be reached")]
    Unavailable,
    /// An idempotency key was used before.
    #[error("{0}")]
    Idempotency(idempotency::IdempotencyFault),
    /// Something is wrong on this server.
    #[error("something went wrong on this server")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for OpError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::StorageFull,
            StoreError::Unreachable => Self::Unavailable,
            other => Self::Internal(other.into()),
        }
    }
}

impl From<CommitError> for OpError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::QueueFull => Self::QueueFull,
            CommitError::Stopping => Self::Draining,
            CommitError::Store(error) => error.into(),
        }
    }
}

/// What must be unchanged for a write to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing: `If-Match: *`.
    Any,
    /// The revision that the writer has seen.
    Revision(i64),
}

impl IfMatch {
    fn judge(self, current: i64) -> Result<(), OpError> {
        match self {
            Self::Revision(seen) if seen != current => Err(OpError::Changed { current }),
            Self::Any | Self::Revision(_) => Ok(()),
        }
    }
}

/// What becomes of what was not sent; secrets are kept in either case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// PUT: it is no more.
    Dropped,
    /// PATCH: it stays.
    Kept,
}

/// A connector that uses a credential.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its state, as a public word.
    pub state: &'static str,
    /// Deliveries that ended in the last 24 hours.
    pub deliveries_24h: u64,
    /// Deliveries that wait, up to [`consign_store::connectors::WAITING_MAX`].
    pub waiting: u64,
    /// More may wait.
    pub waiting_is_capped: bool,
    /// When its next run is, of an exporter.
    pub next_run_at: Option<Timestamp>,
}

/// One value that was not accepted.
fn invalid(field: &str, code: &'static str, sentence: impl Into<String>) -> OpError {
    OpError::Invalid(vec![Fault::new(code, sentence).at(field)])
}

/// What is written of a change to something that a file manages, when it is another one that changes it, or somebody by
/// hand: the next apply undoes that.
fn with_manager(mut changes: Value, actor: &Actor, owner: Option<&FieldManager>) -> Value {
    let acting = actor.applying.as_ref().map(|applying| &applying.manager);
    if let Some(owner) = owner.filter(|owner| acting != Some(*owner)) {
        changes["managed_from_a_file_by"] = json!(owner);
    }
    changes
}

/// The name is taken.
fn not_unique(kind: &str, name: &str) -> OpError {
    let sentence = format!("A {kind} named “{name}” already exists. Choose another name");
    invalid("name", "not_unique", sentence)
}

/// The keys whose values differ, old → new, for the audit log. What is secret says only "replaced".
fn differences(old: &Value, new: &Value) -> Value {
    let empty = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    const SILENT: &[&str] = &[
        "etag",
        "updated_at",
        "by_hour",
        "last_24_hours",
        "last_delivery_at",
        "status",
        "token",
        "used_by_count",
        "last_used_at",
        "waiting_records",
        "waiting_is_capped",
        "last_run",
        "next_run_at",
    ];
    let mut changes = Map::new();
    for (key, after) in new.iter().filter(|(key, _)| !SILENT.contains(&key.as_str())) {
        let before = old.get(key).unwrap_or(&Value::Null);
        if before == after {
            continue;
        }
        let secret = after.get("set").is_some() || before.get("set").is_some() || key == "custom_headers";
        let change = if secret { json!("replaced") } else { json!({ "old": before, "new": after }) };
        changes.insert(key.clone(), change);
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changes.insert(key.clone(), json!("removed"));
    }
    Value::Object(changes)
}
