//! Exceptions from the egress rules: the first use of each by a credential stands in the audit log.

use consign_store::audit::{self, AuditFilter};
use consign_store::{PAGE_ITEMS_MAX, Page, credentials, installation};
use serde_json::json;

use super::{Actor, Object, OpError, audit_entry, commit};
use crate::App;
use crate::engine::Exception;

const USED: &str = "Used egress exception";
/// Held while one is written down, so that of two replicas that saw the same use one does it.
const TURN: &str = "egress_exceptions";

/// Writes down what was used since the last look, once for each credential and rule, whatever was restarted meanwhile.
pub(super) async fn look(app: &App) -> Result<(), OpError> {
    for used in app.engine.exceptions_used() {
        let stands = write_down(app, &used).await?;
        app.engine.exception_told(&used, stands);
    }
    Ok(())
}

/// Whether it stands in the log now: what was tested and never saved, and what was deleted meanwhile, does not.
async fn write_down(app: &App, used: &Exception) -> Result<bool, OpError> {
    let mut tx = app.store.begin().await?;
    installation::get_to_set(&mut tx, TURN).await?;
    let Some(credential) = credentials::find(&mut tx, used.credential).await? else { return Ok(false) };
    let id = credential.id.to_string();
    let filter =
        AuditFilter { object: Some(id.clone()), action: Some(USED.to_owned()), ..AuditFilter::default() };
    // One for each rule: there are never more than a page of them.
    let written = audit::list(&mut tx, &filter, &Page::first(PAGE_ITEMS_MAX)).await?;
    if written.items.iter().any(|entry| entry.changes["rule"] == used.rule.as_str()) {
        return Ok(true);
    }
    let object = Object { kind: "credential", id, name: credential.name.as_str() };
    let changes = json!({ "rule": used.rule, "address": used.address });
    let actor = Actor::system(tx.now());
    audit_entry(app, &mut tx, &actor, USED, object, changes).await?;
    commit(app, tx).await?;
    Ok(true)
}
