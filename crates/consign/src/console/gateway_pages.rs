//! The page of a gateway: what was called through it, a call to try it, and what was done with it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use consign_store::gateway_calls::CallFilter;
use serde_json::{Value, json};

use super::Console;
use super::errors::Failure;
use super::form::{asked, errors, field, page, pages, with};
use super::gateways::{LIST, PLACE};
use super::visit::Signed;
use super::webhook_pages::activity_lines;
use crate::ops::{OpError, gateways};

/// The one choice of the filter by answer.
pub(super) const ERRORS: &str = "errors";
const PATH_HINT: &str = "Of the tool, with its query. It must be below a path prefix of this gateway.";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/gateways/{id}", get(show))
        .route("/gateways/{id}/try", get(ask).post(try_it))
        .route("/gateways/{id}/activity", get(activity))
}

async fn show(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let form = &visit.form;
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    let filter = CallFilter {
        key: form.text("api_key").parse().ok(),
        method: asked(form, "method"),
        errors_only: form.text("answer") == ERRORS,
    };
    let listed = gateways::calls(visit.app(), &visit.actor, &id, &filter, &page(form)).await?;
    let callers = gateways::callers(visit.app(), &visit.actor)?;
    let option = |value: &Value, label: &Value| json!({ "value": value, "label": label });
    let methods = current["methods"].as_array().into_iter().flatten();
    let filtered = ["api_key", "method", "answer"].iter().any(|key| !form.text(key).is_empty());
    let context = json!({
        "pages": pages(form, &format!("{LIST}/{id}"), &listed),
        "items": listed.items,
        "keys": callers.iter().map(|key| option(&key["id"], &key["name"])).collect::<Vec<_>>(),
        "methods": methods.map(|method| option(method, method)).collect::<Vec<_>>(),
        "answers": [option(&json!(ERRORS), &json!("Errors"))],
        "api_key": form.text("api_key"),
        "method": form.text("method"),
        "answer": form.text("answer"),
        "filtered": filtered,
        "current": current,
    });
    let name = current["name"].as_str().unwrap_or_default();
    Ok(visit.page(StatusCode::OK, "gateway.html", (PLACE, name), context).await)
}

async fn ask(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    try_page(&visit, StatusCode::OK, &id, &[], &Value::Null).await
}

async fn try_it(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let sent = ["method", "path"].map(|key| (key.to_owned(), json!(visit.form.text(key))));
    match gateways::trial(visit.app(), &visit.actor, &id, sent.into_iter().collect()).await {
        Ok(tried) => try_page(&visit, StatusCode::OK, &id, &[], &tried).await,
        Err(OpError::Invalid(invalid)) => {
            try_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &id, &invalid, &Value::Null).await
        }
        Err(other) => Err(other.into()),
    }
}

async fn try_page(
    visit: &Signed,
    status: StatusCode,
    id: &str,
    invalid: &[Invalid],
    tried: &Value,
) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, id).await?;
    let is_taken = |method: &Method| {
        current["methods"].as_array().is_some_and(|all| all.contains(&json!(method.as_str())))
    };
    let methods = gateways::TRIED_METHODS.into_iter().filter(is_taken);
    let methods = methods.map(|method| json!({ "value": method.as_str(), "label": method.as_str() }));
    let first = current["path_prefixes"][0].as_str().unwrap_or("/").to_owned();
    let path = if visit.form.has("path") { visit.form.text("path").to_owned() } else { first };
    let context = json!({
        "errors": errors(invalid),
        "method": with(field("method", "Method", "", visit.form.text("method"), invalid), json!({
            "options": methods.collect::<Vec<_>>(),
        })),
        "path_field": with(field("path", "Path", PATH_HINT, path, invalid), json!({ "mono": true })),
        "tried": tried,
        "current": current,
    });
    let name = current["name"].as_str().unwrap_or_default();
    Ok(visit.page(status, "gateway_try.html", (PLACE, name), context).await)
}

async fn activity(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = gateways::find(visit.app(), &visit.actor, &id).await?;
    let history = gateways::history(visit.app(), &visit.actor, &id).await?;
    let name = current["name"].as_str().unwrap_or_default().to_owned();
    let context = json!({ "current": current, "lines": activity_lines(&history) });
    Ok(visit.page(StatusCode::OK, "gateway_activity.html", (PLACE, &name), context).await)
}
