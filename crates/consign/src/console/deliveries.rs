//! Deliveries: list, detail with attempts, and what a person decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use consign_core::connector::Connector;
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::event::TypePattern;
use consign_core::id::DeliveryId;
use consign_core::replay::ReplayRequest;
use consign_core::time::Timestamp;
use consign_store::Page;
use consign_store::deliveries::DeliveryFilter;
use serde_json::{Value, json};

use super::errors::Failure;
use super::form::{Form, asked, page, pages};
use super::indented::indented;
use super::visit::{Message, Signed};
use super::{Console, replays};
use crate::ops::deliveries::{self, Resolution};
use crate::ops::{OpError, events};

const PLACE: &str = "deliveries";
const LIST: &str = "/deliveries";
/// Where an open page asks how many rows it does not show yet.
pub(super) const NEWS: &str = "/deliveries/news";
/// More than that are "many".
const NEWS_MAX: u32 = 200;
/// A drop-down with more is not a choice.
const CONNECTORS_MAX: usize = 500;
/// A payload above this is cut in the page.
const PAYLOAD_CHARS_MAX: usize = 64 << 10;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route(NEWS, get(news))
        .route("/deliveries/{id}", get(show))
        .route("/deliveries/{id}/payload", post(payload))
        .route("/deliveries/{id}/request-body", post(request_body))
        .route("/deliveries/{id}/replay", get(confirm_replay).post(replay))
        .route("/deliveries/{id}/cancel", post(cancel))
        .route("/deliveries/{id}/try-now", post(try_now))
        .route("/deliveries/{id}/send-again", post(send_again))
        .route("/deliveries/{id}/mark-delivered", post(mark_delivered))
}

fn filter(form: &Form, now: Timestamp) -> DeliveryFilter {
    DeliveryFilter {
        state: DeliveryState::find(form.text("state")),
        needs_attention: form.text("state") == "needs_attention",
        hold_reason: HoldReason::find(form.text("reason")),
        connector: form.text("connector").parse().ok(),
        operation: form.text("operation").parse().ok(),
        created_after: replays::since(form, now),
        event_type: asked(form, "type"),
        q: asked(form, "q"),
        ..DeliveryFilter::default()
    }
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let filter = filter(form, visit.app().now());
    let listed = deliveries::list(visit.app(), &visit.actor, &filter, &page(form)).await?;
    let filters = ["q", "state", "reason", "connector", "type", "time", "operation"];
    let filtered = filters.iter().any(|key| !form.text(key).is_empty());
    let newest = listed.items.first().and_then(|item| item["id"].as_str()).unwrap_or_default();
    let first_page = form.text("after").is_empty() && form.text("before").is_empty();
    let context = json!({
        "q": form.text("q"),
        "state": form.text("state"),
        "connector": form.text("connector"),
        "type": form.text("type"),
        "time": form.text("time"),
        "times": replays::times(),
        "operation": filter.operation,
        "reason": filter.hold_reason.map(|reason| json!({
            "kind": reason.kind(), "text": reason.text(), "without": form.query(LIST, &[("reason", "")]),
        })),
        "replay": form.query("/deliveries/replay", &[("preview", "1")]),
        "connectors": connector_choices(&visit),
        "types": type_choices(&visit),
        "filtered": filtered,
        "pages": pages(form, LIST, &listed),
        "news": if first_page { form.query(NEWS, &[("since", newest)]) } else { String::new() },
        "here": form.query(LIST, &[]),
        "items": listed.items,
    });
    Ok(visit.page(StatusCode::OK, "deliveries.html", (PLACE, "Deliveries"), context).await)
}

/// The webhooks to choose from: their names alone, which are in memory.
pub(super) fn connector_choices(visit: &Signed) -> Value {
    let snapshot = visit.app().engine.snapshot();
    let mut connectors: Vec<_> = snapshot.webhooks().map(|(connector, _)| connector).collect();
    connectors.sort_by_key(|connector| connector.name.key());
    let choice = |one: &Arc<Connector>| json!({ "value": one.id, "label": one.name });
    connectors.into_iter().take(CONNECTORS_MAX).map(choice).collect()
}

/// The event types to choose from: those that webhooks name, which are in memory.
fn type_choices(visit: &Signed) -> Vec<String> {
    let snapshot = visit.app().engine.snapshot();
    let patterns = snapshot.webhooks().flat_map(|(_, webhook)| &webhook.event_types);
    let named = patterns.filter_map(|pattern| match pattern {
        TypePattern::Exact(name) => Some(name.clone()),
        TypePattern::All | TypePattern::Under(_) => None,
    });
    named.collect::<BTreeSet<_>>().into_iter().take(CONNECTORS_MAX).collect()
}

/// How many deliveries came since the page was made. Ids sort by time.
async fn news(visit: Signed) -> Result<Response, Failure> {
    let since = visit.form.text("since").to_owned();
    let newest = Page::first(NEWS_MAX);
    let filter = filter(&visit.form, visit.app().now());
    let listed = deliveries::list(visit.app(), &visit.actor, &filter, &newest).await?;
    let count =
        listed.items.iter().filter(|item| item["id"].as_str().is_some_and(|id| id > since.as_str())).count();
    Ok(Json(json!({ "count": count })).into_response())
}

fn parse(id: &str) -> Result<DeliveryId, OpError> {
    id.parse().map_err(|_| OpError::NotFound("delivery"))
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    detail(&visit, parse(&id)?, Opened::default()).await
}

/// What a person has opened on the page of a delivery: nothing is [`Value::Null`].
#[derive(Default)]
struct Opened {
    /// The data of the event.
    payload: Value,
    /// The body of the request.
    request_body: Value,
}

/// Opens the payload: a form, because opening it is written down.
async fn payload(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    match deliveries::payload(visit.app(), &visit.actor, id).await {
        Ok(payload) => {
            let opened = Opened { payload: shown_payload(&payload), ..Opened::default() };
            detail(&visit, id, opened).await
        }
        Err(OpError::WrongState(sentence)) => Ok(say(&visit, id, Message::refused(format!("{sentence}.")))),
        Err(other) => Err(other.into()),
    }
}

/// Opens what was sent: a form, for the same reason.
async fn request_body(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let as_file = visit.form.text("as") == "file";
    let opened = match as_file {
        true => deliveries::download_request_body(visit.app(), &visit.actor, id).await,
        false => deliveries::request_body(visit.app(), &visit.actor, id).await,
    };
    match opened {
        Ok(sent) if as_file => Ok(super::events::file(&id.to_string(), &sent.content_type, sent.body)),
        Ok(sent) => {
            let body = String::from_utf8_lossy(&sent.body);
            let mut shown = shown_payload(&json!({ "content_type": sent.content_type, "body": body }));
            shown["line"] = json!(format!("{} {}", sent.method, sent.path));
            detail(&visit, id, Opened { request_body: shown, ..Opened::default() }).await
        }
        Err(OpError::WrongState(sentence)) => Ok(say(&visit, id, Message::refused(format!("{sentence}.")))),
        Err(other) => Err(other.into()),
    }
}

/// A payload as a person reads it: JSON with line breaks, cut where it is very long.
pub(super) fn shown_payload(payload: &Value) -> Value {
    let body = payload["body"].as_str().unwrap_or_default();
    let text = indented(body, PAYLOAD_CHARS_MAX * char::MAX.len_utf8());
    let shown: String = text.chars().take(PAYLOAD_CHARS_MAX).collect();
    json!({
        "content_type": payload["content_type"], "cut": shown.len() < text.len(), "body": shown,
        "bytes": body.len(),
    })
}

async fn detail(visit: &Signed, id: DeliveryId, opened: Opened) -> Result<Response, Failure> {
    let (app, actor) = (visit.app(), &visit.actor);
    let current = deliveries::find_in(app, actor, id, &visit.zone()).await?;
    let mut attempts = deliveries::attempts(app, actor, id).await?;
    attempts.reverse();
    let event_id = current["event"]["id"].as_str().unwrap_or_default();
    let event = match event_id.parse() {
        Ok(event) => events::find(app, actor, event).await?,
        Err(_) => Value::Null,
    };
    let sender = super::events::sender(visit, &event);
    let others = event["deliveries"].as_array().map_or(0, |all| all.len().saturating_sub(1));
    // By its id: attempts that were not counted share a number with the next.
    let asked = visit.form.text("attempt");
    let chosen = attempts.iter().find(|attempt| attempt["id"] == asked);
    let shown = chosen.or_else(|| attempts.first()).cloned();
    let first =
        attempts.last().filter(|first| shown.as_ref().is_some_and(|shown| shown["id"] == first["id"]));
    let context = json!({
        "waited_ms": first.and_then(|first| waited(&current["created_at"], &first["started_at"])),
        "prepared_ms": shown.as_ref().map_or(0, prepared),
        "current": current,
        "attempt_list": attempts,
        "attempt": shown,
        "event": event,
        "sender": sender,
        "others": others,
        "payload": opened.payload,
        "request_body": opened.request_body,
        "request_kept": deliveries::keeps_request(app, actor, id).await?,
    });
    let title = current["event"]["type"].as_str().unwrap_or_default();
    Ok(visit.page(StatusCode::OK, "delivery.html", (PLACE, title), context).await)
}

/// How long a delivery waited for its first attempt.
fn waited(created: &Value, started: &Value) -> Option<u64> {
    let at = |value: &Value| value.as_str().and_then(Timestamp::parse_rfc3339);
    u64::try_from(at(started)?.millis() - at(created)?.millis()).ok()
}

/// What of an attempt was no request to the tool: a token was fetched, and the request made.
fn prepared(attempt: &Value) -> u64 {
    let Some(total) = attempt["timing"]["total"].as_f64() else { return 0 };
    let all = attempt["duration_ms"].as_f64().unwrap_or_default();
    // Whole milliseconds: less than one is the rounding of both.
    let rest = Duration::try_from_secs_f64((all - total) / 1_000.0).unwrap_or_default();
    u64::try_from(rest.as_millis()).unwrap_or_default()
}

async fn confirm_replay(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let current = deliveries::find(visit.app(), &visit.actor, id).await?;
    let why_not = deliveries::why_not_as_first_sent(visit.app(), &visit.actor, id).await?;
    let context = json!({ "current": current, "why_not_as_first_sent": why_not });
    Ok(visit.page(StatusCode::OK, "delivery_replay.html", (PLACE, "Replay"), context).await)
}

async fn replay(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let address = |made: &Value| format!("{LIST}/{}", made["id"].as_str().unwrap_or_default());
    let request = visit.form.text("request");
    let request = ReplayRequest::ALL.iter().find(|(word, _)| *word == request);
    let request = request.map(|(_, request)| *request).unwrap_or_default();
    match visit.once(address, deliveries::replay(visit.app(), &visit.actor, id, request)).await {
        Ok(address) => Ok(visit.go_and_say(&address, Message::done("Replayed. This is the new delivery."))),
        Err(OpError::WrongState(sentence)) => Ok(say(&visit, id, Message::refused(format!("{sentence}.")))),
        Err(other) => Err(other.into()),
    }
}

fn say(visit: &Signed, id: DeliveryId, message: Message) -> Response {
    visit.go_and_say(&format!("{LIST}/{id}"), message)
}

/// Says on the delivery's page what was done, or why not.
fn told(
    visit: &Signed,
    id: DeliveryId,
    done: Result<Value, OpError>,
    words: &str,
) -> Result<Response, Failure> {
    match done {
        Ok(_) => Ok(say(visit, id, Message::done(words))),
        Err(OpError::WrongState(sentence)) => Ok(say(visit, id, Message::refused(format!("{sentence}.")))),
        Err(other) => Err(other.into()),
    }
}

async fn cancel(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let done = deliveries::cancel(visit.app(), &visit.actor, id).await;
    told(&visit, id, done, "Cancelled. It is not sent.")
}

async fn try_now(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let done = deliveries::try_now(visit.app(), &visit.actor, id).await;
    told(&visit, id, done, "It is tried now.")
}

async fn send_again(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let done = deliveries::resolve(visit.app(), &visit.actor, id, Resolution::SendAgain).await;
    told(&visit, id, done, "It is sent again.")
}

async fn mark_delivered(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let done = deliveries::resolve(visit.app(), &visit.actor, id, Resolution::Delivered).await;
    told(&visit, id, done, "Marked as delivered.")
}
