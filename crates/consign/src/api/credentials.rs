//! `/credentials`, `/authorization-types` and `/presets`.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use consign_core::catalog::{Fault, Protocol, Reader};
use consign_core::credential::StatusCode;
use consign_core::secret::Secret;
use consign_store::credentials::{CredentialFilter, CredentialSort};
use http::StatusCode as Status;
use serde_json::{Value, json};

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::problem::Problem;
use crate::engine::StepWatch;
use crate::ops::credential_tests::live::{self, Begun};
use crate::ops::{OpError, consent, credential_tests, credentials, presets};

/// JSON, line by line.
const LINES: &str = "application/x-ndjson";

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let status = call.parsed("status", "a status such as sign_in_refused", |text| {
        StatusCode::ALL.iter().copied().find(|code| code.kind() == text)
    })?;
    let label = call.parsed("label", "a label such as team=itsm", |text| {
        text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
    })?;
    let ends_before = call.parsed("ends_before", "a date such as 2027-02-12", |text| {
        let day = consign_core::time::Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z"))?.day();
        (day == text).then_some(day)
    })?;
    let filter = CredentialFilter {
        q: call.text("q"),
        needs_attention: call.flag("needs_attention")?,
        protocol: call.parsed("protocol", "https or sftp", protocol)?,
        status,
        authorization_type: call.text("authorization_type"),
        label,
        ends_before,
        managed_by: call.manager("managed_by")?,
    };
    let order = call.parsed("order", "a word such as name or -last_used_at", CredentialSort::find)?;
    let wanted = (&filter, order.unwrap_or_default());
    Ok(call.listed(credentials::list(&call.app, &call.actor, wanted, &call.page()?).await?))
}

fn protocol(text: &str) -> Option<Protocol> {
    [Protocol::Https, Protocol::Sftp].into_iter().find(|protocol| protocol.kind() == text)
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let create = async {
        let value = credentials::create(&call.app, &call.actor, call.object()?).await?;
        Ok(call.created(&value))
    };
    call.once(Status::CREATED, create).await
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = credentials::find(&call.app, &call.actor, call.place("id")).await?;
    Ok(call.found(&value))
}

pub(super) async fn replace(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = credentials::replace(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn patch(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = credentials::patch(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn replace_secret(call: Call) -> Result<Answer, Problem> {
    let if_match = call.if_match()?;
    let mut reader = Reader::new(call.object()?);
    let value = match reader.take("value") {
        Value::String(text) => Secret::new(text),
        Value::Null => {
            reader.refuse("value", Fault::new("missing", "Enter the secret"));
            Secret::new(String::new())
        }
        _ => {
            reader.refuse("value", Fault::new("bad_form", "The secret must be text"));
            Secret::new(String::new())
        }
    };
    reader.refuse_unknown(&["value"], &[]);
    let invalid = reader.into_invalid();
    if !invalid.is_empty() {
        return Err(Problem::invalid(&invalid));
    }
    let (id, field) = (call.place("id"), call.place("field"));
    let saved = credentials::replace_secret(&call.app, &call.actor, id, field, value, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    let if_match = call.if_match()?;
    let hold = call.parsed("linked", "hold", |text| (text == "hold").then_some(()))?.is_some();
    match credentials::delete(&call.app, &call.actor, call.place("id"), if_match, hold).await {
        Ok(deleted) => Ok(Answer::ok(&json!({ "name": deleted.name, "connectors": deleted.connectors }))),
        Err(error) => Err(Problem::with_current(error, current(&call)).await),
    }
}

pub(super) async fn usage(call: Call) -> Result<Answer, Problem> {
    let usage = credentials::usage(&call.app, &call.actor, call.place("id")).await?;
    Ok(Answer::items(json!(usage)))
}

pub(super) async fn history(call: Call) -> Result<Answer, Problem> {
    let entries = credentials::history(&call.app, &call.actor, call.place("id")).await?;
    Ok(Answer::items(json!(entries)))
}

pub(super) async fn tests(call: Call) -> Result<Answer, Problem> {
    let tests = credential_tests::list(&call.app, &call.actor, call.place("id")).await?;
    Ok(Answer::items(json!(tests)))
}

/// A failed test is no error of this request.
pub(super) async fn test(call: Call) -> Result<Answer, Problem> {
    let values = call.object_if_sent()?;
    let values = (!values.is_empty()).then_some(values);
    let write = write_too(&call)?;
    let (app, actor, id) = (call.app.clone(), call.actor.clone(), call.place("id").to_owned());
    tested(&call, async move |watch| credential_tests::start(&app, &actor, &id, values, write, watch).await)
        .await
}

pub(super) async fn test_values(call: Call) -> Result<Answer, Problem> {
    let (write, sent) = (write_too(&call)?, call.object()?);
    let (app, actor) = (call.app.clone(), call.actor.clone());
    tested(&call, async move |watch| credential_tests::of_values(&app, &actor, sent, write, watch).await)
        .await
}

/// The result of a test, or, for whoever accepts lines, a line for each step as soon as it ends, and the result behind them.
async fn tested<F>(call: &Call, work: impl FnOnce(Option<StepWatch>) -> F) -> Result<Answer, Problem>
where
    F: Future<Output = Result<Value, OpError>> + Send + 'static,
{
    if !call.accepts(LINES) {
        return Ok(Answer::json(Status::CREATED, &work(None).await?));
    }
    let line = |kind: &str, value: Value| json!({ kind: value }).to_string() + "\n";
    match live::begin(|watch| work(Some(watch))).await {
        Begun::Ended(result) => Ok(Answer::streamed(LINES, Body::from(line("result", result?)))),
        Begun::GoesOn(test) => {
            let request_id = call.actor.request_id;
            let last = async move |result: Result<Value, OpError>| match result {
                Ok(result) => Ok(Bytes::from(line("result", result))),
                Err(error) => {
                    live::has_no_result(&error, request_id);
                    Err(io::Error::other(error.to_string()))
                }
            };
            let body = test.body(move |step| line("step", json!(step)), last);
            Ok(Answer::streamed(LINES, Body::new(body)).header(live::UNBUFFERED, "no"))
        }
    }
}

/// Whether a small file is written to a file server, renamed and deleted.
fn write_too(call: &Call) -> Result<bool, Problem> {
    Ok(call.parsed("write", "true", |text| (text == "true").then_some(()))?.is_some())
}

pub(super) async fn authorization(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&consent::state(&call.app, &call.actor, call.place("id")).await?))
}

/// The address of the page from which a person goes to the tool.
pub(super) async fn authorize(call: Call) -> Result<Answer, Problem> {
    call.nothing()?;
    Ok(Answer::json(Status::CREATED, &consent::begin(&call.app, &call.actor, call.place("id")).await?))
}

pub(super) async fn forget_tokens(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&consent::forget(&call.app, &call.actor, call.place("id")).await?))
}

pub(super) async fn types(_: Call) -> Result<Answer, Problem> {
    Ok(Answer::items(credentials::catalogue()))
}

pub(super) async fn presets(_: Call) -> Result<Answer, Problem> {
    Ok(Answer::items(presets::list()))
}

/// As it is now, for whoever came second and may read it.
async fn current(call: &Call) -> Result<Value, OpError> {
    credentials::find(&call.app, &call.actor, call.place("id")).await
}
