//! Settings > Notifications: who gets mail, what is told at present, and a mail to try.

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
use super::visit::{Message, Signed};
use crate::ops::{OpError, mail, notices};

const PLACE: &str = "settings";
const PAGE: &str = "/settings/notifications";
const EMAILS: (&str, &str) = ("emails", "Email addresses");

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(PAGE, get(show).post(save)).route("/settings/notifications/test", post(test))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    page(&visit, StatusCode::OK, &[]).await
}

async fn page(visit: &Signed, status: StatusCode, invalid: &[Invalid]) -> Result<Response, Failure> {
    let current = notices::find(visit.app(), &visit.actor).await?;
    let form = &visit.form;
    let stored = current["emails"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let stored = stored.collect::<Vec<_>>().join("\n");
    let emails = if form.has("emails") { form.text("emails") } else { &stored };
    let to = if form.has("to") { form.text("to") } else { &visit.person.email };
    let context = json!({
        "errors": errors(invalid),
        "etag": seen_etag(form, &current),
        "current": current,
        "emails": {
            "key": EMAILS.0, "label": EMAILS.1, "optional": true, "value": emails,
            "hint": "One per line. They are told by mail what needs a person, each thing once.",
            "error": message_at(invalid, "emails"),
        },
        "to": {
            "key": "to", "label": "Send a mail to try it to", "type": "email", "value": to,
            "error": message_at(invalid, "to"),
        },
    });
    Ok(visit.page(status, "settings_notifications.html", (PLACE, "Settings"), context).await)
}

async fn save(visit: Signed) -> Result<Response, Failure> {
    let rows: Vec<_> =
        visit.form.text("emails").lines().map(str::trim).filter(|row| !row.is_empty()).collect();
    let mut sent = Map::new();
    sent.insert(EMAILS.0.to_owned(), json!(rows));
    let mine = sent.clone();
    match notices::change(visit.app(), &visit.actor, sent, visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(PAGE, Message::done("Saved."))),
        Err(OpError::Invalid(invalid)) => page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await,
        Err(OpError::Changed { .. }) => {
            let conflict = Conflict {
                what: "these settings",
                place: PLACE,
                address: PAGE.to_owned(),
                name: "Notifications",
                saved: notices::SAVED,
                fields: labelled(&[EMAILS]),
                password: Value::Null,
                theirs: &notices::find(visit.app(), &visit.actor).await?,
            };
            conflict.page(&visit, &mine).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn test(visit: Signed) -> Result<Response, Failure> {
    let mut sent = Map::new();
    sent.insert("to".to_owned(), json!(visit.form.text("to")));
    match mail::test(visit.app(), &visit.actor, sent).await {
        Ok(ended) => {
            let message = ended["message"].as_str().unwrap_or_default();
            let sent = ended["outcome"] == "sent";
            let said = if sent { Message::done(message) } else { Message::refused(message) };
            Ok(visit.go_and_say(PAGE, said))
        }
        Err(OpError::Invalid(invalid)) => page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await,
        Err(OpError::WrongState(sentence)) => {
            Ok(visit.go_and_say(PAGE, Message::refused(format!("{sentence}."))))
        }
        Err(other) => Err(other.into()),
    }
}
