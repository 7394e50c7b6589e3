//! Reading the host keys of a file server into the form of a credential, and taking one of them once it was compared. All
//! of it works by plain forms.

use axum::http::StatusCode;
use consign_core::catalog::Invalid;
use serde_json::{Value, json};

use super::errors::Failure;
use super::form::{CredentialForm, scan_panel, scan_panel_again};
use super::visit::Signed;
use crate::ops::{OpError, host_keys};

/// What became of a button of the panel.
pub(super) struct Looked {
    pub(super) status: StatusCode,
    /// The panel; nothing once a key was taken.
    pub(super) panel: Value,
    pub(super) invalid: Vec<Invalid>,
}

/// Whether one of the buttons of the panel was pressed.
pub(super) fn asks(visit: &Signed) -> bool {
    visit.form.has("scan_keys") || visit.form.has("use_key")
}

/// Reads the keys, or takes the chosen one into the form.
pub(super) async fn look(visit: &Signed, form: &mut CredentialForm) -> Result<Looked, Failure> {
    let done = |panel| Looked { status: StatusCode::OK, panel, invalid: Vec::new() };
    if visit.form.has("use_key") {
        return Ok(match form.use_key(&visit.form) {
            Ok(()) => done(Value::Null),
            Err(invalid) => Looked {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                panel: scan_panel_again(&visit.form, &invalid),
                invalid,
            },
        });
    }
    match host_keys::scan(visit.app(), &visit.actor, form.scan()).await {
        Ok(scan) => Ok(done(scan_panel(&scan, &visit.form, &[]))),
        Err(OpError::Invalid(invalid)) => {
            Ok(Looked { status: StatusCode::UNPROCESSABLE_ENTITY, panel: Value::Null, invalid })
        }
        Err(OpError::TooMany { seconds }) => {
            let message = format!("Too many tests. Wait {seconds} seconds.");
            let scan = json!({ "outcome": "failed", "message": message, "keys": [], "at": null });
            let panel = scan_panel(&scan, &visit.form, &[]);
            Ok(Looked { status: StatusCode::TOO_MANY_REQUESTS, panel, invalid: Vec::new() })
        }
        Err(other) => Err(other.into()),
    }
}
