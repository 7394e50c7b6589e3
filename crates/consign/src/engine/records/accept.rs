//! What whoever runs this server takes as it is although the audit log speaks against it: a database that is older, as a
//! backup is, or one that was changed. Sessions, second steps and invitations of it let nobody in.

use consign_core::audit::{Imprint, Rows, Table};
use consign_store::{Store, StoreError, Tx, audit, installation, protected, second_steps, sessions};
use serde_json::{Map, Value, json};

use super::{Records, RecordsError};

/// What is taken as it is from now on, although the records speak against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// A database that is older than the anchor, as a backup is, or that has none. Its log must be whole, and rows that
    /// do not fit their records stay locked.
    pub older: bool,
    /// A log with a hole, and rows that were changed outside Consign: the log names each of them.
    pub changes: bool,
}

/// What a database that was put back let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// Grants that are tried at the next start.
    pub grants: u64,
    /// Sessions that ended, second steps under way among them.
    pub sessions: u64,
    /// Invitations that were removed.
    pub invitations: usize,
}

/// What speaks against a database, and what its restore left to do.
pub(super) struct Found {
    pub(super) rolled_back: Option<RecordsError>,
    /// There is no anchor, and the log is not new.
    pub(super) unanchored: bool,
    pub(super) broken: Option<RecordsError>,
    /// What a restore wrote into the database that it put back: it is done only when this is gone.
    pub(super) restored: Option<String>,
}

impl Records {
    /// Accepts what may be accepted, and lets nobody in whom a database of another time knows. `None`: nothing speaks
    /// against it.
    pub(super) async fn accept(
        &self,
        store: &Store,
        accept: Accept,
        found: Found,
    ) -> Result<Option<(String, PutBack)>, RecordsError> {
        let Found { rolled_back, unanchored, broken, restored } = found;
        let mut why = Vec::new();
        match rolled_back {
            Some(fault) if !accept.older => return Err(fault),
            Some(fault) => why.push(fault.to_string()),
            None if accept.older && unanchored && restored.is_none() => {
                why.push("nothing in the data folder tells how new the database should be".to_owned());
            }
            None => {}
        }
        let has_hole = broken.is_some();
        match broken {
            Some(fault) if !accept.changes => return Err(fault),
            Some(fault) => why.push(fault.to_string()),
            None => {}
        }
        let changed = if accept.changes { self.changed_outside(store).await? } else { Vec::new() };
        if !changed.is_empty() {
            why.push("rows were changed outside Consign".to_owned());
        }
        if why.is_empty() && restored.is_none() {
            return Ok(None);
        }
        let why = why.join("; ");
        let mut tx = store.begin().await?;
        let (put_back, gone) = let_nobody_in(&mut tx).await?;
        let mut rows = gone;
        if has_hole || !changed.is_empty() {
            audit::mend_head(&mut tx).await?;
            rows = self.all_rows(&mut tx).await?;
        }
        self.note(&mut tx, &why, &changed, restored, put_back, rows).await?;
        tx.commit().await?;
        audit::follow(&mut *store.read().await?, &self.key, &mut *self.ledger.lock().await).await?;
        Ok(Some((why, put_back)))
    }

    /// Rows that are not as their newest record says, each told in the log of this process.
    async fn changed_outside(&self, store: &Store) -> Result<Vec<String>, StoreError> {
        let misfits = self.view(store).await?.1;
        let mut changed: Vec<_> =
            misfits.iter().map(|(table, id)| format!("{} {id}", kind(*table))).collect();
        changed.sort_unstable();
        for row in &changed {
            tracing::warn!(row, "accepted, although it is not as it was saved last");
        }
        Ok(changed)
    }

    async fn all_rows(&self, tx: &mut Tx) -> Result<Rows, StoreError> {
        let mut rows = Vec::new();
        for table in Table::ALL.iter().copied() {
            for (id, text) in protected::all(tx, table).await? {
                rows.push(Imprint::of(&self.key, table, &id, Some(&text)));
            }
        }
        Ok(Rows::Accepted(rows))
    }

    /// One entry for what was accepted, and one for a restore that is done with it.
    async fn note(
        &self,
        tx: &mut Tx,
        why: &str,
        changed: &[String],
        restored: Option<String>,
        put_back: PutBack,
        mut rows: Rows,
    ) -> Result<(), StoreError> {
        let counts = json!({
            "grants_to_try": put_back.grants,
            "sessions_ended": put_back.sessions,
            "invitations_deleted": put_back.invitations,
        });
        if !why.is_empty() {
            tracing::warn!(why, "the database is accepted as it is");
            let mut changes = json!({ "why": why });
            if !changed.is_empty() {
                changes["changed_rows"] = json!(changed);
            }
            if restored.is_none() {
                changes = merged(changes, &counts);
            }
            let object = ("installation", "", "");
            let own = std::mem::take(&mut rows);
            self.append_own(tx, "Accepted the database as it is", object, changes, own).await?;
        }
        if let Some(text) = restored {
            installation::remove(tx, RESTORED).await?;
            // What somebody else wrote there says nothing; the entry comes all the same.
            let manifest: Map<_, _> = serde_json::from_str(&text).unwrap_or_default();
            let object = ("installation", "", "Database");
            let changes = merged(Value::Object(manifest), &counts);
            self.append_own(tx, "Restored backup", object, changes, rows).await?;
        }
        Ok(())
    }
}

/// In a database that was put back, until its first start has ended what must not live on: what it was made from.
pub const RESTORED: &str = "restored";

fn kind(table: Table) -> &'static str {
    match table {
        Table::Credential => "credential",
        Table::Connector => "connector",
        Table::User => "user",
        Table::ApiKey => "api_key",
        Table::Setting => "settings",
    }
}

fn merged(mut changes: Value, more: &Value) -> Value {
    if let (Some(changes), Some(more)) = (changes.as_object_mut(), more.as_object()) {
        changes.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    changes
}

/// Grants whose refresh tokens may be used up are tried soon, and sessions and invitations of that time, which may have
/// been taken back since, let nobody in.
async fn let_nobody_in(tx: &mut Tx) -> Result<(PutBack, Rows), StoreError> {
    let grants = consign_store::tokens::use_all_soon(tx).await?;
    let sessions = sessions::delete_all(tx).await? + second_steps::delete_all(tx).await?;
    let invited = consign_store::users::delete_invited(tx).await?;
    let gone = invited.iter().map(|id| Imprint(Table::User, id.to_string(), None)).collect();
    Ok((PutBack { grants, sessions, invitations: invited.len() }, Rows::Changed(gone)))
}
