//! What a person does with their own account: the password, and the time zone and theme of their pages.

use consign_core::catalog::{Fault, Reader};
use consign_core::id::UserId;
use consign_store::{second_steps, sessions, users};
use serde_json::{Value, json};

use super::again::{require_password, take_password, take_secret};
use super::password::hash_password;
use super::{is_as_saved, judge_password, object, row, save};
use crate::App;
use crate::ops::people::signs_in_with;
use crate::ops::settings::read_zone;
use crate::ops::settings::sign_in::rules;
use crate::ops::{Actor, ActorKind, OpError, Sent, audit_rows, commit};

const NEW_PASSWORD: &str = "new_password";
const TIME_ZONE: &str = "time_zone";
const THEME: &str = "theme";
/// What is asked for and shown, and how it is stored.
const THEMES: [(&str, &str); 3] = [("light", "light"), ("dark", "dark"), ("system", "")];

/// What a person has here.
///
/// # Errors
/// When a program asks, or the database cannot be read.
pub async fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    let user = users::find(&mut *app.store.read().await?, own_id(actor)?).await?;
    let user = user.ok_or(OpError::NotFound("person"))?;
    Ok(json!({
        "email": user.email,
        "role": user.role,
        "signs_in_with": signs_in_with(&user),
        "two_step": user.two_step.is_some(),
        TIME_ZONE: user.time_zone,
        THEME: if user.theme.is_empty() { "system" } else { user.theme.as_str() },
        "no_password_because": no_password_here(app, &user),
    }))
}

/// Keeps what a person chose for their pages: the time zone, whose empty name is that of the installation, and the theme.
/// What was not sent stays.
///
/// # Errors
/// When there is no such zone or theme, a program asks, or the database did not take it.
pub async fn change(app: &App, actor: &Actor, sent: Sent) -> Result<(), OpError> {
    let id = own_id(actor)?;
    let mut reader = Reader::new(sent);
    let zone = if reader.has(TIME_ZONE) { read_zone(&mut reader) } else { None };
    let theme = reader.has(THEME).then(|| reader.choice(THEME, "Theme", &THEMES, ""));
    let read_only =
        ["kind", "id", "name", "rights", "email", "role", "signs_in_with", "two_step", "no_password_because"];
    reader.refuse_unknown(&[TIME_ZONE, THEME], &read_only);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    let mut tx = app.store.begin().await?;
    if let Some(zone) = zone {
        users::set_time_zone(&mut tx, id, &zone).await?;
    }
    if let Some(theme) = theme {
        users::set_theme(&mut tx, id, theme).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Changes one's own password. Every other session of the person ends; `session` is the hash of the one that goes on.
///
/// # Errors
/// When the present one is not right or was tried too often, the new one is not accepted, or there is no password.
pub async fn change_password(
    app: &App,
    actor: &Actor,
    session: Option<&str>,
    mut sent: Sent,
) -> Result<(), OpError> {
    let id = own_id(actor)?;
    let (present, new) = (take_password(&mut sent), take_secret(&mut sent, NEW_PASSWORD));
    let mut reader = Reader::new(sent);
    reader.refuse_unknown(&["password", NEW_PASSWORD], &[]);
    let user = users::find(&mut *app.store.read().await?, id).await?.ok_or(OpError::NotFound("person"))?;
    if let Some(why) = no_password_here(app, &user) {
        return Err(OpError::WrongState(why));
    }
    if let Some(fault) = judge_password(&new, &user.name, &user.email) {
        reader.refuse(NEW_PASSWORD, Fault::new(fault.code, fault.message));
    } else if new.expose() == present.expose() {
        reader.refuse(NEW_PASSWORD, Fault::new("not_new", "Choose another password than the present one"));
    }
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    require_password(app, actor, &present).await?;
    let password_hash = hash_password(app, &new).await?;
    let mut tx = app.store.begin().await?;
    let found = users::find(&mut tx, id).await?.ok_or(OpError::NotFound("person"))?;
    // Judged and saved is the same password.
    if found.password_hash != user.password_hash || !is_as_saved(app, &mut tx, &found).await? {
        let sentence = "Your account was changed meanwhile. Nothing was done; look at it and try again";
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    let mut changed = users::User { password_hash, ..found };
    save(&mut tx, &mut changed).await?;
    let ended = sessions::delete_others(&mut tx, id, session.unwrap_or_default()).await?;
    second_steps::delete_of(&mut tx, id).await?;
    let changes = json!({ "password": "replaced", "sessions_ended": ended });
    audit_rows(app, &mut tx, actor, "Changed own password", object(&changed), changes, &[row(&changed)])
        .await?;
    commit(app, tx).await
}

/// Why somebody has no password to change, when they have none.
fn no_password_here(app: &App, user: &users::User) -> Option<String> {
    let provider = app.config.auth.oidc.shown_name();
    match (user.password_hash.is_empty(), rules(app).local, provider) {
        (false, true, _) => None,
        (false, false, provider) => Some(format!(
            "Passwords are switched off here. You sign in with {}",
            provider.unwrap_or_default()
        )),
        (true, _, Some(provider)) if user.identity.is_some() => {
            Some(format!("You sign in with {provider}, and have no password here. Change it there"))
        }
        (true, _, _) => Some("This account has no password".to_owned()),
    }
}

/// Who a person is who asks for their own account.
pub(in crate::ops) fn own_id(actor: &Actor) -> Result<UserId, OpError> {
    match actor.kind {
        ActorKind::User { id, .. } => Ok(id),
        ActorKind::Key { .. } | ActorKind::System => Err(OpError::PeopleOnly(
            "An API key has no account. A person sends email and password as HTTP Basic for this",
        )),
    }
}
