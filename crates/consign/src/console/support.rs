//! Settings, About: what runs here, what it is built of, and the support bundle, which is read before it is taken away.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::visit::Signed;
use crate::ops::{about, support};

const PLACE: &str = "settings";
const ABOUT: &str = "/settings/about";
const LICENCES: &str = "/settings/about/licences";
const BUNDLE: &str = "/settings/about/support-bundle";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route(ABOUT, get(show))
        .route(LICENCES, get(licences))
        .route(BUNDLE, get(preview).post(take))
}

async fn show(visit: Signed) -> Result<Response, Failure> {
    let context = json!({ "about": about::find(visit.app(), &visit.actor)? });
    Ok(visit.page(StatusCode::OK, "settings_about.html", (PLACE, "Settings"), context).await)
}

async fn licences(visit: Signed) -> Result<Response, Failure> {
    let context = about::licences(&visit.actor)?;
    Ok(visit.page(StatusCode::OK, "settings_licences.html", (PLACE, "Licences"), context).await)
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
