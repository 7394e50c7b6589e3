//! The key pairs of a credential: the one that signs, one that waits to take over, and one that went before.
//!
//! They are kept under keys of their own beside the fields of the type, so that the one that signs is always the field.

use std::time::Duration;

use super::{Credential, Save, Status, StoredSecret};
use crate::auth::AuthorizationType;
use crate::catalog::Input;
use crate::secret::Secret;
use crate::sign::Certificate;
use crate::time::Timestamp;
use crate::vault::{Sealed, Vault};

const NEXT_CERTIFICATE: &str = "certificate_next";
const NEXT_KEY: &str = "private_key_next";
const PREVIOUS_CERTIFICATE: &str = "certificate_previous";
const PREVIOUS_KEY: &str = "private_key_previous";
const SWITCHED_AT: &str = "certificate_switched_at";

/// One step back is offered for so long.
const STEP_BACK: Duration = Duration::from_secs(7 * 86_400);

/// The fields of the certificate and its private key; `None` for types without.
pub fn fields(entry: &AuthorizationType) -> Option<(&'static str, &'static str)> {
    entry.fields.iter().find_map(|field| match field.input {
        Input::Certificate(key) => Some((field.key, key)),
        _ => None,
    })
}

/// Whether a key of a credential belongs to a pair that does not sign.
pub(super) fn is_of_other_pair(key: &str) -> bool {
    [NEXT_CERTIFICATE, NEXT_KEY, PREVIOUS_CERTIFICATE, PREVIOUS_KEY, SWITCHED_AT].contains(&key)
}

/// Which key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that signs.
    Present,
    /// The one that waits.
    Next,
    /// The one that signed before.
    Previous,
}

/// Why the key pairs cannot be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchPair {
    /// The type has none.
    #[error("this type has no certificate")]
    OfType,
    /// None waits.
    #[error("no next certificate waits")]
    Next,
    /// None went before, or too long ago.
    #[error("there is no certificate to go back to")]
    Previous,
}

impl Credential {
    /// The certificate that tools check signatures with.
    pub fn present_certificate(&self) -> Option<Certificate> {
        self.certificate_in(fields(self.authorization_type)?.0)
    }

    /// A certificate of it. One that nobody can go back to any more is none.
    pub fn certificate(&self, which: Which, now: Timestamp) -> Option<Certificate> {
        match which {
            Which::Present => self.present_certificate(),
            Which::Next => self.certificate_in(NEXT_CERTIFICATE),
            Which::Previous if self.can_step_back(now) => self.certificate_in(PREVIOUS_CERTIFICATE),
            Which::Previous => None,
        }
    }

    fn certificate_in(&self, key: &str) -> Option<Certificate> {
        Certificate::parse(self.plain.get(key)?).ok()
    }

    fn can_step_back(&self, now: Timestamp) -> bool {
        self.step_back_until().is_some_and(|until| until > now)
    }

    /// Until when one step back is possible.
    pub fn step_back_until(&self) -> Option<Timestamp> {
        self.plain.get(PREVIOUS_CERTIFICATE)?;
        let switched = Timestamp::parse_rfc3339(self.plain.get(SWITCHED_AT)?)?;
        Some(switched.plus(STEP_BACK))
    }

    /// The keys of the pairs beside the one that signs: plain ones and secrets. A pair that nobody can go back to any more
    /// is not among them.
    pub(super) fn other_pairs(&self, now: Timestamp) -> (Vec<&'static str>, Vec<&'static str>) {
        let (mut plain, mut secrets) = (vec![NEXT_CERTIFICATE], vec![NEXT_KEY]);
        if self.can_step_back(now) {
            plain.extend([PREVIOUS_CERTIFICATE, SWITCHED_AT]);
            secrets.push(PREVIOUS_KEY);
        }
        (plain, secrets)
    }

    /// Puts a new pair next to the one that signs, in place of one that waits already.
    ///
    /// # Errors
    /// When the type has no certificate.
    pub fn with_next_pair(
        self,
        (certificate, key): (&Certificate, &Secret),
        vault: &Vault,
        save: &Save<'_>,
    ) -> Result<Self, NoSuchPair> {
        fields(self.authorization_type).ok_or(NoSuchPair::OfType)?;
        let mut next = self.next_revision(save);
        let (id, binding) = (next.id.to_string(), next.binding());
        let place = Self::place(&id, NEXT_KEY, next.revision, &binding);
        let stored = StoredSecret {
            sealed: vault.seal(&place, key),
            generation: next.revision,
            updated_at: save.now,
            updated_by: save.by.to_owned(),
        };
        next.plain.insert(NEXT_CERTIFICATE.to_owned(), certificate.pem());
        next.secrets.insert(NEXT_KEY.to_owned(), stored);
        Ok(next)
    }

    /// Drops the pair that waits.
    ///
    /// # Errors
    /// When none does.
    pub fn without_next_pair(self, save: &Save<'_>) -> Result<Self, NoSuchPair> {
        let mut next = self.next_revision(save);
        next.plain.remove(NEXT_CERTIFICATE).ok_or(NoSuchPair::Next)?;
        next.secrets.remove(NEXT_KEY);
        Ok(next)
    }

    /// Whether a pair is kept that nobody can go back to any more.
    pub fn has_ended_pair(&self, now: Timestamp) -> bool {
        let kept = self.plain.contains_key(PREVIOUS_CERTIFICATE) || self.secrets.contains_key(PREVIOUS_KEY);
        kept && !self.can_step_back(now)
    }

    /// Destroys the pair that nobody can go back to any more; `None` when there is none.
    pub fn without_ended_pair(self, save: &Save<'_>) -> Option<Self> {
        if !self.has_ended_pair(save.now) {
            return None;
        }
        let mut next = self.next_revision(save);
        next.plain.remove(PREVIOUS_CERTIFICATE);
        next.plain.remove(SWITCHED_AT);
        next.secrets.remove(PREVIOUS_KEY);
        Some(next)
    }

    /// Lets the pair that waits take over; the one that signed goes before it, for a step back. `reseal` moves a
    /// sealed key from one field to another, in a new generation.
    ///
    /// # Errors
    /// When none waits, or a key does not open.
    pub fn with_next_in_use(self, save: &Save<'_>, reseal: &Reseal<'_>) -> Result<Self, NoSuchPair> {
        let (certificate, key) = fields(self.authorization_type).ok_or(NoSuchPair::OfType)?;
        let moves = [(certificate, PREVIOUS_CERTIFICATE, false), (NEXT_CERTIFICATE, certificate, false)];
        let keys = [(key, PREVIOUS_KEY, true), (NEXT_KEY, key, true)];
        let mut switched = self.moved(&[moves, keys].concat(), save, reseal).ok_or(NoSuchPair::Next)?;
        switched.plain.insert(SWITCHED_AT.to_owned(), save.now.to_string());
        Ok(switched)
    }

    /// One step back: the pair that signed before signs again, and the one that signed waits.
    ///
    /// # Errors
    /// When none went before, or more than seven days ago.
    pub fn with_previous_in_use(self, save: &Save<'_>, reseal: &Reseal<'_>) -> Result<Self, NoSuchPair> {
        let (certificate, key) = fields(self.authorization_type).ok_or(NoSuchPair::OfType)?;
        if !self.can_step_back(save.now) {
            return Err(NoSuchPair::Previous);
        }
        let moves = [(certificate, NEXT_CERTIFICATE, false), (PREVIOUS_CERTIFICATE, certificate, false)];
        let keys = [(key, NEXT_KEY, true), (PREVIOUS_KEY, key, true)];
        let mut switched = self.moved(&[moves, keys].concat(), save, reseal).ok_or(NoSuchPair::Previous)?;
        switched.plain.remove(SWITCHED_AT);
        Ok(switched)
    }

    /// Moves what stands under one key to another, and empties the places that nothing came to.
    fn moved(self, moves: &[(&str, &str, bool)], save: &Save<'_>, reseal: &Reseal<'_>) -> Option<Self> {
        let mut next = self.next_revision(save);
        let (plain, secrets) = (next.plain.clone(), next.secrets.clone());
        for (from, _, secret) in moves {
            if *secret { drop(next.secrets.remove(*from)) } else { drop(next.plain.remove(*from)) }
        }
        for (from, to, secret) in moves {
            if *secret {
                let sealed = reseal(from, to, next.revision)?;
                let stored =
                    StoredSecret { sealed, generation: next.revision, ..secrets.get(*from)?.clone() };
                next.secrets.insert((*to).to_owned(), stored);
            } else {
                next.plain.insert((*to).to_owned(), plain.get(*from)?.clone());
            }
        }
        next.seen = Status::not_tested(save.now);
        Some(next)
    }

    fn next_revision(mut self, save: &Save<'_>) -> Self {
        self.revision += 1;
        self.updated_at = save.now;
        self
    }
}

/// Opens the secret of one field and seals it for another, in a generation: `(from, to, generation)`.
pub type Reseal<'a> = dyn Fn(&str, &str, i64) -> Option<Sealed> + 'a;

#[cfg(test)]
mod tests;
