//! Webhooks: create, edit, pause, test, delete.

use std::time::Duration;

use consign_core::audit::Table;
use consign_core::connector::signature::Signing;
use consign_core::connector::webhook::RenderFor;
use consign_core::connector::{Connector, ConnectorState, Kind, WebhookDraft};
use consign_core::credential::Credential;
use consign_core::event::{Event, JSON};
use consign_core::id::{ConnectorId, DeliveryId, EventId};
use consign_core::json::merge;
use consign_core::name::Name;
use consign_core::rights::Right;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_store::audit::{self, AuditFilter};
use consign_store::connectors::ConnectorFilter;
use consign_store::{
    Db, Listed, Page, StoreError, Tx, connectors, credentials, deliveries, runs, signing_keys,
};
use serde_json::{Map, Value, json};

use super::overview::ByHour;
use super::settings::delivery::with_usual_timeout;
use super::signing::{self, Followed};
use super::{
    Actor, IfMatch, Object, OpError, Rest, Sent, audit_rows, commit, commit_answered, differences, invalid,
    not_unique, require_as_saved,
};
use crate::App;

pub use pauses::{pause, resume};
pub(super) use show::{Access, access_of, described, edited};
use show::{show, shown};

mod pauses;
mod show;

/// What a person looks back at; the audit log has the rest.
const HISTORY_ENTRIES: u32 = 50;
/// As long as the longest timeout of a webhook, for a test that was taken by something else.
const TEST_WAIT: Duration = Duration::from_secs(60);

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
    let ids: Vec<_> = found.items.iter().map(|connector| connector.id).collect();
    let counts = connectors::waiting_counts(&mut db, &ids).await?;
    let hours = app.hours.last(&mut db, now).await?;
    let exporters: Vec<_> =
        found.items.iter().filter(|one| one.exporter().is_some()).map(|one| one.id).collect();
    let mut waiting = runs::waiting_of(&mut db, &exporters).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for connector in &found.items {
        items.push(match &connector.kind {
            Kind::Webhook(_) => {
                let access = access_of(&mut db, connector).await?;
                show(connector, &access, counts.get(&connector.id), &hours, now)
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

/// One webhook, by id or name.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, reference).await?;
    let hours = app.hours.last(&mut db, app.now()).await?;
    shown(&mut db, &connector, &hours, app.now()).await
}

/// What came to its end in the last hours, counted beside the transaction of a change.
async fn last_hours(app: &App) -> Result<ByHour, OpError> {
    Ok(app.hours.last(&mut *app.store.read().await?, app.now()).await?)
}

/// Creates a webhook.
///
/// # Errors
/// Every value that was not accepted.
pub async fn create(app: &App, actor: &Actor, mut sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    with_usual_timeout(app, &mut sent);
    let hours = last_hours(app).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let credential = locked_credential(&mut tx, &sent).await?;
    let draft = WebhookDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let connector = Connector {
        id: ConnectorId::new(now),
        name: draft.name,
        description: draft.description,
        credential: credential.as_ref().map(|credential| credential.id),
        lost_credential: None,
        kind: Kind::Webhook(draft.webhook),
        state: state_for(credential.as_ref()),
        state_reason: String::new(),
        state_since: now,
        closed_until: None,
        failing_since: None,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    if connectors::find_by_name(&mut tx, &connector.name).await?.is_some() {
        return Err(not_unique("connector", connector.name.as_str()));
    }
    insert_unique(connectors::insert(&mut tx, &connector).await, &connector.name)?;
    let followed = signing::follow(app, &mut tx, &connector).await?;
    let mut value = shown(&mut tx, &connector, &hours, now).await?;
    let changes = with_keys(differences(&Value::Null, &value), &followed);
    audit_rows(app, &mut tx, actor, "Created webhook", object(&connector), changes, &[row(&connector)])
        .await?;
    with_secret(&mut value, followed.secret());
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// What a save did to the signing keys, for the audit log.
fn with_keys(mut changes: Value, followed: &Followed) -> Value {
    if let Some(word) = followed.word() {
        changes["signing_secret"] = json!(word);
    }
    changes
}

/// The one answer that shows a new signing secret.
fn with_secret(value: &mut Value, secret: Option<&Secret>) {
    if let Some(secret) = secret {
        value["signing_secret"] = json!(secret.expose());
    }
}

/// Replaces a webhook.
///
/// # Errors
/// Every value that was not accepted, or when someone else changed it.
pub async fn replace(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    save(app, actor, reference, if_match, Rest::Dropped, |current| {
        let mut whole = sent;
        // As with secrets: what is left out is kept.
        let kept = current.webhook().map(|webhook| json!(webhook.signature.kind()));
        whole.entry("signature").or_insert(kept.unwrap_or_default());
        whole
    })
    .await
}

/// Changes what is sent and leaves the rest (RFC 7396).
///
/// # Errors
/// As [`replace`].
pub async fn patch(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    save(app, actor, reference, if_match, Rest::Kept, |current| {
        let mut whole = settings(current);
        merge(&mut whole, sent);
        whole
    })
    .await
}

async fn save(
    app: &App,
    actor: &Actor,
    reference: &str,
    if_match: IfMatch,
    rest: Rest,
    complete: impl FnOnce(&Connector) -> Sent,
) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let seen = by_reference(&mut tx, reference).await?;
    if_match.judge(seen.revision)?;
    if rest == Rest::Kept {
        require_as_saved(app, &mut tx, &row(&seen)).await?;
    }
    let is_as_saved = app.records.fits(&mut tx, Table::Connector, &seen.id.to_string()).await?;
    let mut sent = complete(&seen);
    with_usual_timeout(app, &mut sent);
    let credential = locked_credential(&mut tx, &sent).await?;
    let draft = WebhookDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let id = credential.as_ref().map(|credential| credential.id);
    // An edit answers a hold of the connector's own; a pause by a person stays.
    let state = match seen.state {
        ConnectorState::Paused => ConnectorState::Paused,
        _ => state_for(credential.as_ref()),
    };
    let connector = Connector {
        name: draft.name,
        description: draft.description,
        credential: id,
        lost_credential: None,
        kind: Kind::Webhook(draft.webhook),
        state,
        state_reason: if state == seen.state { seen.state_reason.clone() } else { String::new() },
        state_since: if state == seen.state { seen.state_since } else { now },
        closed_until: None,
        failing_since: None,
        updated_at: now,
        revision: seen.revision + 1,
        ..seen.clone()
    };
    let taken = connectors::find_by_name(&mut tx, &connector.name).await?;
    if taken.is_some_and(|other| other.id != connector.id) {
        return Err(not_unique("connector", connector.name.as_str()));
    }
    if !connectors::update(&mut tx, &connector, seen.revision).await? {
        let current = connectors::find(&mut tx, seen.id).await?.ok_or(OpError::NotFound("webhook"))?;
        return Err(OpError::Changed { current: current.revision });
    }
    deliveries::release_not_rendered(&mut tx, connector.id, now).await?;
    if !is_as_saved {
        // Whose keys they are nobody knows: others take their place.
        signing_keys::delete_of(&mut tx, connector.id).await?;
    }
    let followed = signing::follow(app, &mut tx, &connector).await?;
    let changes = with_keys(edited(&mut tx, (&seen, &connector), now).await?, &followed);
    audit_rows(app, &mut tx, actor, "Edited webhook", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    let mut db = app.store.read().await?;
    let hours = app.hours.last(&mut db, now).await?;
    let mut new = shown(&mut db, &connector, &hours, now).await?;
    with_secret(&mut new, followed.secret());
    Ok(new)
}

/// What a deletion left behind.
#[derive(Debug)]
pub struct Deleted {
    /// The name it had.
    pub name: String,
    /// Waiting deliveries that became cancelled.
    pub cancelled: u64,
}

/// Deletes a webhook; its waiting deliveries become cancelled.
///
/// # Errors
/// When there is none, or someone else changed it.
pub async fn delete(
    app: &App,
    actor: &Actor,
    reference: &str,
    if_match: IfMatch,
) -> Result<Deleted, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let connector = by_reference(&mut tx, reference).await?;
    if_match.judge(connector.revision)?;
    let cancelled = deliveries::cancel_of_connector(&mut tx, connector.id, now).await?;
    connectors::delete(&mut tx, connector.id).await?;
    let changes = json!({ "cancelled_deliveries": cancelled });
    audit_rows(app, &mut tx, actor, "Deleted webhook", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(Deleted { name: connector.name.to_string(), cancelled })
}

/// The request that a webhook would make of an event, without sending it and without its sign-in.
///
/// # Errors
/// Every value that was not accepted; what could not be filled in.
pub async fn preview(app: &App, actor: &Actor, sent: Sent, event: Option<EventId>) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let now = app.now();
    let mut db = app.store.read().await?;
    let credential = named_credential(&mut db, &sent).await?;
    drop(db);
    let draft = WebhookDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let event = match event {
        Some(id) => {
            actor.require(Right::PayloadsRead)?;
            super::events::open_at_work(app, actor, id).await?
        }
        None => sample(now),
    };
    let delivery = DeliveryId::new(now);
    let of = RenderFor { delivery, idempotency_key: delivery, connector: draft.name.as_str(), now };
    let rendered = draft.webhook.render(&event, &of);
    let (message, body) = rendered.map_err(|error| invalid("template", "not_rendered", error.to_string()))?;
    let origin = credential.map(|credential| credential.shown_address()).unwrap_or_default();
    let headers = message
        .headers
        .iter()
        .map(|(name, value)| json!({ "name": name.as_str(), "value": value.to_str().unwrap_or_default() }));
    // Made of the time when it is sent.
    let signature = (draft.webhook.signature != Signing::Off)
        .then(|| json!({ "name": "webhook-signature", "value": "…" }));
    Ok(json!({
        "method": message.method.as_str(),
        "url": format!("{origin}{}", message.path.as_str().trim_start_matches('/')),
        "headers": headers.chain(signature).collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(&body),
    }))
}

/// What was done with a webhook, the newest first.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn history(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, reference).await?;
    let filter = AuditFilter { object: Some(connector.id.to_string()), ..AuditFilter::default() };
    let entries = audit::list(&mut db, &filter, &Page::first(HISTORY_ENTRIES)).await?;
    Ok(entries.items.iter().map(|entry| json!(entry)).collect())
}

/// Sends a test event to one webhook and waits for what comes of it.
///
/// # Errors
/// When there is none, or the event is not accepted.
pub async fn send_test(
    app: &App,
    actor: &Actor,
    reference: &str,
    event: Option<Sent>,
) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let connector = by_reference(&mut *app.store.read().await?, reference).await?;
    let id = super::events::accept_test(app, actor, &connector, event.unwrap_or_default()).await?;
    let timeout = connector.webhook().map_or(TEST_WAIT, |webhook| webhook.timeout);
    super::deliveries::settled(app, id, timeout).await
}

/// A harmless event for previews and tests.
pub(super) fn sample(now: Timestamp) -> Event {
    let data = json!({ "message": "This is a test event from Consign.", "device": "LT-0231", "score": 2.1 });
    Event {
        id: EventId::new(now),
        event_type: "consign.test".to_owned(),
        source: "consign".to_owned(),
        source_id: EventId::new(now).to_string(),
        subject: None,
        time: now,
        content_type: JSON.to_owned(),
        data: data.to_string().into(),
        extensions: Vec::new(),
        received_at: now,
        received_from: String::new(),
        test: true,
    }
}

/// The settings of a connector as they would be sent.
pub(super) fn settings(connector: &Connector) -> Sent {
    let mut settings = match connector.kind.to_json() {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    settings.insert("name".to_owned(), json!(connector.name));
    settings.insert("description".to_owned(), json!(connector.description));
    settings.insert("credential".to_owned(), json!(connector.credential));
    settings
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
pub(super) fn state_for(credential: Option<&Credential>) -> ConnectorState {
    use consign_core::connector::HeldBy;
    use consign_core::credential::StatusCode;
    match credential.map(|credential| credential.seen.code) {
        None => ConnectorState::CredentialMissing,
        Some(StatusCode::SignInRefused) => ConnectorState::Held(HeldBy::SignInRefused),
        Some(StatusCode::HostKeyChanged) => ConnectorState::Held(HeldBy::HostKeyChanged),
        Some(StatusCode::Locked) => ConnectorState::Held(HeldBy::CredentialLocked),
        Some(_) => ConnectorState::Active,
    }
}

/// Finds a webhook by id or name.
pub(super) async fn by_reference(db: &mut Db, reference: &str) -> Result<Connector, OpError> {
    let found = match reference.parse::<ConnectorId>() {
        Ok(id) => connectors::find(db, id).await?,
        Err(_) => connectors::find_by_name(db, &Name::from_stored(reference.trim().to_owned())).await?,
    };
    found.filter(|found| found.webhook().is_some()).ok_or(OpError::NotFound("webhook"))
}

pub(super) async fn credential_of(
    db: &mut Db,
    connector: &Connector,
) -> Result<Option<Credential>, StoreError> {
    match connector.credential {
        Some(id) => credentials::find(db, id).await,
        None => Ok(None),
    }
}

pub(super) fn insert_unique(inserted: Result<(), StoreError>, name: &Name) -> Result<(), OpError> {
    match inserted {
        Err(StoreError::NotUnique(_)) => Err(not_unique("connector", name.as_str())),
        other => Ok(other?),
    }
}

pub(super) fn object(connector: &Connector) -> Object<'_> {
    Object { kind: "webhook", id: connector.id.to_string(), name: connector.name.as_str() }
}

pub(super) fn row(connector: &Connector) -> (Table, String) {
    (Table::Connector, connector.id.to_string())
}
