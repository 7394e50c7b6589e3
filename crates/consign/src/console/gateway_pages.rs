//! What a gateway's page leads to: what was done with it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::gateways::PLACE;
use super::visit::Signed;
use super::webhook_pages::activity_lines;
use crate::ops::gateways;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/gateways/{id}", get(show)).route("/gateways/{id}/activity", get(activity))
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    let name = current["name"].as_str().unwrap_or_default().to_owned();
    let context = json!({ "current": current });
    Ok(visit.page(StatusCode::OK, "gateway.html", (PLACE, &name), context).await)
}

async fn activity(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    let history = gateways::history(visit.app(), &visit.actor, &id).await?;
    let name = current["name"].as_str().unwrap_or_default().to_owned();
    let context = json!({ "current": current, "lines": activity_lines(&history) });
    Ok(visit.page(StatusCode::OK, "gateway_activity.html", (PLACE, &name), context).await)
}
