//! A private key beside the secret that opens it: both change together, and its public half may be shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Change, Reading};
use crate::auth::{AUTHORIZATION_TYPES, AuthorizationType, SSH_PUBLIC_KEY};
use crate::catalog::{Fields, Input};

/// Whether a private key was sent; reading it opens it.
pub(super) fn is_typed(sent: &Map<String, Value>) -> bool {
    let fields = AUTHORIZATION_TYPES.iter().flat_map(|entry| entry.fields);
    let mut keys = fields.filter(|field| matches!(field.input, Input::PrivateKey(_)));
    keys.any(|field| sent.get(field.key).is_some_and(Value::is_string))
}

impl Reading<'_> {
    /// What may be shown of the secrets: worked out when they are typed, kept while they are.
    pub(super) fn shown(
        &self,
        entry: &'static AuthorizationType,
        typed: &Fields,
    ) -> Option<(String, String)> {
        if !entry.fields.iter().any(|field| matches!(field.input, Input::PrivateKey(_))) {
            return None;
        }
        let (key, value) = match (entry.parse)(typed) {
            Ok(authorizer) => authorizer.shown()?,
            Err(_) => {
                let value = self.current?.plain.get(SSH_PUBLIC_KEY)?;
                (SSH_PUBLIC_KEY, value.clone())
            }
        };
        Some((key.to_owned(), value))
    }

    /// A private key and what opens it belong together: one is not changed without the other.
    pub(super) fn private_keys(
        &mut self,
        entry: &'static AuthorizationType,
        typed: &Fields,
        secrets: &mut BTreeMap<String, Change>,
    ) {
        for field in entry.fields {
            let Input::PrivateKey(opened_by) = field.input else { continue };
            let stored = self.current.is_some_and(|current| current.secrets.contains_key(opened_by));
            let kept = secrets.contains_key(opened_by);
            let changed = typed.secrets.contains_key(opened_by) || stored && !kept;
            if typed.secrets.contains_key(field.key) {
                secrets.remove(opened_by);
            } else if secrets.contains_key(field.key) && changed {
                self.reader.accept(field.key, field.judge(""));
            }
        }
    }
}
