//! `/gateways`: how gateways are set up. What is called through them is not of this API.

use consign_core::connector::gateway::METHODS;
use consign_core::id::KeyId;
use consign_store::gateway_calls::CallFilter;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::connector::filter;
use super::problem::Problem;
use crate::ops::{OpError, gateways};

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let filter = filter(&call, None)?;
    Ok(call.listed(gateways::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}

/// The API keys that may call gateways.
pub(super) async fn callers(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::items(json!(gateways::callers(&call.app, &call.actor)?)))
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let create = async {
        let value = gateways::create(&call.app, &call.actor, call.object()?).await?;
        Ok(call.created(&value))
    };
    call.once(StatusCode::CREATED, create).await
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = gateways::find(&call.app, &call.actor, call.place("id")).await?;
    Ok(call.found(&value))
}

pub(super) async fn replace(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = gateways::replace(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn patch(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = gateways::patch(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    match gateways::delete(&call.app, &call.actor, call.place("id"), call.if_match()?).await {
        Ok(name) => Ok(Answer::ok(&json!({ "name": name }))),
        Err(error) => Err(Problem::with_current(error, current(&call)).await),
    }
}

pub(super) async fn pause(call: Call) -> Result<Answer, Problem> {
    let pause = async {
        call.nothing()?;
        Ok(Answer::ok(&gateways::pause(&call.app, &call.actor, call.place("id")).await?))
    };
    call.once(StatusCode::OK, pause).await
}

pub(super) async fn resume(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&gateways::resume(&call.app, &call.actor, call.place("id")).await?))
}

pub(super) async fn history(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::items(json!(gateways::history(&call.app, &call.actor, call.place("id")).await?)))
}

pub(super) async fn calls(call: Call) -> Result<Answer, Problem> {
    let filter = CallFilter {
        key: call.parsed("api_key", "the id of an API key", |text| text.parse::<KeyId>().ok())?,
        method: call.parsed("method", "a method such as GET", |text| {
            METHODS.iter().any(|method| method.as_str() == text).then(|| text.to_owned())
        })?,
        errors_only: call.flag("errors")?,
    };
    let listed = gateways::calls(&call.app, &call.actor, call.place("id"), &filter, &call.page()?).await?;
    Ok(call.listed(listed))
}

/// A call to see that it works. What comes of it is no error of this API.
pub(super) async fn trial(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&gateways::trial(&call.app, &call.actor, call.place("id"), call.object()?).await?))
}

/// As it is now, for whoever came second and may read it.
async fn current(call: &Call) -> Result<Value, OpError> {
    gateways::find(&call.app, &call.actor, call.place("id")).await
}
