//! Settings: the name of this installation, what its operator set, and what the egress rules make of an address.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use serde_json::{Map, Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{errors, message_at};
use super::visit::{Message, Signed};
use crate::ops::{OpError, settings};

const PLACE: &str = "settings";
const GENERAL: &str = "/settings";
const EGRESS: &str = "/settings/egress";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(GENERAL, get(general).post(save))
        .route(EGRESS, get(egress).post(check))
        .route("/settings/about", get(about))
}

async fn general(visit: Signed) -> Result<Response, Failure> {
    let current = settings::find(visit.app(), &visit.actor).await?;
    Ok(general_page(&visit, StatusCode::OK, &current, &[]).await)
}

async fn general_page(visit: &Signed, status: StatusCode, current: &Value, invalid: &[Invalid]) -> Response {
    let stored = current["instance_name"].as_str().unwrap_or_default();
    let form = &visit.form;
    let name = if form.has("instance_name") { form.text("instance_name") } else { stored };
    let context = json!({
        "errors": errors(invalid),
        "etag": current["etag"],
        "name": {
            "key": "instance_name", "label": "Instance name", "optional": true, "value": name,
            "hint": "Stands below “Consign” in the navigation, so that nobody takes the test system for the real one.",
            "error": message_at(invalid, "instance_name"),
        },
        "public_url": current["public_url"],
        "rows": rows(current, &["server.", "auth.", "retention.", "delivery.", "limits."]),
    });
    visit.page(status, "settings.html", (PLACE, "Settings"), context).await
}

/// The options of some groups: value as it would stand in the file, and who set it.
fn rows(current: &Value, groups: &[&str]) -> Value {
    let options = current["options"].as_array().into_iter().flatten();
    let of_groups = options.filter(|option| {
        let key = option["key"].as_str().unwrap_or_default();
        groups.iter().any(|group| key.starts_with(group))
    });
    let row = |option: &Value| {
        let source = match option["source"].as_str() {
            Some("environment") => format!("set by {}", option["source_name"].as_str().unwrap_or_default()),
            Some("file") => "set in the configuration file".to_owned(),
            Some("file_content") => {
                format!("content of {}", option["source_name"].as_str().unwrap_or_default())
            }
            _ => "default".to_owned(),
        };
        json!({ "key": option["key"], "value": option["value"], "source": source })
    };
    of_groups.map(row).collect()
}

async fn save(visit: Signed) -> Result<Response, Failure> {
    let mut sent = Map::new();
    sent.insert("instance_name".to_owned(), json!(visit.form.text("instance_name")));
    match settings::change(visit.app(), &visit.actor, sent, visit.form.if_match()).await {
        Ok(_) => Ok(visit.go_and_say(GENERAL, Message::done("Saved."))),
        Err(OpError::Invalid(invalid)) => {
            let current = settings::find(visit.app(), &visit.actor).await?;
            Ok(general_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &current, &invalid).await)
        }
        Err(other) => Err(other.into()),
    }
}

async fn egress(visit: Signed) -> Result<Response, Failure> {
    egress_page(&visit, StatusCode::OK, &Value::Null, &[]).await
}

async fn egress_page(
    visit: &Signed,
    status: StatusCode,
    verdict: &Value,
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let current = settings::find(visit.app(), &visit.actor).await?;
    let context = json!({
        "errors": errors(invalid),
        "rows": rows(&current, &["egress."]),
        "address": {
            "key": "address", "label": "Would this address be allowed?", "mono": true,
            "hint": "An address such as https://10.21.0.5/. Nothing is sent to it; only its name is looked up.",
            "value": visit.form.text("address"), "error": message_at(invalid, "address"),
        },
        "verdict": verdict,
    });
    Ok(visit.page(status, "settings_egress.html", (PLACE, "Settings"), context).await)
}

async fn check(visit: Signed) -> Result<Response, Failure> {
    let mut sent = Map::new();
    sent.insert("address".to_owned(), json!(visit.form.text("address")));
    match settings::check_egress(visit.app(), &visit.actor, sent).await {
        Ok(verdict) => egress_page(&visit, StatusCode::OK, &verdict, &[]).await,
        Err(OpError::Invalid(invalid)) => {
            egress_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &Value::Null, &invalid).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn about(visit: Signed) -> Response {
    let context = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "licence": env!("CARGO_PKG_LICENSE"),
        "database": if visit.app().store.is_postgres() { "PostgreSQL" } else { "SQLite" },
        "key": visit.app().vault.sealing_key_id(),
    });
    visit.page(StatusCode::OK, "settings_about.html", (PLACE, "Settings"), context).await
}
