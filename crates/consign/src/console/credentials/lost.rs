//! Connectors that lost a credential of the same name: the page of the new one offers it to them, with one button.

use axum::extract::Path;
use axum::response::Response;
use consign_core::catalog::{Fault, Invalid};
use consign_core::rights::Right;
use serde_json::{Value, json};

use super::{LIST, Page, Stored, edit_page};
use crate::console::errors::Failure;
use crate::console::form::{CredentialForm, Kept};
use crate::console::visit::{Message, Signed};
use crate::ops::OpError;
use crate::ops::connector::{self, AT_ONCE_MAX, Given};

/// More of them are counted and not named.
const NAMED_MAX: usize = 20;

/// The connectors that the page of a credential offers it to, for those who may change them; null when there are none.
pub(super) fn offered(visit: &Signed, current: &Value) -> Result<Value, OpError> {
    if !visit.actor.rights.allow(Right::ConnectorsWrite) {
        return Ok(Value::Null);
    }
    let name = current["name"].as_str().unwrap_or_default();
    let lost = connector::that_lost(visit.app(), &visit.actor, name)?;
    if lost.is_empty() {
        return Ok(Value::Null);
    }
    let free = lost.iter().filter(|connector| connector.managed_by.is_none()).count();
    let named = lost.iter().take(NAMED_MAX).map(|connector| {
        json!({
            "id": connector.id, "kind": connector.kind.word(), "name": connector.name,
            "managed_by": connector.managed_by,
        })
    });
    Ok(json!({
        "all": lost.len(),
        "named": named.collect::<Vec<_>>(),
        "more": lost.len().saturating_sub(NAMED_MAX),
        "takes": free.min(AT_ONCE_MAX),
    }))
}

/// Gives the credential to them. Those that it does not fit are told one by one.
pub(super) async fn give(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let given = connector::give(visit.app(), &visit.actor, &id).await?;
    let stored = Stored::read(&visit, &id).await?;
    if given.left.is_empty() {
        let id = stored.current["id"].as_str().unwrap_or_default();
        return Ok(visit.go_and_say(&format!("{LIST}/{id}"), Message::done(done(given.count))));
    }
    let left = left(&given);
    let kept = Kept::take(&visit).await?;
    let form = CredentialForm::stored(&stored.current);
    edit_page(&visit, Page::refused(&form, &kept, &left), &stored).await
}

fn done(count: usize) -> String {
    match count {
        0 => "No connector waits for it any more.".to_owned(),
        1 => "1 connector uses it now.".to_owned(),
        many => format!("{many} connectors use it now."),
    }
}

/// What is said of those that have none yet, behind how many have it.
fn left(given: &Given) -> Vec<Invalid> {
    let told = |sentence: String| Fault::new("credential_missing", sentence).at("");
    let first = (given.count > 0).then(|| told(done(given.count)));
    let others =
        given.left.iter().map(|(name, why)| told(format!("“{name}” still has no credential: {why}")));
    first.into_iter().chain(others).collect()
}
