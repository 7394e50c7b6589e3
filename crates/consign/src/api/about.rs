//! `/about` and `/about/licences`: what runs here, and what it is built of.

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::about;

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&about::find(&call.app, &call.actor)?))
}

pub(super) async fn licences(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&about::licences(&call.actor)?))
}
