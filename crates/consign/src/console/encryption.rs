//! Settings, Encryption: which key seals how much, a new key, and whether everything opens.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use consign_core::catalog::Invalid;
use serde_json::{Map, Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{errors, message_at, password_again};
use super::visit::{Message, Signed};
use crate::ops::{OpError, encryption};

const PLACE: &str = "settings";
const PAGE: &str = "/settings/encryption";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(PAGE, get(show))
        .route("/settings/encryption/rotation", post(rotate))
        .route("/settings/encryption/check", post(check))
        .route("/settings/encryption/recovery-file", post(recovery_file))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    page(&visit, StatusCode::OK, &Value::Null, &[]).await
}

async fn page(
    visit: &Signed,
    status: StatusCode,
    checked: &Value,
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let keys = encryption::list(visit.app(), &visit.actor).await?;
    let context = json!({
        "errors": errors(invalid),
        "resealed": resealed(&keys),
        "keys": keys,
        "password": password_again(visit, invalid),
        "passphrase": passphrase_field(invalid),
        "checked": checked,
    });
    Ok(visit.page(status, "settings_encryption.html", (PLACE, "Settings"), context).await)
}

/// The field for what a recovery file is sealed with.
pub(super) fn passphrase_field(invalid: &[Invalid]) -> Value {
    json!({
        "key": "passphrase", "label": "Passphrase", "autocomplete": "new-password",
        "hint": "At least 12 characters. Without it the file opens for nobody, not even for you.",
        "error": message_at(invalid, "passphrase"),
    })
}

/// How many values are under the key that seals, of all that a loaded key opens; and whether the other keys can go.
fn resealed(keys: &Value) -> Value {
    let items = keys["items"].as_array().map_or(&[][..], Vec::as_slice);
    let values = |key: &Value| key["values"].as_u64().unwrap_or_default();
    let others = items.get(1..).unwrap_or_default();
    json!({
        "done": items.first().map_or(0, values),
        "total": items.iter().map(values).sum::<u64>(),
        "others": others.len(),
        "removable": others.iter().all(|key| key["removable"] == true),
    })
}

async fn rotate(State(console): State<Arc<Console>>, visit: Signed) -> Result<Response, Failure> {
    let new_key = match visit.form.text("act") {
        "new_key" => true,
        "reseal" => false,
        _ => return Err(Failure::NotFound),
    };
    let mut sent = Map::new();
    sent.insert("new_key".to_owned(), json!(new_key));
    sent.insert("password".to_owned(), json!(visit.form.text("password")));
    match encryption::rotate(&console.app, &visit.actor, sent).await {
        Ok(_) => {
            let said = if new_key {
                "A new key seals from now on. Re-sealing the rest…"
            } else {
                "Re-sealing every value…"
            };
            Ok(visit.go_and_say(PAGE, Message::done(said)))
        }
        Err(OpError::Invalid(invalid)) => {
            page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid).await
        }
        Err(OpError::WrongState(why)) => Ok(visit.go_and_say(PAGE, Message::refused(why))),
        Err(other) => Err(other.into()),
    }
}

async fn check(visit: Signed) -> Result<Response, Failure> {
    let checked = encryption::check(visit.app(), &visit.actor).await?;
    page(&visit, StatusCode::OK, &checked, &[]).await
}

async fn recovery_file(visit: Signed) -> Result<Response, Failure> {
    match taken(&visit).await {
        Ok(file) => Ok(file),
        Err(OpError::Invalid(invalid)) => {
            page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid).await
        }
        Err(OpError::WrongState(why)) => Ok(visit.go_and_say(PAGE, Message::refused(format!("{why}.")))),
        Err(other) => Err(other.into()),
    }
}

/// The recovery file that a form asks for. The file itself is the answer: whoever reads it needs the passphrase.
pub(super) async fn taken(visit: &Signed) -> Result<Response, OpError> {
    let mut sent = Map::new();
    for key in ["passphrase", "password"] {
        sent.insert(key.to_owned(), json!(visit.form.text(key)));
    }
    let text = encryption::recovery_file(visit.app(), &visit.actor, sent).await?;
    let mut response = text.expose().to_owned().into_response();
    let name = format!("attachment; filename=\"{}\"", encryption::RECOVERY_FILE_NAME);
    let name = HeaderValue::from_str(&name).expect("the name of the file is plain");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

#[cfg(test)]
mod tests;
