//! The address of a tool as it is typed.

use consign_core::auth::AuthorizationType;
use consign_core::target::cut_to_origin;

use crate::console::form::{Form, Kept};

/// The address as typed. Spaces around it go, and a full address is cut to its start; both are said.
pub(super) fn typed(
    form: &Form,
    entry: Option<&'static AuthorizationType>,
    kept: &mut Kept,
    notes: &mut Vec<(&'static str, String)>,
) -> String {
    const KEY: &str = "url_address";
    let typed = form.text(KEY);
    let trimmed = typed.trim();
    if trimmed != typed && !trimmed.is_empty() {
        notes.push((KEY, "We removed the spaces around the address.".to_owned()));
    }
    let Some(entry) = entry else { return trimmed.to_owned() };
    if entry.address_is_secret {
        kept.put(KEY, trimmed);
        return String::new();
    }
    let typed = if trimmed.is_empty() { kept.text(KEY).unwrap_or_default() } else { trimmed };
    let Some((origin, rest)) = cut_to_origin(typed) else { return typed.to_owned() };
    if !trimmed.is_empty() {
        notes.push((KEY, format!("We kept {origin}. You will need {rest} in the webhook.")));
    }
    origin
}
