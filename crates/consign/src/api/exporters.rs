//! `/exporters` and `/runs`: data exporters, what is pushed to them, and what they did.

use consign_core::catalog::unknown_field;
use consign_core::connector::exporter::RunState;
use consign_core::id::RunId;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, saved_or_changed};
use super::body::{essence, media_type};
use super::call::Call;
use super::connector::filter;
use super::deliveries::resolution;
use super::problem::Problem;
use crate::ops::pushes::Shape;
use crate::ops::{OpError, exporters, pushes, runs};

/// Below the base.
pub(super) const RECORDS: &str = "/exporters/{id}/records";
/// Of pushed records no more bytes come at once.
pub(super) const RECORDS_BYTES_MAX: usize = 10 << 20;
/// Why a key is needed.
pub(super) const NO_SECOND_COPY: &str =
    "This needs the header Idempotency-Key, so that sending it again makes no second copy.";

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let filter = filter(&call, None)?;
    Ok(call.listed(exporters::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let create = async {
        let value = exporters::create(&call.app, &call.actor, call.object()?).await?;
        Ok(call.created(&value))
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
            "cancelled_runs": deleted.loss.runs,
            "records_left_out": deleted.loss.records,
            "files_left_out": deleted.loss.files,
        }))),
        Err(error) => Err(Problem::with_current(error, current(&call)).await),
    }
}

pub(super) async fn unsent(call: Call) -> Result<Answer, Problem> {
    let loss = exporters::unsent(&call.app, &call.actor, call.place("id")).await?;
    Ok(Answer::ok(&json!({ "runs": loss.runs, "records": loss.records, "files": loss.files })))
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

pub(super) async fn history(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::items(json!(exporters::history(&call.app, &call.actor, call.place("id")).await?)))
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
    call.key_needed(NO_SECOND_COPY)?;
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

pub(super) async fn resolve(call: Call) -> Result<Answer, Problem> {
    let id = call.id::<RunId>("run")?;
    let resolve = async {
        let resolution = resolution(&call)?;
        Ok(Answer::ok(&runs::resolve(&call.app, &call.actor, id, resolution).await?))
    };
    call.once(StatusCode::OK, resolve).await
}

pub(super) async fn push_records(call: Call) -> Result<Answer, Problem> {
    call.key_needed(NO_SECOND_COPY)?;
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
