//! API keys: list, make, show once, revoke.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use consign_core::rights::Right;
use consign_core::role::Role;
use consign_store::connectors::ConnectorFilter;
use consign_store::{PAGE_ITEMS_MAX, Page};
use serde_json::{Map, Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{errors, field, message_at, password_again, with};
use super::visit::{Message, Signed};
use crate::ops::{OpError, api_keys, gateways};

const PLACE: &str = "api_keys";
const LIST: &str = "/api-keys";
const DAY: Duration = Duration::from_secs(86_400);
const DEFAULT_DAYS: u32 = 90;
const GATEWAYS_HINT: &str = "With the scope gateway:call. None ticked: every gateway that takes any key.";
const ADMIN_WARNING: &str = "This key can do nearly everything here: change settings, invite people and make more keys. \
    Choose less where that is enough.";
const ALLOWED_HINT: &str = "Addresses or networks that it may be used from, such as 10.20.0.0/16, one a line. Empty: from everywhere.";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(LIST, get(list))
        .route("/api-keys/new", get(new).post(create))
        .route("/api-keys/{id}/revoke", get(confirm).post(revoke))
}

async fn list(visit: Signed) -> Result<Response, Failure> {
    let now = visit.app().now();
    let unused_since = now.minus(DAY * DEFAULT_DAYS).to_string();
    let mut items = api_keys::list(visit.app(), &visit.actor).await?;
    for item in &mut items {
        item["role_label"] = json!(item["role"].as_str().and_then(Role::find).map(Role::label));
    }
    let context = json!({ "items": items, "unused_since": unused_since });
    Ok(visit.page(StatusCode::OK, "api_keys.html", (PLACE, "API keys"), context).await)
}

async fn new(visit: Signed) -> Result<Response, Failure> {
    form_page(&visit, StatusCode::OK, &[]).await
}

/// The gateways to tick; `None` when there are none to choose from.
async fn gateway_field(visit: &Signed, invalid: &[Invalid]) -> Result<Option<Value>, OpError> {
    let all = Page::first(PAGE_ITEMS_MAX);
    let listed = gateways::list(visit.app(), &visit.actor, &ConnectorFilter::default(), &all).await?;
    let chosen = visit.form.all("gateways");
    let options = listed.items.iter().map(|gateway| {
        let names_keys = gateway["api_keys"].as_array().is_some_and(|keys| !keys.is_empty());
        let hint = if names_keys { "It names its API keys: tick the new one there too." } else { "" };
        let is_chosen = chosen.iter().any(|id| gateway["id"] == *id);
        json!({ "value": gateway["id"], "label": gateway["name"], "hint": hint, "checked": is_chosen })
    });
    let options: Vec<_> = options.collect();
    if options.is_empty() {
        return Ok(None);
    }
    let field = field("gateways", "Gateways", GATEWAYS_HINT, "", invalid);
    Ok(Some(with(field, json!({ "options": options, "optional": true }))))
}

async fn form_page(visit: &Signed, status: StatusCode, invalid: &[Invalid]) -> Result<Response, Failure> {
    let form = &visit.form;
    let chosen = form.all("scopes");
    let scopes = Right::ALL.iter().map(|right| {
        let warning = if *right == Right::Admin { ADMIN_WARNING } else { "" };
        json!({
            "value": right.kind(), "checked": chosen.contains(&right.kind()), "hint": meaning(*right), "warning": warning,
        })
    });
    let default_end = visit.app().now().plus(DAY * DEFAULT_DAYS).day();
    let ends_on = if form.has("name") { form.text("ends_on").to_owned() } else { default_end };
    let context = json!({
        "errors": errors(invalid),
        "name": { "value": form.text("name"), "error": message_at(invalid, "name") },
        "role": role_field(form.text("role"), invalid),
        "scopes": scopes.collect::<Vec<_>>(),
        "scopes_error": message_at(invalid, "scopes"),
        "gateways": gateway_field(visit, invalid).await?,
        "allowed": with(
            field("allowed_addresses", "Allowed addresses", ALLOWED_HINT, form.text("allowed_addresses"), invalid),
            json!({ "optional": true, "rows": 2 }),
        ),
        "ends_on": { "value": ends_on, "error": message_at(invalid, "ends_on") },
        "never": form.has("never"),
        "password": password_again(visit, invalid),
    });
    Ok(visit.page(status, "api_key.html", (PLACE, "New API key"), context).await)
}

/// A role, or scopes of its own.
fn role_field(chosen: &str, invalid: &[Invalid]) -> Value {
    let own = json!({ "value": "", "label": "Scopes of its own", "hint": "Those that are ticked below" });
    let roles = Role::ALL.iter();
    let roles = roles.map(|role| {
        let warning = if role.rights().allow(Right::Admin) { ADMIN_WARNING } else { "" };
        json!({ "value": role.kind(), "label": role.label(), "hint": role.hint(), "warning": warning })
    });
    let options: Vec<_> = std::iter::once(own).chain(roles).collect();
    with(field("role", "Role", "", chosen, invalid), json!({ "options": options }))
}

/// What a scope allows, in words.
fn meaning(right: Right) -> &'static str {
    match right {
        Right::CredentialsRead => "See credentials, never their secrets",
        Right::CredentialsWrite => "Create, edit and delete credentials",
        Right::CredentialsTest => "Test the connection of credentials",
        Right::ConnectorsRead => "See webhooks, exporters and gateways",
        Right::ConnectorsWrite => "Create, edit and delete webhooks, exporters and gateways",
        Right::EventsWrite => "Send events",
        Right::EventsRead => "See events",
        Right::DeliveriesRead => "See deliveries and their attempts",
        Right::DeliveriesOperate => "Pause, resume, replay and cancel",
        Right::PayloadsRead => "Open payloads",
        Right::GatewayCall => "Call tools through gateways",
        Right::AuditRead => "Read the audit log",
        Right::Admin => "Everything, people and API keys too",
    }
}

async fn create(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let mut sent = Map::new();
    sent.insert("name".to_owned(), json!(form.text("name")));
    // A role with scopes beside it is refused: nobody gets other rights than those that were ticked.
    if !form.text("role").is_empty() {
        sent.insert("role".to_owned(), json!(form.text("role")));
    }
    sent.insert("scopes".to_owned(), json!(form.all("scopes")));
    sent.insert("gateways".to_owned(), json!(form.all("gateways")));
    let allowed: Vec<_> =
        form.text("allowed_addresses").lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    sent.insert("allowed_addresses".to_owned(), json!(allowed));
    let ends_on = if form.has("never") { Value::Null } else { json!(form.text("ends_on")) };
    sent.insert("ends_on".to_owned(), ends_on);
    sent.insert("password".to_owned(), json!(form.text("password")));
    let mut made = None;
    let once = visit.once(|_| LIST.to_owned(), async {
        made = Some(api_keys::create(visit.app(), &visit.actor, sent).await?);
        Ok(Value::Null)
    });
    match once.await {
        Ok(_) => {}
        Err(OpError::Invalid(invalid)) => {
            return form_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await;
        }
        Err(other) => return Err(other.into()),
    }
    let Some((key, text)) = made else {
        // The same form again: the key exists, and its text was shown.
        return Ok(visit.go_and_say(LIST, Message::done("This key was created already. It was shown once.")));
    };
    let context = json!({ "current": key, "text": text.expose() });
    Ok(visit.page(StatusCode::OK, "api_key_created.html", (PLACE, "API key created"), context).await)
}

async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let all = api_keys::list(visit.app(), &visit.actor).await?;
    let current = all.into_iter().find(|key| key["id"] == json!(id)).ok_or(OpError::NotFound("API key"))?;
    let context = json!({ "current": current });
    Ok(visit.page(StatusCode::OK, "api_key_revoke.html", (PLACE, "Revoke API key"), context).await)
}

async fn revoke(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let name = api_keys::delete(visit.app(), &visit.actor, &id).await?;
    let text = format!("Revoked {name}. Requests with this key are refused from now on.");
    Ok(visit.go_and_say(LIST, Message::done(text)))
}
