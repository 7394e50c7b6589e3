//! Bodies: read within a limit and a time, and turned into a JSON object.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use consign_core::catalog::unknown_field;
use consign_core::json::{duplicate_member, twice};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};

use super::call::Call;
use super::problem::{Problem, kinds};

/// The largest body, events apart: room for every field at its own limit.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// The time for a whole body: 1 MiB over a bad mobile line.
const READ_MAX: Duration = Duration::from_secs(30);

/// Reads a whole body.
pub(super) async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    require_plain(headers)?;
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    match tokio::time::timeout(READ_MAX, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Ok(Err(_)) => Err(Problem::new(&kinds::NOT_READABLE, "The body ended before it was whole.")),
        Err(_) => Err(Problem::new(&kinds::TOO_SLOW, "The body did not arrive within 30 seconds.")),
    }
}

/// What is sent is taken as it is: a compressed body would be taken for its content.
pub(super) fn require_plain(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding == "identity") {
        true => Ok(()),
        false => Err(media_type("Send the body without Content-Encoding.")),
    }
}

/// A media type that is not taken here.
pub(super) fn media_type(detail: &str) -> Problem {
    Problem::new(&kinds::MEDIA_TYPE_NOT_ACCEPTED, detail)
}

/// More than is taken here.
pub(super) fn too_large(bytes_max: usize) -> Problem {
    let detail =
        format!("The body must be {} bytes or fewer.", consign_core::catalog::with_commas(bytes_max));
    Problem::new(&kinds::TOO_LARGE, detail)
}

/// The media type of the body, without parameters; empty when none is named.
pub(super) fn essence(headers: &HeaderMap) -> String {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Call {
    /// The body as a JSON object.
    pub(super) fn object(&self) -> Result<Map<String, Value>, Problem> {
        match essence(&self.headers).as_str() {
            "" | "application/json" => {}
            "application/merge-patch+json" if self.method == Method::PATCH => {}
            _ if self.method == Method::PATCH => {
                return Err(media_type("Send JSON as application/merge-patch+json or application/json."));
            }
            _ => return Err(media_type("Send JSON as application/json.")),
        }
        // A value first: its errors name a place and never a part of the text, which may hold a secret.
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => match duplicate_member(&self.body) {
                None => Ok(object),
                Some(name) => Err(Problem::new(&kinds::NOT_READABLE, format!("{}.", twice(&name)))),
            },
            Ok(_) => Err(Problem::new(&kinds::NOT_READABLE, "The body must be a JSON object.")),
            Err(error) => Err(Problem::new(&kinds::NOT_READABLE, format!("The body is not JSON: {error}."))),
        }
    }

    /// The body as a JSON object, or nothing at all.
    pub(super) fn object_if_sent(&self) -> Result<Map<String, Value>, Problem> {
        if self.body.is_empty() { Ok(Map::new()) } else { self.object() }
    }

    /// No body, or an empty object.
    pub(super) fn nothing(&self) -> Result<(), Problem> {
        let sent = self.object_if_sent()?;
        let unknown: Vec<_> = sent.keys().map(|key| unknown_field(key, &[])).collect();
        if unknown.is_empty() { Ok(()) } else { Err(Problem::invalid(&unknown)) }
    }
}
