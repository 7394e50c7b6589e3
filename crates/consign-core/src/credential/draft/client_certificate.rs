//! The client certificate with its private key: both are read together, because one says nothing without the other.

use std::collections::BTreeMap;

use super::key_pair::own_key;
use super::{Change, Given, Reading};
use crate::auth::AuthorizationType;
use crate::catalog::{Fault, Field, Fields};
use crate::client_certificate::{CERTIFICATE_KEY, PASSPHRASE, PRIVATE_KEY, SENT_WITH_KEY};
use crate::secret::Secret;
use crate::sign::{Chain, NotTaken};

/// What can be sent beside the fields.
pub(super) const KEYS: &[&str] = &[PASSPHRASE];
/// Keys of an answer that may come back and say nothing.
pub(super) const READ_ONLY: &[&str] = &["client_certificate_details"];

impl Reading<'_> {
    /// Reads it at its first field.
    pub(super) fn client_certificate(
        &mut self,
        entry: &'static AuthorizationType,
        field: &'static Field,
        typed: &mut Fields,
        secrets: &mut BTreeMap<String, Change>,
    ) {
        let text = self.reader.text(field.key, field.label);
        let key = self.given(PRIVATE_KEY, "Client certificate key");
        let key = match key {
            Given::Typed(key) if key.expose().trim().is_empty() => Given::Removed,
            other => other,
        };
        let passphrase = match self.given(PASSPHRASE, "Passphrase") {
            Given::Typed(passphrase) => Some(passphrase),
            Given::Kept | Given::Removed | Given::Refused => None,
        };
        let sent_with = self.reader.text(SENT_WITH_KEY, "Client certificate sent with");
        if text.trim().is_empty() {
            if matches!(key, Given::Typed(_)) {
                let sentence = "Add the certificate that belongs to this key";
                self.reader.refuse(field.key, Fault::new("missing", sentence));
            }
            return;
        }
        self.sent_with(entry, sent_with, typed);
        // Every type takes one, so it stays with the credential when the type changes.
        let current = self.current;
        let stored = current.and_then(|current| current.plain.get(CERTIFICATE_KEY)).cloned();
        let Some(chain) = self.reader.accept(field.key, Chain::parse(&text)) else { return };
        // One that is stored was judged before: its end is shown, and stops nothing.
        if Some(chain.pem()) != stored {
            self.reader.accept(field.key, chain.own.judge_time(self.now));
        }
        let before = stored.and_then(|stored| Chain::parse(&stored).ok());
        let same_key = before.is_some_and(|before| before.own.has_key_of(&chain.own));
        typed.plain.insert(field.key.to_owned(), chain.pem());
        let is_stored = current.is_some_and(|current| current.secrets.contains_key(PRIVATE_KEY));
        match key {
            Given::Kept if is_stored && same_key => {
                secrets.insert(PRIVATE_KEY.to_owned(), Change::Keep);
            }
            Given::Typed(key) => self.client_key(&key, passphrase.as_ref(), &chain, typed),
            Given::Kept | Given::Removed => {
                let sentence = "Add the private key that belongs to this certificate";
                self.reader.refuse(PRIVATE_KEY, Fault::new("missing", sentence));
            }
            Given::Refused => {}
        }
    }

    fn client_key(&mut self, key: &Secret, passphrase: Option<&Secret>, chain: &Chain, typed: &mut Fields) {
        match own_key(key, passphrase, Some(&chain.own)) {
            Ok(stored) => drop(typed.secrets.insert(PRIVATE_KEY.to_owned(), stored)),
            Err(NotTaken::Key(fault)) => self.reader.refuse(PRIVATE_KEY, fault),
            Err(NotTaken::Passphrase(fault)) => self.reader.refuse(PASSPHRASE, fault),
        }
    }

    /// Types without a token request have one kind of connection, and no such field.
    fn sent_with(&mut self, entry: &'static AuthorizationType, text: String, typed: &mut Fields) {
        let field = entry.fields.iter().find(|field| field.key == SENT_WITH_KEY);
        let Some(field) = field else {
            if !text.is_empty() {
                let sentence = format!("“{SENT_WITH_KEY}” does not belong to {}", entry.label);
                self.reader.refuse(SENT_WITH_KEY, Fault::new("unknown_field", sentence));
            }
            return;
        };
        let text = if text.is_empty() { field.default_text().to_owned() } else { text };
        self.reader.accept(field.key, field.judge(&text));
        typed.plain.insert(field.key.to_owned(), text);
    }
}
