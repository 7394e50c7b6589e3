//! `/replays` and `/operations`: many deliveries sent again, and how long work stands.

use consign_core::id::OperationId;
use consign_core::operation::OperationKind;
use consign_core::replay::take_dry_run;
use http::StatusCode;
use serde_json::Value;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::{operations, replays};

pub(super) async fn replays(call: Call) -> Result<Answer, Problem> {
    let kind = Some(OperationKind::Replay);
    Ok(call.listed(operations::list(&call.app, &call.actor, kind, &call.page()?).await?))
}

pub(super) async fn replay(call: Call) -> Result<Answer, Problem> {
    let mut sent = call.object_if_sent()?;
    if take_dry_run(&mut sent).map_err(|invalid| Problem::invalid(&invalid))? {
        return Ok(Answer::ok(&replays::preview(&call.app, &call.actor, sent).await?));
    }
    call.key_needed("A replay needs the header Idempotency-Key, so that asking again starts no second one.")?;
    let start = async {
        let value = replays::start(&call.app, &call.actor, sent).await?;
        Ok(Answer::json(StatusCode::ACCEPTED, &value))
    };
    call.once(StatusCode::ACCEPTED, start).await
}

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let kind = call.parsed("kind", "a kind such as replay", OperationKind::find)?;
    Ok(call.listed(operations::list(&call.app, &call.actor, kind, &call.page()?).await?))
}

pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&operations::find(&call.app, &call.actor, id(&call)?).await?))
}

pub(super) async fn stop(call: Call) -> Result<Answer, Problem> {
    let stopped: Value = operations::stop(&call.app, &call.actor, id(&call)?).await?;
    Ok(Answer::ok(&stopped))
}

fn id(call: &Call) -> Result<OperationId, Problem> {
    call.id("operation")
}
