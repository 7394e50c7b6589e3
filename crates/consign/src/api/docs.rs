//! The pages that `type` of a problem leads to: plain text, readable in a browser and with curl.

use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::problem::KINDS;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The list of all kinds.
pub(super) async fn index() -> Response {
    let mut text = "Problems that the API of Consign answers with\n\n".to_owned();
    for kind in KINDS {
        text.push_str(&format!("{}  {}\n     {}\n", kind.status, kind.title, kind.address()));
    }
    page(StatusCode::OK, text)
}

/// One kind: what it means, and what to do.
pub(super) async fn problem(Path(name): Path<String>) -> Response {
    match KINDS.iter().find(|kind| kind.name() == name) {
        Some(kind) => page(
            StatusCode::OK,
            format!(
                "{}\n\nCode: {}\nStatus: {}\n\nWhat it means\n{}\n\nWhat to do\n{}\n",
                kind.title, kind.code, kind.status, kind.meaning, kind.remedy
            ),
        ),
        None => page(
            StatusCode::NOT_FOUND,
            "There is no such page. All are listed at /docs/problems\n".to_owned(),
        ),
    }
}

fn page(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    response
}
