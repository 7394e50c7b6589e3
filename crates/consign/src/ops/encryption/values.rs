//! The places of sealed values: what each of them is tied to.

use consign_core::connector::signature;
use consign_core::credential::Credential;
use consign_core::id::CredentialId;
use consign_core::target::Binding;
use consign_core::token;
use consign_core::vault::{OpenError, Place, Sealed, Vault};
use consign_store::sealed_values::{Found, Holder};
use consign_store::{Db, StoreError, credentials};

use crate::App;
use crate::ops::users::two_step;
use crate::{app, engine};

/// Goes through sealed values; remembers the credential that the last one belongs to, as many belong to one.
pub(super) struct Values<'a> {
    vault: &'a Vault,
    own: Binding,
    last: Option<(CredentialId, Option<Binding>)>,
}

impl<'a> Values<'a> {
    pub(super) fn of(app: &'a App) -> Self {
        Self { vault: &app.vault, own: Binding::of(&[]), last: None }
    }

    /// Whether a value opens.
    pub(super) async fn opens(&mut self, db: &mut Db, found: &Found) -> Result<bool, StoreError> {
        let vault = self.vault;
        self.at_place(db, found, |place| vault.verify(place, &found.sealed).is_ok()).await
    }

    /// The same value under the key that seals; `None` where it is so already.
    pub(super) async fn moved(
        &mut self,
        db: &mut Db,
        found: &Found,
    ) -> Result<Result<Option<Sealed>, OpenError>, StoreError> {
        let vault = self.vault;
        self.at_place(db, found, |place| vault.rewrap(place, &found.sealed)).await
    }

    async fn at_place<T>(
        &mut self,
        db: &mut Db,
        found: &Found,
        act: impl FnOnce(&Place<'_>) -> T,
    ) -> Result<T, StoreError> {
        Ok(match &found.holder {
            Holder::Own(key) => act(&app::place(key, &self.own)),
            Holder::PayloadKey(day) => act(&engine::payload_key_place(&day.to_string(), &self.own)),
            Holder::SigningKey(id, signing, generation) => {
                act(&signature::place(&id.to_string(), *signing, *generation, &self.own))
            }
            Holder::SecondStep(person, since) => act(&two_step::key_place(person, *since, &self.own)),
            Holder::Secret(id, field, generation) => {
                let binding = self.binding(db, *id).await?;
                act(&Credential::place(&id.to_string(), field, *generation, binding))
            }
            Holder::Token(id, which, generation) => {
                let binding = self.binding(db, *id).await?;
                act(&token::place(&id.to_string(), *which, *generation, binding))
            }
        })
    }

    /// What the secrets of a credential are tied to; of one that was deleted meanwhile nothing opens.
    async fn binding(&mut self, db: &mut Db, id: CredentialId) -> Result<&Binding, StoreError> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            let credential = credentials::find(db, id).await?;
            self.last = Some((id, credential.map(|credential| credential.binding())));
        }
        Ok(self.last.as_ref().and_then(|(_, binding)| binding.as_ref()).unwrap_or(&self.own))
    }
}

/// A value in words that name it and tell nothing.
pub(super) fn name(holder: &Holder) -> String {
    match holder {
        Holder::Own(key) => format!("{key} of this installation"),
        Holder::PayloadKey(day) => format!("payload key {day}"),
        Holder::Secret(id, field, _) => format!("{field} of {id}"),
        Holder::Token(id, token::Which::Access, _) => format!("access token of {id}"),
        Holder::Token(id, token::Which::Refresh, _) => format!("refresh token of {id}"),
        Holder::SigningKey(id, ..) => format!("signing key of {id}"),
        Holder::SecondStep(person, _) => format!("two-step sign-in of {person}"),
    }
}
