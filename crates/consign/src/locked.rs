//! What is served while the right encryption key is missing: health, and one page that says what to do.

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::console;

/// Which key is missing.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The key that the database was sealed with.
    pub sealed_with: String,
    /// The first key of the loaded ring; `None` when there is no ring.
    pub loaded: Option<String>,
    /// Where the ring was found or looked for.
    pub place: String,
}

impl Locked {
    /// What is wrong and what to do, for the log, the page and `--strict-key`.
    pub fn sentence(&self) -> String {
        let Self { sealed_with, loaded, place } = self;
        let loaded = match loaded {
            Some(loaded) => format!("The loaded key is {loaded} from {place}."),
            None => format!("There is no key at {place}."),
        };
        format!("The database was sealed with key {sealed_with}. {loaded} {}", self.remedy())
    }

    fn remedy(&self) -> String {
        format!("Put the line of {} into the key ring and start Consign again.", self.sealed_with)
    }

    fn problem(&self, path: &str) -> String {
        let problem = json!({
            "type": "/docs/problems/locked",
            "title": "Credentials are locked",
            "status": 503,
            "detail": "The encryption key is missing. Sending waits.",
            "instance": path,
            "code": "locked",
        });
        problem.to_string()
    }

    /// The page that says so; where it cannot be made, the sentence alone.
    fn page(&self) -> (&'static str, String) {
        let context = json!({ "sealed_with": self.sealed_with, "loaded": self.loaded, "place": self.place });
        match console::page_without_app("locked.html", "Credentials are locked", context) {
            Ok(page) => ("text/html; charset=utf-8", page),
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "the page could not be made");
                ("text/plain; charset=utf-8", self.sentence())
            }
        }
    }
}

/// Health, what the page looks like, and 503 for everything else.
pub fn router(why: Locked) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(async || answer(StatusCode::OK, "application/json", json!({ "status": "ok" }).to_string())),
        )
        .route("/readyz", get(async || not_ready()))
        .route("/startupz", get(async || not_ready()))
        .merge(console::assets())
        .fallback(move |request: Request| {
            let why = why.clone();
            async move { closed(&why, &request) }
        })
}

fn not_ready() -> Response {
    let body = json!({ "status": "failing", "checks": [{ "name": "encryption_key", "status": "failing" }] });
    answer(StatusCode::SERVICE_UNAVAILABLE, "application/json", body.to_string())
}

fn closed(why: &Locked, request: &Request) -> Response {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = request.uri().path();
    let for_people = accepts.contains("text/html") && !path.starts_with("/api");
    let (content_type, body) =
        if for_people { why.page() } else { ("application/problem+json", why.problem(path)) };
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, content_type, body);
    console::secure(&mut response);
    response
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    response
}

#[cfg(test)]
mod tests;
