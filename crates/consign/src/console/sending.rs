//! Settings, Delivery: how it is sent and how long it is kept, how much that is, and a stop for everything.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::catalog::Invalid;
use serde_json::{Map, Value, json};

use super::Console;
use super::conflict::{Conflict, labelled};
use super::errors::Failure;
use super::form::{errors, message_at, seen_etag};
use super::options::{rows, said};
use super::visit::{Message, Signed, is_own_path};
use crate::ops::settings::delivery;
use crate::ops::{OpError, sending, settings};

const PLACE: &str = "settings";
const PAGE: &str = "/settings/delivery";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(PAGE, get(show).post(save))
        .route("/settings/delivery/pause", get(ask).post(pause))
        .route("/settings/delivery/resume", post(resume))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    page(&visit, StatusCode::OK, &[]).await
}

async fn page(visit: &Signed, status: StatusCode, invalid: &[Invalid]) -> Result<Response, Failure> {
    let options = settings::find(visit.app(), &visit.actor).await?;
    let current = delivery::find(visit.app(), &visit.actor).await?;
    let others: Vec<_> = rows(&options, &["delivery.", "limits."]).as_array().cloned().unwrap_or_default();
    let chosen_here = |row: &Value| delivery::OPTIONS.iter().any(|option| row["key"] == **option);
    let context = json!({
        "errors": errors(invalid),
        "etag": seen_etag(&visit.form, &current),
        "fields": FIELDS.map(|(key, label, hint)| field(visit, &current, invalid, (key, label, hint))),
        "rows": others.into_iter().filter(|row| !chosen_here(row)).collect::<Vec<_>>(),
        "storage": sending::storage(visit.app(), &visit.actor).await?,
        "pause": options["sending_pause"],
    });
    Ok(visit.page(status, "settings_delivery.html", (PLACE, "Settings"), context).await)
}

/// Key, label and hint of what can be set here, in the order of the page.
const FIELDS: [(&str, &str, &str); 6] = [
    (
        SCHEDULE,
        "Retry schedule",
        "Seconds between attempts, separated by commas, for connectors without a schedule of their own. The word none: \
         one attempt.",
    ),
    (
        "timeout_seconds",
        "Timeout in seconds",
        "For connectors that are saved without one of their own; from 1 to 60.",
    ),
    ("event_bytes", "Largest request with events in bytes", "What is larger belongs into a file."),
    ("export_bytes", "Largest file in bytes", "Of files that are pushed to an exporter."),
    ("payload_days", "Payloads of ended deliveries stay for days", "What waits is never removed by age."),
    (
        "delivery_days",
        "Records of ended deliveries stay for days",
        "Deliveries, attempts and events, without payloads.",
    ),
];
const SCHEDULE: &str = "retry_schedule_seconds";
/// A schedule without retries.
const NONE: &str = "none";

fn field(
    visit: &Signed,
    current: &Value,
    invalid: &[Invalid],
    (key, label, hint): (&str, &str, &str),
) -> Value {
    let shown = match current[key].as_array() {
        Some(waits) if waits.is_empty() => json!(NONE),
        Some(waits) => json!(waits.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")),
        None => current[key].clone(),
    };
    let value = if visit.form.has(key) { json!(visit.form.text(key)) } else { shown.clone() };
    // Long spans and bytes alone are hard to read.
    let large = key == SCHEDULE || key.ends_with("_bytes");
    let hint = match said(key, &current[key]).filter(|_| large) {
        Some(words) => format!("{hint} Now: {words}."),
        None => hint.to_owned(),
    };
    json!({
        "key": key, "label": label, "hint": hint, "value": value, "shown": shown, "mono": key == SCHEDULE,
        "set_by": current[format!("{key}_set_by")], "error": message_at(invalid, key),
    })
}

async fn save(visit: Signed) -> Result<Response, Failure> {
    let mut sent = Map::new();
    for (key, ..) in FIELDS.into_iter().filter(|(key, ..)| visit.form.has(key)) {
        let text = visit.form.text(key).trim();
        let value = match key {
            SCHEDULE if text.is_empty() => Value::Null,
            SCHEDULE if text.eq_ignore_ascii_case(NONE) => json!([]),
            SCHEDULE => {
                let waits = text.split([',', ' ']).filter(|wait| !wait.is_empty());
                waits.map(|wait| wait.parse::<u64>().map_or_else(|_| json!(wait), Value::from)).collect()
            }
            _ => json!(text),
        };
        sent.insert(key.to_owned(), value);
    }
    let mine = written(&sent);
    match delivery::change(visit.app(), &visit.actor, sent, visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(PAGE, Message::done("Saved. It holds from now on."))),
        Err(OpError::Invalid(invalid)) => page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await,
        Err(OpError::Changed { .. }) => {
            let theirs = delivery::find(visit.app(), &visit.actor).await?;
            let theirs = Value::Object(theirs.as_object().map(written).unwrap_or_default());
            let conflict = Conflict {
                what: "these settings",
                place: PLACE,
                address: PAGE.to_owned(),
                name: "Delivery",
                saved: delivery::SAVED,
                fields: labelled(&FIELDS.map(|(key, label, _)| (key, label))),
                password: Value::Null,
                theirs: &theirs,
            };
            conflict.page(&visit, &mine).await
        }
        Err(other) => Err(other.into()),
    }
}

/// What is set or typed, as the form has it: a schedule without waits has a word, and what is blank is the default.
fn written(values: &Map<String, Value>) -> Map<String, Value> {
    let word = |value: &Value| match value {
        Value::Array(waits) if waits.is_empty() => json!(NONE),
        Value::Null => json!("default"),
        Value::String(text) if text.is_empty() => json!("default"),
        other => other.clone(),
    };
    values.iter().map(|(key, value)| (key.clone(), word(value))).collect()
}

async fn ask(visit: Signed) -> Response {
    let title = "Pause all sending";
    visit.page(StatusCode::OK, "settings_delivery_pause.html", (PLACE, title), json!({})).await
}

async fn pause(visit: Signed) -> Result<Response, Failure> {
    sending::pause(visit.app(), &visit.actor).await?;
    Ok(visit.go_and_say(PAGE, Message::done("Nothing new leaves from now on. What is under way ends.")))
}

/// The banner of every page resumes, too, and leads back there.
async fn resume(visit: Signed) -> Result<Response, Failure> {
    sending::resume(visit.app(), &visit.actor).await?;
    let back = visit.form.text("back");
    let to = if is_own_path(back) { back } else { PAGE };
    Ok(visit.go_and_say(to, Message::done("Sending goes on.")))
}
