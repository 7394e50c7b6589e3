//! The console: pages made on the server, complete without a script. One middleware reads each request and
//! dresses each answer; a handler reads the form, parses, does the operation and redirects.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::App;
use errors::Failure;
use render::Views;
use visit::Visit;

pub use policy::addresses;

mod account;
mod api_keys;
mod audit;
mod backup;
mod banners;
mod certificates;
mod chart;
mod commands;
mod conflict;
mod connection_test;
mod connector;
mod consent;
mod credentials;
mod deliveries;
mod design;
mod encryption;
mod errors;
mod events;
mod exporters;
mod form;
mod gateway_pages;
mod gateways;
mod gzip;
mod host_keys;
mod indented;
mod managed;
mod manual;
mod notifications;
mod options;
mod overview;
mod people;
mod policy;
mod provider;
mod render;
mod replays;
mod replicas;
mod runs;
mod sending;
mod session;
mod settings;
mod setup;
mod sign_in_settings;
mod signatures;
mod support;
mod visit;
mod webhook_pages;
mod webhooks;
mod welcome;

/// A form with a template and twenty long headers is far smaller.
const FORM_BYTES_MAX: usize = 1 << 20;

/// Nothing inline, nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; \
     frame-ancestors 'none'; base-uri 'none'";

/// What every page needs.
struct Console {
    app: Arc<App>,
    views: Views,
}

/// All pages, assets included.
pub fn router(app: Arc<App>) -> Router {
    let console = Arc::new(Console { app, views: Views::new() });
    let mut pages = Router::new()
        .merge(manual::routes())
        .merge(overview::routes())
        .merge(session::routes())
        .merge(provider::routes())
        .merge(setup::routes())
        .merge(credentials::routes())
        .merge(certificates::routes())
        .merge(consent::routes())
        .merge(webhooks::routes())
        .merge(webhook_pages::routes())
        .merge(signatures::routes())
        .merge(exporters::routes())
        .merge(gateways::routes())
        .merge(gateway_pages::routes())
        .merge(runs::routes())
        .merge(deliveries::routes())
        .merge(replays::routes())
        .merge(events::routes())
        .merge(api_keys::routes())
        .merge(audit::routes())
        .merge(people::routes())
        .merge(settings::routes())
        .merge(sign_in_settings::routes())
        .merge(notifications::routes())
        .merge(encryption::routes())
        .merge(backup::routes())
        .merge(sending::routes())
        .merge(replicas::routes())
        .merge(support::routes())
        .merge(account::routes())
        .merge(welcome::routes());
    if cfg!(debug_assertions) {
        pages = pages.route("/design", get(design::show));
    }
    pages
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::wrong_method)
        .layer(from_fn_with_state(console.clone(), enter))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(console)
        .merge(assets())
}

/// What pages look like: the assets alone, for a page that stands where the console would.
pub fn assets() -> Router {
    Router::new().route("/assets/{hash}/{name}", get(render::asset))
}

/// A page in the frame without the rail, made where there is no application to ask.
///
/// # Errors
/// When a template is at fault.
pub fn page_without_app(template: &str, title: &str, mut context: Value) -> Result<String, minijinja::Error> {
    context["title"] = json!(title);
    context["wide"] = json!(true);
    Views::new().render(template, context)
}

/// Reads who asks for what, refuses forms of other sites, shows failures as pages, adds the headers of pages.
async fn enter(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let (visit, read) = Visit::begin(console, &mut parts, body).await;
    let visit = Arc::new(visit);
    let mut response = match read.and_then(|()| policy::admit(&visit, &parts)) {
        Ok(()) => {
            parts.extensions.insert(visit.clone());
            next.run(Request::from_parts(parts, Body::empty())).await
        }
        Err(failure) => failure.into_response(),
    };
    if let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() {
        response = errors::show(&visit, &failure).await;
    }
    secure(&mut response);
    response
}

/// The headers of every page.
pub fn secure(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests;
