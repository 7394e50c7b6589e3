//! Many deliveries sent again: filter, preview, start; and the operation with its progress.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::Invalid;
use consign_core::id::OperationId;
use consign_core::operation::OperationKind;
use consign_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::Console;
use super::deliveries::connector_choices;
use super::errors::Failure;
use super::form::{Form, asked, encoded, errors, message_at, page, pages};
use super::visit::{Message, Signed};
use crate::ops::{OpError, Sent, operations, replays};

const PLACE: &str = "deliveries";
const DELIVERIES: &str = "/deliveries";
const REPLAY: &str = "/deliveries/replay";
const LIST: &str = "/operations";
/// The states from which something can be sent again, as the form offers them.
const STATES: [(&str, &str); 4] = [
    ("failed", "Failed"),
    ("held", "On hold, waiting for a decision"),
    ("cancelled", "Cancelled"),
    ("delivered", "Delivered"),
];
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(REPLAY, get(prepare).post(start))
        .route("/deliveries/selected", post(selected))
        .route(LIST, get(list))
        .route("/operations/{id}", get(show))
        .route("/operations/{id}/stop", post(stop))
}

/// How far back a list looks, by the word of its filter.
pub(super) fn since(form: &Form, now: Timestamp) -> Option<Timestamp> {
    let hours = match form.text("time") {
        "hour" => 1,
        "day" => 24,
        "week" => 7 * 24,
        "month" => 30 * 24,
        _ => return None,
    };
    Some(now.minus(HOUR * hours))
}

/// The choices of that filter.
pub(super) fn times() -> Value {
    json!([
        { "value": "hour", "label": "Last hour" },
        { "value": "day", "label": "Last 24 hours" },
        { "value": "week", "label": "Last 7 days" },
        { "value": "month", "label": "Last 30 days" },
    ])
}

/// The states that are ticked; a list calls what failed or waits for a person by one word.
fn states(form: &Form) -> Vec<&'static str> {
    let typed = form.all("state");
    let wanted = |state: &str| {
        typed.contains(&state) || typed.contains(&"needs_attention") && ["failed", "held"].contains(&state)
    };
    let ticked: Vec<_> = STATES.iter().map(|(state, _)| *state).filter(|state| wanted(state)).collect();
    if ticked.is_empty() { vec!["failed"] } else { ticked }
}

/// What the form asks for, as the API takes it.
fn sent(form: &Form, now: Timestamp) -> Sent {
    let mut filter = Map::new();
    let mut put = |key: &str, value: Option<String>| {
        filter.extend(value.map(|value| (key.to_owned(), Value::String(value))));
    };
    put("connector", asked(form, "connector"));
    put("event_type", asked(form, "type"));
    put("q", asked(form, "q"));
    put("created_after", asked(form, "created_after").or_else(|| since(form, now).map(|at| at.to_string())));
    put("created_before", asked(form, "created_before"));
    filter.insert("state".to_owned(), json!(states(form)));
    filter.insert("ids".to_owned(), json!(form.all("id")));
    filter.insert("test".to_owned(), json!(form.has("test")));
    let mut sent = Map::new();
    sent.insert("filter".to_owned(), Value::Object(filter));
    sent.extend(
        ["rate_per_second", "request"]
            .into_iter()
            .filter_map(|key| asked(form, key).map(|value| (key.to_owned(), Value::String(value)))),
    );
    sent
}

async fn prepare(visit: Signed) -> Result<Response, Failure> {
    if !visit.form.has("preview") {
        return form_page(&visit, StatusCode::OK, &Value::Null, &[], "").await;
    }
    match replays::preview(visit.app(), &visit.actor, sent(&visit.form, visit.app().now())).await {
        Ok(preview) => form_page(&visit, StatusCode::OK, &preview, &[], "").await,
        Err(OpError::Invalid(invalid)) => {
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid, "").await
        }
        Err(other) => Err(other.into()),
    }
}

async fn start(visit: Signed) -> Result<Response, Failure> {
    let sent = sent(&visit.form, visit.app().now());
    let address = |made: &Value| format!("{LIST}/{}", made["id"].as_str().unwrap_or_default());
    match visit.once(address, replays::start(visit.app(), &visit.actor, sent)).await {
        Ok(address) => Ok(visit.go(&address)),
        Err(OpError::Invalid(invalid)) => {
            form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid, "").await
        }
        Err(OpError::WrongState(sentence)) => {
            form_page(&visit, StatusCode::CONFLICT, &Value::Null, &[], &sentence).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn form_page(
    visit: &Signed,
    status: StatusCode,
    preview: &Value,
    invalid: &[Invalid],
    refused: &str,
) -> Result<Response, Failure> {
    let form = &visit.form;
    // The fields of the page have the names that lists use in their addresses.
    let named = |one: &Invalid| {
        let field = one.field.trim_start_matches("filter/");
        Invalid { field: if field == "event_type" { "type" } else { field }.to_owned(), ..one.clone() }
    };
    let invalid: Vec<_> = invalid.iter().map(named).collect();
    let ticked = states(form);
    let rate = asked(form, "rate_per_second").unwrap_or_else(|| "2".to_owned());
    let context = json!({
        "errors": errors(&invalid),
        "refused": refused,
        "connectors": connector_choices(visit),
        "connector": form.text("connector"),
        "states": STATES.map(|(value, label)| json!({
            "value": value, "label": label, "ticked": ticked.contains(&value),
        })),
        "times": times(),
        "time": form.text("time"),
        "type": form.text("type"),
        "q": form.text("q"),
        "test": form.has("test"),
        "ids": form.all("id"),
        "rate": rate,
        "request": asked(form, "request").unwrap_or_else(|| "present".to_owned()),
        "field_errors": {
            "q": message_at(&invalid, "q"),
            "type": message_at(&invalid, "type"),
            "rate_per_second": message_at(&invalid, "rate_per_second"),
        },
        "preview": preview,
        "list": form.query(DELIVERIES, &[("preview", ""), ("rate_per_second", ""), ("request", "")]),
    });
    Ok(visit.page(status, "replay.html", (PLACE, "Replay deliveries"), context).await)
}

/// What is done with the rows that were ticked in the list.
async fn selected(visit: Signed) -> Result<Response, Failure> {
    let ids = visit.form.all("id");
    let back =
        Some(visit.form.text("back")).filter(|back| back.starts_with(DELIVERIES)).unwrap_or(DELIVERIES);
    if ids.is_empty() {
        return Ok(visit.go_and_say(back, Message::refused("Tick the deliveries first.")));
    }
    if visit.form.text("act") == "replay" {
        let mut address = format!("{REPLAY}?preview=1");
        // Whoever ticks a row means it, whatever its state.
        for state in STATES.iter().map(|(state, _)| state) {
            address.push_str(&format!("&state={state}"));
        }
        for id in ids {
            address.push_str(&format!("&id={}", encoded(id)));
        }
        return Ok(visit.go(&format!("{address}&test=on")));
    }
    let (mut cancelled, mut ended) = (0_u32, 0_u32);
    for id in ids {
        let id = id.parse().map_err(|_| OpError::NotFound("delivery"))?;
        match crate::ops::deliveries::cancel(visit.app(), &visit.actor, id).await {
            Ok(_) => cancelled += 1,
            Err(OpError::WrongState(_)) => ended += 1,
            Err(other) => return Err(other.into()),
        }
    }
    let done = if cancelled == 1 {
        "Cancelled 1 delivery.".to_owned()
    } else {
        format!("Cancelled {cancelled} deliveries.")
    };
    let text = match ended {
        0 => done,
        1 => format!("{done} 1 had ended already."),
        many => format!("{done} {many} had ended already."),
    };
    let message = if cancelled == 0 { Message::refused(text) } else { Message::done(text) };
    Ok(visit.go_and_say(back, message))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let listed =
        operations::list(visit.app(), &visit.actor, Some(OperationKind::Replay), &page(&visit.form)).await?;
    let context = json!({ "pages": pages(&visit.form, LIST, &listed), "items": listed.items });
    Ok(visit.page(StatusCode::OK, "operations.html", (PLACE, "Deliveries"), context).await)
}

fn parse(id: &str) -> Result<OperationId, OpError> {
    id.parse().map_err(|_| OpError::NotFound("operation"))
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = operations::find(visit.app(), &visit.actor, parse(&id)?).await?;
    if current["kind"] == OperationKind::Backup.kind() {
        let context = json!({ "current": current });
        return Ok(visit
            .page(StatusCode::OK, "operation_backup.html", ("settings", "Backup"), context)
            .await);
    }
    let connector = current["filter"]["connector"].as_str().and_then(|id| id.parse().ok());
    let snapshot = visit.app().engine.snapshot();
    let connector =
        connector.and_then(|id| snapshot.connector(id)).map(|connector| connector.name.to_string());
    let total = usize::try_from(current["total"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    let title = match total {
        1 => "Replay of 1 delivery".to_owned(),
        many => format!("Replay of {} deliveries", consign_core::catalog::with_commas(many)),
    };
    let context = json!({ "current": current, "connector": connector });
    Ok(visit.page(StatusCode::OK, "operation.html", (PLACE, &title), context).await)
}

async fn stop(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let address = format!("{LIST}/{id}");
    match operations::stop(visit.app(), &visit.actor, parse(&id)?).await {
        Ok(_) => Ok(visit.go_and_say(&address, Message::done("Stopped. The rest is left as it is."))),
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(&address, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}
