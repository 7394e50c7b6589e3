//! `/exporters/{id}/files` and `/uploads`: files that programs push, in one request or in several. Neither is held whole.
//!
//! The headers are those of the draft "Resumable Uploads for HTTP" (draft-ietf-httpbis-resumable-upload).

use std::time::Duration;

use axum::body::Body;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use consign_core::hex::hex;
use consign_core::id::UploadId;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::answer::Answer;
use super::body::require_plain;
use super::call::Call;
use super::exporters::NO_SECOND_COPY;
use super::problem::{Problem, kinds};
use crate::ops::OpError;
use crate::ops::pushes::{self, FilePush};
use crate::ops::uploads::{self, Resumed};

/// Below the base.
pub(super) const FILES: &str = "/exporters/{id}/files";
pub(super) const UPLOAD: &str = "/uploads/{id}";
/// A file of which nothing arrives for so long is given up.
const IDLE_MAX: Duration = Duration::from_secs(60);
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const OCTETS: &str = "application/octet-stream";
const SHA256_BYTES: usize = 32;

pub(super) async fn push_file(mut call: Call) -> Result<Answer, Problem> {
    call.key_needed(NO_SECOND_COPY)?;
    require_plain(&call.headers)?;
    let name = call.text("file_name").ok_or_else(|| {
        Problem::parameter("file_name", "file_name must be the name of the file, such as devices.csv.")
    })?;
    let digest = digest(&call)?;
    let bytes_max = call.app.engine.delivery_rules().export_bytes;
    let length = announced_length(&call);
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    // What recognises the same request, without its content.
    let length = length.map(|length| length.to_string()).unwrap_or_default();
    call.body = Bytes::from(format!("{name}\n{}\n{length}", digest.as_deref().unwrap_or_default()));
    let body = call.take_stream();
    let push = async {
        let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or(OCTETS);
        let (app, actor, id) = (&call.app, &call.actor, call.place("id"));
        let mut push = pushes::begin_file(app, actor, id, &name, content_type, digest).await?;
        receive(body, &mut push, bytes_max).await?;
        Ok(Answer::json(StatusCode::ACCEPTED, &pushes::finish_file(app, actor, push).await?))
    };
    call.once(StatusCode::ACCEPTED, push).await
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    call.key_needed(NO_SECOND_COPY)?;
    let create = async {
        let value = uploads::create(&call.app, &call.actor, call.place("id"), call.object()?).await?;
        Ok(Answer::json(StatusCode::CREATED, &value))
    };
    call.once(StatusCode::CREATED, create).await
}

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&uploads::list(&call.app, &call.actor, call.place("id")).await?))
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = uploads::find(&call.app, &call.actor, call.id::<UploadId>("upload")?).await?;
    Ok(told(StatusCode::OK, &value))
}

pub(super) async fn append(mut call: Call) -> Result<Answer, Problem> {
    let id = call.id::<UploadId>("upload")?;
    require_plain(&call.headers)?;
    let (offset, last) = (offset(&call)?, is_last(&call)?);
    let bytes_max = call.app.engine.delivery_rules().export_bytes;
    if announced_length(&call).is_some_and(|length| offset.saturating_add(length) > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let body = call.take_stream();
    let mut push = match uploads::resume(&call.app, &call.actor, id, offset).await? {
        Resumed::Here(push) => *push,
        Resumed::Complete(value) => return Ok(told(StatusCode::OK, &value)),
        Resumed::Elsewhere(at) => {
            let detail = format!("The file goes on at byte {at}, and not at byte {offset}.");
            let header = HeaderValue::from(at);
            return Err(Problem::new(&kinds::WRONG_OFFSET, detail)
                .with("offset", json!(at))
                .header(UPLOAD_OFFSET, header));
        }
    };
    let bytes_max = push.bytes_max(bytes_max);
    receive(body, &mut push, bytes_max).await?;
    if !last {
        return Ok(told(StatusCode::OK, &uploads::pause(push)));
    }
    let value = uploads::complete(&call.app, &call.actor, id, push).await?;
    Ok(told(StatusCode::ACCEPTED, &value))
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    uploads::delete(&call.app, &call.actor, call.id::<UploadId>("upload")?).await?;
    Ok(Answer::nothing())
}

/// An upload, and where it is in the headers too.
fn told(status: StatusCode, value: &Value) -> Answer {
    let complete = if value["complete"] == true { "?1" } else { "?0" };
    let offset = value["offset"].as_u64().unwrap_or(0).to_string();
    Answer::json(status, value).header(UPLOAD_OFFSET, &offset).header(UPLOAD_COMPLETE, complete)
}

/// Reads a body to its end; whole pieces are stored, also of one that breaks off.
async fn receive(mut body: Body, push: &mut FilePush, bytes_max: u64) -> Result<(), Problem> {
    loop {
        let Ok(next) = tokio::time::timeout(IDLE_MAX, body.frame()).await else {
            let detail = "Nothing of the file arrived for 60 seconds.";
            return Err(Problem::new(&kinds::TOO_SLOW, detail));
        };
        let frame = match next {
            None => return Ok(()),
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                return Err(Problem::new(&kinds::NOT_READABLE, "The file ended before it was whole."));
            }
        };
        let Ok(bytes) = frame.into_data() else { continue };
        push.intake.push(&bytes).await.map_err(OpError::from)?;
        if push.intake.bytes() > bytes_max {
            return Err(too_large(bytes_max));
        }
    }
}

fn announced_length(call: &Call) -> Option<u64> {
    call.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `Upload-Offset: 524288`, an integer of RFC 9651.
fn offset(call: &Call) -> Result<u64, Problem> {
    let sent = call.headers.get(&UPLOAD_OFFSET).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    sent.ok_or_else(|| {
        let detail = "Send in Upload-Offset from which byte on this is, such as Upload-Offset: 0.";
        Problem::new(&kinds::NOT_READABLE, detail)
    })
}

/// `Upload-Complete: ?1`, a boolean of RFC 9651; without it more follows.
fn is_last(call: &Call) -> Result<bool, Problem> {
    match call.headers.get(&UPLOAD_COMPLETE).map(|value| value.to_str().unwrap_or_default().trim()) {
        None | Some("?0") => Ok(false),
        Some("?1") => Ok(true),
        Some(_) => Err(Problem::new(&kinds::NOT_READABLE, "Upload-Complete must be ?1 or ?0.")),
    }
}

/// `Content-Digest: sha-256=:…:` (RFC 9530 section 2), in hexadecimal; other digests say nothing.
fn digest(call: &Call) -> Result<Option<String>, Problem> {
    let Some(sent) = call.headers.get(&CONTENT_DIGEST) else { return Ok(None) };
    let wrong = || {
        let detail = "Content-Digest must look like sha-256=:…:, with the digest in Base64.";
        Problem::new(&kinds::NOT_READABLE, detail)
    };
    let sent = sent.to_str().map_err(|_| wrong())?;
    let own = sent.split(',').find_map(|one| one.trim().strip_prefix("sha-256="));
    let Some(own) = own else { return Ok(None) };
    let inner = own.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).ok_or_else(wrong)?;
    let bytes = BASE64_STANDARD.decode(inner).ok().filter(|bytes| bytes.len() == SHA256_BYTES);
    Ok(Some(hex(&bytes.ok_or_else(wrong)?)))
}

fn too_large(bytes_max: u64) -> Problem {
    let shown = consign_core::catalog::with_commas(usize::try_from(bytes_max).unwrap_or(usize::MAX));
    Problem::new(&kinds::TOO_LARGE, format!("The file must be {shown} bytes or fewer."))
}
