//! Events: accept them, and show what came in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use consign_core::connector::{Connector, ConnectorState};
use consign_core::delivery::HoldReason;
use consign_core::event::{Event, JSON, NewEvent};
use consign_core::id::{DeliveryId, EventId};
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::events::{EventFilter, StoredEvent};
use consign_store::{Listed, Page, deliveries, events};
use serde_json::{Value, json};

use super::{Actor, Object, OpError, Sent, audit_entry, commit, idempotency, invalid};
use crate::App;
use crate::engine::AcceptedEvent;
use crate::telemetry;

/// Accepts events: returns when they and their deliveries are on disk.
///
/// # Errors
/// Without the right, when an event is too large, the queue is full, or the database did not take them. None of
/// them is accepted then.
pub async fn accept(app: &App, actor: &Actor, sent: Vec<NewEvent>) -> Result<Vec<AcceptedEvent>, OpError> {
    actor.require(Right::EventsWrite)?;
    let (count, bytes_max) = (sent.len(), app.engine.delivery_rules().event_bytes);
    for (index, event) in sent.iter().enumerate() {
        if event.data.len() as u64 > bytes_max {
            let field = if count == 1 { "data".to_owned() } else { format!("{index}/data") };
            let sentence = format!("An event must be {bytes_max} bytes or fewer");
            return Err(invalid(&field, "too_long", sentence));
        }
    }
    let now = app.now();
    let accepted =
        app.engine.accept(sent.into_iter().map(|event| complete(event, actor, now)).collect()).await?;
    for event in &accepted {
        let outcome = match event {
            AcceptedEvent { duplicate: true, .. } => "duplicate",
            AcceptedEvent { deliveries, exporters: 0, .. } if deliveries.is_empty() => "unmatched",
            AcceptedEvent { .. } => "accepted",
        };
        metrics::counter!(telemetry::EVENTS_RECEIVED, "outcome" => outcome).increment(1);
    }
    Ok(accepted)
}

fn complete(sent: NewEvent, actor: &Actor, now: Timestamp) -> Event {
    let id = EventId::new(now);
    Event {
        id,
        event_type: sent.event_type,
        source: sent.source.unwrap_or_else(|| actor.caller()),
        source_id: sent.source_id.unwrap_or_else(|| id.to_string()),
        subject: sent.subject,
        time: sent.time.unwrap_or(now),
        content_type: sent.content_type,
        data: sent.data,
        extensions: sent.extensions,
        received_at: now,
        received_from: actor.caller(),
        test: sent.test,
    }
}

/// Why a webhook cannot be tested now, and what comes before.
fn not_tested(app: &App, connector: &Connector) -> String {
    let snapshot = app.engine.snapshot();
    let credential = connector.credential.and_then(|id| snapshot.credential(id));
    match (connector.state, credential) {
        (ConnectorState::CredentialMissing, _) => {
            "This webhook has no credential. Choose one, then send the test".to_owned()
        }
        (ConnectorState::Held(by), Some(credential)) if by.is_of_credential() => {
            let why = connector.state.hold_reason().map_or("", HoldReason::text).trim_end_matches('.');
            let name = credential.name.as_str();
            format!("{why}. Repair the credential {name}, then send the test")
        }
        (state, _) => format!("This webhook is {}. Resume it before a test", state.label().to_lowercase()),
    }
}

/// Accepts a test event for one webhook alone; `sent` may hold `type` and `data`.
pub(super) async fn accept_test(
    app: &App,
    actor: &Actor,
    connector: &Connector,
    sent: Sent,
) -> Result<DeliveryId, OpError> {
    if connector.state != ConnectorState::Active {
        return Err(OpError::WrongState(not_tested(app, connector)));
    }
    let now = app.now();
    let mut event = super::webhooks::sample(now);
    if let Some(like) = sent.get("event").filter(|like| !like.is_null()) {
        let like = like.as_str().and_then(|id| id.parse().ok());
        let like = like.ok_or_else(|| invalid("event", "unknown", "There is no such event"))?;
        let like = match load(app, like).await {
            Err(OpError::NotFound(_)) => return Err(invalid("event", "unknown", "There is no such event")),
            other => other?,
        };
        event = Event {
            event_type: like.event_type,
            subject: like.subject,
            content_type: like.content_type,
            data: like.data,
            ..event
        };
    }
    event.received_from = actor.caller();
    if let Some(source_id) = idempotency::source_id(app, actor) {
        // The same request again is the same event, also when the answer to the first one was lost in a crash.
        event.source_id = source_id;
    }
    if let Some(kind) = sent.get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty()) {
        if !consign_core::event::is_type(kind) {
            return Err(invalid("type", "bad_form", format!("“{kind}” is not an event type")));
        }
        event.event_type = kind.to_owned();
    }
    if let Some(data) = sent.get("data").filter(|data| !data.is_null()) {
        event.data = Bytes::from(data.to_string());
        event.content_type = JSON.to_owned();
    }
    // The audit record first: without it nothing is sent.
    let mut tx = app.store.begin().await?;
    let object = Object { kind: "webhook", id: connector.id.to_string(), name: connector.name.as_str() };
    audit_entry(app, &mut tx, actor, "Sent test event", object, json!({ "event": event.id })).await?;
    commit(app, tx).await?;
    let mut accepted = app.engine.accept_for(vec![event], connector).await?;
    let event = accepted.pop().ok_or(OpError::NotFound("webhook"))?;
    let delivery = match event.deliveries.first() {
        Some((id, _)) => Some(*id),
        None => {
            deliveries::of_event(&mut *app.store.read().await?, event.id).await?.first().map(|known| known.id)
        }
    };
    delivery.ok_or(OpError::NotFound("webhook"))
}

/// A page of events.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    filter: &EventFilter,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::EventsRead)?;
    let found = events::list(&mut *app.store.read().await?, filter, page).await?;
    Ok(found.map(|event| {
        json!({
            "id": event.id,
            "type": event.event_type,
            "source": event.source,
            "source_id": event.source_id,
            "subject": event.subject,
            "time": event.time,
            "received_at": event.received_at,
            "received_from": event.received_from,
            "test": event.test,
            "deliveries_count": event.deliveries,
        })
    }))
}

/// One event with its deliveries, without its data.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, id: EventId) -> Result<Value, OpError> {
    actor.require(Right::EventsRead)?;
    let mut db = app.store.read().await?;
    let stored = events::find(&mut db, id).await?.ok_or(OpError::NotFound("event"))?;
    let deliveries = deliveries::of_event(&mut db, id).await?;
    let event = &stored.event;
    let shown = deliveries.iter().map(|delivery| {
        json!({
            "id": delivery.id,
            "connector": { "id": delivery.connector, "name": delivery.connector_name },
            "state": delivery.shown_state().0.kind(),
            "created_at": delivery.created_at,
        })
    });
    Ok(json!({
        "id": event.id,
        "type": event.event_type,
        "source": event.source,
        "source_id": event.source_id,
        "subject": event.subject,
        "time": event.time,
        "content_type": event.content_type,
        "received_at": event.received_at,
        "received_from": event.received_from,
        "test": event.test,
        "payload_kept": stored.sealed_data.is_some(),
        "deliveries": shown.collect::<Vec<_>>(),
    }))
}

/// The data of an event; the opening is audited.
///
/// # Errors
/// Without the right, when there is none, or its data was removed.
pub async fn payload(app: &App, actor: &Actor, id: EventId) -> Result<(String, Bytes), OpError> {
    actor.require(Right::PayloadsRead)?;
    let event = open_for(app, actor, id, "Opened payload").await?;
    Ok((event.content_type, event.data))
}

/// The payload of an event for somebody who takes it away.
///
/// # Errors
/// As of [`payload`].
pub async fn download(app: &App, actor: &Actor, id: EventId) -> Result<(String, Bytes), OpError> {
    actor.require(Right::PayloadsRead)?;
    let event = open_for(app, actor, id, "Downloaded payload").await?;
    Ok((event.content_type, event.data))
}

/// An event with its data for somebody who looks at it again and again while he types: written down once in a while.
pub(super) async fn open_at_work(app: &App, actor: &Actor, id: EventId) -> Result<Event, OpError> {
    let (key, now) = ((actor.caller(), id), app.now());
    if app.opened.is_recent(&key, now) {
        return load(app, id).await;
    }
    let event = open_for(app, actor, id, "Opened payload").await?;
    app.opened.note(key, now);
    Ok(event)
}

/// Who opened which event lately.
#[derive(Default)]
pub struct Opened(Mutex<HashMap<(String, EventId), Timestamp>>);

/// As long as one works at a form.
const AT_WORK: Duration = Duration::from_secs(600);

impl Opened {
    fn is_recent(&self, key: &(String, EventId), now: Timestamp) -> bool {
        self.known().get(key).is_some_and(|at| now < at.plus(AT_WORK))
    }

    fn note(&self, key: (String, EventId), now: Timestamp) {
        let mut known = self.known();
        known.retain(|_, at| now < at.plus(AT_WORK));
        known.insert(key, now);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, EventId), Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event with its data, once the audit log says who did what with it.
pub(super) async fn open_for(
    app: &App,
    actor: &Actor,
    id: EventId,
    action: &'static str,
) -> Result<Event, OpError> {
    let event = load(app, id).await?;
    let mut tx = app.store.begin().await?;
    let object = Object { kind: "event", id: id.to_string(), name: &event.event_type };
    audit_entry(app, &mut tx, actor, action, object, Value::Null).await?;
    commit(app, tx).await?;
    Ok(event)
}

/// An event with its data.
pub(super) async fn load(app: &App, id: EventId) -> Result<Event, OpError> {
    let stored = events::find(&mut *app.store.read().await?, id).await?.ok_or(OpError::NotFound("event"))?;
    open(app, &stored).await
}

async fn open(app: &App, stored: &StoredEvent) -> Result<Event, OpError> {
    let removed =
        || OpError::WrongState("The payload was removed. Payloads are kept for a limited time".to_owned());
    let sealed = stored.sealed_data.as_ref().ok_or_else(removed)?;
    let key = app.engine.payloads().of_day(stored.payload_key).await?.ok_or_else(removed)?;
    let data =
        key.decrypt(&stored.event.id.to_string(), sealed).map_err(|error| OpError::Internal(error.into()))?;
    Ok(Event { data: Bytes::from(data), ..stored.event.clone() })
}

/// Who sent an event, in words: a key's name while it exists.
pub fn sender(app: &App, received_from: &str) -> String {
    let key = received_from.parse().ok().and_then(|id| app.engine.snapshot().key(id).cloned());
    key.map_or_else(|| received_from.to_owned(), |key| format!("API key “{}”", key.name))
}
