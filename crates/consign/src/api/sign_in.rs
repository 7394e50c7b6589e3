//! Who calls: an API key (RFC 6750 section 2.1), a session of the console with its CSRF token, or, for one's own account,
//! a person with email and password (RFC 7617).

use aws_lc_rs::constant_time;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use consign_core::id::RequestId;
use consign_core::secret::Secret;
use http::header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Route;
use super::problem::{Problem, kinds};
use crate::App;
use crate::ops::users::SignInError;
use crate::ops::{Actor, OpError, api_keys, users};
use crate::server::PeerAddress;

const CSRF: HeaderName = HeaderName::from_static("consign-csrf");
/// The code of the second step, beside `Basic`.
const CODE: HeaderName = HeaderName::from_static("consign-code");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The session's cookie over TLS: bound to this host and to TLS by its prefix.
const COOKIE_TLS: &str = "__Host-consign";
/// The session's cookie on loopback without TLS.
const COOKIE_LOCAL: &str = "consign-local";

/// Whoever sends a request, and in which session.
pub(super) struct SignedIn {
    pub(super) actor: Actor,
    /// The hash of a session of the console.
    pub(super) session: Option<String>,
}

impl From<Actor> for SignedIn {
    fn from(actor: Actor) -> Self {
        Self { actor, session: None }
    }
}

/// Whoever sends this request.
pub(super) async fn actor(
    app: &App,
    route: &Route,
    parts: &Parts,
    request_id: RequestId,
) -> Result<SignedIn, Problem> {
    let from = parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
    let mut sent = parts.headers.get_all(AUTHORIZATION).iter();
    if let Some(first) = sent.next() {
        let only = first.to_str().ok().filter(|_| sent.next().is_none());
        if route.own
            && let Some((email, password)) = only.and_then(basic)
        {
            let code = parts.headers.get(CODE).and_then(|code| code.to_str().ok());
            let code = code.map(|code| Secret::new(code.to_owned()));
            let proof = (email.as_str(), &password, code.as_ref());
            let proved = users::prove(app, proof, from, request_id).await;
            return proved.map(SignedIn::from).map_err(not_proved);
        }
        let key = only.and_then(bearer);
        let key = key.ok_or_else(|| refused("Send one API key, as Authorization: Bearer csg_…."))?;
        return api_keys::authenticate(app, key, from, request_id)
            .map(SignedIn::from)
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
    if person.must_set_up {
        return Err(not_proved(SignInError::SecondStepNeeded));
    }
    Ok(SignedIn { actor: person.actor(from, request_id), session: Some(person.hash) })
}

/// Email and password of `Basic` (RFC 7617 section 2, in UTF-8).
fn basic(value: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded =
        BASE64_STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = Secret::new(String::from_utf8(decoded).ok()?);
    let (email, password) = text.expose().split_once(':')?;
    Some((email.to_owned(), Secret::new(password.to_owned())))
}

fn not_proved(error: SignInError) -> Problem {
    match error {
        SignInError::TooMany { seconds } => OpError::TooMany { seconds }.into(),
        SignInError::Op(error) => error.into(),
        SignInError::SecondStepNeeded => Problem::new(&kinds::NOT_ALLOWED, format!("{error}.")),
        SignInError::CodeMissing => refused(&format!("{error}, as Consign-Code.")),
        SignInError::Wrong
        | SignInError::WrongCode
        | SignInError::Changed
        | SignInError::TooLate
        | SignInError::Suspended
        | SignInError::NotLocal(_) => refused(&format!("{error}.")),
    }
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
