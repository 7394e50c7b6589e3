//! What a webhook's page leads to: a test with an event of one's choice, and what was done with the webhook.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::{Fault, Invalid};
use consign_store::Page;
use consign_store::events::EventFilter;
use serde_json::{Map, Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{asked, errors, message_at};
use super::visit::{Message, Signed};
use crate::ops::{OpError, Sent, events, webhooks};

const PLACE: &str = "webhooks";
/// A drop-down with more is not a choice.
const RECENT_EVENTS: u32 = 10;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/webhooks/{id}/test", get(choose).post(test))
        .route("/webhooks/{id}/activity", get(activity))
}

/// The events that came last, to test or preview with.
pub(super) async fn recent(visit: &Signed) -> Result<Vec<Value>, OpError> {
    let few = Page::first(RECENT_EVENTS);
    Ok(events::list(visit.app(), &visit.actor, &EventFilter::default(), &few).await?.items)
}

async fn choose(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    test_page(&visit, StatusCode::OK, &id, &[]).await
}

async fn test_page(
    visit: &Signed,
    status: StatusCode,
    id: &str,
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, id).await?;
    let form = &visit.form;
    let fault = |key: &str| message_at(invalid, key);
    let context = json!({
        "current": current,
        "recent": recent(visit).await?,
        "errors": errors(invalid),
        "event": form.text("event"),
        "type": { "value": form.text("type"), "error": fault("type") },
        "data": { "value": form.lines("data"), "error": fault("data") },
        "event_error": fault("event"),
    });
    Ok(visit.page(status, "webhook_test.html", (PLACE, "Send test event"), context).await)
}

/// What was typed, as the API takes it.
fn sent(visit: &Signed) -> Result<Sent, Invalid> {
    let form = &visit.form;
    let mut sent = Map::new();
    for key in ["event", "type"] {
        sent.extend(asked(form, key).map(|value| (key.to_owned(), Value::String(value))));
    }
    if let Some(data) = asked(form, "data") {
        let parsed = serde_json::from_str(&data).map_err(|error| {
            let sentence = format!("Data is not JSON: line {}, column {}", error.line(), error.column());
            Fault::new("bad_form", sentence).at("data")
        });
        sent.insert("data".to_owned(), parsed?);
    }
    Ok(sent)
}

/// Sends a test event and shows what came of it.
async fn test(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    let sent = match sent(&visit) {
        Ok(sent) => sent,
        Err(invalid) => return test_page(&visit, unprocessable, &id, &[invalid]).await,
    };
    let address = |made: &Value| format!("/deliveries/{}", made["id"].as_str().unwrap_or_default());
    match visit.once(address, webhooks::send_test(visit.app(), &visit.actor, &id, Some(sent))).await {
        Ok(address) => Ok(visit.go(&address)),
        Err(OpError::Invalid(invalid)) => test_page(&visit, unprocessable, &id, &invalid).await,
        Err(OpError::WrongState(sentence)) => {
            let mut message = Message::refused(format!("{sentence}."));
            let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
            if let (true, Some(credential)) =
                (current["state"] == "held", current["credential"]["id"].as_str())
            {
                message =
                    message.with_action(format!("/credentials/{credential}#tool"), "Open the credential");
            }
            Ok(visit.go_and_say(&format!("/webhooks/{id}"), message))
        }
        Err(other) => Err(other.into()),
    }
}

async fn activity(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
    let history = webhooks::history(visit.app(), &visit.actor, &id).await?;
    let name = current["name"].as_str().unwrap_or_default().to_owned();
    let context = json!({ "current": current, "lines": activity_lines(&history) });
    Ok(visit.page(StatusCode::OK, "webhook_activity.html", (PLACE, &name), context).await)
}

/// What was done with a connector, from the entries of its history.
pub(super) fn activity_lines(history: &[Value]) -> Vec<Value> {
    let lines = history.iter().map(|entry| {
        // Of what was made everything is new.
        let made = entry["action"].as_str().is_some_and(|action| action.starts_with("Created"));
        let what = if made { String::new() } else { what(&entry["changes"]) };
        json!({ "at": entry["at"], "actor": entry["actor"], "action": entry["action"], "what": what })
    });
    lines.collect()
}

/// The names of what was changed; the audit log has the values.
fn what(changes: &Value) -> String {
    let keys = changes.as_object().into_iter().flat_map(Map::keys);
    keys.map(|key| key.replace('_', " ")).collect::<Vec<_>>().join(", ")
}
