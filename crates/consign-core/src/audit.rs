//! The audit record, and the chain that shows when one was changed, removed or reordered.

use serde::Serialize;
use serde_json::Value;

use crate::id::AuditId;
use crate::time::Timestamp;
use crate::vault::DerivedKey;

/// One thing that someone did. Secrets appear only as the word "replaced".
#[derive(Clone, Debug, Serialize)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// `user`, `api_key` or `system`.
    pub actor_kind: &'static str,
    /// The id of the person or key; empty for the system.
    pub actor_id: String,
    /// The name of the person or key at that time.
    pub actor: String,
    /// What was done, in words: "Replaced client secret".
    pub action: String,
    /// The kind of object: `credential`, `webhook`, …
    pub object_kind: &'static str,
    /// The id of the object.
    pub object_id: String,
    /// The name of the object at that time.
    pub object: String,
    /// Fields old → new, as a JSON object.
    pub changes: Value,
    /// The address it came from; empty for the system.
    pub from: String,
    /// The request it belongs to.
    pub request_id: String,
    /// `done` or `refused`.
    pub result: &'static str,
}

impl AuditEntry {
    /// The link of the chain: a keyed hash over the link before and this record as it is stored.
    pub fn link(&self, key: &DerivedKey, sequence: i64, before: &str) -> String {
        chain(key, sequence, before, &self.stored())
    }

    /// The record as one unambiguous text: a JSON list, so that no two records give the same bytes.
    pub fn stored(&self) -> String {
        serde_json::json!([
            self.id,
            self.at.millis(),
            self.actor_kind,
            self.actor_id,
            self.actor,
            self.action,
            self.object_kind,
            self.object_id,
            self.object,
            self.changes,
            self.from,
            self.request_id,
            self.result,
        ])
        .to_string()
    }
}

/// The keyed hash that links a stored record to the one before it.
pub fn chain(key: &DerivedKey, sequence: i64, before: &str, stored: &str) -> String {
    key.authenticate(format!("{sequence}\n{before}\n{stored}").as_bytes())
}

#[cfg(test)]
mod tests;
