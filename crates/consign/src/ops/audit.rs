//! The audit log: who did what, when and from where; whether it is whole, and all of it as a file.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use consign_core::catalog::with_commas;
use consign_core::rights::Right;
use consign_store::audit::{self, AuditFilter, AuditRecord, BrokenAt, Wanted};
use consign_store::{Listed, PAGE_ITEMS_MAX, Page, api_keys, users};
use http_body_util::channel::Channel;
use serde_json::{Value, json};

use super::{Actor, Object, OpError, audit_entry, commit};
use crate::App;
use crate::engine::RecordsError;

pub(super) use watch::look;
pub use watch::{AuditWatch, known_fault};

mod csv;
mod watch;

/// Portions of an export that wait for a slow reader.
const PORTIONS_AHEAD: usize = 2;

/// A page of entries, newest first.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    filter: &AuditFilter,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::AuditRead)?;
    let found = audit::list(&mut *app.store.read().await?, filter, page).await?;
    Ok(found.map(|entry| json!(entry)))
}

/// One entry, by its place in the chain.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, sequence: &str) -> Result<Value, OpError> {
    actor.require(Right::AuditRead)?;
    let missing = || OpError::NotFound("entry of the audit log");
    let sequence = sequence.parse().map_err(|_| missing())?;
    let found = audit::find(&mut *app.store.read().await?, sequence).await?;
    found.map(|entry| json!(entry)).ok_or_else(missing)
}

/// What one person saved while another one was editing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved<'a> {
    /// A credential or a connector, by its id.
    Configured(&'a str),
    /// A person, by their id.
    Person(&'a str),
    /// A part of the settings, by what its entries call a change of it.
    Settings(&'a str),
}

/// Who changed something last, and when: the entry of it, for whoever may change such a thing too. What was seen of it
/// since then is no change.
///
/// # Errors
/// Without a right to change it, or when the database cannot be read.
pub async fn last_save(app: &App, actor: &Actor, of: Saved<'_>) -> Result<Option<Value>, OpError> {
    match of {
        Saved::Configured(_) if actor.rights.allow(Right::CredentialsWrite) => {}
        Saved::Configured(_) => actor.require(Right::ConnectorsWrite)?,
        Saved::Person(_) | Saved::Settings(_) => actor.require(Right::Admin)?,
    }
    let (object, wanted) = match of {
        Saved::Configured(id) | Saved::Person(id) => (id, Wanted::Saves),
        // They have no id, and most of them no protected row.
        Saved::Settings(action) => ("", Wanted::Action(action)),
    };
    let found = audit::newest_of(&mut *app.store.read().await?, object, wanted, 1).await?;
    Ok(found.first().map(|entry| json!(entry)))
}

/// Who acts here: the ids and names of people and API keys there are, for a choice.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn actors(app: &App, actor: &Actor) -> Result<Vec<(String, String)>, OpError> {
    actor.require(Right::AuditRead)?;
    let mut db = app.store.read().await?;
    let page = Page::first(PAGE_ITEMS_MAX);
    let mut found = vec![("system".to_owned(), "Consign".to_owned())];
    for user in users::list(&mut db, &page).await?.items.into_iter().filter(|user| !user.name.is_empty()) {
        found.push((user.id.to_string(), user.name));
    }
    for key in api_keys::list(&mut db, &page).await?.items {
        found.push((key.id.to_string(), format!("key {}", key.name)));
    }
    Ok(found)
}

/// Actions to choose from: those of the newest entries.
const ACTIONS_OF: u32 = 1_000;

/// What was done lately, each action once, for a choice.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn actions(app: &App, actor: &Actor) -> Result<Vec<String>, OpError> {
    actor.require(Right::AuditRead)?;
    Ok(audit::newest_actions(&mut *app.store.read().await?, ACTIONS_OF).await?)
}

/// What is known of the whole log.
enum Judged {
    /// Each entry fits to the one before it, and the newest one that this server has seen is there.
    Whole {
        /// How many there are.
        entries: i64,
        /// A sentence.
        message: String,
    },
    /// It is not so.
    Broken {
        /// The first entry that does not fit.
        place: i64,
        /// A sentence.
        message: String,
    },
}

/// Reads the whole log and tells whether each entry fits to the one before it, and whether the newest one that this server
/// has seen is there.
///
/// # Errors
/// Without the right, or while somebody else does it. A log that is not whole is an answer.
pub async fn verify(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::AuditRead)?;
    Ok(match judge(app).await? {
        Judged::Whole { entries, message } => {
            json!({ "whole": true, "entries": entries, "message": message })
        }
        Judged::Broken { place, message } => {
            json!({ "whole": false, "broken_at": place, "message": message })
        }
    })
}

/// Reads the whole log, and keeps what was found.
async fn judge(app: &App) -> Result<Judged, OpError> {
    let Ok(_turn) = app.verifications.try_acquire() else { return Err(OpError::TooMany { seconds: 5 }) };
    let lost = app.records.lost(&app.store).await.map_err(not_read)?;
    let checked = audit::verify(&mut *app.store.view().await?, &app.audit_key).await?;
    let number = |place: i64| with_commas(usize::try_from(place).unwrap_or_default());
    let judged = match (checked, lost) {
        (Err(BrokenAt(place)), _) => {
            let message = format!("Entry {} does not fit to the one before it.", number(place));
            Judged::Broken { place, message }
        }
        (Ok(log), Some(place)) => {
            let message = format!(
                "Entry {} is missing or another one: this server has seen it. The log has {} entries.",
                number(place),
                number(log.entries)
            );
            Judged::Broken { place, message }
        }
        (Ok(log), None) => {
            let message = format!("The chain of {} entries is whole.", number(log.entries));
            Judged::Whole { entries: log.entries, message }
        }
    };
    watch::note(app, &judged).await?;
    Ok(judged)
}

fn not_read(error: RecordsError) -> OpError {
    match error {
        RecordsError::Store(error) => error.into(),
        other => OpError::Internal(other.into()),
    }
}

/// What a file of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on each line.
    Ndjson,
    /// RFC 4180, for spreadsheets.
    Csv,
}

impl Format {
    /// Reads the public word.
    pub fn find(kind: &str) -> Option<Self> {
        match kind {
            "ndjson" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// The name of the file.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Ndjson => "consign-audit.ndjson",
            Self::Csv => "consign-audit.csv",
        }
    }

    fn head(self) -> String {
        match self {
            Self::Ndjson => String::new(),
            Self::Csv => csv::head(),
        }
    }

    fn line(self, entry: &AuditRecord) -> String {
        match self {
            Self::Ndjson => format!("{}\n", json!(entry)),
            Self::Csv => csv::line(entry),
        }
    }
}

/// The entries of a filter as a file, the oldest first, read as it is taken. That it was taken is written into the log
/// first; what is written later is not in the file.
///
/// # Errors
/// Without the right, or when the entry cannot be written.
pub async fn export(
    app: &Arc<App>,
    actor: &Actor,
    filter: AuditFilter,
    format: Format,
) -> Result<Channel<Bytes, io::Error>, OpError> {
    actor.require(Right::AuditRead)?;
    let mut tx = app.store.begin().await?;
    let object = Object { kind: "audit", id: String::new(), name: "Audit log" };
    audit_entry(app, &mut tx, actor, "Exported audit log", object, json!({ "format": format.file_name() }))
        .await?;
    let (sequence, _) = audit::head(&mut tx).await?;
    commit(app, tx).await?;
    let filter = AuditFilter { below: Some(sequence), ..filter };
    let (mut sender, body) = Channel::new(PORTIONS_AHEAD);
    let app = app.clone();
    tokio::spawn(async move {
        let mut page = Page { oldest_first: true, ..Page::first(PAGE_ITEMS_MAX) };
        let mut portion = format.head();
        loop {
            let listed = match portion_of(&app, &filter, &page).await {
                Ok(listed) => listed,
                // The file ends torn, not whole: whoever takes it notices.
                Err(error) => return sender.abort(io::Error::other(error.to_string())),
            };
            listed.items.iter().for_each(|entry| portion.push_str(&format.line(entry)));
            if sender.send_data(Bytes::from(std::mem::take(&mut portion))).await.is_err() {
                return;
            }
            match listed.next {
                Some(next) => page.after = Some(next),
                None => return,
            }
        }
    });
    Ok(body)
}

async fn portion_of(app: &App, filter: &AuditFilter, page: &Page) -> Result<Listed<AuditRecord>, OpError> {
    Ok(audit::list(&mut *app.store.read().await?, filter, page).await?)
}
