//! `/exporters` and `/runs`: data exporters, what is pushed to them, and what they did.

use std::time::Duration;

use axum::body::Body;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use consign_core::catalog::unknown_field;
use consign_core::connector::ConnectorState;
use consign_core::connector::exporter::RunState;
use consign_core::hex::hex;
use consign_core::id::{CredentialId, RunId};
use consign_store::connectors::ConnectorFilter;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::answer::{Answer, saved_or_changed};
use super::body::{essence, media_type};
use super::call::Call;
use super::problem::{Problem, kinds};
use crate::ops::pushes::Shape;
use crate::ops::{OpError, exporters, pushes, runs};

/// Below the base.
pub(super) const RECORDS: &str = "/exporters/{id}/records";
pub(super) const FILES: &str = "/exporters/{id}/files";
/// Of pushed records no more bytes come at once.
pub(super) const RECORDS_BYTES_MAX: usize = 10 << 20;
/// A file of which nothing arrives for so long is given up.
const IDLE_MAX: Duration = Duration::from_secs(60);
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const OCTETS: &str = "application/octet-stream";
const SHA256_BYTES: usize = 32;

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let state = call.parsed("state", "a state such as paused", |text| {
        ConnectorState::ALL.iter().any(|state| state.kind() == text).then(|| text.to_owned())
    })?;
    let credential =
        call.parsed("credential", "the id of a credential", |text| text.parse::<CredentialId>().ok())?;
    let filter = ConnectorFilter { q: call.text("q"), kind: None, state, credential };
    Ok(call.listed(exporters::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let create = async {
        let value = exporters::create(&call.app, &call.actor, call.object()?).await?;
        Ok(Answer::json(StatusCode::CREATED, &value))
    };
    call.once(StatusCode::CREATED, create).await
}

pub(super) async fn preview(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&exporters::preview(&call.app, &call.actor, call.object()?).await?))
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = exporters::find(&call.app, &call.actor, call.place("id")).await?;
    Ok(call.found(&value))
}

pub(super) async fn replace(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = exporters::replace(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn patch(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = exporters::patch(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    match exporters::delete(&call.app, &call.actor, call.place("id"), call.if_match()?).await {
        Ok(deleted) => Ok(Answer::ok(&json!({
            "name": deleted.name,
            "cancelled_runs": deleted.cancelled,
            "records_left_out": deleted.left_out,
        }))),
        Err(error) => Err(Problem::with_current(error, current(&call)).await),
    }
}

pub(super) async fn pause(call: Call) -> Result<Answer, Problem> {
    let pause = async {
        call.nothing()?;
        Ok(Answer::ok(&exporters::pause(&call.app, &call.actor, call.place("id")).await?))
    };
    call.once(StatusCode::OK, pause).await
}

pub(super) async fn resume(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&exporters::resume(&call.app, &call.actor, call.place("id")).await?))
}

/// As it is now, for whoever came second and may read it.
async fn current(call: &Call) -> Result<Value, OpError> {
    exporters::find(&call.app, &call.actor, call.place("id")).await
}

pub(super) async fn runs_of(call: Call) -> Result<Answer, Problem> {
    let state = call.parsed("state", "a state such as done", RunState::find)?;
    let page = call.page()?;
    Ok(call.listed(runs::list(&call.app, &call.actor, call.place("id"), state, &page).await?))
}

pub(super) async fn start(call: Call) -> Result<Answer, Problem> {
    require_key(&call)?;
    let start = async {
        call.nothing()?;
        let value = runs::start(&call.app, &call.actor, call.place("id")).await?;
        Ok(Answer::json(StatusCode::CREATED, &value))
    };
    call.once(StatusCode::CREATED, start).await
}

pub(super) async fn run(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&runs::find(&call.app, &call.actor, call.id::<RunId>("run")?).await?))
}

pub(super) async fn cancel(call: Call) -> Result<Answer, Problem> {
    let id = call.id::<RunId>("run")?;
    let cancel = async {
        let sent = call.object_if_sent()?;
        let unknown: Vec<_> =
            sent.keys().filter(|key| *key != "records").map(|key| unknown_field(key, &["records"])).collect();
        if !unknown.is_empty() {
            return Err(Problem::invalid(&unknown));
        }
        let leave_out = match sent.get("records").and_then(Value::as_str) {
            None if !sent.contains_key("records") => false,
            Some("next_run") => false,
            Some("left_out") => true,
            _ => {
                let sentence = "records must be one of next_run, left_out";
                let fault = consign_core::catalog::Fault::new("unknown", sentence);
                return Err(Problem::invalid(&[fault.at("records")]));
            }
        };
        Ok(Answer::ok(&runs::cancel(&call.app, &call.actor, id, leave_out).await?))
    };
    call.once(StatusCode::OK, cancel).await
}

pub(super) async fn repeat(call: Call) -> Result<Answer, Problem> {
    let id = call.id::<RunId>("run")?;
    let repeat = async {
        call.nothing()?;
        Ok(Answer::json(StatusCode::CREATED, &runs::repeat(&call.app, &call.actor, id).await?))
    };
    call.once(StatusCode::CREATED, repeat).await
}

pub(super) async fn push_records(call: Call) -> Result<Answer, Problem> {
    require_key(&call)?;
    let shape = match essence(&call.headers).as_str() {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Shape::Lines,
        "" | "application/json" => Shape::Array,
        _ => {
            let detail = "Send an array as application/json, or one object a line as application/x-ndjson.";
            return Err(media_type(detail));
        }
    };
    let push = async {
        let value = pushes::records(&call.app, &call.actor, call.place("id"), shape, &call.body).await?;
        Ok(Answer::json(StatusCode::ACCEPTED, &value))
    };
    call.once(StatusCode::ACCEPTED, push).await
}

pub(super) async fn push_file(mut call: Call) -> Result<Answer, Problem> {
    require_key(&call)?;
    let name = call.text("file_name").ok_or_else(|| {
        Problem::parameter("file_name", "file_name must be the name of the file, such as devices.csv.")
    })?;
    let digest = digest(&call)?;
    let length = call.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bytes_max = call.app.config.limits.export_bytes;
    if length.parse::<u64>().is_ok_and(|length| length > bytes_max) {
        return Err(too_large(bytes_max));
    }
    // What recognises the same request, without its content.
    let same = format!("{name}\n{}\n{length}", digest.as_deref().unwrap_or_default());
    call.body = Bytes::from(same);
    let body = call.take_stream();
    let push = async {
        let value = receive(&call, body, &name, digest.as_deref(), bytes_max).await?;
        Ok(Answer::json(StatusCode::ACCEPTED, &value))
    };
    call.once(StatusCode::ACCEPTED, push).await
}

/// Reads the file to its end; what is stored of one that breaks off is removed later.
async fn receive(
    call: &Call,
    mut body: Body,
    name: &str,
    digest: Option<&str>,
    bytes_max: u64,
) -> Result<Value, Problem> {
    let mut push = pushes::begin_file(&call.app, &call.actor, call.place("id"), name).await?;
    loop {
        let Ok(next) = tokio::time::timeout(IDLE_MAX, body.frame()).await else {
            let detail = "Nothing of the file arrived for 60 seconds.";
            return Err(Problem::new(&kinds::TOO_SLOW, detail));
        };
        let frame = match next {
            None => break,
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
    let content_type = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(OCTETS);
    Ok(pushes::finish_file(&call.app, &call.actor, push, content_type, digest).await?)
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

fn require_key(call: &Call) -> Result<(), Problem> {
    if call.idempotency()?.is_some() {
        return Ok(());
    }
    let detail = "This needs the header Idempotency-Key, so that sending it again makes no second copy.";
    Err(Problem::new(&kinds::IDEMPOTENCY_KEY_NEEDED, detail))
}

fn too_large(bytes_max: u64) -> Problem {
    let shown = consign_core::catalog::with_commas(usize::try_from(bytes_max).unwrap_or(usize::MAX));
    Problem::new(&kinds::TOO_LARGE, format!("The file must be {shown} bytes or fewer."))
}
