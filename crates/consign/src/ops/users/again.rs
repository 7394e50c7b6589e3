//! The password again, for what a session that somebody else took over must not do.

use std::time::Duration;

use consign_core::secret::Secret;
use consign_store::users;

use super::SignsInWith;
use super::password::password_fits;
use crate::App;
use crate::ops::settings::sign_in::rules;
use crate::ops::{Actor, ActorKind, OpError, Sent, invalid};

/// The member of a body that holds it.
pub(in crate::ops) const PASSWORD: &str = "password";

/// Takes the password out of what was sent.
pub(in crate::ops) fn take_password(sent: &mut Sent) -> Secret {
    take_secret(sent, PASSWORD)
}

/// Takes a secret out of what was sent.
pub(super) fn take_secret(sent: &mut Sent, member: &str) -> Secret {
    let typed = sent.remove(member);
    Secret::new(typed.and_then(|typed| typed.as_str().map(str::to_owned)).unwrap_or_default())
}

/// Who signs in with no password shows who they are by a sign-in with the provider that is this fresh.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// Asks a person for their password again. Programs have none; people who come by the provider must have come just now.
///
/// # Errors
/// When it is missing or wrong, was tried too often, or the sign-in is too old.
pub async fn require_password(app: &App, actor: &Actor, typed: &Secret) -> Result<(), OpError> {
    let ActorKind::User { id, .. } = actor.kind else { return Ok(()) };
    let user = users::find(&mut *app.store.read().await?, id).await?.ok_or(OpError::NotFound("person"))?;
    if !SignsInWith::of(&user, &rules(app)).password {
        if user.identity.is_none() {
            return no_way_in(app);
        }
        if actor.signed_in_at.is_some_and(|since| app.now().since(since) <= FRESH) {
            return Ok(());
        }
        let sentence = "This needs a sign-in of the last 10 minutes. Sign out, sign in again, and do it then";
        return Err(invalid(PASSWORD, "sign_in_again", sentence));
    }
    if typed.expose().is_empty() {
        return Err(invalid(PASSWORD, "missing", "Enter your password again"));
    }
    let account = format!("again {id}");
    if let Some(wait) = app.sign_ins.try_once(&account, app.now()) {
        return Err(OpError::TooMany { seconds: wait.as_secs() + 1 });
    }
    if !password_fits(app, typed, Some(user.password_hash)).await? {
        return Err(invalid(PASSWORD, "wrong", "The password is not right"));
    }
    app.sign_ins.passed(&account);
    Ok(())
}

/// An account with neither password nor provider cannot show who it is. Only the demo has one, and its data is
/// nobody's.
fn no_way_in(app: &App) -> Result<(), OpError> {
    if app.demo.is_demo() {
        return Ok(());
    }
    let sentence = "This account has neither a password nor a provider to sign in with, so this cannot be done \
                    with it. Another administrator does it, or deletes this account and invites you again";
    Err(invalid(PASSWORD, "not_possible", sentence))
}
