//! Commands and requests of forms whose values are typed by whoever pastes them: an example stands in each place.

use consign_core::rights::Right;
use consign_core::role::Role;
use serde_json::json;

use super::{Copied, send};

/// A new API key, one that sends events.
pub(crate) fn new_api_key() -> Copied {
    let (name, scope) = ("Device scores", Right::EventsWrite.kind());
    let words = ["api-key", "create", "--name", name, "--scope", scope];
    send("Create one", &words, "/api-keys", json!({ "name": name, "scopes": [scope] }))
}

/// An invitation.
pub(crate) fn invitation() -> Copied {
    let (email, role) = ("ana@acme.example", Role::Operator.kind());
    let body = json!({ "email": email, "role": role });
    send("Invite somebody", &["user", "invite", email, "--role", role], "/users", body)
}

/// Whether an address may be reached.
pub(crate) fn egress_check() -> Copied {
    let address = "https://10.21.0.5/";
    let words = ["settings", "check-address", address];
    send("Check an address", &words, "/egress-checks", json!({ "address": address }))
}
