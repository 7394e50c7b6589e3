//! Who calls: an API key (RFC 6750 section 2.1), or a session of the console with its CSRF token.

use aws_lc_rs::constant_time;
use consign_core::id::RequestId;
use http::header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{Problem, kinds};
use crate::App;
use crate::ops::{Actor, api_keys, users};
use crate::server::PeerAddress;

const CSRF: HeaderName = HeaderName::from_static("consign-csrf");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The session's cookie over TLS: bound to this host and to TLS by its prefix.
const COOKIE_TLS: &str = "__Host-consign";
/// The session's cookie on loopback without TLS.
const COOKIE_LOCAL: &str = "consign-local";

/// Whoever sends this request.
pub(super) async fn actor(app: &App, parts: &Parts, request_id: RequestId) -> Result<Actor, Problem> {
    let from = parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
    let mut sent = parts.headers.get_all(AUTHORIZATION).iter();
    if let Some(first) = sent.next() {
        let key = first.to_str().ok().and_then(bearer).filter(|_| sent.next().is_none());
        let key = key.ok_or_else(|| refused("Send one API key, as Authorization: Bearer csg_…."))?;
        return api_keys::authenticate(app, key, from, request_id)
            .map_err(|reason| refused(&format!("{}.", capital(&reason.to_string()))));
    }
    let name = if app.public_url().starts_with("https://") { COOKIE_TLS } else { COOKIE_LOCAL };
    let Some(token) = cookie(&parts.headers, name) else {
        return Err(refused("Send an API key as Authorization: Bearer csg_…."));
    };
    let Some(person) = users::session(app, token, false).await? else {
        return Err(refused("The session has ended. Sign in again."));
    };
    judge_origin(&parts.headers, &person.csrf)?;
    Ok(person.actor(from, request_id))
}

fn refused(detail: &str) -> Problem {
    let challenge = HeaderValue::from_static("Bearer realm=\"consign\"");
    Problem::new(&kinds::KEY_NOT_ACCEPTED, detail).header(WWW_AUTHENTICATE, challenge)
}

/// The token behind `Bearer`, in any case.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// With a capital at its start.
pub(super) fn capital(sentence: &str) -> String {
    let mut characters = sentence.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + characters.as_str()
}

/// A cookie of exactly this name.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A cookie comes along by itself; the token does not, and other sites cannot set the header.
fn judge_origin(headers: &HeaderMap, token: &str) -> Result<(), Problem> {
    let sent = headers.get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
    let same = constant_time::verify_slices_are_equal(sent, token.as_bytes()).is_ok();
    let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if same && !token.is_empty() && site.is_none_or(|site| site == b"same-origin" || site == b"none") {
        return Ok(());
    }
    let detail = "A session of the console needs the header Consign-CSRF. Programs use an API key.";
    Err(Problem::new(&kinds::CSRF_TOKEN_NEEDED, detail))
}

#[cfg(test)]
mod tests;
