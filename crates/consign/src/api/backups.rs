//! `/backups`.

use axum::body::Body;
use http::StatusCode;
use http::header::CONTENT_DISPOSITION;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::body;
use super::call::Call;
use super::problem::{Problem, kinds};
use crate::ops::backup::{self, Arriving};
use crate::server::pieces;

/// Its body is a file of any size, or an object that names one.
pub(super) const CHECKS: &str = "/backups/checks";

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&backup::list(&call.app, &call.actor).await?))
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let create = async {
        call.nothing()?;
        let started = backup::start(&call.app, &call.actor).await?;
        Ok(Answer::json(StatusCode::ACCEPTED, &started))
    };
    call.once(StatusCode::ACCEPTED, create).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    backup::delete(&call.app, &call.actor, call.place("name")).await?;
    Ok(Answer::nothing())
}

/// A file is carried away by POST: it is audited, and asks persons for their password.
pub(super) async fn download(call: Call) -> Result<Answer, Problem> {
    let (name, sent) = (call.place("name").to_owned(), call.object_if_sent()?);
    let (file, name, bytes) = backup::download(&call.app, &call.actor, &name, sent).await?;
    let name = format!("attachment; filename=\"{name}\"");
    let body = pieces::of(file, bytes);
    Ok(Answer::streamed("application/zstd", body).header(CONTENT_DISPOSITION, &name))
}

pub(super) async fn check(mut call: Call) -> Result<Answer, Problem> {
    let sent = call.take_stream();
    if body::essence(&call.headers) == "application/json" {
        call.body = body::read(&call.headers, sent, body::BYTES_MAX).await?;
        let name = named(&call.object()?)?;
        return Ok(Answer::ok(&backup::check_kept(&call.app, &call.actor, &name).await?));
    }
    let mut arriving = backup::begin_check(&call.app, &call.actor)?;
    receive(&mut arriving, sent, call.app.engine.delivery_rules().export_bytes).await?;
    Ok(Answer::ok(&backup::check(&call.app, &call.actor, arriving, "a file from elsewhere").await?))
}

fn named(sent: &Map<String, Value>) -> Result<String, Problem> {
    if let Some(key) = sent.keys().find(|key| *key != "name") {
        let unknown = consign_core::catalog::unknown_field(key, &["name"]);
        return Err(Problem::invalid(&[unknown]));
    }
    Ok(sent.get("name").and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Takes in what arrives.
async fn receive(arriving: &mut Arriving, mut sent: Body, bytes_max: u64) -> Result<(), Problem> {
    let mut bytes = 0_u64;
    while let Some(frame) = sent.frame().await {
        let frame =
            frame.map_err(|_| Problem::new(&kinds::NOT_READABLE, "The body ended before it was whole."))?;
        let Some(piece) = frame.data_ref() else { continue };
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > bytes_max {
            return Err(body::too_large(usize::try_from(bytes_max).unwrap_or(usize::MAX)));
        }
        arriving.take(piece).await?;
    }
    Ok(())
}
