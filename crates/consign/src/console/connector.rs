//! What the pages of every kind of connector share: the filters of a list, the credentials to choose from, the way to a new
//! one, and what is said when a connector goes on.

use axum::response::Response;
use consign_core::catalog::{Fault, Invalid, Protocol};
use consign_core::connector::ConnectorState;
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_store::Listed;
use consign_store::connectors::{ConnectorFilter, ConnectorSort};
use consign_store::credentials::Choosable;
use serde_json::{Value, json};

use super::form::{Choice, Choices, Form, Heads, asked, carried, pages};
use super::managed;
use super::visit::{Message, Signed};
use crate::ops::{OpError, credentials};

/// So many are suggested; others are found by their whole name.
const CHOICES_MAX: u32 = 500;
/// The code of a form that cannot be kept while a credential is created.
const TOO_LONG: &str = "too_long_to_keep";

/// Which connectors are asked for.
pub(super) fn filter(form: &Form, choices: &Choices) -> ConnectorFilter {
    let credential = form.text("credential");
    let id = choices.find(credential).map_or(credential, |chosen| chosen.id.as_str());
    // What is no credential has no connectors.
    let nobody = (!id.is_empty()).then(|| CredentialId::new(Timestamp::from_millis(0)));
    ConnectorFilter {
        q: asked(form, "q"),
        kind: None,
        state: asked(form, "state"),
        credential: id.parse().ok().or(nobody),
        managed_by: managed::asked(form),
        sort: ConnectorSort::find(form.text("sort")).unwrap_or_default(),
    }
}

/// A list of one kind at this address, with its filters. `by_last`: what its orders by what was last are called, the newest
/// first and the oldest first.
pub(super) async fn listed(
    visit: &Signed,
    (kind, address, by_last): (&str, &str, [&str; 2]),
    choices: &Choices,
    listed: Listed<Value>,
) -> Result<Value, OpError> {
    let form = &visit.form;
    let mut states: Vec<Value> = Vec::new();
    for state in ConnectorState::ALL {
        let option = json!({ "value": state.kind(), "label": state.label() });
        if !states.contains(&option) {
            states.push(option);
        }
    }
    let filtered = ["q", "state", "credential", "managed_by"].iter().any(|key| !form.text(key).is_empty());
    let heads = Heads { form, address, default: ConnectorSort::default().kind() };
    Ok(json!({
        "q": form.text("q"),
        "orders": heads.orders(&[
            (ConnectorSort::Name.kind(), "Name, A to Z"),
            (ConnectorSort::NameDown.kind(), "Name, Z to A"),
            (ConnectorSort::LastDown.kind(), by_last[0]),
            (ConnectorSort::Last.kind(), by_last[1]),
        ]),
        "by": {
            "name": heads.sorted_by(ConnectorSort::Name.kind(), ConnectorSort::NameDown.kind()),
            "last": heads.sorted_by(ConnectorSort::LastDown.kind(), ConnectorSort::Last.kind()),
        },
        "state": form.text("state"),
        "credential": form.text("credential"),
        "states": states,
        "credentials": choices.options(),
        "many_credentials": choices.are_many(),
        "managed_by": form.text("managed_by"),
        "managers": managed::of_connectors(visit, kind).await?,
        "filtered": filtered,
        "pages": pages(form, address, &listed),
        "whole": listed.next.is_none() && listed.previous.is_none(),
        "items": listed.items,
    }))
}

/// What is said of one that was resumed: that it goes on, in these words, or what it needs first. `page` is its address.
pub(super) fn resumed(connector: &Value, page: &str, goes_on: &str) -> Message {
    if connector["state"] == "active" {
        return Message::done(goes_on);
    }
    Message::refused("Its credential was deleted. Choose a credential, and it continues.")
        .with_action(format!("{page}/set-up"), "Choose a credential")
}

/// Whether the button was pressed that leads from a form to a new credential.
pub(super) fn asks_for_credential(visit: &Signed) -> bool {
    visit.form.has("new_credential")
}

/// On to a new credential, and from there back to the form at `address` with all that was typed into it.
pub(super) fn new_credential(visit: &Signed, address: &str) -> Result<Response, Invalid> {
    let sentence = "What you typed is too long to be kept while you create a credential. \
                    Copy what you need before you go on";
    match carried::with_typed(&visit.form, address) {
        Some(new) => Ok(visit.go(&new)),
        None => Err(Fault::new(TOO_LONG, sentence).at("credential")),
    }
}

/// Where a link to a new credential leads that keeps nothing of a form; empty as long as a button keeps all of it.
pub(super) fn without_typed(form: &Form, address: &str, invalid: &[Invalid]) -> String {
    let is_too_long = invalid.iter().any(|one| one.code == TOO_LONG);
    if is_too_long { carried::without_typed(form, address) } else { String::new() }
}

/// The credentials that a connector can use, with status and address; among many the first, and the one that is `asked` for.
pub(super) async fn choices(visit: &Signed, asked: &str) -> Result<Choices, OpError> {
    choices_of(visit, asked, None).await
}

/// Those that lead to a tool on the web.
pub(super) async fn web_choices(visit: &Signed, asked: &str) -> Result<Choices, OpError> {
    choices_of(visit, asked, Some(Protocol::Https)).await
}

async fn choices_of(visit: &Signed, asked: &str, protocol: Option<Protocol>) -> Result<Choices, OpError> {
    let first = credentials::choosable(visit.app(), &visit.actor, protocol, CHOICES_MAX).await?;
    let may_be_more = first.len() == CHOICES_MAX as usize;
    let mut choices = Choices(first.into_iter().map(choice).collect());
    if may_be_more && !asked.is_empty() && choices.find(asked).is_none() {
        match credentials::chosen(visit.app(), &visit.actor, asked).await {
            Ok(found) if protocol.is_none_or(|only| found.protocol == only) => choices.0.push(choice(found)),
            Ok(_) | Err(OpError::NotFound(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(choices)
}

fn choice(credential: Choosable) -> Choice {
    let is_sftp = credential.protocol == Protocol::Sftp;
    let hidden = if credential.has_secret_path { "•••" } else { "" };
    Choice {
        id: credential.id.to_string(),
        name: credential.name,
        status: credential.status.label().to_owned(),
        address: if is_sftp { String::new() } else { format!("{}{hidden}", credential.address) },
        is_sftp,
    }
}
