//! Exceptions from the egress rules: the first use of each by a credential stands in the audit log.

use consign_store::audit::{self, Wanted};
use consign_store::{PAGE_ITEMS_MAX, credentials, installation};
use serde_json::json;

use super::{Actor, Object, OpError, audit_entry, commit};
use crate::App;
use crate::engine::Exception;

const USED: &str = "Used egress exception";
/// Held while one is written down, so that of two replicas that saw the same use one does it.
const TURN: &str = "egress_exceptions";

/// Writes down what was used since the last look, once for each credential and rule, whatever was restarted meanwhile.
pub(super) async fn look(app: &App) {
    for used in app.engine.exceptions_used() {
        match write_down(app, &used).await {
            Ok(stands) => app.engine.exception_told(&used, stands),
            // The next round tries it again.
            Err(error) => {
                tracing::error!(credential.id = %used.credential, error = %error, "a used egress exception is not in the log");
            }
        }
    }
}

/// Whether it stands in the log now: what was tested and never saved, and what was deleted meanwhile, does not.
async fn write_down(app: &App, used: &Exception) -> Result<bool, OpError> {
    let mut tx = app.store.begin().await?;
    installation::get_to_set(&mut tx, TURN).await?;
    let Some(credential) = credentials::find(&mut tx, used.credential).await? else { return Ok(false) };
    let id = credential.id.to_string();
    let written = audit::newest_of(&mut tx, &id, Wanted::Action(USED), PAGE_ITEMS_MAX).await?;
    if written.iter().any(|entry| entry.changes["rule"] == used.rule.as_str()) {
        return Ok(true);
    }
    let object = Object { kind: "credential", id, name: credential.name.as_str() };
    let changes = json!({ "rule": used.rule, "address": used.address });
    let actor = Actor::system(tx.now());
    audit_entry(app, &mut tx, &actor, USED, object, changes).await?;
    commit(app, tx).await?;
    Ok(true)
}
