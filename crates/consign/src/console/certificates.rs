//! The certificates of a credential: the file for the tool, the next one, and what an assertion would say.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::credential::Which;
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::visit::{Message, Signed};
use crate::ops::Sent;
use crate::ops::credentials::{self, certificates};

const PLACE: &str = "credentials";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/credentials/{id}/certificate.pem", get(download))
        .route("/credentials/{id}/certificate", post(change))
        .route("/credentials/{id}/assertion", get(preview))
}

async fn download(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let which = if visit.form.text("which") == "next" { Which::Next } else { Which::Present };
    let (pem, name) = certificates::pem(visit.app(), &visit.actor, &id, which).await?;
    let mut response = Response::new(Body::from(pem));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pem-certificate-chain"));
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let disposition = format!("attachment; filename=\"{name}.pem\"");
    headers
        .extend(HeaderValue::from_str(&disposition).ok().map(|value| (header::CONTENT_DISPOSITION, value)));
    Ok(response)
}

async fn change(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let (app, actor, if_match) = (visit.app(), &visit.actor, visit.form.if_match());
    let (said, tested) = match visit.form.text("act") {
        "create_next" => {
            certificates::create_next(app, actor, &id, Sent::new(), if_match).await?;
            ("The next certificate is there. Download it, and add it in the tool.", false)
        }
        "use_next" => {
            certificates::put_to_use(app, actor, &id, Which::Next, if_match).await?;
            ("The next certificate signs from now on. Testing the connection…", true)
        }
        "use_previous" => {
            certificates::put_to_use(app, actor, &id, Which::Previous, if_match).await?;
            ("The certificate before signs again. Testing the connection…", true)
        }
        "drop_next" => {
            certificates::drop_next(app, actor, &id, if_match).await?;
            ("The next certificate and its private key are destroyed.", false)
        }
        _ => return Err(Failure::NotFound),
    };
    if !tested {
        return Ok(visit.go_and_say(&format!("/credentials/{id}"), Message::done(said)));
    }
    super::credentials::test_saved(&visit, &id);
    Ok(visit.go_and_say(&super::credentials::saved_page(&visit, &id), Message::done(said)))
}

async fn preview(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let preview = certificates::preview(visit.app(), &visit.actor, &id).await?;
    let context = json!({
        "current": current,
        "assertion": preview["assertion"],
    });
    Ok(visit.page(StatusCode::OK, "assertion.html", (PLACE, "Preview assertion"), context).await)
}
