//! Calls of applications to tools, through gateways: `/gateway/{slug}{path}`, outside of the API, with an API key and
//! never with a session.
//!
//! What Consign itself answers is a problem with the header `Consign-Error`, so that nobody takes it for the tool's.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use consign_core::connector::gateway::admit::BASE;
use consign_core::id::RequestId;
use http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use serde_json::json;

use super::problem::{Problem, kinds};
use super::sign_in::{bearer, capital};
use crate::App;
use crate::engine::{CallAnswer, CallFault, Hangup, Unread, seconds_of};
use crate::ops::calls::{self, Asked, NotBegun};
use crate::ops::{Actor, api_keys};
use crate::server::{PeerAddress, RouteName};

/// Where a key may stand, if `Authorization` is not the application's to set.
const KEY: HeaderName = HeaderName::from_static("consign-key");
/// Marks what does not come from the tool.
const ERROR: HeaderName = HeaderName::from_static("consign-error");
const ROUTE: RouteName = RouteName("/gateway/{slug}/{path}");

/// The gateways.
pub(super) fn router(app: Arc<App>) -> Router {
    let answer = any(move |request: Request| run(app.clone(), request));
    Router::new()
        .route("/gateway", answer.clone())
        .route("/gateway/", answer.clone())
        .route("/gateway/{*call}", answer)
}

/// The gateways and nothing else, for a listener of their own.
pub fn router_alone(app: Arc<App>) -> Router {
    let own_app = app.clone();
    let nowhere = move |request: Request| {
        let problem = own(&kinds::GATEWAY_NOT_FOUND, "Addresses here begin with /gateway/.");
        std::future::ready(super::refusal(&own_app, &request, problem))
    };
    router(app).fallback(nowhere)
}

async fn run(app: Arc<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = parts.extensions.get().copied().unwrap_or_else(|| RequestId::new(app.now()));
    let mut response = match pass(&app, &parts, body, request_id).await {
        Ok(CallAnswer { status, headers, body }) => {
            let mut response = Response::new(Body::new(body));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(problem) => problem.into_response(parts.uri.path(), request_id),
    };
    response.extensions_mut().insert(ROUTE);
    response
}

async fn pass(app: &App, parts: &Parts, body: Body, request_id: RequestId) -> Result<CallAnswer, Problem> {
    let actor = actor(app, parts, request_id)?;
    let whole = parts.uri.path_and_query().map_or("", |whole| whole.as_str());
    let (slug, target) = split(whole);
    let hangup = parts.extensions.get::<Hangup>().cloned().unwrap_or_default();
    let (method, headers) = (&parts.method, &parts.headers);
    let asked = Asked { slug, method, target: &target, headers, hangup };
    let call = calls::begin(app, &actor, asked).map_err(|why| not_begun(why, slug))?;
    app.engine.forward_call(call, body).await.map_err(|fault| of_fault(&fault))
}

/// The address part of the gateway, and what is asked of the tool: path and query.
fn split(whole: &str) -> (&str, String) {
    let below = whole.strip_prefix(BASE).unwrap_or_default();
    let (slug, target) = below.split_at(below.find(['/', '?']).unwrap_or(below.len()));
    let rooted = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    (slug, rooted)
}

/// Whose key it is.
fn actor(app: &App, parts: &Parts, request_id: RequestId) -> Result<Actor, Problem> {
    let from = parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
    let named = parts.headers.contains_key(KEY);
    let mut sent = parts.headers.get_all(if named { KEY } else { AUTHORIZATION }).iter();
    let Some(first) = sent.next() else {
        let detail = "Send an API key as Authorization: Bearer csg_…, or as Consign-Key: csg_….";
        return Err(unknown(own(&kinds::KEY_MISSING, detail)));
    };
    let text = first.to_str().ok().filter(|_| sent.next().is_none());
    let key = text.and_then(|text| if named { Some(text.trim()) } else { bearer(text) });
    let refused = |detail: &str| unknown(own(&kinds::KEY_NOT_ACCEPTED, detail));
    let key = key.ok_or_else(|| refused("Send one API key, as Authorization: Bearer csg_…."))?;
    api_keys::authenticate(app, key, from, request_id)
        .map_err(|reason| refused(&format!("{}.", capital(&reason.to_string()))))
}

fn unknown(problem: Problem) -> Problem {
    problem.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"consign\""))
}

/// A problem that says that it is not the tool's.
fn own(kind: &'static kinds::Kind, detail: impl Into<String>) -> Problem {
    Problem::new(kind, detail).header(ERROR, HeaderValue::from_static(kind.code))
}

fn not_begun(why: NotBegun, slug: &str) -> Problem {
    match why {
        NotBegun::KeyNotAllowed => own(&kinds::GATEWAY_NOT_ALLOWED, "This API key may not use this gateway."),
        NotBegun::NoGateway => {
            own(&kinds::GATEWAY_NOT_FOUND, format!("There is no gateway “{slug}”, or it was deleted."))
        }
        NotBegun::Method(fault, methods) => {
            let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let allowed = HeaderValue::try_from(allowed).expect("methods are visible ASCII");
            of_fault(&fault).header(ALLOW, allowed)
        }
        NotBegun::Fault(fault) => of_fault(&fault),
    }
}

fn of_fault(fault: &CallFault) -> Problem {
    let own = |kind| own(kind, fault.detail());
    match fault {
        CallFault::Paused(_) => own(&kinds::GATEWAY_PAUSED),
        CallFault::TooMany(wait) => {
            own(&kinds::TOO_MANY_CALLS).header(RETRY_AFTER, HeaderValue::from(seconds_of(*wait)))
        }
        CallFault::NotAllowed(why) if why.is_of_method() => own(&kinds::METHOD_NOT_ALLOWED),
        CallFault::NotAllowed(_) => own(&kinds::PATH_NOT_ALLOWED),
        CallFault::CredentialNotUsable { reason, wait, .. } => {
            let problem = own(&kinds::CREDENTIAL_NOT_USABLE).with("reason", json!(reason));
            match wait {
                Some(wait) => problem.header(RETRY_AFTER, HeaderValue::from(seconds_of(*wait))),
                None => problem,
            }
        }
        CallFault::Blocked(_) => own(&kinds::DESTINATION_BLOCKED),
        CallFault::Unreachable(_) => own(&kinds::TOOL_UNREACHABLE),
        CallFault::TooSlow(_) => own(&kinds::TOOL_TOO_SLOW),
        CallFault::Unread(Unread::TooLarge(_)) => own(&kinds::REQUEST_TOO_LARGE),
        CallFault::Unread(Unread::TooSlow) => own(&kinds::TOO_SLOW),
        CallFault::Unread(Unread::Gone) => own(&kinds::NOT_READABLE),
    }
}

#[cfg(test)]
mod tests;
