//! `/webhooks`.

use consign_core::id::EventId;
use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, saved_or_changed};
use super::call::Call;
use super::connector::filter;
use super::problem::Problem;
use crate::ops::{OpError, signing, webhooks};

const TEST_KEYS: &[&str] = &["event", "type", "data"];

/// Webhooks.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let filter = filter(&call, None)?;
    Ok(call.listed(webhooks::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}

pub(super) async fn create(call: Call) -> Result<Answer, Problem> {
    let create = async {
        let value = webhooks::create(&call.app, &call.actor, call.object()?).await?;
        Ok(call.created(&value))
    };
    call.once(StatusCode::CREATED, create).await
}

pub(super) async fn preview(call: Call) -> Result<Answer, Problem> {
    let mut sent = call.object()?;
    let event = match sent.remove("event") {
        None | Some(Value::Null) => None,
        Some(id) => {
            let id = id.as_str().and_then(|id| id.parse::<EventId>().ok());
            Some(id.ok_or_else(|| Problem::not_found("event"))?)
        }
    };
    Ok(Answer::ok(&webhooks::preview(&call.app, &call.actor, sent, event).await?))
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let value = webhooks::find(&call.app, &call.actor, call.place("id")).await?;
    Ok(call.found(&value))
}

pub(super) async fn replace(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = webhooks::replace(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn patch(call: Call) -> Result<Answer, Problem> {
    let (if_match, sent) = (call.if_match()?, call.object()?);
    let saved = webhooks::patch(&call.app, &call.actor, call.place("id"), sent, if_match).await;
    saved_or_changed(saved, current(&call)).await
}

pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    match webhooks::delete(&call.app, &call.actor, call.place("id"), call.if_match()?).await {
        Ok(deleted) => Ok(Answer::ok(&json!({ "name": deleted.name, "cancelled": deleted.cancelled }))),
        Err(error) => Err(Problem::with_current(error, current(&call)).await),
    }
}

pub(super) async fn test(call: Call) -> Result<Answer, Problem> {
    let test = async {
        let sample = call.object_if_sent()?;
        let unknown = sample.keys().filter(|key| !TEST_KEYS.contains(&key.as_str()));
        let unknown: Vec<_> =
            unknown.map(|key| consign_core::catalog::unknown_field(key, TEST_KEYS)).collect();
        if !unknown.is_empty() {
            return Err(Problem::invalid(&unknown));
        }
        let value = webhooks::send_test(&call.app, &call.actor, call.place("id"), Some(sample)).await?;
        Ok(Answer::json(StatusCode::CREATED, &value))
    };
    call.once(StatusCode::CREATED, test).await
}

pub(super) async fn pause(call: Call) -> Result<Answer, Problem> {
    let pause = async {
        call.nothing()?;
        Ok(Answer::ok(&webhooks::pause(&call.app, &call.actor, call.place("id")).await?))
    };
    call.once(StatusCode::OK, pause).await
}

pub(super) async fn resume(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&webhooks::resume(&call.app, &call.actor, call.place("id")).await?))
}

pub(super) async fn history(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::items(json!(webhooks::history(&call.app, &call.actor, call.place("id")).await?)))
}

/// As it is now, for whoever came second and may read it.
async fn current(call: &Call) -> Result<Value, OpError> {
    webhooks::find(&call.app, &call.actor, call.place("id")).await
}

pub(super) async fn signing_keys(call: Call) -> Result<Answer, Problem> {
    let keys = signing::list(&call.app, &call.actor, call.place("id")).await?;
    Ok(Answer::items(json!(keys)))
}

pub(super) async fn change_signing_key(call: Call) -> Result<Answer, Problem> {
    let change = async {
        let sent = call.object_if_sent()?;
        let value = signing::change(&call.app, &call.actor, call.place("id"), sent).await?;
        Ok(Answer::json(StatusCode::CREATED, &value))
    };
    call.once(StatusCode::CREATED, change).await
}

pub(super) async fn check_signature(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&signing::check(&call.app, &call.actor, call.place("id"), call.object()?).await?))
}
