//! The start page: the first steps while there are any, then the deliveries. Also help, and in debug builds
//! every component.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_store::Page;
use consign_store::connectors::ConnectorFilter;
use consign_store::credentials::CredentialFilter;
use consign_store::deliveries::DeliveryFilter;
use serde_json::{Value, json};

use super::Console;
use super::errors::Failure;
use super::visit::Signed;
use crate::ops::{credentials, deliveries, webhooks};

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/", get(start)).route("/help", get(help))
}

async fn start(visit: Signed) -> Result<Response, Failure> {
    let (app, actor, first) = (visit.app(), &visit.actor, Page::first(1));
    let credential =
        !credentials::list(app, actor, &CredentialFilter::default(), &first).await?.items.is_empty();
    let of_webhooks = ConnectorFilter { kind: Some("webhook"), ..ConnectorFilter::default() };
    let webhook = webhooks::list(app, actor, &of_webhooks, &first).await?.items.pop();
    let delivery = !deliveries::list(app, actor, &DeliveryFilter::default(), &first).await?.items.is_empty();
    if credential && webhook.is_some() && delivery {
        return Ok(visit.go("/deliveries"));
    }
    let webhook_id = webhook.as_ref().and_then(|webhook| webhook["id"].as_str());
    let context = json!({ "credential": credential, "webhook": webhook_id, "delivery": delivery });
    Ok(visit.page(StatusCode::OK, "first_steps.html", ("", "First steps"), context).await)
}

async fn help(visit: Signed) -> Response {
    let context = json!({ "origin": visit.app().public_url() });
    visit.page(StatusCode::OK, "help.html", ("", "Help"), context).await
}

/// Every component in all its states.
pub(super) async fn design(visit: Signed) -> Response {
    visit.page(StatusCode::OK, "design.html", ("credentials", "Design"), Value::Null).await
}
