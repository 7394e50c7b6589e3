//! Deliveries: show what happened, and replay, cancel or decide.

use std::time::Duration;

use consign_core::delivery::DeliveryState;
use consign_core::id::DeliveryId;
use consign_core::replay::ReplayRequest;
use consign_core::rights::Right;
use consign_core::schedule::TimeZone;
use consign_core::time::Timestamp;
use consign_store::deliveries::{DeliveryFilter, Line};
use consign_store::events::NewDelivery;
use consign_store::{
    Db, Listed, Page, Tx, attempts, connectors, credentials, deliveries, events, installation, tokens,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Actor, Object, OpError, audit_entry, commit_answered};
use crate::App;

use show::{refusals, show, show_attempt, shown, shown_in, utc, with_tried};

pub(super) use show::answered;

pub use commands::commands;
pub(crate) use commands::{copied, replays};
pub use sent::{SentRequest, download_request_body, keeps_request, request_body};

mod commands;
mod curl;
mod sent;
mod show;

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
    let mut db = app.store.read().await?;
    let found = deliveries::list(&mut db, filter, page).await?;
    let refusals = refusals(app, &mut db, &found.items).await?;
    let ids: Vec<_> = found.items.iter().map(|line| line.delivery.id).collect();
    let tried = attempts::tried(&mut db, &ids).await?;
    let zone = utc();
    Ok(found.map(|line| with_tried(show(app, &line, &refusals, &zone), tried.get(&line.delivery.id))))
}

/// One delivery.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, id: DeliveryId) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let line = find_line(&mut db, id).await?;
    shown(app, &mut db, &line).await
}

/// The same for a page, whose reader has a time zone.
///
/// # Errors
/// As of [`find`].
pub async fn find_in(app: &App, actor: &Actor, id: DeliveryId, zone: &TimeZone) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let line = find_line(&mut db, id).await?;
    shown_in(app, &mut db, &line, zone).await
}

/// The attempts of a delivery, the oldest first.
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

/// Sends the same event again as a new delivery with the same idempotency key: with the present set-up, or exactly as it
/// was first sent.
///
/// # Errors
/// While the delivery is still open, when the connector is gone or the payload was removed; and, for the first request,
/// when that is not kept or went to another address.
pub async fn replay(
    app: &App,
    actor: &Actor,
    id: DeliveryId,
    request: ReplayRequest,
) -> Result<Value, OpError> {
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
    if request == ReplayRequest::AsFirstSent
        && let Some(problem) = first_request_problem(&mut tx, &line).await?
    {
        return Err(OpError::WrongState(problem));
    }
    let new = NewDelivery {
        id: DeliveryId::new(now),
        connector: old.connector,
        due_at: now,
        lease: None,
        idempotency_key: old.idempotency_key,
        replay_of: Some(old.id),
        sent_as: (request == ReplayRequest::AsFirstSent).then_some(old.id),
        test: old.test,
    };
    deliveries::insert(&mut tx, &new, old.event, now).await?;
    let changes = json!({ "delivery": new.id, "request": request.words() });
    audit_entry(app, &mut tx, actor, "Replayed delivery", object(&line), changes).await?;
    let line = find_line(&mut tx, new.id).await?;
    let made = shown(app, &mut tx, &line).await?;
    commit_answered(app, actor, tx, &made).await?;
    app.engine.wake_all();
    Ok(made)
}

/// Why a delivery cannot be sent exactly as it was first sent; `None` when it can be.
///
/// # Errors
/// Without the right, or when there is no such delivery.
pub async fn why_not_as_first_sent(
    app: &App,
    actor: &Actor,
    id: DeliveryId,
) -> Result<Option<String>, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let line = find_line(&mut db, id).await?;
    first_request_problem(&mut db, &line).await
}

/// The engine judges the same again, by what is sealed, when it sends.
async fn first_request_problem(db: &mut Db, line: &Line) -> Result<Option<String>, OpError> {
    let Some(first) = attempts::first_request(db, line.delivery.id).await? else {
        let sentence = "What was first sent is not kept: nothing left for this delivery, or it was removed by age. Replay \
                        it with the present set-up";
        return Ok(Some(sentence.to_owned()));
    };
    let connector = connectors::find(db, line.delivery.connector).await?;
    let credential = match connector.and_then(|connector| connector.credential) {
        Some(credential) => credentials::find(db, credential).await?,
        None => None,
    };
    let Some(credential) = credential else {
        return Ok(Some("The webhook has no credential. Choose one first".to_owned()));
    };
    let (origin, address) =
        (credential.target.to_string(), first.line.split_once(' ').map_or("", |line| line.1));
    if address.starts_with(&origin) {
        return Ok(None);
    }
    let then = address.split('/').take(3).collect::<Vec<_>>().join("/");
    Ok(Some(format!(
        "It was first sent to {then}/, and the credential points at {origin} now. Replay it with the present set-up"
    )))
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
        Act::TryNow => (try_now_at(&mut tx, &line, now).await?, "This delivery is not waiting for a retry"),
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
    let line = find_line(&mut tx, id).await?;
    let made = shown(app, &mut tx, &line).await?;
    commit_answered(app, actor, tx, &made).await?;
    app.engine.changed().await;
    Ok(made)
}

/// Makes it due; where a token is waited for, its address is asked again at once.
async fn try_now_at(tx: &mut Tx, line: &Line, now: Timestamp) -> Result<bool, OpError> {
    if !deliveries::try_now(tx, line.delivery.id, now).await? {
        return Ok(false);
    }
    let connector = connectors::find(tx, line.delivery.connector).await?;
    if let Some(credential) = connector.and_then(|connector| connector.credential)
        && tokens::forgive(tx, credential).await?
    {
        installation::bump(tx).await?;
    }
    Ok(true)
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

/// Every page counts, and nobody needs to know how many more there are.
pub const IN_NAVIGATION_MAX: u64 = 1_000;

/// What needs a person: the numbers in the navigation.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Attention {
    /// Failed deliveries, and held ones that a person must end, up to [`IN_NAVIGATION_MAX`].
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
        deliveries: deliveries::attention_count(&mut db, IN_NAVIGATION_MAX).await?,
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
            let mut shown = shown(app, &mut *app.store.read().await?, &line).await?;
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
