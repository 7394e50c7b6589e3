//! Objects that a file manages: whether their form can be changed all the same, and by which managers a list is filtered.

use std::collections::BTreeSet;

use consign_core::catalog::{Fault, Invalid};
use consign_core::field_manager::FieldManager;
use serde_json::{Value, json};

use super::form::Form;
use super::visit::Signed;

/// The code of a save that nobody meant.
const NOT_MEANT: &str = "managed_from_a_file";
/// A drop-down with more is not a choice.
const MANAGERS_MAX: usize = 200;

/// Whether somebody chose to change what a file manages: in the address of the form, which its save carries along.
fn anyway(form: &Form) -> bool {
    form.text("edit") == "anyway"
}

/// Whether the fields can be changed: somebody chose so, or is asked whether they do.
pub(super) fn is_open(form: &Form, invalid: &[Invalid]) -> bool {
    anyway(form) || invalid.iter().any(|one| one.code == NOT_MEANT)
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
pub(super) fn of_credentials(visit: &Signed) -> Value {
    let snapshot = visit.app().engine.snapshot();
    options(snapshot.credentials().filter_map(|credential| credential.managed_by.as_ref()))
}

/// The managers of connectors of a kind, to filter by.
pub(super) fn of_connectors(visit: &Signed, kind: &str) -> Value {
    let snapshot = visit.app().engine.snapshot();
    let all = snapshot.connectors().iter().filter(|connector| connector.kind.word() == kind);
    options(all.filter_map(|connector| connector.managed_by.as_ref()))
}

fn options<'a>(managers: impl Iterator<Item = &'a FieldManager>) -> Value {
    let managers: BTreeSet<_> = managers.collect();
    let few = managers.into_iter().take(MANAGERS_MAX);
    few.map(|manager| json!({ "value": manager, "label": manager })).collect()
}
