//! `/url-check/{token}`: what arrives here of a request that this server sends to its own public address. Only whoever
//! knows the token of a check that is under way is told.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::PeerAddress;
use crate::App;
use crate::ops::public_url;

/// What proxies add.
const FORWARDED: &[&str] =
    &["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

pub(super) fn routes(app: Arc<App>) -> Router {
    let answer = move |Path(token): Path<String>, request: Request<Body>| {
        let (app, seen) = (app.clone(), seen(&request));
        async move { answer(&app, &token, seen).await }
    };
    Router::new().route("/url-check/{token}", get(answer))
}

async fn answer(app: &App, token: &str, seen: Value) -> Response<Body> {
    let known = public_url::is_under_way(app, token).await.unwrap_or(false);
    let body = if known { seen } else { json!({ "status": "there is no such check" }) };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, "application/json".parse().expect("a valid header value"));
    headers.insert(CACHE_CONTROL, "no-store".parse().expect("a valid header value"));
    response
}

fn seen(request: &Request<Body>) -> Value {
    let headers = request.headers();
    let forwarded =
        FORWARDED.iter().filter_map(|name| Some(((*name).to_owned(), json!(text(headers, name)?))));
    let client = request.extensions().get::<PeerAddress>().map(|peer| peer.0.ip().to_string());
    json!({
        "host": text(headers, HOST.as_str()),
        "client": client,
        "forwarded": forwarded.collect::<serde_json::Map<_, _>>(),
    })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
