//! The address of a tool on the web: the start of it, or the whole, which is a secret then.

use consign_core::auth::AuthorizationType;
use consign_core::catalog::Invalid;
use consign_core::target::{Origin, SftpAddress, cut_to_origin};
use serde_json::{Value, json};

use super::CredentialForm;
use crate::console::form::{Form, Kept, field, saved, with};

impl CredentialForm {
    /// The address of a tool as it is sent.
    pub(super) fn address<'a>(&'a self, kept: &'a Kept, current: Option<&'a Value>) -> &'a str {
        if !self.entry().is_some_and(|entry| entry.address_is_secret) {
            return self.text("url_address");
        }
        // Left empty, the stored one stays.
        let stored = current.and_then(|current| current["url_address"].as_str()).unwrap_or_default();
        kept.text("url_address").unwrap_or(stored)
    }

    /// From where to where an address is changed that secrets are saved for; of a whole address the start. `None` while it
    /// is the same, and where it is none.
    pub(in crate::console) fn moved(&self, kept: &Kept, current: &Value) -> Option<(String, String)> {
        let (key, new) = if self.is_sftp() {
            ("hostname", SftpAddress::parse(self.text("hostname")).ok()?.to_string())
        } else {
            let (origin, _) = Origin::parse_whole("", self.address(kept, Some(current))).ok()?;
            ("url_address", origin.to_string())
        };
        let old = current[key].as_str()?;
        (old != new).then(|| (old.to_owned(), new))
    }

    pub(super) fn address_field(
        &self,
        kept: &Kept,
        current: Option<&Value>,
        invalid: &[Invalid],
        warning: &str,
    ) -> Value {
        if !self.entry().is_some_and(|entry| entry.address_is_secret) {
            let hint = "The start of the address only, up to the first slash after the host. \
                        The rest belongs in the webhook.";
            let typed = self.text("url_address");
            let hint = self.start.hint("url_address", hint, typed);
            let plain = field("url_address", "URL address", &hint, typed, invalid);
            return with(
                plain,
                json!({
                    "placeholder": "https://host:port/", "mono": true, "warning": warning, "cut": self.cut,
                }),
            );
        }
        let hint = "The whole address the tool gave you. Anyone who has this address can post to it. \
                    We hide everything after the host.";
        let stored = current.filter(|current| current["url_path"]["set"] == json!(true));
        let preview =
            stored.map(|current| format!("{}•••", current["url_address"].as_str().unwrap_or_default()));
        with(
            field("url_address", "URL address", hint, "", invalid),
            json!({
                "secret": true,
                "set": stored.map_or(Value::Null, |current| saved(&current["url_path"])),
                "entered": kept.has("url_address"),
                "preview": preview,
                "warning": warning,
            }),
        )
    }
}

/// The address as typed, and the path that was cut off. Spaces around it go, and a full address is cut to its start; both
/// are said.
pub(super) fn typed(
    form: &Form,
    entry: Option<&'static AuthorizationType>,
    kept: &mut Kept,
    notes: &mut Vec<(&'static str, String)>,
) -> (String, Option<String>) {
    const KEY: &str = "url_address";
    let typed = form.text(KEY);
    let trimmed = typed.trim();
    if trimmed != typed && !trimmed.is_empty() {
        notes.push((KEY, "We removed the spaces around the address.".to_owned()));
    }
    let Some(entry) = entry else { return (trimmed.to_owned(), None) };
    if entry.address_is_secret {
        kept.put(KEY, trimmed);
        return (String::new(), None);
    }
    let typed = if trimmed.is_empty() { kept.text(KEY).unwrap_or_default() } else { trimmed };
    let Some((origin, rest)) = cut_to_origin(typed) else { return (typed.to_owned(), None) };
    if trimmed.is_empty() {
        return (origin, None);
    }
    notes.push((KEY, format!("We kept {origin}. You will need {rest} in the webhook.")));
    (origin, Some(rest))
}
