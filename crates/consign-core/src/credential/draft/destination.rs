//! The rule that saved secrets go nowhere new.

use std::collections::BTreeMap;

use super::{Reading, rows};
use crate::auth::AuthorizationType;
use crate::catalog::{Fault, Input, in_sentence};
use crate::credential::{CustomHeader, binding};
use crate::target::Target;

/// The code of a fault: a secret that is kept for another destination is asked for again.
pub const NEEDED_AGAIN: &str = "secret_needed_for_new_destination";

impl Reading<'_> {
    /// A changed destination asks for every secret again, in the same request.
    pub(super) fn destination(
        &mut self,
        entry: &'static AuthorizationType,
        target: &Target,
        plain: &BTreeMap<String, String>,
        headers: &[CustomHeader],
        kept: &[String],
    ) {
        let Some(current) = self.current else { return };
        if current.binding() == binding(target, entry, plain) {
            return;
        }
        let reason = if current.target.to_string() != target.to_string() {
            "You changed the address, so saved secrets are not sent to the new one".to_owned()
        } else if current.authorization_type.kind != entry.kind {
            "You changed the authorization type, so the saved one is not used with it".to_owned()
        } else {
            let changed = entry.fields.iter().filter(|field| field.binds);
            let mut changed = changed.filter(|field| current.plain.get(field.key) != plain.get(field.key));
            let field = changed.next();
            let label = field.map_or_else(|| "host keys".to_owned(), |field| in_sentence(field.label));
            match field.map(|field| field.input) {
                Some(Input::Address) => {
                    format!("You changed the {label}, so saved secrets are not sent to the new one")
                }
                _ => format!("You changed the {label}, so the saved one is not used with it"),
            }
        };
        for key in kept {
            let (field, what) = name_of_secret(key, entry, plain, headers);
            let sentence = format!("Enter the {what} again. {reason}");
            self.reader.refuse(&field, Fault::new(NEEDED_AGAIN, sentence));
        }
    }
}

/// Where a secret stands in the form that was sent, and what a sentence calls it.
fn name_of_secret(
    key: &str,
    entry: &'static AuthorizationType,
    plain: &BTreeMap<String, String>,
    headers: &[CustomHeader],
) -> (String, String) {
    if let Some(field) = entry.fields.iter().find(|field| field.key == key) {
        return (key.to_owned(), in_sentence(field.label));
    }
    if let Some((field, name)) = rows::place_of(key, entry, plain) {
        return (field, format!("value of {name}"));
    }
    match headers.iter().position(|header| header.secret_key() == key) {
        Some(index) => (format!("custom_headers/{index}/value"), format!("value of {}", headers[index].name)),
        None => ("url_address".to_owned(), "whole address".to_owned()),
    }
}
