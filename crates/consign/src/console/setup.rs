//! Links that work once: the first administrator, those who are invited, and the signed-in link of the demo.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::catalog::Invalid;
use consign_core::secret::Secret;
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::form::{errors, message_at};
use super::visit::{Anyone, is_own_path};
use crate::ops::settings::sign_in::rules;
use crate::ops::{OpError, people, users};

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/setup/{token}", get(show).post(set_up))
        .route("/invitation/{token}", get(show_invitation).post(accept_invitation))
        .route("/demo/{token}", get(show_demo).post(enter_demo))
}

async fn show(visit: Anyone, Path(token): Path<String>) -> Result<Response, Failure> {
    visit.judge_way()?;
    if !users::setup_link_works(visit.app(), &token).await? {
        return Err(Failure::SetUpLinkUsed);
    }
    Ok(page(&visit, StatusCode::OK, &[]).await)
}

async fn page(visit: &Anyone, status: StatusCode, invalid: &[Invalid]) -> Response {
    let typed = |key: &str| json!({ "value": visit.form.text(key), "error": message_at(invalid, key) });
    let context = json!({
        "errors": errors(invalid),
        "name": typed("name"),
        "email": typed("email"),
        "password": { "error": message_at(invalid, "password") },
        "keys_file": visit.app().config.own_keys_file().display().to_string(),
    });
    visit.page(status, "setup.html", ("", "Set up Consign"), context).await
}

async fn set_up(visit: Anyone, Path(token): Path<String>) -> Result<Response, Failure> {
    visit.judge_way()?;
    let text = |key: &str| visit.form.text(key).trim().to_owned();
    let password = Secret::new(visit.form.text("password").to_owned());
    let made = users::setup(visit.app(), &token, &text("name"), &text("email"), &password, visit.from).await;
    match made {
        Ok(session) => Ok(visit.with_session(visit.go("/welcome"), session.token.expose())),
        Err(OpError::Invalid(invalid)) => Ok(page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &invalid).await),
        Err(OpError::WrongState(_)) => Err(Failure::SetUpLinkUsed),
        Err(other) => Err(other.into()),
    }
}

async fn show_invitation(visit: Anyone, Path(token): Path<String>) -> Result<Response, Failure> {
    visit.judge_way()?;
    invitation_page(&visit, StatusCode::OK, &token, &[]).await
}

async fn invitation_page(
    visit: &Anyone,
    status: StatusCode,
    token: &str,
    invalid: &[Invalid],
) -> Result<Response, Failure> {
    let (email, role) = match people::invited(visit.app(), token).await {
        Ok(invited) => invited,
        Err(OpError::WrongState(_)) => return Err(Failure::InvitationUsed),
        Err(other) => return Err(other.into()),
    };
    let name = visit.form.text("name");
    let context = json!({
        "errors": errors(invalid),
        "email": email,
        "local": rules(visit.app()).local,
        "provider": visit.app().config.auth.oidc.shown_name(),
        "role": { "label": role.label(), "hint": role.hint() },
        "name": {
            "key": "name", "label": "Your name", "value": name, "autocomplete": "name",
            "error": message_at(invalid, "name"),
        },
        "password": {
            "key": "password", "label": "Password", "hint": "At least 12 characters. Longer is better.",
            "error": message_at(invalid, "password"),
        },
    });
    Ok(visit.page(status, "invitation.html", ("", "Welcome to Consign"), context).await)
}

async fn accept_invitation(visit: Anyone, Path(token): Path<String>) -> Result<Response, Failure> {
    visit.judge_way()?;
    let name = visit.form.text("name").trim().to_owned();
    let password = Secret::new(visit.form.text("password").to_owned());
    match people::accept(visit.app(), &token, &name, &password, visit.from).await {
        Ok(session) => Ok(visit.with_session(visit.go("/"), session.token.expose())),
        Err(OpError::Invalid(invalid)) => {
            invitation_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &token, &invalid).await
        }
        Err(OpError::WrongState(_)) => Err(Failure::InvitationUsed),
        Err(other) => Err(other.into()),
    }
}

/// The link signs in once. Whoever is signed in goes on to where it leads.
async fn show_demo(visit: Anyone) -> Result<Response, Failure> {
    if !visit.app().demo.is_demo() {
        return Err(Failure::NotFound);
    }
    if visit.person.is_some() {
        return Ok(visit.go(next(&visit)));
    }
    let context = json!({ "next": next(&visit) });
    Ok(visit.page(StatusCode::OK, "demo.html", ("", "Consign demo"), context).await)
}

/// Where to go once signed in.
fn next(visit: &Anyone) -> &str {
    let next = visit.form.text("next");
    if is_own_path(next) { next } else { "/" }
}

async fn enter_demo(visit: Anyone, Path(token): Path<String>) -> Result<Response, Failure> {
    if !visit.app().demo.is_demo() {
        return Err(Failure::NotFound);
    }
    visit.judge_way()?;
    match users::redeem_sign_in_link(visit.app(), &token, visit.from).await {
        Ok(session) => Ok(visit.with_session(visit.go(next(&visit)), session.token.expose())),
        Err(OpError::WrongState(_)) => Err(Failure::SignInLinkUsed),
        Err(other) => Err(other.into()),
    }
}
