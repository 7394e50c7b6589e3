//! What the audit log says about the rows that decide where secrets go, and the anchor outside the database that says
//! how far the log had come. Together they show a row, or a whole database, that was put back to an older state.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use consign_core::audit::{Anchor, AuditEntry, Imprint, Ledger, Rows, Table};
use consign_core::connector::{Connector, ConnectorState, HeldBy};
use consign_core::credential::{Status, StatusCode};
use consign_core::id::{AuditId, RequestId};
use consign_core::vault::DerivedKey;
use consign_store::{Db, Store, StoreError, Tx, audit, connectors, credentials, installation, protected};
use serde_json::Value;
use tokio::sync::Mutex;

use super::Engine;
use accept::Found;

pub use accept::{Accept, PutBack, RESTORED};

mod accept;

/// In the data folder.
const ANCHOR_FILE: &str = "audit-anchor";
/// A row that another replica saves between two looks is looked at again so often.
const LOOKS_MAX: u32 = 3;
/// Why a credential is locked whose row is not the one that was saved last.
const NOT_AS_SAVED: &str = "it is not as it was saved last: the database was changed outside Consign";

/// Why the audit log is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The database is older than what this server has seen of it.
    #[error(
        "the database is older than this server has seen it: entry {seen} of its audit log is missing or another \
         one, the newest entry is {newest}"
    )]
    RolledBack {
        /// The newest entry that was on disk.
        seen: i64,
        /// The newest entry that is there.
        newest: i64,
    },
    /// The log itself was changed.
    #[error("the audit log does not fit at {}: entries were changed or removed outside Consign", told(.0))]
    Broken(Vec<i64>),
    /// The anchor cannot be read.
    #[error("the anchor of the audit log, {}, cannot be read", path.display())]
    Anchor {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database cannot be used.
    #[error("the database cannot be used")]
    Store(#[from] StoreError),
}

/// So many places of a log are told one by one.
const PLACES_TOLD_MAX: usize = 20;

/// Places of the log in words.
fn told(places: &[i64]) -> String {
    let (first, rest) = places.split_at(places.len().min(PLACES_TOLD_MAX));
    let list = first.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    match (first.len(), rest.len()) {
        (..=1, _) => format!("entry {list}"),
        (_, 0) => format!("entries {list}"),
        (_, more) => format!("entries {list} and {more} more"),
    }
}

/// The records of the audit log, as far as they were read.
pub struct Records {
    key: Arc<DerivedKey>,
    ledger: Mutex<Ledger>,
    anchor: AnchorFile,
    accepted: Option<(String, PutBack)>,
}

impl Records {
    /// Reads the whole log, and holds it against the anchor. What is accepted is taken as it is from now on, and the
    /// log says so.
    ///
    /// # Errors
    /// When the log is not whole or not as new as the anchor, unless that is accepted.
    pub async fn open(
        store: &Store,
        key: Arc<DerivedKey>,
        folder: &Path,
        installation: &str,
        accept: Accept,
    ) -> Result<Self, RecordsError> {
        let anchor = AnchorFile::of(folder, installation);
        let mut ledger = Ledger::default();
        let mut view = store.view().await?;
        audit::follow(&mut view, &key, &mut ledger).await?;
        let (newest, link) = audit::head(&mut view).await?;
        ledger.end_at(newest, &link);
        let kept = anchor.read()?;
        let link_there = match &kept {
            Some(kept) => audit::link_at(&mut view, kept.sequence).await?,
            None => None,
        };
        let restored = installation::get(&mut view, RESTORED).await?;
        drop(view);
        let unanchored = kept.is_none() && newest > 0;
        if unanchored {
            tracing::warn!("there is no anchor of the audit log in the data folder; this start makes one");
        }
        let rolled_back = kept.filter(|kept| !kept.is_kept(&ledger, link_there.as_deref()));
        let rolled_back = rolled_back.map(|kept| RecordsError::RolledBack { seen: kept.sequence, newest });
        let broken = ledger.broken_places().to_vec();
        let found = Found { rolled_back, unanchored, broken, restored };
        let mut records = Self { key, ledger: Mutex::new(ledger), anchor, accepted: None };
        records.accepted = records.accept(store, accept, found).await?;
        let ledger = records.ledger.lock().await;
        records.anchor.write(ledger.sequence(), ledger.link()).await;
        drop(ledger);
        Ok(records)
    }

    /// What was taken as it is at this start; empty when it was put back by a restore and nothing speaks against it.
    pub fn accepted(&self) -> Option<&str> {
        self.accepted.as_ref().map(|(why, _)| why.as_str())
    }

    /// What a database that was put back, or changed, let go of at this start.
    pub fn put_back(&self) -> Option<PutBack> {
        self.accepted.as_ref().map(|(_, put_back)| *put_back)
    }

    /// How many rows are not as their newest record says.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn misfits(&self, store: &Store) -> Result<usize, StoreError> {
        Ok(self.view(store).await?.1.len())
    }

    /// A view of the database, and the rows in it that are not as their newest record says.
    pub(super) async fn view(&self, store: &Store) -> Result<(Tx, HashSet<(Table, String)>), StoreError> {
        // Locked first: a ledger that has read further than the view would find fault with good rows.
        let mut ledger = self.ledger.lock().await;
        let mut view = store.view().await?;
        audit::follow(&mut view, &self.key, &mut ledger).await?;
        let mut misfits = HashSet::new();
        for table in Table::ALL.iter().copied() {
            let mut missing: HashSet<&str> = ledger.ids(table).collect();
            for (id, text) in protected::all(&mut view, table).await? {
                missing.remove(id.as_str());
                if !ledger.knows(&Imprint::of(&self.key, table, &id, Some(&text))) {
                    misfits.insert((table, id));
                }
            }
            misfits.extend(missing.into_iter().map(|id| (table, id.to_owned())));
        }
        Ok((view, misfits))
    }

    /// Whether a row is as its newest record says. Never ask in a transaction that has appended an entry.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn fits(&self, db: &mut Db, table: Table, id: &str) -> Result<bool, StoreError> {
        let mut ledger = self.ledger.lock().await;
        for _ in 0..LOOKS_MAX {
            audit::follow(db, &self.key, &mut ledger).await?;
            let row = protected::find(db, table, id).await?;
            if ledger.knows(&Imprint::of(&self.key, table, id, row.as_deref())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the log says that there are rows of a table, whatever the database holds. Never ask in a transaction that
    /// has appended an entry.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn knows_any(&self, db: &mut Db, table: Table) -> Result<bool, StoreError> {
        let mut ledger = self.ledger.lock().await;
        audit::follow(db, &self.key, &mut ledger).await?;
        Ok(ledger.ids(table).next().is_some())
    }

    /// What an entry says about the rows that its transaction changed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn changed(&self, db: &mut Db, rows: &[(Table, String)]) -> Result<Rows, StoreError> {
        let mut imprints = Vec::with_capacity(rows.len());
        for (table, id) in rows {
            let row = protected::find(db, *table, id).await?;
            imprints.push(Imprint::of(&self.key, *table, id, row.as_deref()));
        }
        Ok(Rows::Changed(imprints))
    }

    /// Writes the entry of something that the server does by itself into the transaction of the change. The object is
    /// its kind, id and name.
    pub(crate) async fn append_own(
        &self,
        tx: &mut Tx,
        action: &str,
        (object_kind, object_id, object): (&'static str, &str, &str),
        changes: Value,
        rows: Rows,
    ) -> Result<(), StoreError> {
        let now = tx.now();
        let entry = AuditEntry {
            id: AuditId::new(now),
            at: now,
            actor_kind: "system",
            actor_id: "system".to_owned(),
            actor: "Consign".to_owned(),
            action: action.to_owned(),
            object_kind,
            object_id: object_id.to_owned(),
            object: object.to_owned(),
            changes,
            from: String::new(),
            request_id: RequestId::new(now).to_string(),
            result: "done",
            rows,
        };
        audit::append(tx, &entry, &self.key).await.map(drop)
    }

    /// Makes a change durable, and then tells the anchor outside the database how far the log has come.
    pub(crate) async fn commit(&self, mut tx: Tx) -> Result<(), StoreError> {
        let (sequence, link) = audit::head(&mut tx).await?;
        tx.commit().await?;
        self.anchor.write(sequence, &link).await;
        Ok(())
    }

    /// An entry that speaks against the log, by what this process knows of it: the newest one that it has seen is gone,
    /// or one that was read since does not fit.
    ///
    /// # Errors
    /// When the anchor or the database cannot be read.
    pub async fn suspect(&self, store: &Store) -> Result<Option<i64>, RecordsError> {
        if let Some(lost) = self.lost(store).await? {
            return Ok(Some(lost));
        }
        let mut ledger = self.ledger.lock().await;
        audit::follow(&mut *store.read().await?, &self.key, &mut ledger).await?;
        Ok(ledger.broken())
    }

    /// The newest entry that this server has seen, when the log does not hold it any more. Ask before the log is read:
    /// it may go on meanwhile.
    ///
    /// # Errors
    /// When the anchor or the database cannot be read.
    pub async fn lost(&self, store: &Store) -> Result<Option<i64>, RecordsError> {
        let Some(kept) = self.anchor.read()?.filter(|kept| kept.sequence > 0) else { return Ok(None) };
        let there = audit::link_at(&mut *store.read().await?, kept.sequence).await?;
        Ok((there.as_deref() != Some(kept.link.as_str())).then_some(kept.sequence))
    }
}

/// The file outside the database that holds the newest record.
struct AnchorFile {
    path: PathBuf,
    installation: String,
    /// Tells those of one process apart.
    number: u64,
    written: Mutex<i64>,
}

/// How many anchors this process has opened.
static OPENED: AtomicU64 = AtomicU64::new(0);

impl AnchorFile {
    fn of(folder: &Path, installation: &str) -> Self {
        Self {
            path: folder.join(ANCHOR_FILE),
            installation: installation.to_owned(),
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            written: Mutex::new(0),
        }
    }

    /// The anchor of this installation; that of another one says nothing about it.
    fn read(&self) -> Result<Option<Anchor>, RecordsError> {
        let failed = |source| RecordsError::Anchor { path: self.path.clone(), source };
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let anchor = Anchor::parse(&text)
            .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, "it is not an anchor")))?;
        Ok(Some(anchor).filter(|anchor| anchor.installation == self.installation))
    }

    /// Moves forward, never back. An anchor that lags behind is as good as it can be: the change is on disk.
    async fn write(&self, sequence: i64, link: &str) {
        let mut written = self.written.lock().await;
        if sequence <= *written {
            return;
        }
        let anchor = Anchor { installation: self.installation.clone(), sequence, link: link.to_owned() };
        let path = self.path.clone();
        // Replicas that share a folder must not write into each other's half.
        let new = path.with_extension(format!("{}-{}.new", std::process::id(), self.number));
        let replaced =
            tokio::task::spawn_blocking(move || replace(&path, &new, anchor.text().as_bytes())).await;
        match replaced {
            Ok(Ok(())) => *written = sequence,
            Ok(Err(error)) => tracing::error!(%error, "the anchor of the audit log was not written"),
            Err(_) => {}
        }
    }
}

/// The old text or the new one, whatever happens in between.
fn replace(path: &Path, new: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    crate::keys::create_folder(folder)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(new, path)?;
    File::open(folder)?.sync_all()
}

impl Engine {
    /// Marks what is not as it was saved last, so that lists and pages show it, and takes the mark from what is again.
    pub(super) async fn mark_misfits(&self) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        let now = self.now();
        let mut changed = false;
        for credential in snapshot.credentials() {
            let misfit = !snapshot.fits(credential.id);
            let marked = credential.seen.code == StatusCode::Locked && credential.seen.reason == NOT_AS_SAVED;
            let sends = |connector: &Arc<Connector>| {
                connector.credential == Some(credential.id) && connector.state == ConnectorState::Active
            };
            if misfit == marked && !(misfit && snapshot.connectors().iter().any(sends)) {
                continue;
            }
            let mut tx = self.store.begin().await?;
            let status = match misfit {
                true => Status { code: StatusCode::Locked, reason: NOT_AS_SAVED.to_owned(), since: now },
                false => Status::not_tested(now),
            };
            credentials::set_seen(&mut tx, credential.id, credential.revision, &status).await?;
            if misfit {
                tracing::error!(credential.id = %credential.id, "locked: {NOT_AS_SAVED}");
                let by = HeldBy::CredentialLocked;
                connectors::hold_by_credential(&mut tx, credential.id, by, NOT_AS_SAVED, now).await?;
            } else {
                connectors::release_by_credential(&mut tx, credential.id, now).await?;
            }
            installation::bump(&mut tx).await?;
            tx.commit().await?;
            changed = true;
        }
        for connector in snapshot.connectors() {
            let held = ConnectorState::Held(HeldBy::NotAsSaved);
            let (state, reason) = match (snapshot.fits(connector.id), connector.state) {
                (false, ConnectorState::Active) => (held, NOT_AS_SAVED),
                (true, state) if state == held => (ConnectorState::Active, ""),
                _ => continue,
            };
            if state == held {
                tracing::error!(connector.id = %connector.id, "held: {NOT_AS_SAVED}");
            }
            let mut tx = self.store.begin().await?;
            connectors::set_state(&mut tx, connector.id, Some(connector.state), state, reason, now).await?;
            tx.commit().await?;
            changed = true;
        }
        if changed { self.snapshots.refresh().await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
