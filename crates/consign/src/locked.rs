//! What is served while the right encryption key is missing: health, and one page that says what to do.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;

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

    fn page(&self) -> String {
        let text = |text: &str| {
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
        };
        let sealed_with = text(&self.sealed_with);
        let loaded = match &self.loaded {
            Some(loaded) => format!("<code>{}</code> from <code>{}</code>", text(loaded), text(&self.place)),
            None => format!("none at <code>{}</code>", text(&self.place)),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>Locked – Consign</title>\n</head>\n<body>\n\
             <main>\n<h1>Credentials are locked</h1>\n\
             <p>The encryption key is missing. Sending waits. Nothing is lost and nothing was changed.</p>\n\
             <dl>\n<dt>The database was sealed with</dt><dd><code>{sealed_with}</code></dd>\n\
             <dt>The loaded key</dt><dd>{loaded}</dd>\n</dl>\n\
             <h2>What to do</h2>\n<ol>\n\
             <li>Find the copy of the key ring that holds <code>{sealed_with}</code>. \
             Its line starts with <code>csgkey1_{sealed_with}_</code>.</li>\n\
             <li>Put that line into the key ring of this server.</li>\n\
             <li>See that it is there: <code>consign key status</code></li>\n\
             <li>Start Consign again.</li>\n</ol>\n</main>\n</body>\n</html>\n"
        )
    }
}

/// Health, and 503 for everything else.
pub fn router(why: Locked) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(async || answer(StatusCode::OK, "application/json", json!({ "status": "ok" }).to_string())),
        )
        .route("/readyz", get(async || not_ready()))
        .route("/startupz", get(async || not_ready()))
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
    let (content_type, body) = if for_people {
        ("text/html; charset=utf-8", why.page())
    } else {
        ("application/problem+json", why.problem(path))
    };
    answer(StatusCode::SERVICE_UNAVAILABLE, content_type, body)
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
