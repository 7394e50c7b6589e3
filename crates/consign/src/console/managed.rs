//! Objects that a file manages: whether their form can be changed all the same, and by which managers a list is filtered.

use consign_core::catalog::{Fault, Invalid};
use consign_core::field_manager::FieldManager;
use serde_json::{Map, Value, json};

use super::form::Form;
use super::visit::Signed;
use crate::ops::{OpError, connector, credentials};

/// The code of a save that nobody meant.
const NOT_MEANT: &str = "managed_from_a_file";
/// A drop-down with more is not a choice.
const MANAGERS_MAX: u32 = 200;

/// Whether somebody chose to change what a file manages: in the address of the form, which its save carries along.
fn anyway(form: &Form) -> bool {
    form.text("edit") == "anyway"
}

/// Whether the fields can be changed: somebody chose so, or is asked whether they do.
pub(super) fn is_open(form: &Form, invalid: &[Invalid]) -> bool {
    anyway(form) || invalid.iter().any(|one| one.code == NOT_MEANT)
}

/// Whether nobody but people shall manage the object from now on.
pub(super) fn is_released(form: &Form) -> bool {
    form.has("release")
}

/// What a form sends, with the wish that no file manages the object any longer.
pub(super) fn with_release(form: &Form, mut sent: Map<String, Value>) -> Map<String, Value> {
    if is_released(form) {
        sent.insert("managed_by".to_owned(), Value::Null);
    }
    sent
}

/// Why a save is not made: a file manages the object, by now, and whoever saves has not chosen to change it anyway.
pub(super) fn refusal(form: &Form, current: &Value) -> Option<Invalid> {
    let manager = current["managed_by"].as_str().filter(|_| !anyway(form))?;
    let sentence = format!(
        "Nothing was saved: this is managed from a file ({manager}), and the next apply overwrites a change. \
         Save again to change it anyway"
    );
    Some(Fault::new(NOT_MEANT, sentence).at(""))
}

/// The manager that a list is asked for. What is no name manages nothing.
pub(super) fn asked(form: &Form) -> Option<FieldManager> {
    let name = form.text("managed_by");
    (!name.is_empty()).then(|| FieldManager::from_stored(name.to_owned()))
}

/// The managers of credentials, to filter by.
pub(super) async fn of_credentials(visit: &Signed) -> Result<Value, OpError> {
    let managers = credentials::managers(visit.app(), &visit.actor, MANAGERS_MAX).await?;
    Ok(options(&managers))
}

/// The managers of connectors of a kind, to filter by.
pub(super) async fn of_connectors(visit: &Signed, kind: &str) -> Result<Value, OpError> {
    let managers = connector::managers(visit.app(), &visit.actor, kind, MANAGERS_MAX).await?;
    Ok(options(&managers))
}

fn options(managers: &[FieldManager]) -> Value {
    managers.iter().map(|manager| json!({ "value": manager, "label": manager })).collect()
}
