//! `/settings` with its parts, `/egress-checks`, `/sending-pauses`, `/public-url-checks`, `/storage`, `/replicas` and `/support-bundle`.

use http::StatusCode;
use serde_json::Value;

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::problem::Problem;
use crate::ops::settings::{delivery, egress, sign_in};
use crate::ops::{OpError, public_url, replicas, sending, settings, support};

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

pub(super) async fn find_sign_in(call: Call) -> Result<Answer, Problem> {
    let value = sign_in::find(&call.app, &call.actor).await?;
    Ok(call.found(&value))
}

pub(super) async fn change_sign_in(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = sign_in::change(&call.app, &call.actor, sent, if_match).await;
    saved_or_changed(saved, sign_in::find(&call.app, &call.actor)).await
}

pub(super) async fn find_delivery(call: Call) -> Result<Answer, Problem> {
    let value = delivery::find(&call.app, &call.actor).await?;
    Ok(call.found(&value))
}

pub(super) async fn change_delivery(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = delivery::change(&call.app, &call.actor, sent, if_match).await;
    saved_or_changed(saved, delivery::find(&call.app, &call.actor)).await
}

pub(super) async fn find_egress(call: Call) -> Result<Answer, Problem> {
    let value = egress::find(&call.app, &call.actor).await?;
    Ok(call.found(&value))
}

pub(super) async fn change_egress(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = egress::change(&call.app, &call.actor, sent, if_match).await;
    saved_or_changed(saved, egress::find(&call.app, &call.actor)).await
}

/// Nothing is made, so that it can be asked again and again.
pub(super) async fn check_egress(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&settings::check_egress(&call.app, &call.actor, call.object()?).await?))
}

pub(super) async fn sending(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&sending::find(&call.app, &call.actor)?))
}

pub(super) async fn pause_sending(call: Call) -> Result<Answer, Problem> {
    let pause = async {
        call.nothing()?;
        Ok(Answer::ok(&sending::pause(&call.app, &call.actor).await?))
    };
    call.once(StatusCode::OK, pause).await
}

pub(super) async fn resume_sending(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&sending::resume(&call.app, &call.actor).await?))
}

pub(super) async fn storage(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&sending::storage(&call.app, &call.actor).await?))
}

pub(super) async fn replicas(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&replicas::list(&call.app, &call.actor).await?))
}

pub(super) async fn support_preview(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&support::preview(&call.app, &call.actor).await?))
}

pub(super) async fn support_take(call: Call) -> Result<Answer, Problem> {
    call.nothing()?;
    Ok(Answer::ok(&support::take(&call.app, &call.actor).await?))
}

/// What is not as it should be is an answer.
pub(super) async fn check_public_url(call: Call) -> Result<Answer, Problem> {
    let sent = call.object_if_sent()?;
    Ok(Answer::ok(&public_url::check(&call.app, &call.actor, sent).await?))
}
