//! After the first administrator: the address of this server and the recovery file, as steps two and three of setting up.
//! Both can be passed over; Settings has them, too.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::{Fault, Invalid};
use serde_json::{Map, Value, json};

use super::Console;
use super::encryption::{passphrase_field, taken};
use super::errors::Failure;
use super::form::{errors, message_at, password_again, seen_etag};
use super::settings::password_for_url;
use super::visit::{Message, Signed};
use crate::keys;
use crate::ops::{OpError, encryption, public_url, settings};

const ADDRESS: &str = "/welcome";
const KEY: &str = "/welcome/key";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(ADDRESS, get(show_address).post(save_address)).route(KEY, get(show_key).post(act))
}

async fn show_address(visit: Signed) -> Result<Response, Failure> {
    address_page(&visit, StatusCode::OK, &Value::Null, &[]).await
}

async fn address_page(
    visit: &Signed,
    status: StatusCode,
    checked: &Value,
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let current = settings::find(visit.app(), &visit.actor).await?;
    let stored = current["public_url"].as_str().unwrap_or_default();
    let typed = visit.form.has("public_url").then(|| visit.form.text("public_url"));
    let opened_at = visit.other_origin().unwrap_or(stored);
    let context = json!({
        "errors": errors(invalid),
        "etag": seen_etag(&visit.form, &current),
        "url": {
            "key": "public_url", "label": "Public URL", "value": typed.unwrap_or(stored), "mono": true,
            "hint": format!("You opened this page at {opened_at}. OAuth tools need a public https address."),
            "error": message_at(invalid, "public_url"),
        },
        "password": password_for_url(visit, invalid),
        "set_by": current["public_url_set_by"],
        "public_url": stored,
        "checked": checked,
    });
    Ok(visit.page(status, "welcome.html", ("", "Set up Consign"), context).await)
}

async fn save_address(visit: Signed) -> Result<Response, Failure> {
    let mut sent = Map::new();
    if visit.form.has("public_url") {
        sent.insert("public_url".to_owned(), json!(visit.form.text("public_url")));
    }
    let done = if visit.form.text("act") == "check" {
        public_url::check(visit.app(), &visit.actor, sent).await.map(Some)
    } else {
        sent.insert("password".to_owned(), json!(visit.form.text("password")));
        settings::change(visit.app(), &visit.actor, sent, visit.form.if_match()).await.map(|_| None)
    };
    match done {
        Ok(None) => Ok(visit.go(KEY)),
        Ok(Some(checked)) => address_page(&visit, StatusCode::OK, &checked, &[]).await,
        Err(OpError::Invalid(invalid)) => {
            address_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn show_key(visit: Signed) -> Result<Response, Failure> {
    key_page(&visit, StatusCode::OK, &[]).await
}

async fn key_page(visit: &Signed, status: StatusCode, invalid: &[Invalid]) -> Result<Response, Failure> {
    let known = encryption::list(visit.app(), &visit.actor).await?;
    let context = json!({
        "errors": errors(invalid),
        "place": keys::place(&visit.app().config).to_string(),
        "taken_at": known["recovery_file_at"],
        "passphrase": passphrase_field(invalid),
        "password": password_again(visit, invalid),
    });
    Ok(visit.page(status, "welcome_key.html", ("", "Set up Consign"), context).await)
}

/// The page has two forms: one takes the file, as often as somebody likes, and the other goes on.
async fn act(visit: Signed) -> Result<Response, Failure> {
    if visit.form.text("act") == "recovery_file" { recovery_file(&visit).await } else { Ok(finish(&visit)) }
}

async fn recovery_file(visit: &Signed) -> Result<Response, Failure> {
    match taken(visit).await {
        Ok(file) => Ok(file),
        Err(OpError::Invalid(invalid)) => key_page(visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await,
        Err(OpError::WrongState(why)) => {
            key_page(visit, StatusCode::CONFLICT, &[Fault::new("wrong_state", why).at("")]).await
        }
        Err(other) => Err(other.into()),
    }
}

fn finish(visit: &Signed) -> Response {
    let stored = visit.form.text("stored") == "yes";
    let said = if stored {
        Message::done("Consign is set up.")
    } else {
        Message::done("Consign is set up. Take the recovery file soon: without the encryption key nobody opens a backup.")
            .with_action("/settings/encryption", "Encryption")
    };
    visit.go_and_say("/", said)
}
