//! Secrets that were typed into a form that was not saved: kept sealed in the web session for 15 minutes.

use std::collections::BTreeMap;

use consign_core::secret::Secret;
use serde_json::{Value, json};

use crate::console::visit::Signed;
use crate::ops::{OpError, users};

/// The typed secrets of one form.
#[derive(Debug, Default)]
pub(in crate::console) struct Kept {
    /// Which form: another one does not see them.
    draft: String,
    secrets: BTreeMap<String, Secret>,
}

impl Kept {
    /// Takes what was kept for the form that was sent; a new form starts with nothing.
    pub(in crate::console) async fn take(visit: &Signed) -> Result<Self, OpError> {
        let draft = visit.form.text("draft");
        if draft.is_empty() {
            return Ok(Self { draft: visit.request_id.to_string(), secrets: BTreeMap::new() });
        }
        let stored = users::take_typed(visit.app(), &visit.person).await?;
        let secrets = stored.and_then(|stored| read(draft, &stored)).unwrap_or_default();
        Ok(Self { draft: draft.to_owned(), secrets })
    }

    /// Keeps them for the next time that the form is sent.
    pub(in crate::console) async fn keep(&self, visit: &Signed) -> Result<(), OpError> {
        if self.secrets.is_empty() {
            return Ok(());
        }
        let secrets: BTreeMap<_, _> =
            self.secrets.iter().map(|(key, secret)| (key, secret.expose())).collect();
        let text = json!({ "draft": self.draft, "secrets": secrets }).to_string();
        users::keep_typed(visit.app(), &visit.person, &Secret::new(text)).await
    }

    /// Which form they belong to.
    pub(in crate::console) fn draft(&self) -> &str {
        &self.draft
    }

    /// Whether this one was typed.
    pub(in crate::console) fn has(&self, key: &str) -> bool {
        self.secrets.contains_key(key)
    }

    /// Every typed secret by its key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.secrets.iter().map(|(key, secret)| (key.as_str(), secret))
    }

    /// One typed secret, as the text that is sent on.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.secrets.get(key).map(Secret::expose)
    }

    /// Puts in what was typed; an empty field keeps what was typed before.
    pub(super) fn put(&mut self, key: &str, typed: &str) {
        if !typed.is_empty() {
            self.secrets.insert(key.to_owned(), Secret::new(typed.to_owned()));
        }
    }

    /// Forgets what the form does not ask for any more.
    pub(super) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.secrets.retain(|key, _| wanted(key));
    }
}

fn read(draft: &str, stored: &Secret) -> Option<BTreeMap<String, Secret>> {
    let stored: Value = serde_json::from_str(stored.expose()).ok()?;
    if stored["draft"] != draft {
        return None;
    }
    let secrets = stored["secrets"].as_object()?.iter();
    Some(
        secrets
            .filter_map(|(key, text)| Some((key.clone(), Secret::new(text.as_str()?.to_owned()))))
            .collect(),
    )
}
