//! A backup that is made: an operation of this process with its progress. A request does not wait for it, and it can be
//! stopped until its file has its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use consign_core::id::OperationId;
use consign_core::operation::{OperationKind, OperationState};
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::operations::{self as stored, Operation};
use consign_store::{StoreError, installation};
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::task::JoinHandle;

use super::{CREATED, Failure, KEY_LEFT_OUT, LAST, coming, deletion, failed, object, unavailable};
use crate::App;
use crate::archive::{self, Draft, Manifest, Name, Pace};
use crate::ops::{Actor, OpError, audit_entry, commit, commit_answered, operations};

/// How often it is written down how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// What is done, as the place of an operation, and in words.
const STEPS: [(&str, &str); 3] =
    [("copy", "Copying the database"), ("check", "Checking the copy"), ("pack", "Compressing it")];
const CUT_OFF: &str =
    "The server stopped while this backup was made. No backup came of it: make another one.";

/// What a backup that is being made says of itself: the word of its step.
pub(in crate::ops) fn step(operation: &Operation) -> Option<&'static str> {
    let running = operation.state == OperationState::Running;
    STEPS.iter().find(|(step, _)| running && *step == operation.place).map(|(_, words)| *words)
}

/// What came of one: its file, as long as that is there.
pub(in crate::ops) fn result(app: &App, operation: &Operation) -> Value {
    let Some(name) = Name::parse(&operation.place).filter(|_| operation.state == OperationState::Done) else {
        return Value::Null;
    };
    let file = app.config.backup.dir.as_ref().map(|folder| folder.join(name.as_str()));
    let bytes = file.and_then(|file| file.metadata().ok()).map(|metadata| metadata.len());
    json!({ "name": name.as_str(), "bytes": bytes, "left_out": KEY_LEFT_OUT })
}

/// Starts to make a backup, and returns while that goes on. Those that are older than `backup.keep` says go when it is
/// done.
///
/// # Errors
/// When no folder is set, the disk is full, the folder cannot be written, or one is being made.
pub async fn start(app: &Arc<App>, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    begin(app, actor).await.map(|begun| begun.shown)
}

/// A backup that is being made.
pub(super) struct Begun {
    /// How it stands, as it is shown.
    shown: Value,
    /// The name of the file, in the end; `None` when somebody stopped it.
    pub(super) made: JoinHandle<Result<Option<Name>, OpError>>,
}

/// What this one has: nobody else makes one meanwhile.
struct Making {
    app: Arc<App>,
    actor: Actor,
    folder: PathBuf,
    operation: OperationId,
    total: u64,
    /// What it holds is the state of this time, whenever it is done.
    began: Timestamp,
    pace: Arc<Pace>,
    /// Told when somebody stopped it.
    stop: Notify,
    _turn: OwnedMutexGuard<()>,
}

/// Begins one.
///
/// # Errors
/// As [`start`].
pub(super) async fn begin(app: &Arc<App>, actor: &Actor) -> Result<Begun, OpError> {
    if let Some(why) = unavailable(app) {
        return Err(OpError::WrongState(why.to_owned()));
    }
    let turn = app.backups.turn.clone().try_lock_owned();
    let turn = turn
        .map_err(|_| OpError::WrongState("A backup is being made now. Look again in a moment".to_owned()))?;
    let folder = app.config.backup.dir.clone().unwrap_or_default();
    let began = prepare(app, actor, &folder).await;
    if let Err(error) = &began {
        note_failure(app, &folder, error);
    }
    let (drafts, operation, shown) = began?;
    let making = Making {
        app: app.clone(),
        actor: actor.clone(),
        folder,
        operation: operation.id,
        total: operation.total,
        began: operation.started_at,
        pace: Arc::default(),
        stop: Notify::new(),
        _turn: turn,
    };
    Ok(Begun { shown, made: tokio::spawn(making.run(drafts)) })
}

/// The files, and the row.
async fn prepare(
    app: &App,
    actor: &Actor,
    folder: &Path,
) -> Result<((Draft, Draft), Operation, Value), OpError> {
    let (at, in_folder) = (app.now(), folder.to_owned());
    let drafts = tokio::task::spawn_blocking(move || {
        archive::prepare(&in_folder, at)?;
        Ok((Draft::new(&in_folder, at)?, Draft::new(&in_folder, at)?))
    });
    let drafts = drafts.await.map_err(|error| OpError::Internal(error.into()))?;
    let drafts = drafts.map_err(|error| failed(folder, &error))?;
    let bytes = app.store.copy_bytes().await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let operation = Operation {
        id: OperationId::new(now),
        kind: OperationKind::Backup,
        state: OperationState::Running,
        done: 0,
        // Copied once, and compressed once.
        total: bytes.saturating_mul(2),
        settings: json!({}),
        place: STEPS[0].0.to_owned(),
        due_at: now,
        started_by: actor.name().to_owned(),
        started_at: now,
        ended_at: None,
        problem: String::new(),
    };
    stored::insert(&mut tx, &operation).await?;
    let shown = operations::show(app, &mut tx, &operation, 0).await?;
    commit_answered(app, actor, tx, &shown).await?;
    Ok((drafts, operation, shown))
}

fn note_failure(app: &App, folder: &Path, error: &OpError) {
    let sentence = match error {
        OpError::StorageFull => format!("The disk of {} is full", folder.display()),
        other => other.to_string(),
    };
    *app.backups.failure() = Some(Failure { at: app.now(), sentence });
}

impl Making {
    async fn run(self, drafts: (Draft, Draft)) -> Result<Option<Name>, OpError> {
        let copy = drafts.0.path().to_owned();
        let made = tokio::select! {
            made = self.make(drafts) => made,
            () = self.tell(&copy) => unreachable!("it tells until the backup is made"),
        };
        let stopped = self.pace.stopped.load(Ordering::Relaxed);
        let ended = match made {
            Ok(name) => self.finish(name).await,
            // Whoever stopped it has ended the operation.
            Err(_) if stopped => {
                coming::take_back(&self.app, &Name::of(self.began)).await;
                return Ok(None);
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &ended {
            note_failure(&self.app, &self.folder, error);
            coming::take_back(&self.app, &Name::of(self.began)).await;
            self.fail().await;
        }
        ended
    }

    /// Writes down how far it is, for as long as it is asked; when the operation was stopped, the work is told.
    async fn tell(&self, copy: &Path) {
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            let packed = self.pace.packed.load(Ordering::Relaxed);
            let copied = std::fs::metadata(copy).map_or(0, |metadata| metadata.len());
            let half = self.total / 2;
            let (place, done) = match packed {
                0 if copied >= half => (1, half),
                0 => (0, copied.min(half)),
                packed => (2, (half + packed).min(self.total)),
            };
            match self.advance(done, STEPS[place].0).await {
                Ok(true) => {}
                Ok(false) => {
                    self.pace.stopped.store(true, Ordering::Relaxed);
                    self.stop.notify_one();
                }
                Err(error) => tracing::warn!(%error, "the progress of a backup was not written down"),
            }
        }
    }

    async fn advance(&self, done: u64, place: &str) -> Result<bool, StoreError> {
        let mut tx = self.app.store.begin().await?;
        let now = tx.now();
        let runs = stored::advance(&mut tx, self.operation, done, place, now).await?;
        tx.commit().await?;
        Ok(runs)
    }

    /// The copy, its archive, and its name at last. It ends early, behind the copy and any time later, when it was
    /// stopped.
    async fn make(&self, (copy, mut packed): (Draft, Draft)) -> Result<Name, OpError> {
        let (app, folder) = (&self.app, &self.folder);
        let at = self.began;
        app.store.copy_to(copy.path()).await.map_err(|error| match error {
            StoreError::Full => OpError::StorageFull,
            other => OpError::Internal(other.into()),
        })?;
        let looked = tokio::select! {
            biased;
            () = self.stop.notified() => return Err(OpError::WrongState("The backup was stopped".to_owned())),
            looked = consign_store::backup::inspect(copy.path()) => looked?,
        };
        let contents = match looked {
            consign_store::backup::Inspected::Whole(contents) => contents,
            consign_store::backup::Inspected::Damaged(words) => {
                return Err(OpError::WrongState(format!(
                    "No backup was made: the database is damaged ({words}). Restore the last backup that is whole"
                )));
            }
        };
        let manifest = Manifest::new(&contents, at, "sqlite");
        let name = Name::of(at);
        coming::note(app, &name).await?;
        let (to, pace) = (folder.join(name.as_str()), self.pace.clone());
        let written = tokio::task::spawn_blocking(move || {
            archive::write(manifest, copy.path(), packed.take_file(), &pace)?;
            packed.keep(&to)
        });
        let written = written.await.map_err(|error| OpError::Internal(error.into()))?;
        written.map_err(|error| failed(folder, &error))?;
        Ok(name)
    }

    /// It counts from here on, unless somebody stopped it meanwhile.
    async fn finish(&self, name: Name) -> Result<Option<Name>, OpError> {
        let app = &self.app;
        let mut tx = app.store.begin().await?;
        let at = tx.now();
        stored::advance(&mut tx, self.operation, self.total, name.as_str(), at).await?;
        if !stored::end(&mut tx, self.operation, OperationState::Done, "", at).await? {
            drop(tx);
            coming::take_back(app, &name).await;
            return Ok(None);
        }
        coming::arrived(&mut tx, &name).await?;
        installation::put(&mut tx, LAST, &self.began.millis().to_string()).await?;
        audit_entry(app, &mut tx, &self.actor, CREATED, object(&name), json!({})).await?;
        commit(app, tx).await?;
        app.backups.last.store(self.began.millis(), Ordering::Relaxed);
        *app.backups.failure() = None;
        self.prune(&name).await;
        Ok(Some(name))
    }

    /// Deletes what is older than `backup.keep` says, each with its entry. The new one is made all the same when that
    /// fails.
    async fn prune(&self, made: &Name) {
        let keep = self.app.config.backup.keep;
        let (folder, made) = (self.folder.clone(), made.clone());
        let old = tokio::task::spawn_blocking(move || archive::old(&folder, keep, &made)).await;
        let old = match old {
            Ok(Ok(old)) => old,
            Ok(Err(error)) => return tracing::warn!(%error, "the folder of backups could not be read"),
            Err(_) => return,
        };
        for name in old {
            let (own, path) = (Actor::system(self.app.now()), self.folder.join(name.as_str()));
            let why = json!({ "backup.keep": keep });
            match deletion::remove(&self.app, &own, &name, &path, why).await {
                Ok(()) => tracing::info!(name = name.as_str(), "an old backup was removed"),
                Err(error) => tracing::warn!(%error, name = name.as_str(), "an old backup was not removed"),
            }
        }
    }

    /// Writes down that none was made; a disk that is full may need a while for that, too.
    async fn fail(&self) {
        let problem = self.app.backups.failure().as_ref().map(|failure| format!("{}.", failure.sentence));
        let problem = problem.unwrap_or_default();
        while !self.app.engine.is_stopping() {
            let ended = async {
                let mut tx = self.app.store.begin().await?;
                let now = tx.now();
                stored::end(&mut tx, self.operation, OperationState::Failed, &problem, now).await?;
                tx.commit().await
            };
            match ended.await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the end of a backup was not written down"),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

/// What every start does: one that was being made when the server stopped has come to nothing.
pub(super) async fn end_what_was_cut_off(app: &App) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let (kind, failed) = (OperationKind::Backup, OperationState::Failed);
    stored::end_all(&mut tx, kind, failed, CUT_OFF, now).await?;
    tx.commit().await
}
