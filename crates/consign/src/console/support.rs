//! Settings, About: what runs here, and the support bundle, which is read before it is taken away.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::visit::Signed;
use crate::ops::support;
use crate::{BUILD, COMMIT};

const PLACE: &str = "settings";
const ABOUT: &str = "/settings/about";
const BUNDLE: &str = "/settings/about/support-bundle";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route(ABOUT, get(about)).route(BUNDLE, get(preview).post(take))
}

async fn about(visit: Signed) -> Response {
    let app = visit.app();
    let context = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT,
        "build": format!("{BUILD}, {} {}", std::env::consts::OS, std::env::consts::ARCH),
        "licence": env!("CARGO_PKG_LICENSE"),
        "database": if app.store.is_postgres() { "PostgreSQL" } else { "SQLite" },
        "schema": consign_store::schema_known(),
        "key": app.vault.sealing_key_id(),
    });
    visit.page(StatusCode::OK, "settings_about.html", (PLACE, "Settings"), context).await
}

async fn preview(visit: Signed) -> Result<Response, Failure> {
    let bundle = support::preview(visit.app(), &visit.actor).await?;
    let context = json!({ "bundle": serde_json::to_string_pretty(&bundle).unwrap_or_default() });
    Ok(visit.page(StatusCode::OK, "settings_support.html", (PLACE, "Support bundle"), context).await)
}

async fn take(visit: Signed) -> Result<Response, Failure> {
    let bundle = support::take(visit.app(), &visit.actor).await?;
    let mut response = serde_json::to_string_pretty(&bundle).unwrap_or_default().into_response();
    let name = format!("attachment; filename=\"{}\"", support::FILE_NAME);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).expect("the name is plain"));
    Ok(response)
}
