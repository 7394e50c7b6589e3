//! The signature of a webhook: its keys, the change to a new one, a check of what a receiver got, and sample code.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use serde_json::{Map, Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{errors, field, message_at, with};
use super::visit::{Message, Signed};
use crate::ops::{OpError, Sent, signing, webhooks};

const PLACE: &str = "webhooks";
/// The fields of a check: key, label, and how many lines.
const RECEIVED: &[(&str, &str, u32)] = &[
    ("webhook_id", "webhook-id", 1),
    ("webhook_timestamp", "webhook-timestamp", 1),
    ("webhook_signature", "webhook-signature", 1),
    ("body", "Body", 8),
];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/webhooks/{id}/signature", get(show).post(check))
        .route("/webhooks/{id}/signature/change", get(ask).post(change))
}

/// The one page that shows a new signing secret; `next` is where whoever stored it goes on.
pub(super) async fn secret_page(visit: &Signed, made: &Value, next: &str) -> Response {
    let context = json!({ "current": made, "text": made["signing_secret"], "next": next });
    visit.page(StatusCode::OK, "webhook_secret.html", (PLACE, "Signing secret created"), context).await
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    page(&visit, StatusCode::OK, &id, &[], &Value::Null).await
}

async fn page(
    visit: &Signed,
    status: StatusCode,
    id: &str,
    invalid: &[Invalid],
    checked: &Value,
) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, id).await?;
    let keys = signing::list(visit.app(), &visit.actor, id).await?;
    let fields = RECEIVED.iter().map(|(key, label, rows)| {
        let typed = if *rows > 1 { visit.form.lines(key) } else { visit.form.text(key).to_owned() };
        with(field(key, label, "", typed, invalid), json!({ "mono": true, "rows": rows }))
    });
    let context = json!({
        "errors": errors(invalid),
        "keys": keys,
        "fields": fields.collect::<Vec<_>>(),
        "checked": checked,
        "current": current,
    });
    let name = current["name"].as_str().unwrap_or_default();
    Ok(visit.page(status, "webhook_signature.html", (PLACE, name), context).await)
}

async fn check(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let typed =
        |key: &str| if key == "body" { visit.form.lines(key) } else { visit.form.text(key).to_owned() };
    let sent: Sent = RECEIVED.iter().map(|(key, ..)| ((*key).to_owned(), json!(typed(key)))).collect();
    match signing::check(visit.app(), &visit.actor, &id, sent).await {
        Ok(checked) => page(&visit, StatusCode::OK, &id, &[], &checked).await,
        Err(OpError::Invalid(invalid)) => {
            page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &id, &invalid, &Value::Null).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn ask(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    change_page(&visit, StatusCode::OK, &id, &[]).await
}

async fn change_page(
    visit: &Signed,
    status: StatusCode,
    id: &str,
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let current = webhooks::find(visit.app(), &visit.actor, id).await?;
    let typed = if visit.form.has("old_ends_in_hours") { visit.form.text("old_ends_in_hours") } else { "24" };
    let label = "The old one ends in";
    let context = json!({
        "errors": errors(invalid),
        "hours": field("old_ends_in_hours", label, "Hours, from 0 to 168. Until then both sign.", typed, invalid),
        "error": message_at(invalid, "old_ends_in_hours"),
        "current": current,
    });
    Ok(visit.page(status, "webhook_signature_change.html", (PLACE, "Change signing secret"), context).await)
}

async fn change(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let hours = visit.form.text("old_ends_in_hours");
    let sent: Map<String, Value> = [("old_ends_in_hours".to_owned(), json!(hours))].into_iter().collect();
    let current = webhooks::find(visit.app(), &visit.actor, &id).await?;
    let back = format!("/webhooks/{}/signature", current["id"].as_str().unwrap_or_default());
    let mut made = Value::Null;
    let once = visit.once(|_| String::new(), async {
        made = signing::change(visit.app(), &visit.actor, &id, sent).await?;
        Ok(Value::Null)
    });
    match once.await {
        Ok(_) if made["signing_secret"].is_string() => {
            let mut shown = current;
            shown["signing_secret"] = made["signing_secret"].clone();
            Ok(secret_page(&visit, &shown, &back).await)
        }
        Ok(_) if made.is_null() => {
            Ok(visit.go_and_say(&back, Message::done("It was changed already. The secret was shown once.")))
        }
        Ok(_) => Ok(visit.go_and_say(&back, Message::done("Changed. Give the receiver the new public key."))),
        Err(OpError::Invalid(invalid)) => {
            change_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &id, &invalid).await
        }
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(&back, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}
