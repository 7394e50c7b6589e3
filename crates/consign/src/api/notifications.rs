//! `/notifications` and `/mail-tests`.

use http::StatusCode;
use serde_json::Value;

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::problem::Problem;
use crate::ops::{OpError, mail, notices};

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = notices::find(&call.app, &call.actor).await?;
    Ok(call.found(&value))
}

pub(super) async fn change(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = notices::change(&call.app, &call.actor, sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

async fn current(call: &Call) -> Result<Value, OpError> {
    notices::find(&call.app, &call.actor).await
}

pub(super) async fn test_mail(call: Call) -> Result<Answer, Problem> {
    let test = async { Ok(Answer::ok(&mail::test(&call.app, &call.actor, call.object_if_sent()?).await?)) };
    call.once(StatusCode::OK, test).await
}
