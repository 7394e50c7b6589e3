//! Deliveries: show what happened, and replay, cancel or decide.

use std::time::Duration;

use consign_core::connector::Connector;
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::DeliveryId;
use consign_core::rights::Right;
use consign_store::attempts::Attempt;
use consign_store::deliveries::{Delivery, DeliveryFilter, Line};
use consign_store::events::NewDelivery;
use consign_store::{Db, Listed, Page, attempts, credentials, deliveries, events};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Actor, Object, OpError, audit_entry, commit_answered};
use crate::App;

mod curl;

/// A page of deliveries, newest first.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    filter: &DeliveryFilter,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let found = deliveries::list(&mut *app.store.read().await?, filter, page).await?;
    Ok(found.map(|line| show(app, &line)))
}

/// One delivery.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, id: DeliveryId) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let line = load(app, id).await?;
    Ok(show(app, &line))
}

/// The attempts of a delivery, the newest first.
///
/// # Errors
/// Without the right, or when there is no such delivery.
pub async fn attempts(app: &App, actor: &Actor, id: DeliveryId) -> Result<Vec<Value>, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let line = load(app, id).await?;
    attempts_of(app, line.delivery.id).await
}

async fn attempts_of(app: &App, id: DeliveryId) -> Result<Vec<Value>, OpError> {
    let found = attempts::of_delivery(&mut *app.store.read().await?, id).await?;
    let mut shown = Vec::with_capacity(found.len());
    for attempt in &found {
        shown.push(show_attempt(app, attempt).await?);
    }
    Ok(shown)
}

/// Sends the same event again as a new delivery, with the present set-up and the same idempotency key.
///
/// # Errors
/// While the delivery is still open, when the connector is gone or the payload was removed.
pub async fn replay(app: &App, actor: &Actor, id: DeliveryId) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let line = find_line(&mut tx, id).await?;
    let old = &line.delivery;
    if matches!(old.state, DeliveryState::Pending | DeliveryState::Held) {
        return Err(OpError::WrongState("This delivery has not ended. Use Try now instead".to_owned()));
    }
    if app.engine.snapshot().connector(old.connector).is_none() {
        return Err(OpError::WrongState("The webhook of this delivery was deleted".to_owned()));
    }
    let stored = events::find(&mut tx, old.event).await?.ok_or(OpError::NotFound("event"))?;
    if stored.sealed_data.is_none() {
        let sentence = "The payload was removed. Payloads are kept for a limited time";
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    let new = NewDelivery {
        id: DeliveryId::new(now),
        connector: old.connector,
        due_at: now,
        lease: None,
        idempotency_key: old.idempotency_key,
        replay_of: Some(old.id),
        test: old.test,
    };
    deliveries::insert(&mut tx, &new, old.event, now).await?;
    let object = object(&line);
    audit_entry(app, &mut tx, actor, "Replayed delivery", object, json!({ "delivery": new.id })).await?;
    let made = show(app, &find_line(&mut tx, new.id).await?);
    commit_answered(app, actor, tx, &made).await?;
    app.engine.wake_all();
    Ok(made)
}

/// Stops a delivery that has not ended.
///
/// # Errors
/// When it has ended.
pub async fn cancel(app: &App, actor: &Actor, id: DeliveryId) -> Result<Value, OpError> {
    change(app, actor, id, "Cancelled delivery", Act::Cancel).await
}

/// Makes the next retry due now; it uses one of the attempts.
///
/// # Errors
/// When it is not waiting for a retry.
pub async fn try_now(app: &App, actor: &Actor, id: DeliveryId) -> Result<Value, OpError> {
    change(app, actor, id, "Tried delivery now", Act::TryNow).await
}

/// What a person decides about a delivery that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Send it again.
    SendAgain,
    /// The tool has it.
    Delivered,
}

/// Ends the hold of a delivery as a person decides.
///
/// # Errors
/// When it is not held on its own account.
pub async fn resolve(
    app: &App,
    actor: &Actor,
    id: DeliveryId,
    resolution: Resolution,
) -> Result<Value, OpError> {
    match resolution {
        Resolution::SendAgain => change(app, actor, id, "Sent delivery again", Act::Release).await,
        Resolution::Delivered => change(app, actor, id, "Marked delivery as delivered", Act::Delivered).await,
    }
}

#[derive(Clone, Copy)]
enum Act {
    Cancel,
    TryNow,
    Release,
    Delivered,
}

async fn change(app: &App, actor: &Actor, id: DeliveryId, action: &str, act: Act) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let line = find_line(&mut tx, id).await?;
    let (changed, sentence) = match act {
        Act::Cancel => (deliveries::cancel(&mut tx, id, now).await?, "This delivery has ended already"),
        Act::TryNow => {
            (deliveries::try_now(&mut tx, id, now).await?, "This delivery is not waiting for a retry")
        }
        Act::Release => {
            (deliveries::release(&mut tx, id, now).await?, "This delivery is not held for a decision")
        }
        Act::Delivered => (
            deliveries::resolve_delivered(&mut tx, id, now).await?,
            "This delivery is not held for a decision",
        ),
    };
    if !changed {
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    audit_entry(app, &mut tx, actor, action, object(&line), Value::Null).await?;
    let made = show(app, &find_line(&mut tx, id).await?);
    commit_answered(app, actor, tx, &made).await?;
    app.engine.wake_all();
    Ok(made)
}

/// The payload of a delivery's event as text; the opening is audited.
///
/// # Errors
/// Without the right, or when it was removed.
pub async fn payload(app: &App, actor: &Actor, id: DeliveryId) -> Result<Value, OpError> {
    actor.require(Right::PayloadsRead)?;
    let line = load(app, id).await?;
    let (content_type, body) = super::events::payload(app, actor, line.delivery.event).await?;
    Ok(json!({ "content_type": content_type, "body": String::from_utf8_lossy(&body) }))
}

/// What needs a person: the numbers in the navigation.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Attention {
    /// Failed deliveries, and held ones that a person must end.
    pub deliveries: u64,
    /// Credentials that need attention.
    pub credentials: u64,
}

/// Counts what needs a person.
///
/// # Errors
/// When the database cannot be read.
pub async fn attention(app: &App) -> Result<Attention, OpError> {
    let mut db = app.store.read().await?;
    let now = app.now();
    Ok(Attention {
        deliveries: deliveries::attention_count(&mut db).await?,
        credentials: credentials::attention_count(&mut db, now).await?,
    })
}

/// Waits until a delivery has had its attempt, and shows it with its attempts.
pub(super) async fn settled(app: &App, id: DeliveryId, timeout: Duration) -> Result<Value, OpError> {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let deadline = app.now().plus(timeout + Duration::from_secs(15));
    loop {
        let line = load(app, id).await?;
        let tried = line.delivery.last_outcome.is_some() || line.delivery.state != DeliveryState::Pending;
        if tried || app.now() > deadline {
            let mut shown = show(app, &line);
            shown["attempt_list"] = Value::Array(attempts_of(app, id).await?);
            return Ok(shown);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn load(app: &App, id: DeliveryId) -> Result<Line, OpError> {
    find_line(&mut *app.store.read().await?, id).await
}

/// A delivery with what its event is about.
async fn find_line(db: &mut Db, id: DeliveryId) -> Result<Line, OpError> {
    let delivery = deliveries::find(db, id).await?.ok_or(OpError::NotFound("delivery"))?;
    let stored = events::find(db, delivery.event).await?.ok_or(OpError::NotFound("event"))?;
    Ok(Line { delivery, event_type: stored.event.event_type, subject: stored.event.subject })
}

fn object(line: &Line) -> Object<'_> {
    Object { kind: "delivery", id: line.delivery.id.to_string(), name: &line.event_type }
}

/// The words for a state: an open delivery says what it is doing.
fn shown_state(app: &App, delivery: &Delivery) -> (&'static str, &'static str) {
    match delivery.shown_state().0 {
        DeliveryState::Pending if app.engine.is_under_way(delivery.connector, delivery.id) => {
            ("sending", "Sending")
        }
        DeliveryState::Pending if delivery.last_outcome.is_some() => ("retrying", "Retrying"),
        DeliveryState::Pending => ("waiting", "Waiting"),
        DeliveryState::Held => ("held", "On hold"),
        DeliveryState::Delivered => ("delivered", "Delivered"),
        DeliveryState::Failed => ("failed", "Failed"),
        DeliveryState::Cancelled => ("cancelled", "Cancelled"),
    }
}

fn show(app: &App, line: &Line) -> Value {
    let delivery = &line.delivery;
    let snapshot = app.engine.snapshot();
    let connector = snapshot.connector(delivery.connector);
    let credential =
        connector.and_then(|connector| connector.credential).and_then(|id| snapshot.credential(id));
    let attempts_max = connector.map_or(10, |connector| attempts_max(app, connector));
    let (shown_state, state_label) = shown_state(app, delivery);
    let (state, reason) = delivery.shown_state();
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    put("id", json!(delivery.id));
    put("event", json!({ "id": delivery.event, "type": line.event_type, "subject": line.subject }));
    put("connector", json!({ "id": delivery.connector, "name": delivery.connector_name, "kind": "webhook" }));
    put(
        "credential",
        json!(credential.map(|credential| json!({ "id": credential.id, "name": credential.name }))),
    );
    put("state", json!(state.kind()));
    put("shown_state", json!(shown_state));
    put("state_label", json!(state_label));
    put("hold_reason", json!(reason));
    put("hold_text", json!(reason.map(HoldReason::text)));
    put("what_happened", json!(what_happened(delivery, shown_state, attempts_max)));
    put("attempts", json!(delivery.attempts));
    put("attempts_max", json!(attempts_max));
    put("due_at", json!(delivery.due_at));
    put("last_outcome", json!(delivery.last_outcome));
    put("last_status", json!(delivery.last_status));
    put("last_message", json!(delivery.last_message));
    put("reference", json!(delivery.reference));
    put("idempotency_key", json!(delivery.idempotency_key));
    put("replay_of", json!(delivery.replay_of));
    put("operation", json!(delivery.operation));
    put("test", json!(delivery.test));
    put("created_at", json!(delivery.created_at));
    put("ended_at", json!(delivery.ended_at));
    put("actions", json!(actions(delivery, connector.is_some())));
    Value::Object(shown)
}

fn attempts_max(app: &App, connector: &Connector) -> usize {
    connector.webhook.retry_schedule.as_deref().unwrap_or_else(|| app.engine.retry_schedule()).len() + 1
}

/// What a person can do with it now.
fn actions(delivery: &Delivery, connector_exists: bool) -> Vec<&'static str> {
    match delivery.state {
        DeliveryState::Pending if delivery.shown_state().0 == DeliveryState::Held => vec!["cancel"],
        DeliveryState::Pending if delivery.last_outcome.is_some() => vec!["try_now", "cancel"],
        DeliveryState::Pending => vec!["cancel"],
        DeliveryState::Held => vec!["send_again", "mark_delivered", "cancel"],
        DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Cancelled if connector_exists => {
            vec!["replay"]
        }
        DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Cancelled => Vec::new(),
    }
}

/// What happened, what happens next, and what is needed, in sentences.
fn what_happened(delivery: &Delivery, shown_state: &str, attempts_max: usize) -> String {
    let answer = match (delivery.last_status, delivery.last_message.as_deref()) {
        (_, Some(message)) if message.starts_with("The tool ") => {
            format!("{}.", message.trim_end_matches('.'))
        }
        (Some(status), Some(message)) => {
            format!("The tool answered {status}: {}.", message.trim_end_matches('.'))
        }
        (Some(status), None) => format!("The tool answered {status}."),
        (None, Some(message)) => format!("{}.", message.trim_end_matches('.')),
        (None, None) => String::new(),
    };
    let next = match shown_state {
        "waiting" => "It has not been sent yet. Nothing is needed from you.".to_owned(),
        "sending" => "It is being sent now.".to_owned(),
        "retrying" => {
            format!(
                "Attempt {} of {attempts_max} comes by itself. Nothing is needed from you.",
                delivery.attempts + 1
            )
        }
        "held" => {
            let reason = delivery.shown_state().1.map_or("", HoldReason::text);
            format!("{reason} {}", repair(delivery))
        }
        "delivered" => delivery
            .reference
            .as_ref()
            .map(|reference| format!("Reference: {reference}."))
            .unwrap_or_default(),
        "failed" => "It is not tried again by itself. You can replay it.".to_owned(),
        _ => "It was stopped and is not sent.".to_owned(),
    };
    format!("{answer} {next}").trim().to_owned()
}

fn repair(delivery: &Delivery) -> &'static str {
    match delivery.shown_state().1 {
        Some(HoldReason::CredentialMissing) => "Choose a credential in the webhook, and it continues.",
        Some(HoldReason::CredentialLocked) => "Load the right encryption key, or enter the secrets again.",
        Some(HoldReason::SignInRefused) => "Replace the secret of the credential, and it continues.",
        Some(HoldReason::NotAuthorized) => "Authorize the credential, and it continues.",
        Some(HoldReason::ReconnectNeeded) => "Authorize the credential again, and it continues.",
        Some(HoldReason::NotAllowed) => "Check the role of the account, then resume the webhook.",
        Some(HoldReason::DestinationBlocked) => "The operator of this server can allow it with egress.allow.",
        Some(HoldReason::NotAsSaved) => {
            "Look at the settings of the webhook and save them, or put the database right."
        }
        Some(HoldReason::NotRendered) => "Edit the webhook, and it continues.",
        Some(HoldReason::RepeatedCrash | HoldReason::NoAnswer) => {
            "Decide: send it again, mark it as delivered, or cancel it."
        }
        Some(HoldReason::ConnectorPaused | HoldReason::PausedAfterFailures) => {
            "Resume the webhook, and it continues."
        }
        None => "",
    }
}

async fn show_attempt(app: &App, attempt: &Attempt) -> Result<Value, OpError> {
    let excerpt = match &attempt.answer_excerpt {
        Some(sealed) => match app.engine.payloads().of_day(attempt.payload_key).await? {
            Some(key) => key.decrypt(&attempt.delivery.to_string(), sealed).ok(),
            None => None,
        },
        None => None,
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let request_headers = parsed(&attempt.request_headers);
    Ok(json!({
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "message": attempt.message,
        "wait_ms": attempt.wait_ms,
        "request_line": attempt.request_line,
        "curl": curl::curl(&attempt.request_line, &request_headers),
        "request_headers": request_headers,
        "answer_headers": parsed(&attempt.answer_headers),
        "answer_excerpt": excerpt.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        "timing": parsed(&attempt.timing),
        "request_bytes": attempt.request_bytes,
        "answer_bytes": attempt.answer_bytes,
    }))
}
