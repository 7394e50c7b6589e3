//! Problems: RFC 9457. One list of their kinds, from which answers and the pages about them are made.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use consign_core::catalog::{Invalid, with_commas};
use consign_core::id::RequestId;
use consign_core::rights::Right;
use consign_store::StoreError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::ops::OpError;
use crate::ops::idempotency::IdempotencyFault;

pub(crate) use kinds::{KINDS, Kind};

pub(super) mod kinds;

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
/// How long a caller waits when a queue is full or a replica stops: enough for a commit or a restart.
const SOON_SECONDS: u16 = 5;
/// How long a caller waits when the disk is full: someone has to make room.
const FULL_SECONDS: u16 = 30;

/// A request that was not done, and why.
#[derive(Debug)]
pub(super) struct Problem(Box<Told>);

#[derive(Debug)]
struct Told {
    kind: &'static Kind,
    detail: String,
    /// Members beyond those that every problem has.
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of this kind; `detail` says what happened to this request.
    pub(super) fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Told { kind, detail: detail.into(), members: Map::new(), headers: Vec::new() }))
    }

    /// With a member of its own.
    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.0.members.insert(key.to_owned(), value);
        self
    }

    /// With a header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    fn wait(self, seconds: u16) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Why something was not done; after someone else's change with the object as it is now, for those who may read it.
    pub(super) async fn with_current(
        error: OpError,
        current: impl Future<Output = Result<Value, OpError>>,
    ) -> Self {
        if matches!(error, OpError::Changed { .. })
            && let Ok(current) = current.await
        {
            return Self::changed(current);
        }
        error.into()
    }

    /// One API key asks too often.
    pub(super) fn too_many(limit: u32, wait: Duration) -> Self {
        let seconds = u16::try_from(wait.as_secs() + 1).unwrap_or(u16::MAX);
        let detail = format!("One API key may make {limit} requests a second here.");
        Self::new(&kinds::TOO_MANY_REQUESTS, detail).wait(seconds)
    }

    /// A query parameter whose value does not fit.
    pub(super) fn parameter(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let errors = json!([{ "parameter": name, "code": "not_accepted", "message": message }]);
        Self::new(&kinds::PARAMETER_NOT_ACCEPTED, message).with("errors", errors)
    }

    /// An object that is not there.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(&kinds::NOT_FOUND, format!("There is no such {what}, or it was deleted."))
    }

    /// Values that were not accepted, each with its place and its sentence.
    pub(super) fn invalid(errors: &[Invalid]) -> Self {
        let unknown = !errors.is_empty() && errors.iter().all(|error| error.code == "unknown_field");
        let kind = if unknown { &kinds::UNKNOWN_FIELD } else { &kinds::VALUES_NOT_ACCEPTED };
        let detail = match errors.len() {
            1 => "1 field needs a change.".to_owned(),
            count => format!("{} fields need a change.", with_commas(count)),
        };
        let listed = errors.iter().map(
            |error| json!({ "pointer": pointer(&error.field), "code": error.code, "message": error.message }),
        );
        let listed = listed.collect();
        Self::new(kind, detail).with("errors", listed)
    }

    /// The object was changed since the caller read it; `current` is what it is now.
    pub(super) fn changed(current: Value) -> Self {
        Self::new(
            &kinds::CHANGED_BY_SOMEONE_ELSE,
            "Someone else saved it since you read it. Look at the present values and try again.",
        )
        .with("current", current)
    }

    /// The answer; `instance` is the path of the request.
    pub(super) fn into_response(self, instance: &str, request_id: RequestId) -> Response {
        let Told { kind, detail, members, headers } = *self.0;
        let mut body = json!({
            "type": kind.address(),
            "title": kind.title,
            "status": kind.status,
            "detail": detail,
            "instance": instance,
            "code": kind.code,
            "request_id": request_id,
        });
        if let Value::Object(body) = &mut body {
            body.extend(members);
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = kind.status();
        let answer = response.headers_mut();
        answer.insert(CONTENT_TYPE, PROBLEM);
        answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.extend(headers);
        response
    }
}

impl Kind {
    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("the list holds statuses of HTTP")
    }
}

/// RFC 6901: the keys of a field as a pointer; the empty field is the whole body.
fn pointer(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("/{}", field.replace('~', "~0")) }
}

impl From<OpError> for Problem {
    fn from(error: OpError) -> Self {
        match error {
            OpError::NotAllowed(right) => Self::missing_right(right),
            OpError::PeopleOnly(sentence) => Self::new(&kinds::NOT_ALLOWED, sentence),
            OpError::NotFound(what) => Self::not_found(what),
            OpError::Invalid(errors) => Self::invalid(&errors),
            OpError::Changed { current } => Self::changed(json!({ "etag": super::answer::etag(current) })),
            OpError::StillUsed(connectors) => {
                let count = match connectors.len() {
                    1 => "1 connector uses it".to_owned(),
                    count => format!("{} connectors use it", with_commas(count)),
                };
                let detail = format!("{count}. Delete it with linked=hold to hold their deliveries.");
                Self::new(&kinds::STILL_USED, detail).with("connectors", json!(connectors))
            }
            OpError::ManagedElsewhere(manager) => {
                let detail = format!("A file that is applied as {manager} manages it.");
                Self::new(&kinds::MANAGED_ELSEWHERE, detail).with("managed_by", json!(manager))
            }
            OpError::WrongState(sentence) => Self::new(&kinds::WRONG_STATE, sentence),
            OpError::TooMany { seconds } => {
                Self::new(&kinds::TOO_MANY_REQUESTS, "Too many requests of this kind.")
                    .wait(u16::try_from(seconds).unwrap_or(u16::MAX))
            }
            OpError::QueueFull => {
                Self::new(&kinds::QUEUE_FULL, "Too much arrives at once. Nothing was accepted.")
                    .wait(SOON_SECONDS)
            }
            OpError::StorageFull => {
                Self::new(&kinds::STORAGE_FULL, "The disk is full. Nothing was stored.").wait(FULL_SECONDS)
            }
            OpError::Draining => {
                Self::new(&kinds::DRAINING, "This server is stopping. Nothing was stored.").wait(SOON_SECONDS)
            }
            OpError::Unavailable => {
                Self::new(&kinds::UNAVAILABLE, "The database cannot be reached.").wait(SOON_SECONDS)
            }
            OpError::Idempotency(IdempotencyFault::Running) => {
                let detail = "The first request with this Idempotency-Key is still running.";
                Self::new(&kinds::IDEMPOTENCY_IN_PROGRESS, detail).wait(SOON_SECONDS)
            }
            OpError::Idempotency(IdempotencyFault::Mismatch) => Self::new(
                &kinds::IDEMPOTENCY_MISMATCH,
                "This Idempotency-Key came with another request before. Use a new one.",
            ),
            OpError::Internal(cause) => match cause.downcast_ref() {
                Some(StoreError::BadCursor) => {
                    Self::parameter("cursor", "cursor must be next_cursor or prev_cursor of another page.")
                }
                _ => Self::internal(&*cause),
            },
        }
    }
}

impl Problem {
    /// A right that is missing.
    pub(super) fn missing_right(right: Right) -> Self {
        let detail = format!("This needs the right {}.", right.kind());
        Self::new(&kinds::NOT_ALLOWED, detail).with("right", Value::from(right.kind()))
    }

    /// What nobody foresaw: the cause goes to the log, the caller gets the id of the request.
    pub(super) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = cause.to_string();
        let mut next = cause.source();
        while let Some(source) = next {
            chain.push_str(": ");
            chain.push_str(&source.to_string());
            next = source.source();
        }
        tracing::error!(cause = chain, "a request failed");
        Self::new(&kinds::INTERNAL, "Something went wrong on this server. Its log has the details.")
    }
}
