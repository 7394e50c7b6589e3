//! Signing in with the provider: out by a link, back with a code, and a page for each way that it can fail.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use consign_core::oidc::NotBelieved;
use consign_core::secret::Secret;

use super::Console;
use super::errors::Failure;
use super::session::{code_address, next};
use super::visit::{Anyone, is_own_path};
use crate::engine::OidcFault;
use crate::ops::users::Entered;
use crate::ops::users::oidc::{self, Arrival, Arrived, Refusal};

/// What an answer consists of; none of it may come twice (RFC 6749 section 3.1).
const ANSWER: [&str; 5] = ["state", "code", "error", "error_description", "iss"];

pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new().route("/sign-in/oidc", get(depart)).route("/sign-in/oidc/callback", get(arrive))
}

/// A link and not a form: forms may only lead to this server. Nothing is stored here, so opening it changes nothing.
async fn depart(visit: Anyone) -> Result<Response, Failure> {
    visit.judge_way()?;
    match oidc::depart(visit.app(), next(&visit), visit.from).await {
        Ok(departure) => Ok(visit.with_way(visit.go(&departure.url), departure.cookie.expose())),
        Err(refusal) => Err(failure(&visit, refusal)),
    }
}

/// The provider sent somebody back. The query is read here and goes nowhere else: not into the page, not into a log.
async fn arrive(visit: Anyone) -> Result<Response, Failure> {
    visit.judge_way()?;
    let form = &visit.form;
    let arrival = Arrival {
        cookie: visit.way.as_deref(),
        state: Secret::new(form.text("state").to_owned()),
        code: form.has("code").then(|| Secret::new(form.text("code").to_owned())),
        error: form.text("error"),
        error_description: form.text("error_description"),
        issuer: form.has("iss").then(|| form.text("iss")),
        repeated: ANSWER.into_iter().any(|name| form.all(name).len() > 1),
    };
    let Arrived { entered, next } =
        oidc::arrive(visit.app(), arrival, visit.from).await.map_err(|refusal| failure(&visit, refusal))?;
    let next = if is_own_path(&next) { next.as_str() } else { "/" };
    let response = match entered {
        Entered::Whole(begun) => visit.with_session(visit.go(next), begun.token.expose()),
        Entered::CodeNeeded(step) => visit.with_step(visit.go(&code_address(next)), step.token.expose()),
    };
    Ok(visit.with_way(response, ""))
}

fn failure(visit: &Anyone, refusal: Refusal) -> Failure {
    let name = visit.app().config.auth.oidc.shown_name().unwrap_or_default();
    match refusal {
        Refusal::TooMany { seconds } => Failure::TooMany { seconds },
        Refusal::Op(error) => error.into(),
        Refusal::Off => Failure::NotFound,
        other => {
            let (status, title, text) = words(&other, name);
            Failure::Provider { status, title, text }
        }
    }
}

/// What happened, what it means, what to do.
fn words(refusal: &Refusal, name: &str) -> (StatusCode, &'static str, String) {
    const AGAIN: &str = "Nobody was signed in.";
    match refusal {
        Refusal::SaidNo => (
            StatusCode::FORBIDDEN,
            "You said no",
            format!("{name} was not allowed to tell Consign who you are. {AGAIN} Sign in again to allow it."),
        ),
        Refusal::Reported(said) => (
            StatusCode::BAD_GATEWAY,
            "The provider reports a problem",
            format!("{name} says: {said}. {AGAIN} An administrator of {name} can look into it."),
        ),
        Refusal::OtherBrowser => (
            StatusCode::BAD_REQUEST,
            "This sign-in does not belong to this browser",
            "It was started in another browser, or was used already. Start again here.".to_owned(),
        ),
        Refusal::TooLate => (
            StatusCode::BAD_REQUEST,
            "This took longer than 10 minutes",
            format!("{AGAIN} Start again here."),
        ),
        Refusal::OtherIssuer => (
            StatusCode::BAD_REQUEST,
            "Somebody else answered",
            format!("The answer does not come from {name}, or not in the form that it has to have. {AGAIN}"),
        ),
        Refusal::NoEmail => (
            StatusCode::FORBIDDEN,
            "Your email address is not confirmed",
            format!(
                "{name} does not say that it made sure of your email address, so Consign cannot find your \
                 invitation. An administrator of {name} can have the claims email and email_verified sent."
            ),
        ),
        Refusal::NotInvited(email) => (
            StatusCode::FORBIDDEN,
            "You are not invited",
            format!(
                "{name} knows you as {email}. Nobody invited this address to Consign, or the invitation is older \
                 than 72 hours. Ask an administrator of Consign for one."
            ),
        ),
        Refusal::HasAccount(email) => (
            StatusCode::FORBIDDEN,
            "There is another account with your address",
            format!(
                "{email} belongs to an account that signs in another way, and {name} does not take it over. Sign in \
                 the way that you are used to, or ask an administrator to delete the account and invite you."
            ),
        ),
        Refusal::Suspended => (
            StatusCode::FORBIDDEN,
            "This account is suspended",
            "An administrator can reactivate it.".to_owned(),
        ),
        Refusal::Fault(fault) => fault_words(fault, name),
        Refusal::Off | Refusal::TooMany { .. } | Refusal::Op(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "Nobody was signed in", String::new())
        }
    }
}

fn fault_words(fault: &OidcFault, name: &str) -> (StatusCode, &'static str, String) {
    match fault {
        OidcFault::NotBelieved(NotBelieved::Clock) => (
            StatusCode::BAD_GATEWAY,
            "The clocks do not agree",
            format!(
                "What {name} says about you is not valid at the time of this server. Nobody was signed in. Check the \
                 clock of this server."
            ),
        ),
        OidcFault::NotBelieved(NotBelieved::UnknownKey) => (
            StatusCode::BAD_GATEWAY,
            "The key of the provider is not known",
            format!(
                "What {name} says about you is signed with a key that it does not publish. Nobody was signed in. Try \
                 again in a minute: it may be changing its keys."
            ),
        ),
        OidcFault::NotBelieved(why) => (
            StatusCode::BAD_GATEWAY,
            "The provider is not believed",
            format!("What {name} says about you {why}. Nobody was signed in."),
        ),
        OidcFault::Unreached(seen) => (
            StatusCode::BAD_GATEWAY,
            "The provider cannot be reached",
            format!("{name} cannot be reached from this server, so nobody was signed in. {seen}"),
        ),
        OidcFault::Status { .. } | OidcFault::Provider(_) | OidcFault::Form(..) | OidcFault::Refused(_) => (
            StatusCode::BAD_GATEWAY,
            "The provider could not be asked",
            format!(
                "Nobody was signed in: {fault}. An administrator can check auth.oidc in the configuration."
            ),
        ),
    }
}
