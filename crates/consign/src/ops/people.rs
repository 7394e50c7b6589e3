//! Users and roles: who may sign in, and what they may do. Nobody is locked out for good: the last administrator stays
//! one.

use std::net::IpAddr;
use std::time::Duration;

use consign_core::api_key::hash;
use consign_core::catalog::{Fault, Reader, unknown_field};
use consign_core::id::UserId;
use consign_core::rights::Right;
use consign_core::role::Role;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_store::users::{Invitation, User};
use consign_store::{Listed, Page, StoreError, Tx, second_steps, sessions, users};
use serde_json::{Value, json};

use super::settings::sign_in::{administrators_by_provider, rules};
use super::users::again::{require_password, take_password};
use super::users::{Begun, judge_email, judge_person, object, person_of, random_text, row, save, shown_name};
use super::{
    Actor, ActorKind, IfMatch, OpError, Sent, audit_entry, audit_rows, commit, commit_answered, invalid,
    require_as_saved,
};
use crate::App;

/// Long enough for a weekend.
const INVITATION_LIFE: Duration = Duration::from_secs(72 * 3_600);
/// Below the public address.
pub const INVITATION_PATH: &str = "/invitation";
const ADMINISTRATORS_BY_PEOPLE: &str = "API keys make nobody an administrator, whatever their scopes: sign in as a \
    person and do it in Users and roles. Where no administrator can sign in, consign admin invite makes a link, on the \
    server while it is stopped";
const LAST_ADMINISTRATOR: &str = "This is the last administrator. Give someone else the role first";

/// A page of people, the newest first.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(app: &App, actor: &Actor, page: &Page) -> Result<Listed<Value>, OpError> {
    actor.require(Right::Admin)?;
    let found = users::list(&mut *app.store.read().await?, page).await?;
    let now = app.now();
    Ok(found.map(|user| show(&user, now)))
}

/// One person, by id or address.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let user = by_reference(&mut *app.store.read().await?, reference).await?;
    Ok(show(&user, app.now()))
}

/// Invites somebody: the answer holds the link, which works once, for 72 hours. A person enters their password again.
///
/// # Errors
/// When a value was not accepted, or the address is taken.
pub async fn invite(app: &App, actor: &Actor, mut sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let password = take_password(&mut sent);
    let mut reader = Reader::new(sent);
    let email = reader.text("email", "Email").trim().to_owned();
    reader.refuse_all(judge_email(&email).into_iter().collect());
    let role = read_role(&mut reader);
    reader.refuse_unknown(&["email", "role"], &[]);
    let faults = reader.into_invalid();
    let Some(role) = role.filter(|_| faults.is_empty()) else { return Err(OpError::Invalid(faults)) };
    require_person_for(actor, role)?;
    require_password(app, actor, &password).await?;
    let mut tx = app.store.begin().await?;
    let (token, invitation) = new_invitation(tx.now());
    let user = User {
        role,
        invitation: Some(invitation),
        ..person_of(tx.now(), String::new(), email.clone(), String::new())
    };
    users::insert(&mut tx, &user).await.map_err(|error| taken(error, &email))?;
    let changes = json!({ "email": email, "role": role });
    audit_rows(app, &mut tx, actor, "Invited person", object(&user), changes, &[row(&user)]).await?;
    let made = show_with_link(app, &user, &token, tx.now());
    commit_answered(app, actor, tx, &made).await?;
    Ok(mailed(app, actor, &user, made).await)
}

/// Mails the link where there is mail, and says what became of it.
async fn mailed(app: &App, actor: &Actor, user: &User, mut made: Value) -> Value {
    if let Some(mail) = super::mail::invitation(app, actor, &user.email, user.role, &made).await {
        made["invitation"]["mail"] = mail;
    }
    made
}

/// A new link for somebody who has not come yet; the one before no longer works. A person enters their password again.
///
/// # Errors
/// When they have come already, or the password is not right.
pub async fn invite_again(
    app: &App,
    actor: &Actor,
    reference: &str,
    mut sent: Sent,
) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let password = take_password(&mut sent);
    require_nothing_else(&sent, &["password"])?;
    require_password(app, actor, &password).await?;
    let mut tx = app.store.begin().await?;
    let mut user = saved_by_reference(app, &mut tx, reference).await?;
    if user.invitation.is_none() {
        return Err(OpError::WrongState(format!(
            "{} has accepted the invitation already",
            shown_name(&user)
        )));
    }
    require_person_for(actor, user.role)?;
    let (token, invitation) = new_invitation(tx.now());
    user.invitation = Some(invitation);
    save(&mut tx, &mut user).await?;
    audit_rows(app, &mut tx, actor, "Made new invitation link", object(&user), json!({}), &[row(&user)])
        .await?;
    let made = show_with_link(app, &user, &token, tx.now());
    commit_answered(app, actor, tx, &made).await?;
    Ok(mailed(app, actor, &user, made).await)
}

/// Whose invitation a link is: their address, and their role.
///
/// # Errors
/// When it was used, replaced, or is older than 72 hours.
pub async fn invited(app: &App, token: &str) -> Result<(String, Role), OpError> {
    let found = users::find_by_invitation(&mut *app.store.read().await?, &hash(token)).await?;
    let user = found.filter(|user| still_invited(user, app.now())).ok_or_else(link_used)?;
    Ok((user.email, user.role))
}

/// Accepts an invitation, and signs in.
///
/// # Errors
/// When the link is used or old, or a value was not accepted.
pub async fn accept(
    app: &App,
    token: &str,
    name: &str,
    password: &Secret,
    from: Option<IpAddr>,
) -> Result<Begun, OpError> {
    let (email, _) = invited(app, token).await?;
    if !rules(app).local {
        let provider = app.config.auth.oidc.shown_name().unwrap_or_default();
        return Err(OpError::WrongState(format!("Passwords are switched off here. Sign in with {provider}")));
    }
    let (name, _) = judge_person(name, &email, password)?;
    let password_hash = super::users::password::hash_password(app, password).await?;
    let mut tx = app.store.begin().await?;
    let found = users::find_by_invitation(&mut tx, &hash(token)).await?;
    let mut user = found.filter(|user| still_invited(user, tx.now())).ok_or_else(link_used)?;
    require_as_saved(app, &mut tx, &row(&user)).await?;
    user.invitation = None;
    user.name = name;
    user.password_hash = password_hash;
    save(&mut tx, &mut user).await?;
    let now = tx.now();
    let (begun, session) = super::users::new_session(app, &user, now);
    sessions::insert(&mut tx, &session).await?;
    users::set_seen(&mut tx, user.id, now).await?;
    let actor = super::users::acting(&user, from, now);
    audit_rows(app, &mut tx, &actor, "Accepted invitation", object(&user), json!({}), &[row(&user)]).await?;
    commit(app, tx).await?;
    Ok(begun)
}

/// Changes the role or the name of a person. With the role their sessions end. A person enters their password again.
///
/// # Errors
/// When a value was not accepted, somebody was faster, or it is the last administrator.
pub async fn change(
    app: &App,
    actor: &Actor,
    reference: &str,
    mut sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let password = take_password(&mut sent);
    let mut reader = Reader::new(sent);
    let name = reader.has("name").then(|| reader.text("name", "Name").trim().to_owned());
    if let Some(name) = &name {
        reader.refuse_all(super::users::judge_name(name).into_iter().collect());
    }
    let role = if reader.has("role") { read_role(&mut reader) } else { None };
    reader.refuse_unknown(&["name", "role"], READ_ONLY);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    require_password(app, actor, &password).await?;
    let mut tx = app.store.begin().await?;
    let ways_in = ways_in(app, &mut tx).await?;
    let mut user = saved_by_reference(app, &mut tx, reference).await?;
    if_match.judge(user.revision)?;
    let before = (user.role, user.name.clone());
    user.role = role.unwrap_or(user.role);
    if user.role != before.0 {
        require_person_for(actor, user.role)?;
    }
    user.name = name.unwrap_or(user.name);
    if before == (user.role, user.name.clone()) {
        return Ok(show(&user, tx.now()));
    }
    save(&mut tx, &mut user).await?;
    let mut changes = json!({});
    let mut action = "Changed person";
    if before.0 != user.role {
        // Whoever gets other rights gets another session.
        sessions::delete_of(&mut tx, user.id).await?;
        changes["role"] = json!({ "old": before.0, "new": user.role });
        action = "Changed role";
    }
    if before.1 != user.name {
        changes["name"] = json!({ "old": before.1, "new": user.name });
    }
    audit_rows(app, &mut tx, actor, action, object(&user), changes, &[row(&user)]).await?;
    require_administrator(app, &mut tx, ways_in).await?;
    let made = show(&user, tx.now());
    commit(app, tx).await?;
    Ok(made)
}

/// What is done to a person without values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// They may not sign in any more; their sessions end.
    Suspend,
    /// They may again.
    Reactivate,
    /// Their sessions end.
    SignOut,
    /// Their second step is off, because app and recovery codes are gone.
    ResetTwoStep,
}

impl Deed {
    /// Whether somebody can come in by it who could not before: with one step less, or at all. It is asked for the
    /// password, as an invitation is.
    pub const fn makes_a_way_in(self) -> bool {
        match self {
            Self::Reactivate | Self::ResetTwoStep => true,
            Self::Suspend | Self::SignOut => false,
        }
    }

    /// The words of the audit log.
    const fn action(self) -> &'static str {
        match self {
            Self::Suspend => "Suspended person",
            Self::Reactivate => "Reactivated person",
            Self::SignOut => "Signed out everywhere",
            Self::ResetTwoStep => "Reset two-step sign-in",
        }
    }
}

/// Does it. What is so already stays so. For what makes a way in a person enters their password again.
///
/// # Errors
/// When there is no such person, the password is not right, or it is the last administrator.
pub async fn act(
    app: &App,
    actor: &Actor,
    reference: &str,
    deed: Deed,
    mut sent: Sent,
) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    if deed.makes_a_way_in() {
        let password = take_password(&mut sent);
        require_nothing_else(&sent, &["password"])?;
        require_password(app, actor, &password).await?;
    } else {
        require_nothing_else(&sent, &[])?;
    }
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let ways_in = ways_in(app, &mut tx).await?;
    let mut user = saved_by_reference(app, &mut tx, reference).await?;
    if deed.makes_a_way_in() {
        require_person_for(actor, user.role)?;
    }
    let changed = match deed {
        Deed::Suspend if user.invitation.is_some() => {
            let sentence = "This person has not come yet. Delete the invitation instead";
            return Err(OpError::WrongState(sentence.to_owned()));
        }
        Deed::Suspend => user.suspended_at.is_none() && user.suspended_at.replace(now).is_none(),
        Deed::Reactivate => user.suspended_at.take().is_some(),
        Deed::ResetTwoStep => user.two_step.take().is_some(),
        Deed::SignOut => false,
    };
    if !changed && deed != Deed::SignOut {
        return Ok(show(&user, now));
    }
    if changed {
        save(&mut tx, &mut user).await?;
    }
    if deed != Deed::Reactivate {
        // Behind the change, on which those wait who are signing in.
        sessions::delete_of(&mut tx, user.id).await?;
        second_steps::delete_of(&mut tx, user.id).await?;
    }
    if changed {
        let rows = [row(&user)];
        audit_rows(app, &mut tx, actor, deed.action(), object(&user), json!({}), &rows).await?;
    } else {
        audit_entry(app, &mut tx, actor, deed.action(), object(&user), json!({})).await?;
    }
    require_administrator(app, &mut tx, ways_in).await?;
    let made = show(&user, now);
    commit_answered(app, actor, tx, &made).await?;
    Ok(made)
}

/// Removes a person, or an invitation. What they did stays in the audit log under their name.
///
/// # Errors
/// When there is none, or it is the last administrator.
pub async fn delete(app: &App, actor: &Actor, reference: &str, if_match: IfMatch) -> Result<String, OpError> {
    actor.require(Right::Admin)?;
    let mut tx = app.store.begin().await?;
    let ways_in = ways_in(app, &mut tx).await?;
    // Not asked whether it is as it was saved: a row that somebody put there can be removed.
    let user = by_reference(&mut tx, reference).await?;
    if_match.judge(user.revision)?;
    users::delete(&mut tx, user.id).await?;
    let action = if user.invitation.is_some() { "Deleted invitation" } else { "Deleted person" };
    let changes = json!({ "email": user.email });
    audit_rows(app, &mut tx, actor, action, object(&user), changes, &[row(&user)]).await?;
    require_administrator(app, &mut tx, ways_in).await?;
    commit(app, tx).await?;
    Ok(shown_name(&user).to_owned())
}

/// Asked behind the audit entry: its place in the chain makes replicas wait for each other, so that two administrators
/// cannot take the role from each other at once.
async fn require_administrator(app: &App, tx: &mut Tx, ways_in: usize) -> Result<(), OpError> {
    if users::active_with(tx, Role::Administrator).await?.is_empty() {
        return Err(OpError::WrongState(LAST_ADMINISTRATOR.to_owned()));
    }
    if ways_in > 0 && self::ways_in(app, tx).await? == 0 {
        let provider = app.config.auth.oidc.shown_name().unwrap_or_default();
        let sentence = format!(
            "This is the last administrator who signs in with {provider}, and passwords are switched off. Let another \
             administrator come in with {provider} first"
        );
        return Err(OpError::WrongState(sentence));
    }
    Ok(())
}

/// Whoever got hold of an API key must not become a person who may take the key ring.
fn require_person_for(actor: &Actor, role: Role) -> Result<(), OpError> {
    match (&actor.kind, role) {
        (ActorKind::Key { .. }, Role::Administrator) => Err(OpError::PeopleOnly(ADMINISTRATORS_BY_PEOPLE)),
        (ActorKind::Key { .. } | ActorKind::User { .. } | ActorKind::System, _) => Ok(()),
    }
}

fn require_nothing_else(sent: &Sent, known: &[&str]) -> Result<(), OpError> {
    let unknown: Vec<_> = sent.keys().map(|key| unknown_field(key, known)).collect();
    if unknown.is_empty() { Ok(()) } else { Err(OpError::Invalid(unknown)) }
}

/// Where passwords are switched off: the administrators who come in by the provider.
async fn ways_in(app: &App, tx: &mut Tx) -> Result<usize, OpError> {
    if rules(app).local { Ok(0) } else { administrators_by_provider(app, tx).await }
}

fn read_role(reader: &mut Reader) -> Option<Role> {
    let text = reader.text("role", "Role");
    let found = Role::find(&text);
    if found.is_none() && reader.is_clean("role") {
        let known: Vec<_> = Role::ALL.iter().map(|role| role.kind()).collect();
        let sentence = format!("Choose a role: {}", known.join(", "));
        reader.refuse("role", Fault::new("unknown", sentence));
    }
    found
}

async fn by_reference(db: &mut consign_store::Db, reference: &str) -> Result<User, OpError> {
    let found = match reference.parse::<UserId>() {
        Ok(id) => users::find(db, id).await?,
        Err(_) => users::find_by_email(db, reference).await?,
    };
    found.ok_or(OpError::NotFound("person"))
}

async fn saved_by_reference(app: &App, tx: &mut Tx, reference: &str) -> Result<User, OpError> {
    let user = by_reference(tx, reference).await?;
    require_as_saved(app, tx, &row(&user)).await?;
    Ok(user)
}

fn new_invitation(now: Timestamp) -> (Secret, Invitation) {
    let token = random_text();
    let invitation = Invitation { hash: hash(token.expose()), until: now.plus(INVITATION_LIFE) };
    (token, invitation)
}

fn still_invited(user: &User, now: Timestamp) -> bool {
    user.invitation.as_ref().is_some_and(|invitation| invitation.until > now)
}

fn link_used() -> OpError {
    OpError::WrongState("This invitation was used, replaced, or is older than 72 hours".to_owned())
}

fn taken(error: StoreError, email: &str) -> OpError {
    match error {
        StoreError::NotUnique(_) => {
            invalid("email", "not_unique", format!("{email} is here already. Change their role instead"))
        }
        other => other.into(),
    }
}

/// Members of an answer that may come back.
const READ_ONLY: &[&str] = &[
    "id",
    "etag",
    "email",
    "state",
    "signs_in_with",
    "two_step",
    "invitation",
    "suspended_at",
    "last_seen_at",
    "created_at",
];

fn show(user: &User, now: Timestamp) -> Value {
    let state = match (&user.invitation, user.suspended_at) {
        (Some(_), _) => "invited",
        (None, Some(_)) => "suspended",
        (None, None) => "active",
    };
    let invitation = user
        .invitation
        .as_ref()
        .map(|invitation| json!({ "ends_at": invitation.until, "ended": invitation.until <= now }));
    json!({
        "id": user.id,
        "etag": format!("\"{}\"", user.revision),
        "name": user.name,
        "email": user.email,
        "role": user.role,
        "state": state,
        "signs_in_with": signs_in_with(user),
        "two_step": user.two_step.is_some(),
        "invitation": invitation,
        "suspended_at": user.suspended_at,
        "last_seen_at": user.last_seen_at,
        "created_at": user.created_at,
    })
}

/// What somebody shows when they come; nothing before they have come at all.
pub(in crate::ops) fn signs_in_with(user: &User) -> Option<&'static str> {
    match (&user.identity, user.password_hash.is_empty()) {
        (Some(_), _) => Some("oidc"),
        (None, false) => Some("password"),
        (None, true) => None,
    }
}

/// The one answer that holds the link.
fn show_with_link(app: &App, user: &User, token: &Secret, now: Timestamp) -> Value {
    let mut shown = show(user, now);
    let link = format!("{}{INVITATION_PATH}/{}", app.public_url(), token.expose());
    shown["invitation"]["link"] = json!(link);
    shown
}
