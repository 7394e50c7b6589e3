//! `/users`: people, their roles, and the links that bring new ones.

use http::StatusCode;
use serde_json::Value;

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::problem::Problem;
use crate::ops::OpError;
use crate::ops::people::{self, Deed};

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    Ok(call.listed(people::list(&call.app, &call.actor, &call.page()?).await?))
}

/// The one answer that holds the link. What is kept of it for a repeat is sealed.
pub(super) async fn invite(call: Call) -> Result<Answer, Problem> {
    let invite = async {
        let value = people::invite(&call.app, &call.actor, call.object()?).await?;
        Ok(Answer::json(StatusCode::CREATED, &value))
    };
    call.once(StatusCode::CREATED, invite).await
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = people::find(&call.app, &call.actor, call.place("id")).await?;
    Ok(call.found(&value))
}

pub(super) async fn change(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = people::change(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    match people::delete(&call.app, &call.actor, call.place("id"), call.if_match()?).await {
        Ok(_) => Ok(Answer::nothing()),
        Err(error) => Err(Problem::with_current(error, current(&call)).await),
    }
}

pub(super) async fn invite_again(call: Call) -> Result<Answer, Problem> {
    let invite = async {
        let sent = call.object_if_sent()?;
        let value = people::invite_again(&call.app, &call.actor, call.place("id"), sent).await?;
        Ok(Answer::json(StatusCode::CREATED, &value))
    };
    call.once(StatusCode::CREATED, invite).await
}

pub(super) async fn suspend(call: Call) -> Result<Answer, Problem> {
    call.once(StatusCode::OK, act(&call, Deed::Suspend)).await
}

pub(super) async fn reactivate(call: Call) -> Result<Answer, Problem> {
    act(&call, Deed::Reactivate).await
}

pub(super) async fn sign_out(call: Call) -> Result<Answer, Problem> {
    act(&call, Deed::SignOut).await
}

pub(super) async fn reset_two_step(call: Call) -> Result<Answer, Problem> {
    act(&call, Deed::ResetTwoStep).await
}

async fn act(call: &Call, deed: Deed) -> Result<Answer, Problem> {
    let sent = call.object_if_sent()?;
    Ok(Answer::ok(&people::act(&call.app, &call.actor, call.place("id"), deed, sent).await?))
}

/// As they are now, for whoever came second.
async fn current(call: &Call) -> Result<Value, OpError> {
    people::find(&call.app, &call.actor, call.place("id")).await
}
