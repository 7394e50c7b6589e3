//! `/api-keys`.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::api_keys;

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::items(json!(api_keys::list(&call.app, &call.actor).await?)))
}

/// The one answer that holds the text of a key. What is kept of it for a repeat is sealed.
pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let create = async {
        let (mut key, text) = api_keys::create(&call.app, &call.actor, call.object()?).await?;
        key["text"] = Value::from(text.expose());
        Ok(Answer::json(StatusCode::CREATED, &key))
    };
    call.once(StatusCode::CREATED, create).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    api_keys::delete(&call.app, &call.actor, call.place("id")).await?;
    Ok(Answer::nothing())
}
