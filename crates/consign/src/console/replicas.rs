//! Settings, Replicas: the processes that share the database.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::visit::Signed;
use crate::ops::replicas;

const PLACE: &str = "settings";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/settings/replicas", get(show))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    let context = json!({ "replicas": replicas::list(visit.app(), &visit.actor).await? });
    Ok(visit.page(StatusCode::OK, "settings_replicas.html", (PLACE, "Settings"), context).await)
}
