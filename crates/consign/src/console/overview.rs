//! The overview: four numbers, what needs a person with the button that repairs it, and the last hours. The first
//! steps while there are any.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::rights::Right;
use serde_json::{Value, json};

use super::errors::Failure;
use super::visit::Signed;
use super::{Console, chart};
use crate::ops::{encryption, overview};

const PLACE: &str = "overview";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/", get(show))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    let overview = overview::show(visit.app(), &visit.actor).await?;
    let lines = overview["attention"].as_array().into_iter().flatten();
    let rights = visit.person.role.rights();
    let lines: Vec<_> = lines.map(|line| with_address(line, |right| rights.allow(right))).collect();
    let keys = match rights.allow(Right::Admin) && visit.app().demo_tool.get().is_none() {
        true => encryption::reminder(visit.app(), &visit.actor).await?,
        false => Value::Null,
    };
    let context = json!({
        "keys": keys,
        "chart": chart::strip(&overview["by_hour"]),
        "lines": lines,
        "o": overview,
    });
    Ok(visit.page(StatusCode::OK, "overview.html", (PLACE, "Overview"), context).await)
}

/// A line with where its object is, and where the button leads that repairs it: for those who may.
fn with_address(line: &Value, may: impl Fn(Right) -> bool) -> Value {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let (id, code) = (text("id"), text("code"));
    let page = match text("kind") {
        "credential" => format!("/credentials/{id}"),
        "exporter" => format!("/exporters/{id}"),
        "gateway" => format!("/gateways/{id}"),
        "run" => format!("/runs/{id}"),
        _ => format!("/webhooks/{id}"),
    };
    let (repair, needs) = match (text("kind"), code) {
        ("credential", _) => match text("action_code") {
            "authorize" | "authorize_again" => (format!("{page}/authorize"), Right::CredentialsWrite),
            "test_connection" => (format!("{page}#tested"), Right::CredentialsTest),
            "what_to_do" => (page.clone(), Right::CredentialsRead),
            "compare_keys" => (format!("{page}#host-keys"), Right::CredentialsWrite),
            "add_test_path" => (format!("{page}#f-test_path"), Right::CredentialsWrite),
            _ => (format!("{page}#tool"), Right::CredentialsWrite),
        },
        ("run", _) => (page.clone(), Right::DeliveriesOperate),
        ("webhook" | "exporter" | "gateway", "credential_missing") | ("deliveries", "not_rendered") => {
            (format!("{page}/set-up"), Right::ConnectorsWrite)
        }
        ("deliveries", "failed") => {
            (format!("/deliveries/replay?connector={id}&state=failed&preview=1"), Right::DeliveriesOperate)
        }
        ("deliveries", reason) => {
            (format!("/deliveries?connector={id}&state=held&reason={reason}"), Right::DeliveriesOperate)
        }
        _ if text("action") == "Show" => (page.clone(), Right::ConnectorsRead),
        _ => (page.clone(), Right::DeliveriesOperate),
    };
    let mut line = line.clone();
    line["page"] = json!(page);
    line["repair"] = json!(may(needs).then_some(repair));
    line
}

#[cfg(test)]
mod tests;
