//! Connectors that lost their credential: a credential of the same name can be given to all of them at once.

use std::sync::Arc;

use consign_core::connector::{Connector, Kind};
use consign_core::name::Name;
use consign_core::rights::Right;
use serde_json::{Value, json};

use crate::App;
use crate::ops::{Actor, IfMatch, OpError, Sent, credentials, exporters, gateways, webhooks};

/// So many are given a credential at once: each is an edit of its own.
pub const AT_ONCE_MAX: usize = 20;

/// The connectors that lost a credential of this name and have no other one, by name.
///
/// # Errors
/// Without the right.
pub fn that_lost(app: &App, actor: &Actor, name: &str) -> Result<Vec<Arc<Connector>>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let key = |name: &str| Name::from_stored(name.to_owned()).key();
    let wanted = key(name);
    let snapshot = app.engine.snapshot();
    let waits = |connector: &&Arc<Connector>| {
        connector.credential.is_none()
            && connector.lost_credential.as_deref().is_some_and(|lost| key(lost) == wanted)
    };
    let mut found: Vec<_> = snapshot.connectors().iter().filter(waits).cloned().collect();
    found.sort_by_key(|connector| connector.name.key());
    Ok(found)
}

/// What became of connectors that lost a credential.
#[derive(Debug, Default)]
pub struct Given {
    /// So many have the new one.
    pub count: usize,
    /// The names of those that have none yet, each with the sentence that says why, without a final full stop.
    pub left: Vec<(String, String)>,
}

/// Gives a credential to the connectors that lost one of its name, each by an edit of its own. What a file manages is left
/// to its file.
///
/// # Errors
/// Without the rights, when there is no such credential, or when the database cannot be written. Those that were given the
/// credential before keep it.
pub async fn give(app: &App, actor: &Actor, reference: &str) -> Result<Given, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let credential = credentials::find(app, actor, reference).await?;
    let lost = that_lost(app, actor, credential["name"].as_str().unwrap_or_default())?;
    let free = lost.iter().filter(|connector| connector.managed_by.is_none());
    let mut given = Given::default();
    for connector in free.take(AT_ONCE_MAX) {
        match edit(app, actor, connector, &credential["id"]).await {
            Ok(_) => given.count += 1,
            // It is gone meanwhile.
            Err(OpError::NotFound(_)) => {}
            Err(refused) => given.left.push((connector.name.to_string(), sentence(refused)?)),
        }
    }
    Ok(given)
}

async fn edit(app: &App, actor: &Actor, connector: &Connector, credential: &Value) -> Result<Value, OpError> {
    let sent: Sent = [("credential".to_owned(), json!(credential))].into_iter().collect();
    // Somebody may have chosen another one meanwhile.
    let (id, seen) = (connector.id.to_string(), IfMatch::Revision(connector.revision));
    match &connector.kind {
        Kind::Webhook(_) => webhooks::patch(app, actor, &id, sent, seen).await,
        Kind::Exporter(_) => exporters::patch(app, actor, &id, sent, seen).await,
        Kind::Gateway(_) => gateways::patch(app, actor, &id, sent, seen).await,
    }
}

/// Why one connector was not edited; what would stop the others as well stays an error.
fn sentence(refused: OpError) -> Result<String, OpError> {
    match refused {
        OpError::Invalid(invalid) => {
            let sentences: Vec<_> = invalid.into_iter().map(|one| one.message).collect();
            Ok(sentences.join(". "))
        }
        OpError::WrongState(sentence) => Ok(sentence),
        OpError::Changed { .. } => Ok("someone else changed it meanwhile".to_owned()),
        other => Err(other),
    }
}
