//! In debug builds: every component.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::visit::Signed;

/// Every component in all its states.
pub(super) async fn show(visit: Signed) -> Response {
    visit.page(StatusCode::OK, "design.html", ("credentials", "Design"), Value::Null).await
}
