//! Approving access: the page before the tool, the page after it, and forgetting what was granted.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::id::CredentialId;
use consign_core::secret::Secret;
use serde_json::{Value, json};

use super::Console;
use super::credentials::first_webhook;
use super::errors::Failure;
use super::visit::{Anyone, Message, Signed};
use crate::engine::Consented;
use crate::ops::consent::{self, Arrival};
use crate::ops::credentials;

/// Where tools send people back to; the id of a credential follows, and in the query what nobody may see.
pub(super) const CALLBACK: &str = "/oauth/callback/";

const PLACE: &str = "credentials";

/// What an answer consists of; none of it may come twice (RFC 6749 section 3.1).
const ANSWER: [&str; 5] = ["state", "code", "error", "error_description", "iss"];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/credentials/{id}/authorize", get(authorize))
        .route("/credentials/{id}/forget-tokens", get(confirm).post(forget))
        .route("/oauth/callback/{id}", get(arrive))
}

/// The page with the link to the tool. It is a link and not a form, because forms may only lead to this server.
///
/// A `GET` that stores something, on purpose: the state of this one link, for the session that asks, for ten minutes.
/// Another site can make a browser open this page, and gains nothing: it sees neither page nor state, nothing that
/// was granted changes, and the state is good for nobody but this session.
async fn authorize(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let (credential, departure) = consent::depart(visit.app(), &visit.actor, &id, &visit.person.hash).await?;
    let context = json!({
        "id": credential.id,
        "name": credential.name,
        "url": departure.url,
        "scopes": departure.scope.split_whitespace().collect::<Vec<_>>(),
    });
    let title = format!("Continue to {}", departure.host);
    Ok(visit.page(StatusCode::OK, "authorize.html", (PLACE, &title), context).await)
}

/// The tool sent somebody back. The query is read here and goes nowhere else: not into the page, not into a log.
async fn arrive(visit: Anyone, Path(id): Path<String>) -> Result<Response, Failure> {
    let Some(person) = &visit.person else {
        id.parse::<CredentialId>().map_err(|_| Failure::NotFound)?;
        // The code stays unused: it belongs to the session that asked for it.
        return Ok(outcome_page(&visit, &Consented::OtherSession, &json!({ "id": id, "name": "" })).await);
    };
    let actor = person.actor(visit.from, visit.request_id);
    let form = &visit.form;
    let arrival = Arrival {
        state: Secret::new(form.text("state").to_owned()),
        code: form.has("code").then(|| Secret::new(form.text("code").to_owned())),
        error: form.text("error"),
        error_description: form.text("error_description"),
        issuer: form.has("iss").then(|| form.text("iss")),
        repeated: ANSWER.into_iter().find(|name| form.all(name).len() > 1),
        session_hash: &person.hash,
    };
    let app = &visit.console.app;
    let (credential, ended) = consent::arrive(app, &actor, &id, arrival).await?;
    let current = credentials::find(app, &actor, &credential.id.to_string()).await?;
    Ok(outcome_page(&visit, &ended, &current).await)
}

async fn outcome_page(visit: &Anyone, ended: &Consented, current: &Value) -> Response {
    let (title, connected) = match ended {
        Consented::Connected(_) => ("Connected", true),
        Consented::ConnectedWillStop(_) => ("Connected, but it will stop", true),
        Consented::AccessDenied => ("You said no", false),
        Consented::RedirectMismatch => ("The redirect URL did not match", false),
        Consented::LinkUsedOrOld => ("This link does not work any more", false),
        Consented::OtherSession if visit.person.is_some() => ("This was started in another session", false),
        Consented::OtherSession => ("You are not signed in here", false),
        Consented::CodeRefused(_) => ("The tool refused the code", false),
    };
    let said = match ended {
        Consented::CodeRefused(said) => said.as_str(),
        _ => "",
    };
    let status = if connected { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let context = json!({
        "outcome": ended.kind(),
        "said": said,
        "current": current,
        "first_webhook": first_webhook(current, None),
        "reference": visit.request_id,
    });
    visit.page(status, "consented.html", (PLACE, title), context).await
}

async fn confirm(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let users = credentials::usage(visit.app(), &visit.actor, &id).await?;
    let context = json!({ "current": current, "users": users });
    Ok(visit.page(StatusCode::OK, "credential_forget.html", (PLACE, "Forget tokens"), context).await)
}

async fn forget(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    consent::forget(visit.app(), &visit.actor, &id).await?;
    let message = Message::done("The tokens are forgotten. Someone must authorize again.");
    Ok(visit.go_and_say(&format!("/credentials/{id}"), message))
}
