//! `/connectors` of all kinds, and what the list of each kind asks for.

use consign_core::connector::{ConnectorState, Kind};
use consign_core::id::CredentialId;
use consign_store::connectors::{ConnectorFilter, ConnectorSort};

use super::answer::Answer;
use super::call::Call;
use super::problem::Problem;
use crate::ops::connector;

/// Connectors of all kinds, or of one.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let kind = call.parsed("kind", "webhook, exporter or gateway", |text| {
        Kind::WORDS.iter().copied().find(|word| *word == text)
    })?;
    let filter = filter(&call, kind)?;
    Ok(call.listed(connector::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}

/// Which of them a list asks for.
pub(super) fn filter(call: &Call, kind: Option<&'static str>) -> Result<ConnectorFilter, Problem> {
    let state = call.parsed("state", "a state such as paused", |text| {
        ConnectorState::ALL.iter().any(|state| state.kind() == text).then(|| text.to_owned())
    })?;
    let credential =
        call.parsed("credential", "the id of a credential", |text| text.parse::<CredentialId>().ok())?;
    let order = call.parsed("order", "a word such as name or -last_at", ConnectorSort::find)?;
    Ok(ConnectorFilter {
        q: call.text("q"),
        kind,
        state,
        credential,
        managed_by: call.manager("managed_by")?,
        sort: order.unwrap_or_default(),
    })
}
