//! `/deliveries`: what happened, and what a person decides.

use std::future::Future;

use consign_core::catalog::{Fault, Reader};
use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::{ConnectorId, DeliveryId, OperationId};
use consign_core::replay::ReplayRequest;
use consign_store::deliveries::DeliveryFilter;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::OpError;
use crate::ops::deliveries::{self, Resolution};

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let filter = DeliveryFilter {
        state: call.parsed("state", "a state such as failed", DeliveryState::find)?,
        hold_reason: call.parsed("hold_reason", "a reason such as no_answer", HoldReason::find)?,
        connector: call
            .parsed("connector", "the id of a connector", |text| text.parse::<ConnectorId>().ok())?,
        operation: call
            .parsed("operation", "the id of an operation", |text| text.parse::<OperationId>().ok())?,
        event_type: call.text("event_type"),
        created_after: call.time("created_after")?,
        created_before: call.time("created_before")?,
        q: call.text("q"),
        needs_attention: call.flag("needs_attention")?,
    };
    Ok(call.listed(deliveries::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&deliveries::find(&call.app, &call.actor, id(&call)?).await?))
}

pub(super) async fn attempts(call: Call) -> Result<Answer, Problem> {
    let attempts = deliveries::attempts(&call.app, &call.actor, id(&call)?).await?;
    Ok(Answer::items(json!(attempts)))
}

pub(super) async fn commands(call: Call) -> Result<Answer, Problem> {
    let commands = deliveries::commands(&call.app, &call.actor, id(&call)?).await?;
    Ok(Answer::items(json!(commands)))
}

pub(super) async fn try_now(call: Call) -> Result<Answer, Problem> {
    let act = deliveries::try_now(&call.app, &call.actor, id(&call)?);
    act_without_body(&call, StatusCode::ACCEPTED, act).await
}

pub(super) async fn replay(call: Call) -> Result<Answer, Problem> {
    let id = id(&call)?;
    let act = async {
        let request = ReplayRequest::parse(call.object_if_sent()?).map_err(|all| Problem::invalid(&all))?;
        let made = deliveries::replay(&call.app, &call.actor, id, request).await?;
        Ok(Answer::json(StatusCode::CREATED, &made))
    };
    call.once(StatusCode::CREATED, act).await
}

pub(super) async fn cancel(call: Call) -> Result<Answer, Problem> {
    let act = deliveries::cancel(&call.app, &call.actor, id(&call)?);
    act_without_body(&call, StatusCode::OK, act).await
}

pub(super) async fn resolve(call: Call) -> Result<Answer, Problem> {
    let id = id(&call)?;
    let resolve = async {
        let resolution = resolution(&call)?;
        Ok(Answer::ok(&deliveries::resolve(&call.app, &call.actor, id, resolution).await?))
    };
    call.once(StatusCode::OK, resolve).await
}

/// What a person decided about a delivery or a run.
pub(super) fn resolution(call: &Call) -> Result<Resolution, Problem> {
    let mut reader = Reader::new(call.object()?);
    let choices = [("send_again", Resolution::SendAgain), ("delivered", Resolution::Delivered)];
    if !reader.has("as") {
        reader.refuse("as", Fault::new("missing", "Say as: send_again or delivered"));
    }
    let resolution = reader.choice("as", "as", &choices, Resolution::Delivered);
    reader.refuse_unknown(&["as"], &[]);
    let invalid = reader.into_invalid();
    if invalid.is_empty() { Ok(resolution) } else { Err(Problem::invalid(&invalid)) }
}

pub(super) async fn payload(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&deliveries::payload(&call.app, &call.actor, id(&call)?).await?))
}

/// The request as it first left; its headers but the media type are those of the attempt.
pub(super) async fn request_body(call: Call) -> Result<Answer, Problem> {
    let sent = deliveries::request_body(&call.app, &call.actor, id(&call)?).await?;
    Ok(Answer::ok(&json!({
        "method": sent.method,
        "path": sent.path,
        "content_type": sent.content_type,
        "body": String::from_utf8_lossy(&sent.body),
    })))
}

fn id(call: &Call) -> Result<DeliveryId, Problem> {
    call.id("delivery")
}

async fn act_without_body(
    call: &Call,
    status: StatusCode,
    act: impl Future<Output = Result<Value, OpError>>,
) -> Result<Answer, Problem> {
    let act = async {
        call.nothing()?;
        Ok(Answer::json(status, &act.await?))
    };
    call.once(status, act).await
}
