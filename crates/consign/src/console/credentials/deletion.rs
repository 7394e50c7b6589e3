//! Deleting a credential: what it means first, then the deed.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use consign_core::catalog::{Fault, Invalid};
use serde_json::json;

use super::{LIST, PLACE};
use crate::console::errors::Failure;
use crate::console::form::{errors, message_at};
use crate::console::visit::{Message, Signed};
use crate::ops::credentials::{self, Deleted};
use crate::ops::{IfMatch, OpError, Usage};

/// Where the connectors of each kind are, and what a link to those that wait is called.
const LISTS: [(&str, &str, &str); 3] = [
    ("webhook", "/webhooks", "Show webhooks"),
    ("exporter", "/exporters", "Show data exporters"),
    ("gateway", "/gateways", "Show gateways"),
];

pub(super) async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let users = credentials::usage(visit.app(), &visit.actor, &id).await?;
    confirm_page(&visit, StatusCode::OK, &id, &users, &[]).await
}

async fn confirm_page(
    visit: &Signed,
    status: StatusCode,
    id: &str,
    users: &[Usage],
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, id).await?;
    let error = message_at(invalid, "confirm_name");
    let title = match current["protocol"].as_str() {
        Some("sftp") => "Delete SFTP credential",
        _ => "Delete webhook credential",
    };
    let context =
        json!({ "errors": errors(invalid), "current": current, "users": users, "confirm_error": error });
    Ok(visit.page(status, "credential_delete.html", (PLACE, title), context).await)
}

pub(super) async fn delete(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let confirmed = Some(visit.form.text("confirm_name").trim()) == current["name"].as_str();
    match credentials::delete(visit.app(), &visit.actor, &id, IfMatch::Any, confirmed).await {
        Ok(deleted) => Ok(visit.go_and_say(LIST, farewell(&deleted))),
        Err(OpError::StillUsed(users)) => {
            let invalid = [Fault::new("not_matching", "Type the name exactly as shown").at("confirm_name")];
            confirm_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &id, &users, &invalid).await
        }
        Err(other) => Err(other.into()),
    }
}

fn farewell(deleted: &Deleted) -> Message {
    let text = format!("Deleted {}.", deleted.name);
    let waiting = match deleted.connectors.len() {
        0 => return Message::done(text).focused(),
        1 => format!("{text} 1 connector waits for a credential."),
        many => format!("{text} {many} connectors wait for a credential."),
    };
    let lists = LISTS.iter().filter(|(kind, ..)| deleted.connectors.iter().any(|user| user.kind == *kind));
    lists.fold(Message::done(waiting).focused(), |message, &(_, list, words)| {
        message.with_action(format!("{list}?state=credential_missing"), words)
    })
}
