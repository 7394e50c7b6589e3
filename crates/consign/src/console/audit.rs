//! The audit log: list with filters, one entry, the whole as a file, and whether it is whole.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::time::Timestamp;
use consign_store::audit::AuditFilter;
use serde_json::{Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{Form, asked, page, pages};
use super::visit::{Message, Signed};
use crate::ops::OpError;
use crate::ops::audit::{self, Format};

const PLACE: &str = "audit";
const LIST: &str = "/audit";
const DAY: Duration = Duration::from_secs(86_400);
/// The spans to choose from: the word in the address, its label, and its days. The first is shown unless asked otherwise.
const SPANS: [(&str, &str, u32); 3] =
    [("week", "Last 7 days", 7), ("day", "Last 24 hours", 1), ("month", "Last 30 days", 30)];
const ALL: &str = "all";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/audit/verification", post(verify))
        .route("/audit/export", get(export))
        .route("/audit/{sequence}", get(show))
}

/// The span that is shown. Whoever asks for an object or a person wants all of it.
fn span(form: &Form) -> &str {
    let of_one = ["object", "actor"].iter().any(|key| !form.text(key).is_empty());
    match form.text("span") {
        "" if of_one => ALL,
        "" => SPANS[0].0,
        asked => asked,
    }
}

/// Since when entries are shown.
pub(super) fn after(form: &Form, now: Timestamp) -> Option<Timestamp> {
    let days = SPANS.iter().find(|(word, _, _)| *word == span(form)).map(|(_, _, days)| *days)?;
    Some(now.minus(DAY * days))
}

fn filter(form: &Form, now: Timestamp) -> AuditFilter {
    AuditFilter {
        object: asked(form, "object"),
        actor: asked(form, "actor"),
        action: asked(form, "action"),
        from: asked(form, "from"),
        result: asked(form, "result"),
        after: after(form, now),
        ..AuditFilter::default()
    }
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let filter = filter(form, visit.app().now());
    let listed = audit::list(visit.app(), &visit.actor, &filter, &page(form)).await?;
    let actors = audit::actors(visit.app(), &visit.actor).await?;
    let mut actors: Vec<_> =
        actors.into_iter().map(|(id, name)| json!({ "value": id, "label": name })).collect();
    let actor = form.text("actor");
    if !actor.is_empty() && !actors.iter().any(|one| one["value"] == json!(actor)) {
        // Somebody who is here no more.
        let known = listed.items.first().and_then(|entry| entry["actor"].as_str()).unwrap_or(actor);
        actors.push(json!({ "value": actor, "label": known }));
    }
    let spans = SPANS.iter().map(|(word, label, _)| json!({ "value": word, "label": label }));
    let spans: Vec<_> = spans.chain([json!({ "value": ALL, "label": "All the time" })]).collect();
    let keys = ["object", "actor", "action", "from", "result", "span"];
    let context = json!({
        "object": form.text("object"),
        "actor": actor,
        "action": form.text("action"),
        "actions": audit::actions(visit.app(), &visit.actor).await?,
        "from": form.text("from"),
        "result": form.text("result"),
        "span": span(form),
        "actors": actors,
        "spans": spans,
        "filtered": keys.iter().any(|key| !form.text(key).is_empty()),
        "exports": exports(form),
        "pages": pages(form, LIST, &listed),
        "items": listed.items,
    });
    Ok(visit.page(StatusCode::OK, "audit.html", (PLACE, "Audit log"), context).await)
}

/// Where the same entries are as a file.
fn exports(form: &Form) -> Value {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for key in ["object", "actor", "action", "from", "result"] {
        if !form.text(key).is_empty() {
            query.append_pair(key, form.text(key));
        }
    }
    query.append_pair("span", span(form));
    let query = query.finish();
    json!({
        "ndjson": format!("/audit/export?format=ndjson&{query}"),
        "csv": format!("/audit/export?format=csv&{query}"),
    })
}

async fn show(visit: Signed, Path(sequence): Path<String>) -> Result<Response, Failure> {
    let current = audit::find(visit.app(), &visit.actor, &sequence).await?;
    let context = json!({
        "place": place_of(&current),
        "changes": changes(&current["changes"]),
        "current": current,
    });
    let title = current["action"].as_str().unwrap_or_default();
    Ok(visit.page(StatusCode::OK, "audit_entry.html", (PLACE, title), context).await)
}

/// Where the object of an entry is, while it is.
fn place_of(entry: &Value) -> Option<String> {
    let id = entry["object_id"].as_str().filter(|id| !id.is_empty())?;
    let place = match entry["object_kind"].as_str()? {
        "credential" => "credentials",
        "webhook" => "webhooks",
        "exporter" => "exporters",
        "gateway" => "gateways",
        "delivery" => "deliveries",
        "event" => "events",
        "user" => "users",
        _ => return None,
    };
    Some(format!("/{place}/{id}"))
}

/// Old → new, a row for each key. What is not a pair is one text.
fn changes(changes: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::Null => "—".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |(key, change): (&String, &Value)| match (change.get("old"), change.get("new")) {
        (Some(old), Some(new)) => json!({ "key": key, "old": text(old), "new": text(new) }),
        _ => json!({ "key": key, "old": null, "new": text(change) }),
    };
    changes.as_object().into_iter().flatten().map(row).collect()
}

async fn verify(visit: Signed) -> Result<Response, Failure> {
    let told = match audit::verify(visit.app(), &visit.actor).await {
        Ok(verified) => {
            let sentence = verified["message"].as_str().unwrap_or_default().to_owned();
            let whole = verified["whole"] == json!(true);
            if whole { Message::done(sentence) } else { Message::refused(sentence) }
        }
        Err(OpError::TooMany { .. }) => {
            Message::refused("Somebody else verifies the log now. Try again soon.")
        }
        Err(other) => return Err(other.into()),
    };
    Ok(visit.go_and_say(LIST, told))
}

async fn export(visit: Signed) -> Result<Response, Failure> {
    let format = Format::find(visit.form.text("format")).ok_or(Failure::NotFound)?;
    let filter = filter(&visit.form, visit.app().now());
    let body = audit::export(&visit.console.app, &visit.actor, filter, format).await?;
    let mut response = Response::new(Body::new(body));
    let name = format!("attachment; filename=\"{}\"", format.file_name());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let name = HeaderValue::from_str(&name).expect("the name of the file is plain");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}
