//! `/encryption-keys`.

use axum::body::Body;
use http::StatusCode;
use http::header::CONTENT_DISPOSITION;

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

/// The one answer that holds keys, sealed with a passphrase of the caller.
pub(super) async fn recovery_file(call: Call) -> Result<Answer, Problem> {
    let text = encryption::recovery_file(&call.app, &call.actor, call.object()?).await?;
    let name = format!("attachment; filename=\"{}\"", encryption::RECOVERY_FILE_NAME);
    let body = Body::from(text.expose().to_owned());
    Ok(Answer::streamed("text/plain; charset=utf-8", body).header(CONTENT_DISPOSITION, &name))
}
