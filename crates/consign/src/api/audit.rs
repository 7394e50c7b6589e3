//! `/audit-entries`.

use consign_store::audit::AuditFilter;

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::audit;

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let filter =
        AuditFilter { object_id: call.text("object"), actor: call.text("actor"), ..AuditFilter::default() };
    Ok(call.listed(audit::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}
