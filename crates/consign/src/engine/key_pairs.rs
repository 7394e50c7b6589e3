//! The key pairs of a credential: moved from one field to another, and what an assertion would say.

use consign_core::assertion::Ids;
use consign_core::credential::key_pairs::Which;
use consign_core::credential::{Credential, NoSuchPair, Save};
use consign_core::delivery::Refusal;

use super::Engine;
use super::authorize::Opened;

/// Why another key pair was not put to use.
#[derive(Debug)]
pub enum NotInUse {
    /// There is none, or no longer.
    NoSuchPair(NoSuchPair),
    /// The secrets do not open.
    Locked,
}

impl Engine {
    /// The credential with the next key pair in use, or with the one before.
    ///
    /// # Errors
    /// When there is no such pair, or the secrets do not open.
    pub fn put_to_use(
        &self,
        credential: &Credential,
        which: Which,
        save: &Save<'_>,
    ) -> Result<Credential, NotInUse> {
        let opened = Opened::open(&self.vault, credential).map_err(|_| NotInUse::Locked)?;
        let reseal = |from: &str, to: &str, generation: i64| opened.reseal(from, to, generation);
        let switched = match which {
            Which::Next => credential.clone().with_next_in_use(save, &reseal),
            Which::Previous => credential.clone().with_previous_in_use(save, &reseal),
            Which::Present => return Ok(credential.clone()),
        };
        switched.map_err(NotInUse::NoSuchPair)
    }

    /// The assertion that would be signed now, without its signature. `None` for types that sign none; `shown`: with the
    /// values that say whom it is about.
    ///
    /// # Errors
    /// When the secrets do not open.
    pub fn preview_assertion(&self, credential: &Credential, shown: bool) -> Result<Option<String>, Refusal> {
        let opened = Opened::open(&self.vault, credential)?;
        let assertion = opened.authorizer().assertion();
        let assertion = assertion.map(|one| if shown { one } else { one.without_values() });
        Ok(assertion.map(|one| one.unsigned(&Ids::random(), self.now())))
    }
}
