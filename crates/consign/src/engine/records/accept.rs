//! What whoever runs this server takes as it is although the audit log speaks against it: a database that is older, as a
//! backup is, or one that was changed. Sessions, second steps and invitations of it let nobody in.

use std::collections::HashSet;

use consign_core::audit::{Imprint, Rows, Standing, Table};
use consign_store::{Store, StoreError, Tx, audit, installation, protected, second_steps, sessions};
use serde_json::{Map, Value, json};

use super::{Records, RecordsError};

/// So many rows of a kind are named in the audit log; the log of the process names all.
const ROWS_NAMED_MAX: usize = 1_000;

/// What is taken as it is from now on, although the records speak against it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// A database that is older than the anchor, as a backup is, or that has none. Its log must be whole, and rows that
    /// do not fit their records stay locked.
    pub older: bool,
    /// A log with a hole, and rows that were changed outside Consign: the log names each of them, and each one that
    /// cannot be proven because of the hole.
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
    /// The places at which the log does not fit.
    pub(super) broken: Vec<i64>,
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
        if !broken.is_empty() && !accept.changes {
            return Err(RecordsError::Broken(broken));
        }
        if why.is_empty() && restored.is_none() && !accept.changes {
            return Ok(None);
        }
        let mut tx = store.begin().await?;
        let taken = if accept.changes { self.take_all(&mut tx).await? } else { Taken::default() };
        if !taken.broken.is_empty() {
            why.push(RecordsError::Broken(taken.broken.clone()).to_string());
        }
        if !taken.changed.is_empty() {
            why.push("rows were changed outside Consign".to_owned());
        }
        if why.is_empty() && restored.is_none() {
            return Ok(None);
        }
        let why = why.join("; ");
        let (put_back, gone) = let_nobody_in(&mut tx).await?;
        let rows =
            if taken.is_anything() { Rows::Accepted(taken.rows_without(&gone)) } else { Rows::Changed(gone) };
        self.note(&mut tx, &why, &taken, restored, put_back, rows).await?;
        tx.commit().await?;
        audit::follow(&mut *store.read().await?, &self.key, &mut *self.ledger.lock().await).await?;
        Ok(Some((why, put_back)))
    }

    /// Every row as it stands, and what the log says against it. Nobody else appends an entry, and so saves a row, until
    /// the transaction ends: what is named is what is imprinted.
    async fn take_all(&self, tx: &mut Tx) -> Result<Taken, StoreError> {
        audit::mend_head(tx).await?;
        let mut ledger = self.ledger.lock().await;
        audit::follow(tx, &self.key, &mut ledger).await?;
        let mut taken = Taken { broken: ledger.broken_places().to_vec(), ..Taken::default() };
        for table in Table::ALL.iter().copied() {
            let mut missing: HashSet<&str> = ledger.ids(table).collect();
            for (id, text) in protected::all(tx, table).await? {
                missing.remove(id.as_str());
                let row = Imprint::of(&self.key, table, &id, Some(&text));
                match ledger.standing(&row) {
                    Standing::Proven => {}
                    Standing::Unproven => taken.unproven.push(name(table, &id)),
                    Standing::Misfit => taken.changed.push(name(table, &id)),
                }
                taken.rows.push(row);
            }
            taken.changed.extend(missing.into_iter().map(|id| name(table, id)));
        }
        taken.changed.sort_unstable();
        taken.unproven.sort_unstable();
        Ok(taken)
    }

    /// One entry for what was accepted, and one for a restore that is done with it.
    async fn note(
        &self,
        tx: &mut Tx,
        why: &str,
        taken: &Taken,
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
            taken.tell(&mut changes);
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

/// The rows of a database that is taken as it is.
#[derive(Default)]
struct Taken {
    rows: Vec<Imprint>,
    /// The places at which the log does not fit.
    broken: Vec<i64>,
    /// Rows that are not as their newest record says, by name.
    changed: Vec<String>,
    /// Rows that may have been put back to an older state: what followed on their record stood at a broken place.
    unproven: Vec<String>,
}

impl Taken {
    /// Whether there is anything that only this start makes right.
    fn is_anything(&self) -> bool {
        !self.broken.is_empty() || !self.changed.is_empty()
    }

    /// The rows that are left when some are removed.
    fn rows_without(&self, gone: &[Imprint]) -> Vec<Imprint> {
        let gone: HashSet<_> = gone.iter().map(|Imprint(table, id, _)| (*table, id.as_str())).collect();
        let rows = self.rows.iter().filter(|Imprint(table, id, _)| !gone.contains(&(*table, id.as_str())));
        rows.cloned().collect()
    }

    /// Names each row in the log of this process, and in what the entry says.
    fn tell(&self, changes: &mut Value) {
        for row in &self.changed {
            tracing::warn!(row, "accepted, although it is not as it was saved last");
        }
        for row in &self.unproven {
            tracing::warn!(
                row,
                "accepted, although it cannot be proven: a missing entry may have changed it"
            );
        }
        let places: Vec<_> = self.broken.iter().map(i64::to_string).collect();
        let lists =
            [("broken_at", &places), ("changed_rows", &self.changed), ("unproven_rows", &self.unproven)];
        for (member, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            changes[member] = json!(bounded(list));
        }
    }
}

/// The first of a list, and how many more there are.
fn bounded(list: &[String]) -> Vec<String> {
    let mut first = list.iter().take(ROWS_NAMED_MAX).cloned().collect::<Vec<_>>();
    if list.len() > ROWS_NAMED_MAX {
        first.push(format!("{} more: the log of the process names them", list.len() - ROWS_NAMED_MAX));
    }
    first
}

fn name(table: Table, id: &str) -> String {
    format!("{} {id}", kind(table))
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
async fn let_nobody_in(tx: &mut Tx) -> Result<(PutBack, Vec<Imprint>), StoreError> {
    let grants = consign_store::tokens::use_all_soon(tx).await?;
    let sessions = sessions::delete_all(tx).await? + second_steps::delete_all(tx).await?;
    let invited = consign_store::users::delete_invited(tx).await?;
    let gone = invited.iter().map(|id| Imprint(Table::User, id.to_string(), None)).collect();
    Ok((PutBack { grants, sessions, invitations: invited.len() }, gone))
}
