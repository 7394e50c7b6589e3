//! The list of credentials: filters, order, and a test from a row.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use consign_core::auth::{self, AUTHORIZATION_TYPES};
use consign_core::catalog::Protocol;
use consign_core::credential::{ENDS_SOON, StatusCode as CredentialStatus};
use consign_core::time::Timestamp;
use consign_store::credentials::{CredentialFilter, CredentialSort};
use serde_json::{Value, json};

use super::{LIST, PLACE, test_saved};
use crate::console::errors::Failure;
use crate::console::form::{Form, Heads, asked, page, pages};
use crate::console::managed;
use crate::console::visit::{Message, Signed};
use crate::ops::{OpError, credentials};

/// The word of the filter for all that need a person.
pub(in crate::console) const NEEDS_ATTENTION: &str = "needs_attention";
const PROTOCOLS: [Protocol; 2] = [Protocol::Https, Protocol::Sftp];
/// A drop-down with more is not a choice.
const LABELS_MAX: usize = 200;
/// They are looked for among so many sets.
const LABEL_SETS_MAX: u32 = 1_000;
const ORDERS: [(&str, &str); 5] = [
    (CredentialSort::NeedsAttention.kind(), "Needs attention first"),
    (CredentialSort::Name.kind(), "Name, A to Z"),
    (CredentialSort::NameDown.kind(), "Name, Z to A"),
    (CredentialSort::LastUsedDown.kind(), "Last used, newest first"),
    (CredentialSort::LastUsed.kind(), "Last used, oldest first"),
];

/// The day before which a credential ends that ends soon, where those are asked for.
pub(in crate::console) fn ends_before(form: &Form, now: Timestamp) -> Option<String> {
    (form.text("ends") == "soon").then(|| now.plus(ENDS_SOON).day())
}

pub(super) async fn list(visit: Signed) -> Result<Response, Failure> {
    let form = &visit.form;
    let ends_before = ends_before(form, visit.app().now());
    let filter = CredentialFilter {
        q: asked(form, "q"),
        needs_attention: form.text("status") == NEEDS_ATTENTION,
        protocol: PROTOCOLS.into_iter().find(|protocol| protocol.kind() == form.text("protocol")),
        label: form.text("label").split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())),
        status: CredentialStatus::find(form.text("status")),
        authorization_type: auth::find(form.text("type")).map(|entry| entry.kind.to_owned()),
        ends_before,
        managed_by: managed::asked(form),
    };
    let sort = CredentialSort::find(form.text("sort")).unwrap_or_default();
    let listed = credentials::list(visit.app(), &visit.actor, (&filter, sort), &page(form)).await?;
    let by_need = CredentialSort::default().kind();
    let heads = Heads { form, address: LIST, default: by_need };
    let statuses =
        CredentialStatus::ALL.iter().map(|status| json!({ "value": status.kind(), "label": status.label() }));
    let statuses =
        [json!({ "value": NEEDS_ATTENTION, "label": "Needs attention" })].into_iter().chain(statuses);
    let types = AUTHORIZATION_TYPES.iter().map(|entry| json!({ "value": entry.kind, "label": entry.label }));
    let filters = ["q", "status", "protocol", "type", "ends", "label", "managed_by"];
    let filtered = filters.iter().any(|key| !form.text(key).is_empty());
    let whole = listed.next.is_none() && listed.previous.is_none();
    let total = match (whole, filtered) {
        (true, _) => json!(listed.items.len()),
        (false, false) => json!(credentials::total(visit.app(), &visit.actor).await?),
        // What else fits is not counted.
        (false, true) => Value::Null,
    };
    let context = json!({
        "q": form.text("q"),
        "status": form.text("status"),
        "type": form.text("type"),
        "ends": form.text("ends"),
        "protocol": form.text("protocol"),
        "protocols": PROTOCOLS.map(|protocol| json!({ "value": protocol.kind(), "label": protocol.kind().to_uppercase() })),
        "label": form.text("label"),
        "labels": labels(&visit).await?,
        "managed_by": form.text("managed_by"),
        "managers": managed::of_credentials(&visit).await?,
        "orders": heads.orders(&ORDERS),
        "by": {
            "name": heads.sorted_by(CredentialSort::Name.kind(), CredentialSort::NameDown.kind()),
            "status": heads.sorted_by(by_need, by_need),
            "used": heads.sorted_by(CredentialSort::LastUsedDown.kind(), CredentialSort::LastUsed.kind()),
        },
        "statuses": statuses.collect::<Vec<_>>(),
        "types": types.collect::<Vec<_>>(),
        "filtered": filtered,
        "pages": pages(form, LIST, &listed),
        "total": total,
        "items": listed.items,
    });
    Ok(visit.page(StatusCode::OK, "credentials.html", (PLACE, "Connector credentials"), context).await)
}

/// The labels that credentials have, to filter by.
async fn labels(visit: &Signed) -> Result<Value, OpError> {
    let labels = credentials::labels(visit.app(), &visit.actor, LABEL_SETS_MAX).await?;
    let pairs = labels.into_iter().map(|(key, value)| format!("{key}={value}"));
    Ok(pairs.take(LABELS_MAX).map(|pair| json!({ "value": pair, "label": pair })).collect())
}

/// Tests a credential as it is saved, and shows its page while the test runs.
pub(super) async fn test_as_saved(visit: Signed, Path(id): Path<String>) -> Result<Response, Failure> {
    let current = credentials::find(visit.app(), &visit.actor, &id).await?;
    let id = current["id"].as_str().unwrap_or_default();
    test_saved(&visit, id);
    Ok(visit.go_and_say(&format!("{LIST}/{id}?testing=1"), Message::done("Testing the connection…")))
}
