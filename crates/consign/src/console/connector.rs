//! What the pages of every kind of connector share: the filters of a list, the credentials to choose from, and what is said
//! when one goes on.

use consign_core::connector::ConnectorState;
use consign_store::connectors::{ConnectorFilter, ConnectorSort};
use consign_store::credentials::{CredentialFilter, CredentialSort};
use consign_store::{Listed, Page};
use serde_json::{Value, json};

use super::form::{Choice, Form, Heads, asked, pages};
use super::visit::{Message, Signed};
use crate::ops::{OpError, credentials};

/// A drop-down with more is not a choice.
const CHOICES_MAX: u32 = 500;

/// Which connectors are asked for.
pub(super) fn filter(form: &Form) -> ConnectorFilter {
    ConnectorFilter {
        q: asked(form, "q"),
        kind: None,
        state: asked(form, "state"),
        credential: form.text("credential").parse().ok(),
        sort: ConnectorSort::find(form.text("sort")).unwrap_or_default(),
    }
}

/// A list at this address, with its filters.
pub(super) fn listed(form: &Form, address: &str, choices: &[Choice], listed: Listed<Value>) -> Value {
    let mut states: Vec<Value> = Vec::new();
    for state in ConnectorState::ALL {
        let option = json!({ "value": state.kind(), "label": state.label() });
        if !states.contains(&option) {
            states.push(option);
        }
    }
    let filtered = ["q", "state", "credential"].iter().any(|key| !form.text(key).is_empty());
    let credentials = choices.iter().map(|choice| json!({ "value": choice.id, "label": choice.label }));
    let heads = Heads { form, address, default: ConnectorSort::default().kind() };
    json!({
        "q": form.text("q"),
        "sort": form.text("sort"),
        "by": {
            "name": heads.sorted_by(ConnectorSort::Name.kind(), ConnectorSort::NameDown.kind()),
            "last": heads.sorted_by(ConnectorSort::LastDown.kind(), ConnectorSort::Last.kind()),
        },
        "state": form.text("state"),
        "credential": form.text("credential"),
        "states": states,
        "credentials": credentials.collect::<Vec<_>>(),
        "filtered": filtered,
        "pages": pages(form, address, &listed),
        "whole": listed.next.is_none() && listed.previous.is_none(),
        "items": listed.items,
    })
}

/// What is said of one that was resumed: that it goes on, in these words, or what it needs first. `page` is its address.
pub(super) fn resumed(connector: &Value, page: &str, goes_on: &str) -> Message {
    if connector["state"] == "active" {
        return Message::done(goes_on);
    }
    Message::refused("Its credential was deleted. Choose a credential, and it continues.")
        .with_action(format!("{page}/set-up"), "Choose a credential")
}

/// The credentials that a connector can use, with status and address.
pub(super) async fn choices(visit: &Signed) -> Result<Vec<Choice>, OpError> {
    let all = Page::first(CHOICES_MAX);
    let every = (&CredentialFilter::default(), CredentialSort::NeedsAttention);
    let listed = credentials::list(visit.app(), &visit.actor, every, &all).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let choices = listed.items.iter().map(|credential| {
        let hidden = if credential["url_path"]["set"] == json!(true) { "•••" } else { "" };
        Choice {
            id: text(&credential["id"]),
            label: format!("{} · {}", text(&credential["name"]), text(&credential["status"]["label"])),
            address: format!("{}{hidden}", text(&credential["url_address"])),
            is_sftp: credential["protocol"] == "sftp",
        }
    });
    Ok(choices.collect())
}

/// Those that lead to a tool on the web.
pub(super) async fn web_choices(visit: &Signed) -> Result<Vec<Choice>, OpError> {
    Ok(choices(visit).await?.into_iter().filter(|choice| !choice.is_sftp).collect())
}
