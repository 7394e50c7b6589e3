//! The overview: four numbers, what needs a person with the button that repairs it, and the last hours. The first
//! steps while there are any.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::errors::Failure;
use super::visit::Signed;
use super::{Console, chart};
use crate::ops::overview;

const PLACE: &str = "overview";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/", get(show))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    let overview = overview::show(visit.app(), &visit.actor).await?;
    let lines = overview["attention"].as_array().into_iter().flatten();
    let lines: Vec<_> = lines.map(with_address).collect();
    let context = json!({
        "chart": chart::strip(&overview["by_hour"]),
        "lines": lines,
        "o": overview,
    });
    Ok(visit.page(StatusCode::OK, "overview.html", (PLACE, "Overview"), context).await)
}

/// A line with where its object is, and where the button leads that repairs it.
fn with_address(line: &Value) -> Value {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let (id, code) = (text("id"), text("code"));
    let page =
        if text("kind") == "credential" { format!("/credentials/{id}") } else { format!("/webhooks/{id}") };
    let repair = match (text("kind"), code) {
        ("credential", "reconnect_needed" | "not_authorized") => format!("{page}/authorize"),
        ("credential", "cannot_reach") => format!("{page}#tested"),
        ("credential", _) => format!("{page}#tool"),
        ("webhook", "credential_missing") => format!("{page}/set-up"),
        ("deliveries", "not_rendered") => format!("{page}/set-up"),
        ("deliveries", "failed") => format!("/deliveries/replay?connector={id}&state=failed&preview=1"),
        ("deliveries", reason) => format!("/deliveries?connector={id}&state=held&reason={reason}"),
        _ => page.clone(),
    };
    let mut line = line.clone();
    line["page"] = json!(page);
    line["repair"] = json!(repair);
    line
}
