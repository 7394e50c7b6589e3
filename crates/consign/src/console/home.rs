//! Help, and in debug builds every component.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::Console;
use super::visit::Signed;

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/help", get(help))
}

async fn help(visit: Signed) -> Response {
    let context = json!({ "origin": visit.app().public_url() });
    visit.page(StatusCode::OK, "help.html", ("", "Help"), context).await
}

/// Every component in all its states.
pub(super) async fn design(visit: Signed) -> Response {
    visit.page(StatusCode::OK, "design.html", ("credentials", "Design"), Value::Null).await
}
