//! Reading the host keys of a file server.

use axum::http::StatusCode as Status;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::host_keys;

/// A server that does not answer is no error of this request.
pub(super) async fn scan(call: Call) -> Result<Answer, Problem> {
    let found = host_keys::scan(&call.app, &call.actor, call.object()?).await?;
    Ok(Answer::json(Status::CREATED, &found))
}
