//! Secrets that were typed into a form that was not saved.

use std::time::Duration;

use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_core::vault::{Place, Sealed};
use consign_store::sessions;

use super::SignedIn;
use crate::App;
use crate::ops::OpError;

/// How long they are kept.
const TYPED_LIFE: Duration = Duration::from_secs(15 * 60);

/// Keeps the secrets typed into a form that was not saved, sealed, for 15 minutes.
///
/// # Errors
/// When the database did not take them.
pub async fn keep_typed(app: &App, session: &SignedIn, typed: &Secret) -> Result<(), OpError> {
    let own = Binding::of(&[]);
    let now = app.now();
    let sealed = app.vault.seal(&typed_place(&session.hash, now.millis(), &own), typed);
    let stored = format!("{} {}", now.millis(), sealed.as_stored());
    let mut tx = app.store.begin().await?;
    sessions::set_pending(&mut tx, &session.hash, Some(&stored)).await?;
    tx.commit().await?;
    Ok(())
}

/// Takes out what [`keep_typed`] kept; nothing after 15 minutes.
///
/// # Errors
/// When the database cannot be read.
pub async fn take_typed(app: &App, session: &SignedIn) -> Result<Option<Secret>, OpError> {
    let mut tx = app.store.begin().await?;
    let found = sessions::find(&mut tx, &session.hash).await?;
    let Some(stored) = found.and_then(|session| session.pending) else { return Ok(None) };
    sessions::set_pending(&mut tx, &session.hash, None).await?;
    tx.commit().await?;
    let Some((at, sealed)) = stored.split_once(' ') else { return Ok(None) };
    let Ok(at) = at.parse() else { return Ok(None) };
    if app.now().since(Timestamp::from_millis(at)) > TYPED_LIFE {
        return Ok(None);
    }
    let own = Binding::of(&[]);
    let place = typed_place(&session.hash, at, &own);
    Ok(app.vault.open_own(&place, &Sealed::from_stored(sealed.to_owned())).ok())
}

fn typed_place<'a>(session: &'a str, generation: i64, binding: &'a Binding) -> Place<'a> {
    Place { table: "session", record: session, field: "pending", generation, binding }
}
