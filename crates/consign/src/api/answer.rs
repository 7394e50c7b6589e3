//! Answers: JSON with ETag and Location, pages with cursors, and answers kept for an `Idempotency-Key`.

use std::fmt::Write as _;
use std::future::Future;

use axum::body::Body;
use axum::response::Response;
use consign_store::{COUNT_MAX, Listed};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::BASE;
use super::call::{AFTER, BEFORE, Call};
use super::problem::{Problem, kinds};
use crate::ops::OpError;
use crate::ops::idempotency::{self, Begun, Idempotency};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

/// What is answered when it worked.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: String,
    /// What is read while it is sent, in place of `body`.
    streamed: Option<Body>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The ETag of a revision.
pub(super) fn etag(revision: i64) -> String {
    format!("\"{revision}\"")
}

impl Answer {
    /// JSON that is written already.
    pub(super) fn text(status: StatusCode, body: String) -> Self {
        Self { status, body, streamed: None, headers: Vec::new() }
    }

    /// 200 with something of any length, of a media type of its own.
    pub(super) fn streamed(media_type: &'static str, body: Body) -> Self {
        let answer = Self { streamed: Some(body), ..Self::text(StatusCode::OK, String::new()) };
        answer.header(CONTENT_TYPE, media_type)
    }

    /// A value; its `etag` and, when it is new, its address go into headers.
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        let answer = Self::text(status, value.to_string());
        let answer = match value.get("etag").and_then(Value::as_str) {
            Some(tag) => answer.header(ETAG, tag),
            None => answer,
        };
        match location(value, status) {
            Some(address) => answer.header(LOCATION, &address),
            None => answer,
        }
    }

    /// 200 with a value.
    pub(super) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// 200 with a list that has no pages.
    pub(super) fn items(items: Value) -> Self {
        Self::ok(&json!({ "items": items }))
    }

    /// 204.
    pub(super) fn nothing() -> Self {
        Self::text(StatusCode::NO_CONTENT, String::new())
    }

    /// With a header; values that cannot stand in one are left out.
    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The finished answer. Nothing of the API is ever cached: it may say what only this caller may know.
    pub(super) fn into_response(self) -> Response {
        let empty = self.body.is_empty();
        let written = if empty { Body::empty() } else { Body::from(self.body) };
        let mut response = Response::new(self.streamed.unwrap_or(written));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !empty && !self.headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

/// Where a new object, or what was begun, can be read: by the kind of its id.
fn location(value: &Value, status: StatusCode) -> Option<String> {
    let id = value.get("id")?.as_str()?;
    let place = match (status, id.split_once('_')?.0) {
        (StatusCode::CREATED, "crd") => "credentials",
        (StatusCode::CREATED, "con") => match value.get("kind")?.as_str()? {
            "exporter" => "exporters",
            "gateway" => "gateways",
            _ => "webhooks",
        },
        (StatusCode::CREATED, "run") => "runs",
        (StatusCode::CREATED, "dlv") => "deliveries",
        (StatusCode::CREATED, "upl") => "uploads",
        (StatusCode::CREATED, "usr") => "users",
        (StatusCode::ACCEPTED, "op") => "operations",
        _ => return None,
    };
    Some(format!("{BASE}/{place}/{id}"))
}

/// What came of a change: the object as it is now, also for whoever came second.
pub(super) async fn saved_or_changed(
    saved: Result<Value, OpError>,
    current: impl Future<Output = Result<Value, OpError>>,
) -> Result<Answer, Problem> {
    match saved {
        Ok(value) => Ok(Answer::ok(&value)),
        Err(error) => Err(Problem::with_current(error, current).await),
    }
}

impl Call {
    /// 200 with an object, or 304 when the caller has it (RFC 9110 section 13.1.2).
    pub(super) fn found(&self, value: &Value) -> Answer {
        let tag = value.get("etag").and_then(Value::as_str).unwrap_or_default();
        let known = self.headers.get_all(IF_NONE_MATCH).iter().filter_map(|sent| sent.to_str().ok());
        let mut known = known.flat_map(|sent| sent.split(',')).map(str::trim);
        if known.any(|sent| sent == "*" || sent.strip_prefix("W/").unwrap_or(sent) == tag) {
            return Answer::text(StatusCode::NOT_MODIFIED, String::new()).header(ETAG, tag);
        }
        Answer::ok(value)
    }

    /// A page of a list, with the way to its neighbours in body and `Link` (RFC 8288).
    pub(super) fn listed(&self, listed: Listed<Value>) -> Answer {
        let cursor = |side: char, place: Option<String>| place.map(|place| format!("{side}{place}"));
        let next = cursor(AFTER, listed.next);
        let previous = cursor(BEFORE, listed.previous);
        let links = [("next", &next), ("prev", &previous)].into_iter().filter_map(|(relation, cursor)| {
            let address = self.with_cursor(cursor.as_deref()?);
            Some(format!("<{address}>; rel=\"{relation}\""))
        });
        let links = links.collect::<Vec<_>>().join(", ");
        let mut page = json!({ "items": listed.items, "next_cursor": next, "prev_cursor": previous });
        if let Some(count) = listed.count {
            page["count"] = json!(count);
            page["count_is_capped"] = json!(count == COUNT_MAX);
        }
        let answer = Answer::ok(&page);
        if links.is_empty() { answer } else { answer.header(LINK, &links) }
    }

    /// The address of this list with another cursor.
    fn with_cursor(&self, cursor: &str) -> String {
        let mut address = format!("{}?", self.path);
        for (name, value) in self.query.iter().filter(|(name, _)| *name != "cursor") {
            let _ = write!(address, "{name}=");
            for byte in value.bytes() {
                let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                let _ = if plain {
                    write!(address, "{}", char::from(byte))
                } else {
                    write!(address, "%{byte:02X}")
                };
            }
            address.push('&');
        }
        address.push_str("cursor=");
        address.push_str(cursor);
        address
    }

    /// The `Idempotency-Key`, with what recognises the same request.
    pub(super) fn idempotency(&self) -> Result<Option<Idempotency>, Problem> {
        let mut sent = self.headers.get_all(&IDEMPOTENCY_KEY).iter();
        let Some(first) = sent.next() else { return Ok(None) };
        let text = first.to_str().unwrap_or_default();
        let fits = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic());
        if !fits || sent.next().is_some() {
            let detail = "Idempotency-Key must be 1 to 128 visible characters, once.";
            return Err(Problem::new(&kinds::NOT_READABLE, detail));
        }
        // Under another name it is another request.
        let applied = self.actor.applying.as_ref();
        let applied =
            applied.map(|applying| format!("{} {} {}", self.path, applying.manager, applying.force));
        let asked = applied.as_deref().unwrap_or(&self.path);
        Ok(Some(Idempotency::new(&self.app, text.to_owned(), self.method.as_str(), asked, &self.body)))
    }

    /// What makes a second copy when it is sent twice needs a key; `why` says so.
    pub(super) fn key_needed(&self, why: &str) -> Result<(), Problem> {
        match self.idempotency()? {
            Some(_) => Ok(()),
            None => Err(Problem::new(&kinds::IDEMPOTENCY_KEY_NEEDED, why)),
        }
    }

    /// What was created, or would be: what is only tried has no address.
    pub(super) fn created(&self, value: &Value) -> Answer {
        let status = if self.actor.only_tries() { StatusCode::OK } else { StatusCode::CREATED };
        Answer::json(status, value)
    }

    /// Acts once for each `Idempotency-Key`: a repeat gets the answer that was kept. `status` is that of the answer when
    /// it works. What is only tried can be tried again.
    pub(super) async fn once(
        &self,
        status: StatusCode,
        act: impl Future<Output = Result<Answer, Problem>>,
    ) -> Result<Answer, Problem> {
        let key = self.idempotency()?.filter(|_| !self.actor.only_tries());
        let Some(key) = key else { return act.await };
        let begun =
            idempotency::begin(&self.app, &self.actor, key, status.as_u16(), Value::to_string).await?;
        if let Begun::Replay { status, body } = begun {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let value = serde_json::from_str(body.expose()).unwrap_or(Value::Null);
            return Ok(Answer::json(status, &value).header(IDEMPOTENCY_REPLAYED, "true"));
        }
        match act.await {
            Ok(answer) => {
                idempotency::finish(&self.app, &self.actor, &answer.body).await?;
                Ok(answer)
            }
            Err(problem) => {
                idempotency::forget(&self.app, &self.actor).await?;
                Err(problem)
            }
        }
    }
}
