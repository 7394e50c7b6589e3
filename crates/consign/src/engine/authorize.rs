//! A credential becomes an access: the only place of the program where its secrets are opened.

use consign_core::auth::Step;
use consign_core::catalog::Fields;
use consign_core::credential::{Access, Credential};
use consign_core::delivery::Refusal;
use consign_core::redact::Scrubber;
use consign_core::time::Timestamp;
use consign_core::vault::Vault;

/// What a request may carry, and what its answer must not show.
pub(super) struct Authorized {
    /// For the transport.
    pub access: Access,
    /// Finds the secrets of this credential in what comes back.
    pub scrubber: Scrubber,
}

/// Opens the secrets of a credential and makes the proof of them.
///
/// # Errors
/// When a secret does not open at its place and destination, or the record is not whole.
pub(super) fn authorize(
    vault: &Vault,
    credential: &Credential,
    now: Timestamp,
) -> Result<Authorized, Refusal> {
    let fields = open(vault, credential)?;
    let authorizer = (credential.authorization_type.parse)(&fields).map_err(|_| Refusal::CredentialLocked)?;
    let Step::Apply(proof) = authorizer.step(now);
    let scrubber = Scrubber::new(fields.secrets.values().map(|secret| secret.expose()));
    let access = Access::join(credential, proof, &fields).ok_or(Refusal::CredentialLocked)?;
    Ok(Authorized { access, scrubber })
}

fn open(vault: &Vault, credential: &Credential) -> Result<Fields, Refusal> {
    let binding = credential.binding();
    let id = credential.id.to_string();
    let mut fields = Fields { plain: credential.plain.clone(), ..Fields::default() };
    for (key, stored) in &credential.secrets {
        let place = Credential::place(&id, key, stored.generation, &binding);
        let secret = vault.open(&place, &stored.sealed).map_err(|error| {
            tracing::error!(credential.id = %id, field = key, %error, "a secret does not open");
            Refusal::CredentialLocked
        })?;
        fields.secrets.insert(key.clone(), secret);
    }
    Ok(fields)
}
