//! `/encryption-keys`.

use http::StatusCode;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::encryption;

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&encryption::list(&call.app, &call.actor).await?))
}

/// Nothing of it has an address of its own: the answer is what the keys are like now.
pub(super) async fn rotate(call: Call) -> Result<Answer, Problem> {
    let rotate =
        async { Ok(Answer::ok(&encryption::rotate(&call.app, &call.actor, call.object_if_sent()?).await?)) };
    call.once(StatusCode::OK, rotate).await
}

pub(super) async fn check(call: Call) -> Result<Answer, Problem> {
    call.nothing()?;
    Ok(Answer::ok(&encryption::check(&call.app, &call.actor).await?))
}
