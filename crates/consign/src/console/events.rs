//! Events: what came in, and what became of it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use consign_core::id::EventId;
use consign_store::events::EventFilter;
use serde_json::{Value, json};

use super::Console;
use super::deliveries::shown_payload;
use super::errors::Failure;
use super::form::{asked, page, pages};
use super::visit::{Message, Signed};
use crate::ops::{OpError, events};

const PLACE: &str = "deliveries";
const LIST: &str = "/events";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/events/{id}", get(show))
        .route("/events/{id}/payload", post(payload))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let filter = EventFilter {
        event_type: asked(form, "type"),
        q: asked(form, "q"),
        unmatched_only: form.text("match") == "none",
        ..EventFilter::default()
    };
    let listed = events::list(visit.app(), &visit.actor, &filter, &page(form)).await?;
    let filtered = ["q", "type", "match"].iter().any(|key| !form.text(key).is_empty());
    let context = json!({
        "q": form.text("q"),
        "match": form.text("match"),
        "filtered": filtered,
        "pages": pages(form, LIST, &listed),
        "items": listed.items,
    });
    Ok(visit.page(StatusCode::OK, "events.html", (PLACE, "Deliveries"), context).await)
}

fn parse(id: &str) -> Result<EventId, OpError> {
    id.parse().map_err(|_| OpError::NotFound("event"))
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    detail(&visit, parse(&id)?, Value::Null).await
}

/// Opens the payload: a form, because opening it is written down.
async fn payload(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = parse(&id)?;
    let as_file = visit.form.text("as") == "file";
    let opened = match as_file {
        true => events::download(visit.app(), &visit.actor, id).await,
        false => events::payload(visit.app(), &visit.actor, id).await,
    };
    match opened {
        Ok((content_type, data)) if as_file => Ok(file(&id.to_string(), &content_type, data)),
        Ok((content_type, data)) => {
            let body = String::from_utf8_lossy(&data);
            detail(&visit, id, shown_payload(&json!({ "content_type": content_type, "body": body }))).await
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(&format!("{LIST}/{id}"), Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}

/// A whole payload as a file that is called as what it belongs to, never shown by the browser.
pub(super) fn file(id: &str, content_type: &str, data: Bytes) -> Response {
    let ending = if content_type.contains("json") { "json" } else { "txt" };
    let mut response = Body::from(data).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{id}.{ending}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// Who sent an event: a key by its name, oneself by one's own.
pub(super) fn sender(visit: &Signed, event: &Value) -> String {
    let from = event["received_from"].as_str().unwrap_or_default();
    if from == visit.actor.caller() { visit.person.name.clone() } else { events::sender(visit.app(), from) }
}

async fn detail(visit: &Signed, id: EventId, payload: Value) -> Result<Response, Failure> {
    let current = events::find(visit.app(), &visit.actor, id).await?;
    let sender = sender(visit, &current);
    let title = current["type"].as_str().unwrap_or_default().to_owned();
    let context = json!({ "current": current, "sender": sender, "payload": payload });
    Ok(visit.page(StatusCode::OK, "event.html", (PLACE, &title), context).await)
}
