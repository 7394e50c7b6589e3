//! What all kinds of connectors share: how one is found, made, changed, paused and shown.

use consign_core::audit::Table;
use consign_core::connector::{Connector, ConnectorState, HeldBy, Kind};
use consign_core::credential::{Credential, StatusCode};
use consign_core::field_manager::FieldManager;
use consign_core::id::ConnectorId;
use consign_core::json::merge;
use consign_core::name::Name;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::audit::{self, AuditFilter};
use consign_store::connectors::ConnectorFilter;
use consign_store::{Db, Listed, Page, StoreError, Tx, connectors, credentials, runs, tokens};
use serde_json::{Map, Value, json};

use super::{Actor, MANAGED_BY, Object, OpError, Sent, audit_entry, invalid, not_unique, require_as_saved};
use crate::App;

pub use lost::{AT_ONCE_MAX, Given, give, that_lost};
pub(super) use show::{Access, access_of, described, edited};

mod lost;
mod show;

/// What a person looks back at; the audit log has the rest.
const HISTORY_ENTRIES: u32 = 50;

/// A page of connectors: of one kind, or of all.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    filter: &ConnectorFilter,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let found = connectors::list(&mut db, filter, page).await?;
    let now = app.now();
    let of_kind = |is: fn(&Connector) -> bool| -> Vec<_> {
        found.items.iter().filter(|one| is(one)).map(|one| one.id).collect()
    };
    let webhooks = of_kind(|one| one.webhook().is_some());
    let counts = connectors::waiting_counts(&mut db, &webhooks).await?;
    let hours = match webhooks.is_empty() {
        true => Default::default(),
        false => app.hours.last(&mut db, now).await?,
    };
    let exporters = of_kind(|one| one.exporter().is_some());
    let mut waiting = runs::waiting_of(&mut db, &exporters).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for connector in &found.items {
        items.push(match &connector.kind {
            Kind::Webhook(_) => {
                let access = access_of(&mut db, connector).await?;
                super::webhooks::show(connector, &access, counts.get(&connector.id), &hours, now)
            }
            Kind::Exporter(_) => {
                let access = access_of(&mut db, connector).await?;
                super::exporters::show(connector, &access, waiting.remove(&connector.id), now)
            }
            Kind::Gateway(_) => super::gateways::shown(app, &mut db, connector, now).await?,
        });
    }
    Ok(Listed { items, next: found.next, previous: found.previous, count: found.count })
}

/// Finds a connector of a kind by id or name.
pub(super) async fn by_reference(
    db: &mut Db,
    kind: &'static str,
    reference: &str,
) -> Result<Connector, OpError> {
    let found = match reference.parse::<ConnectorId>() {
        Ok(id) => connectors::find(db, id).await?,
        Err(_) => connectors::find_by_name(db, &Name::from_stored(reference.trim().to_owned())).await?,
    };
    found.filter(|found| found.kind.word() == kind).ok_or(OpError::NotFound(kind))
}

/// The names under which connectors of a kind are managed from files, at most so many.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn managers(app: &App, actor: &Actor, kind: &str, most: u32) -> Result<Vec<FieldManager>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    Ok(connectors::managers(&mut *app.store.read().await?, kind, most).await?)
}

/// What was done with a connector, the newest first.
///
/// # Errors
/// Without the right, or when there is none.
pub(super) async fn history(
    app: &App,
    actor: &Actor,
    kind: &'static str,
    reference: &str,
) -> Result<Vec<Value>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, kind, reference).await?;
    let filter = AuditFilter { object: Some(connector.id.to_string()), ..AuditFilter::default() };
    let entries = audit::list(&mut db, &filter, &Page::first(HISTORY_ENTRIES)).await?;
    Ok(entries.items.iter().map(|entry| json!(entry)).collect())
}

/// What a draft says, whatever the kind.
pub(super) struct Drafted {
    pub(super) name: Name,
    pub(super) description: String,
    pub(super) kind: Kind,
    pub(super) managed_by: Option<FieldManager>,
}

/// A new connector.
pub(super) fn made(drafted: Drafted, credential: Option<&Credential>, now: Timestamp) -> Connector {
    Connector {
        id: ConnectorId::new(now),
        name: drafted.name,
        description: drafted.description,
        credential: credential.map(|credential| credential.id),
        lost_credential: None,
        kind: drafted.kind,
        managed_by: drafted.managed_by,
        state: state_for(credential),
        state_reason: String::new(),
        state_since: now,
        closed_until: None,
        failing_since: None,
        created_at: now,
        updated_at: now,
        revision: 1,
    }
}

/// A connector as it is edited. That answers a hold of its own; a pause by a person stays.
pub(super) fn changed(
    seen: &Connector,
    drafted: Drafted,
    credential: Option<&Credential>,
    now: Timestamp,
) -> Connector {
    let state = match seen.state {
        ConnectorState::Paused => ConnectorState::Paused,
        _ => state_for(credential),
    };
    let (state_reason, state_since) = match state == seen.state {
        true => (seen.state_reason.clone(), seen.state_since),
        false => (String::new(), now),
    };
    Connector {
        id: seen.id,
        created_at: seen.created_at,
        revision: seen.revision + 1,
        state,
        state_reason,
        state_since,
        ..made(drafted, credential, now)
    }
}

/// Whether a file that is applied says of a connector what is stored: then nothing is written.
pub(super) async fn is_applied(
    app: &App,
    tx: &mut Tx,
    actor: &Actor,
    (seen, connector): (&Connector, &Connector),
) -> Result<bool, OpError> {
    if actor.applying.is_none() || !connector.is_saved_like(seen) {
        return Ok(false);
    }
    Ok(app.records.fits(tx, Table::Connector, &seen.id.to_string()).await?)
}

/// Adds a connector.
///
/// # Errors
/// When another one has its name.
pub(super) async fn insert(tx: &mut Tx, connector: &Connector) -> Result<(), OpError> {
    require_free_name(tx, connector).await?;
    unique(connectors::insert(tx, connector).await, &connector.name)
}

/// Saves a connector over what was seen of it.
///
/// # Errors
/// When another one has its name, or somebody else changed it meanwhile.
pub(super) async fn update(tx: &mut Tx, seen: &Connector, connector: &Connector) -> Result<(), OpError> {
    require_free_name(tx, connector).await?;
    if unique(connectors::update(tx, connector, seen.revision).await, &connector.name)? {
        return Ok(());
    }
    let current = connectors::find(tx, seen.id).await?;
    let current = current.ok_or(OpError::NotFound(seen.kind.word()))?;
    Err(OpError::Changed { current: current.revision })
}

async fn require_free_name(tx: &mut Tx, connector: &Connector) -> Result<(), OpError> {
    match connectors::find_by_name(tx, &connector.name).await? {
        Some(other) if other.id != connector.id => Err(not_unique("connector", connector.name.as_str())),
        _ => Ok(()),
    }
}

/// Somebody may have taken the name since it was looked for.
fn unique<T>(written: Result<T, StoreError>, name: &Name) -> Result<T, OpError> {
    match written {
        Err(StoreError::NotUnique(_)) => Err(not_unique("connector", name.as_str())),
        other => Ok(other?),
    }
}

/// What a person does with a connector as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// It sends nothing until somebody resumes it.
    Pause,
    /// A person's word that the tool lets us in again: it is tried once more.
    Resume,
}

/// Does it, writes the action into the audit log, and gives the connector as it is now.
///
/// # Errors
/// When it is not as it was saved.
pub(super) async fn set_state(
    app: &App,
    tx: &mut Tx,
    actor: &Actor,
    connector: &Connector,
    (wish, action): (Wish, &str),
) -> Result<Connector, OpError> {
    let now = tx.now();
    let credential = credential_of(tx, connector).await?;
    let state = match (wish, credential) {
        (Wish::Pause, _) => ConnectorState::Paused,
        (Wish::Resume, None) => ConnectorState::CredentialMissing,
        (Wish::Resume, Some(credential)) => {
            require_as_saved(app, tx, &row(connector)).await?;
            tokens::forgive(tx, credential.id).await?;
            ConnectorState::Active
        }
    };
    connectors::set_state(tx, connector.id, None, state, "", now).await?;
    if state == ConnectorState::Active {
        connectors::reopen(tx, connector.id).await?;
    }
    audit_entry(app, tx, actor, action, object(connector), json!({ "state": state.kind() })).await?;
    connectors::find(tx, connector.id).await?.ok_or(OpError::NotFound(connector.kind.word()))
}

/// The settings of a connector as they would be sent.
fn settings(connector: &Connector) -> Sent {
    let mut settings = match connector.kind.to_json() {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    settings.insert("name".to_owned(), json!(connector.name));
    settings.insert("description".to_owned(), json!(connector.description));
    settings.insert("credential".to_owned(), json!(connector.credential));
    settings
}

/// A change (RFC 7396) over what a connector is.
pub(super) fn patched(current: &Connector, sent: Sent) -> Sent {
    let mut whole = settings(current);
    // A patch that removes it says so of the object, not of its settings.
    let released = sent.get(MANAGED_BY).filter(|said| said.is_null()).cloned();
    merge(&mut whole, sent);
    whole.extend(released.map(|said| (MANAGED_BY.to_owned(), said)));
    whole
}

/// The credential that a body names: id, name, or the object of an answer sent back.
pub(super) async fn named_credential(db: &mut Db, sent: &Sent) -> Result<Option<Credential>, OpError> {
    let reference = match sent.get("credential") {
        Some(Value::String(reference)) => reference.as_str(),
        Some(Value::Object(shown)) => shown.get("id").and_then(Value::as_str).unwrap_or_default(),
        _ => "",
    };
    if reference.trim().is_empty() {
        return Ok(None);
    }
    match super::credentials::by_reference(db, reference).await {
        Ok(credential) => Ok(Some(credential)),
        Err(OpError::NotFound(_)) => {
            let shown: String = reference.chars().take(80).collect();
            Err(invalid(
                "credential",
                "unknown",
                format!("There is no credential “{shown}”. Choose a credential"),
            ))
        }
        Err(other) => Err(other),
    }
}

/// The same, as it is now and stays until the end of the transaction: whether its connectors are held goes by it.
pub(super) async fn locked_credential(tx: &mut Tx, sent: &Sent) -> Result<Option<Credential>, OpError> {
    let Some(named) = named_credential(tx, sent).await? else { return Ok(None) };
    Ok(credentials::lock(tx, named.id).await?)
}

/// A connector of a credential that needs repair starts on hold with the others.
fn state_for(credential: Option<&Credential>) -> ConnectorState {
    match credential.map(|credential| credential.seen.code) {
        None => ConnectorState::CredentialMissing,
        Some(StatusCode::SignInRefused) => ConnectorState::Held(HeldBy::SignInRefused),
        Some(StatusCode::HostKeyChanged) => ConnectorState::Held(HeldBy::HostKeyChanged),
        Some(StatusCode::Locked) => ConnectorState::Held(HeldBy::CredentialLocked),
        Some(_) => ConnectorState::Active,
    }
}

async fn credential_of(db: &mut Db, connector: &Connector) -> Result<Option<Credential>, StoreError> {
    match connector.credential {
        Some(id) => credentials::find(db, id).await,
        None => Ok(None),
    }
}

pub(super) fn object(connector: &Connector) -> Object<'_> {
    Object { kind: connector.kind.word(), id: connector.id.to_string(), name: connector.name.as_str() }
}

pub(super) fn row(connector: &Connector) -> (Table, String) {
    (Table::Connector, connector.id.to_string())
}
