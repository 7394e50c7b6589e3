//! `/credentials/{id}/certificate` and `/credentials/{id}/assertion-preview`.

use consign_core::credential::Which;
use http::StatusCode as Status;
use http::header::CONTENT_TYPE;

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::problem::Problem;
use crate::ops::credentials::{self, certificates};

/// RFC 8555 section 9.1 registers the media type for a chain of certificates; one is the shortest.
const PEM: &str = "application/pem-certificate-chain";

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let which = call.parsed("which", "present, next or previous", |text| match text {
        "present" => Some(Which::Present),
        "next" => Some(Which::Next),
        "previous" => Some(Which::Previous),
        _ => None,
    })?;
    let which = which.unwrap_or(Which::Present);
    let (pem, _) = certificates::pem(&call.app, &call.actor, call.place("id"), which).await?;
    Ok(Answer::text(Status::OK, pem).header(CONTENT_TYPE, PEM))
}

pub(super) async fn create_next(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object_if_sent()?);
    let create = async {
        let made = certificates::create_next(&call.app, &call.actor, call.place("id"), sent, if_match).await;
        match made {
            Ok(value) => Ok(Answer::json(Status::CREATED, &value)),
            Err(error) => Err(Problem::with_current(error, current(&call)).await),
        }
    };
    call.once(Status::CREATED, create).await
}

pub(super) async fn use_next(call: Call) -> Result<Answer, Problem> {
    put_to_use(call, Which::Next).await
}

pub(super) async fn use_previous(call: Call) -> Result<Answer, Problem> {
    put_to_use(call, Which::Previous).await
}

async fn put_to_use(call: Call, which: Which) -> Result<Answer, Problem> {
    call.nothing()?;
    let if_match = call.if_match()?;
    let put = async {
        let saved = certificates::put_to_use(&call.app, &call.actor, call.place("id"), which, if_match).await;
        saved_or_changed(saved, current(&call)).await
    };
    call.once(Status::OK, put).await
}

pub(super) async fn drop_next(call: Call) -> Result<Answer, Problem> {
    let if_match = call.if_match()?;
    let saved = certificates::drop_next(&call.app, &call.actor, call.place("id"), if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn preview(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&certificates::preview(&call.app, &call.actor, call.place("id")).await?))
}

async fn current(call: &Call) -> Result<serde_json::Value, crate::ops::OpError> {
    credentials::find(&call.app, &call.actor, call.place("id")).await
}
