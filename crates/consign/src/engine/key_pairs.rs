//! The key pairs of a credential: moved from one field to another, destroyed when their time is over, and what an
//! assertion would say.

use consign_core::assertion::Ids;
use consign_core::audit::Table;
use consign_core::credential::key_pairs::Which;
use consign_core::credential::{Credential, NoSuchPair, Save};
use consign_core::delivery::Refusal;
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_store::{StoreError, credentials};
use serde_json::json;

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

    /// The assertion that would be signed now, without its signature. `None` for types that sign none.
    ///
    /// # Errors
    /// When the secrets do not open.
    pub fn preview_assertion(&self, credential: &Credential) -> Result<Option<String>, Refusal> {
        let opened = Opened::open(&self.vault, credential)?;
        let assertion = opened.authorizer().assertion();
        Ok(assertion.map(|one| one.unsigned(&Ids::random(), self.now())))
    }

    /// Destroys the key pairs that nobody can go back to any more.
    pub(super) async fn drop_ended_pairs(&self, now: Timestamp) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        let mut dropped = false;
        for credential in snapshot.credentials().filter(|credential| credential.has_ended_pair(now)) {
            dropped |= self.drop_ended_pair(credential.id).await?;
        }
        if dropped {
            self.changed().await;
        }
        Ok(())
    }

    /// Destroys one, and says so in the audit log. A credential that was changed behind our back stays as it is: what is
    /// written down of it would be believed.
    async fn drop_ended_pair(&self, id: CredentialId) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let save = Save { now: tx.now(), by: "Consign" };
        let Some(seen) = credentials::lock(&mut tx, id).await? else { return Ok(false) };
        let (revision, name) = (seen.revision, seen.name.to_string());
        let Some(next) = seen.without_ended_pair(&save) else { return Ok(false) };
        let row = (Table::Credential, id.to_string());
        if !self.records.fits(&mut tx, row.0, &row.1).await? {
            return Ok(false);
        }
        if !credentials::update(&mut tx, &next, revision).await? {
            return Ok(false);
        }
        let changes = json!({ "certificate_previous": "removed", "private_key_previous": "removed" });
        let object = ("credential", row.1.as_str(), name.as_str());
        let rows = self.records.changed(&mut tx, std::slice::from_ref(&row)).await?;
        self.records.append_own(&mut tx, "Removed the certificate before", object, changes, rows).await?;
        self.records.commit(tx).await?;
        Ok(true)
    }
}
