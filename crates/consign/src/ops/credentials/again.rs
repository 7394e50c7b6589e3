//! A file that is applied again: what it says of secrets is held against the ones that are stored, so that the same ones
//! are kept, with the tokens and the test result that they gave.

use consign_core::credential::{Credential, Draft};
use serde_json::{Map, Value, json};

use super::{is_as_saved, object};
use crate::App;
use crate::ops::{Actor, OpError, audit_entry, commit};

/// What stands in the audit log of it.
pub(super) const COMPARED: &str = "Compared secrets";

/// Keeps what the credential has already: the key pair that was made for it, and every secret that is the same. That two
/// secrets were compared stands in the audit log, whatever came of it.
///
/// # Errors
/// Too often.
pub(super) async fn keep_what_is_the_same(
    app: &App,
    actor: &Actor,
    current: &Credential,
    draft: &mut Draft,
) -> Result<(), OpError> {
    let mut tx = app.store.begin().await?;
    if !is_as_saved(app, &mut tx, current).await? {
        return Ok(());
    }
    draft.keep_made_pair(current);
    let sent = draft.sent_again(current);
    if sent.is_empty() {
        return Ok(());
    }
    app.tests.take(format!("secrets of {}", current.id), app.now())?;
    let same = app.engine.same_secrets(current, &sent);
    let found = sent.iter().map(|(key, _)| {
        let word = if same.iter().any(|one| one == key) { "the same" } else { "another" };
        ((*key).to_owned(), json!(word))
    });
    let found = Value::Object(found.collect::<Map<_, _>>());
    audit_entry(app, &mut tx, actor, COMPARED, object(current), found).await?;
    commit(app, tx).await?;
    draft.keep(&same);
    Ok(())
}
