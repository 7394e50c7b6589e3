//! `/overview`: how it goes, and what needs a person.

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::overview;

pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&overview::show(&call.app, &call.actor).await?))
}
