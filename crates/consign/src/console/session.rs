//! Signing in and out, and the choice of the theme.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use consign_core::secret::Secret;
use serde_json::json;

use super::Console;
use super::errors::Failure;
use super::visit::{Anyone, Message, Signed, is_own_path};
use crate::ops::settings::sign_in::rules;
use crate::ops::users::{self, Entered, SignInError};

/// The page that asks for the code.
const CODE: &str = "/sign-in/code";

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route(CODE, get(show_code).post(enter_code))
        .route("/sign-out", post(sign_out))
        .route("/theme", post(theme))
}

async fn show(visit: Anyone) -> Result<Response, Failure> {
    if visit.person.is_some() {
        return Ok(visit.go(next(&visit)));
    }
    if users::waits_for_setup(visit.app()).await? {
        let demo = users::sign_in_link_waits(visit.app());
        return Err(if demo { Failure::DemoNotOpened } else { Failure::NotSetUp });
    }
    // Judged before there is a field to type a password into: what is typed has crossed the network when it is refused.
    visit.judge_way()?;
    Ok(page(&visit, StatusCode::OK, "").await)
}

/// Where to go once signed in.
pub(super) fn next(visit: &Anyone) -> &str {
    let next = visit.form.text("next");
    if is_own_path(next) { next } else { "/" }
}

/// The page that asks for a code, and where to go afterwards, as a value of a query: it may have one of its own.
pub(super) fn code_address(next: &str) -> String {
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    format!("{CODE}?next={next}")
}

async fn page(visit: &Anyone, status: StatusCode, problem: &str) -> Response {
    let errors =
        if problem.is_empty() { json!([]) } else { json!([{ "field": "email", "message": problem }]) };
    let context = json!({
        "errors": errors,
        "email": visit.form.text("email"),
        "next": next(visit),
        "local": rules(visit.app()).local,
        "provider": visit.app().config.auth.oidc.shown_name(),
    });
    visit.page(status, "sign_in.html", ("", "Sign in"), context).await
}

async fn sign_in(visit: Anyone) -> Result<Response, Failure> {
    visit.judge_way()?;
    let password = Secret::new(visit.form.text("password").to_owned());
    match users::sign_in(visit.app(), visit.form.text("email"), &password, visit.from).await {
        Ok(Entered::Whole(session)) => {
            let response = visit.go(next(&visit));
            Ok(visit.with_session(response, session.token.expose()))
        }
        Ok(Entered::CodeNeeded(step)) => {
            let response = visit.go(&code_address(next(&visit)));
            Ok(visit.with_step(response, step.token.expose()))
        }
        Err(error @ (SignInError::Wrong | SignInError::Suspended | SignInError::NotLocal(_))) => {
            Ok(page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()).await)
        }
        Err(other) => refused(&visit, other),
    }
}

fn refused(visit: &Anyone, error: SignInError) -> Result<Response, Failure> {
    match error {
        SignInError::TooMany { seconds } => Err(Failure::TooMany { seconds }),
        SignInError::Op(error) => Err(error.into()),
        late => {
            let response = visit.go_and_say("/sign-in", Message::refused(format!("{late}.")));
            Ok(visit.with_step(response, ""))
        }
    }
}

async fn show_code(visit: Anyone) -> Result<Response, Failure> {
    visit.judge_way()?;
    let waits = match &visit.step {
        Some(step) => users::awaits_code(visit.app(), step).await?,
        None => false,
    };
    if waits { Ok(code_page(&visit, StatusCode::OK, "").await) } else { Ok(visit.go("/sign-in")) }
}

async fn code_page(visit: &Anyone, status: StatusCode, problem: &str) -> Response {
    let errors =
        if problem.is_empty() { json!([]) } else { json!([{ "field": "code", "message": problem }]) };
    let context = json!({ "errors": errors, "problem": problem, "next": next(visit) });
    visit.page(status, "sign_in_code.html", ("", "Enter the code"), context).await
}

async fn enter_code(visit: Anyone) -> Result<Response, Failure> {
    visit.judge_way()?;
    let Some(step) = &visit.step else { return refused(&visit, SignInError::TooLate) };
    let typed = Secret::new(visit.form.text("code").to_owned());
    match users::sign_in_with_code(visit.app(), step, &typed, visit.from).await {
        Ok(session) => {
            let response = visit.with_step(visit.go(next(&visit)), "");
            Ok(visit.with_session(response, session.token.expose()))
        }
        Err(error @ SignInError::WrongCode) => {
            Ok(code_page(&visit, StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()).await)
        }
        Err(other) => refused(&visit, other),
    }
}

async fn sign_out(visit: Signed) -> Result<Response, Failure> {
    users::sign_out(visit.app(), &visit.person).await?;
    let response = visit.go_and_say("/sign-in", Message::done("You are signed out."));
    Ok(visit.with_session(response, ""))
}

async fn theme(visit: Signed) -> Result<Response, Failure> {
    users::set_theme(visit.app(), &visit.person, visit.form.text("theme")).await?;
    let back = visit.form.text("back");
    Ok(visit.go(if is_own_path(back) { back } else { "/" }))
}
