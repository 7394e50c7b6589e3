//! `/settings` and `/egress-checks`.

use serde_json::Value;

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::problem::Problem;
use crate::ops::{OpError, settings};

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = settings::find(&call.app, &call.actor).await?;
    Ok(call.found(&value))
}

pub(super) async fn change(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = settings::change(&call.app, &call.actor, sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

async fn current(call: &Call) -> Result<Value, OpError> {
    settings::find(&call.app, &call.actor).await
}

/// Nothing is made, so that it can be asked again and again.
pub(super) async fn check_egress(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&settings::check_egress(&call.app, &call.actor, call.object()?).await?))
}
