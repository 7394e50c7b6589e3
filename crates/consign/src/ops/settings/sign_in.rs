//! Settings of signing in: with what, with how many steps, and for how long. What the operator set comes first, and
//! nothing is switched off that nobody could switch on again.

use std::time::Duration;

use consign_core::audit::Table;
use consign_core::catalog::{Fault, Reader};
use consign_core::credential::parse_count;
use consign_core::rights::Right;
use consign_core::role::Role;
use consign_core::time::Timestamp;
use consign_store::{Db, Tx, users};
use serde_json::{Value, json};

use super::refuse_fixed;
use crate::App;
use crate::config::{Config, IDLE_MINUTES_MAX, SESSION_HOURS_MAX};
use crate::engine::{Part as _, SignInChoice, put_choice, read_choice, read_choice_to_change};
use crate::ops::audit::Saved;
use crate::ops::users::again::{require_password, take_password};
use crate::ops::users::oidc::CALLBACK;
use crate::ops::{Actor, IfMatch, Object, OpError, Sent, audit_rows, commit, differences, invalid};

const PART: &str = "Sign-in";
const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: PART };
const CHANGED: &str = "Changed sign-in settings";
/// What is changed here, in the audit log.
pub const SAVED: Saved<'static> = Saved::Settings(CHANGED);
const LOCAL: &str = "local";
const TWO_STEP: &str = "two_step_required";
const SESSION_HOURS: &str = "session_hours";
const IDLE_MINUTES: &str = "idle_minutes";
/// Member, option of the operator, and label of what can be chosen.
const CHOICES: [(&str, &str, &str); 4] = [
    (LOCAL, "auth.local", "Sign-in with passwords"),
    (TWO_STEP, "auth.two_step_required", "Two-step sign-in"),
    (SESSION_HOURS, "auth.session_hours", "Session length"),
    (IDLE_MINUTES, "auth.idle_minutes", "Idle time"),
];

/// The rule of passwords, in words.
pub const PASSWORD_RULE: &str = "12 characters or more; longer is better. Passwords that are guessed first are refused: \
    few different characters, runs of the keyboard or the alphabet, common words, and a person's own name or address. \
    There is no rule about kinds of characters, and passwords do not end.";

/// What holds for signing in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInRules {
    /// Whether people sign in with a password that is kept here.
    pub local: bool,
    /// Sessions that began since then need a second step of whoever has a password.
    pub two_step_since: Option<Timestamp>,
    hours: u64,
    minutes: u64,
}

impl SignInRules {
    /// How long a web session lives.
    pub fn session(&self) -> Duration {
        Duration::from_secs(self.hours * 3_600)
    }

    /// How long it lives unused.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }

    fn of(config: &Config, chosen: &SignInChoice) -> Self {
        let [local, two_step, session, idle] = CHOICES.map(|(_, option, _)| config.set_by(option).is_none());
        let auth = &config.auth;
        let own_two_step = auth.two_step_required.then(|| Timestamp::from_millis(0));
        let since = Timestamp::from_millis(chosen.two_step_since_ms);
        let chosen_two_step = chosen.two_step_required.filter(|_| two_step);
        let hours = chosen.session_hours.filter(|_| session).map(u64::from);
        let minutes = chosen.idle_minutes.filter(|_| idle).map(u64::from);
        Self {
            // Without a provider there is no other way in, whatever was chosen while there was one.
            local: chosen.local.filter(|_| local).unwrap_or(auth.local) || auth.oidc.issuer.is_none(),
            two_step_since: chosen_two_step.map_or(own_two_step, |required| required.then_some(since)),
            hours: hours.unwrap_or(auth.session_hours),
            minutes: minutes.unwrap_or(auth.idle_minutes),
        }
    }

    fn show(&self) -> Value {
        json!({
            LOCAL: self.local,
            TWO_STEP: self.two_step_since.is_some(),
            SESSION_HOURS: self.hours,
            IDLE_MINUTES: self.minutes,
        })
    }
}

/// What holds now.
pub fn rules(app: &App) -> SignInRules {
    SignInRules::of(&app.config, &app.engine.snapshot().chosen().sign_in)
}

/// What holds, who set it, and the provider.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut db = app.store.read().await?;
    let stored = read_choice(&mut db).await?;
    let (stored, _) = judged(app, &mut db, stored).await?;
    Ok(show(app, &stored))
}

/// What was chosen, and whether that is what was saved last.
async fn judged(app: &App, db: &mut Db, stored: SignInChoice) -> Result<(SignInChoice, bool), OpError> {
    let fits = app.records.fits(db, Table::Setting, SignInChoice::KEY).await?;
    Ok((if fits { stored } else { SignInChoice::in_doubt(stored.revision) }, fits))
}

fn show(app: &App, stored: &SignInChoice) -> Value {
    let mut shown = SignInRules::of(&app.config, stored).show();
    shown["etag"] = json!(format!("\"{}\"", stored.revision));
    for (member, option, _) in CHOICES {
        shown[format!("{member}_set_by")] = json!(app.config.set_by(option));
    }
    shown["password_rule"] = json!(PASSWORD_RULE);
    let oidc = &app.config.auth.oidc;
    shown["oidc"] = json!(oidc.issuer.as_ref().map(|issuer| json!({
        "name": oidc.shown_name(),
        "issuer": issuer,
        "client_id": oidc.client_id,
        "admin_group": oidc.admin_group,
        "redirect_url": format!("{}{CALLBACK}", app.public_url()),
    })));
    shown
}

/// What was sent: absent members stay, and `null` goes back to what the operator set or the default.
#[derive(Default)]
struct Wish {
    local: Option<Option<bool>>,
    two_step_required: Option<Option<bool>>,
    session_hours: Option<Option<u32>>,
    idle_minutes: Option<Option<u32>>,
}

fn read(app: &App, reader: &mut Reader) -> Wish {
    let present = rules(app).show();
    let mut wish = Wish::default();
    for (member, option, label) in CHOICES {
        let Some(sent) = reader.take_if_sent(member) else { continue };
        let read = match member {
            LOCAL => flag(&sent, label).map(|flag| wish.local = Some(flag)),
            TWO_STEP => flag(&sent, label).map(|flag| wish.two_step_required = Some(flag)),
            SESSION_HOURS => {
                number(&sent, SESSION_HOURS_MAX, label, "hours").map(|hours| wish.session_hours = Some(hours))
            }
            _ => number(&sent, IDLE_MINUTES_MAX, label, "minutes")
                .map(|minutes| wish.idle_minutes = Some(minutes)),
        };
        reader.accept(member, read);
        if let Some(by) = app.config.set_by(option) {
            if sent != present[member] {
                refuse_fixed(reader, member, label, &by);
            }
            wish.forget(member);
        }
    }
    wish
}

impl Wish {
    fn forget(&mut self, member: &str) {
        match member {
            LOCAL => self.local = None,
            TWO_STEP => self.two_step_required = None,
            SESSION_HOURS => self.session_hours = None,
            _ => self.idle_minutes = None,
        }
    }

    /// Puts it over what was chosen. What is sent as it holds already stays.
    fn over(self, before: &SignInChoice, holds: &SignInRules, now: Timestamp) -> SignInChoice {
        let mut after = before.clone();
        let two_step = holds.two_step_since.is_some();
        after.local = self.local.filter(|wish| *wish != Some(holds.local)).unwrap_or(before.local);
        let required = self.two_step_required.filter(|wish| *wish != Some(two_step));
        after.two_step_required = required.unwrap_or(before.two_step_required);
        if after.two_step_required == Some(true) && before.two_step_required != Some(true) {
            after.two_step_since_ms = now.millis();
        }
        let hours = self.session_hours.filter(|wish| wish.map(u64::from) != Some(holds.hours));
        after.session_hours = hours.unwrap_or(before.session_hours);
        let minutes = self.idle_minutes.filter(|wish| wish.map(u64::from) != Some(holds.minutes));
        after.idle_minutes = minutes.unwrap_or(before.idle_minutes);
        after
    }
}

fn flag(sent: &Value, label: &str) -> Result<Option<bool>, Fault> {
    match sent {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        _ => Err(Fault::new("wrong_type", format!("{label} must be true or false"))),
    }
}

fn number(sent: &Value, most: u64, label: &str, unit: &str) -> Result<Option<u32>, Fault> {
    let sentence = format!("{label} must be from 1 to {most} {unit}");
    parse_count(sent, 1..=u32::try_from(most).unwrap_or(u32::MAX), &sentence)
}

/// Changes them. A person enters their password again.
///
/// # Errors
/// When a value was not accepted, somebody else changed them meanwhile, or nobody could sign in any more.
pub async fn change(app: &App, actor: &Actor, mut sent: Sent, if_match: IfMatch) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let password = take_password(&mut sent);
    let mut reader = Reader::new(sent);
    let wish = read(app, &mut reader);
    let read_only: Vec<_> = CHOICES.iter().map(|(member, ..)| format!("{member}_set_by")).collect();
    let read_only = read_only.iter().map(String::as_str).chain(["etag", "password_rule", "oidc"]);
    let known = CHOICES.map(|(member, ..)| member);
    reader.refuse_unknown(&known, &read_only.collect::<Vec<_>>());
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    require_password(app, actor, &password).await?;
    let mut tx = app.store.begin().await?;
    let before = read_choice_to_change(&mut tx).await?;
    let (before, fits) = judged(app, &mut tx, before).await?;
    if_match.judge(before.revision)?;
    let mut after = wish.over(&before, &SignInRules::of(&app.config, &before), tx.now());
    if after == before && fits {
        return Ok(show(app, &before));
    }
    after.revision += 1;
    put_choice(&mut tx, &after).await?;
    let [was, is] = [&before, &after].map(|choice| SignInRules::of(&app.config, choice));
    let changes = differences(&was.show(), &is.show());
    let rows = [(Table::Setting, SignInChoice::KEY.to_owned())];
    audit_rows(app, &mut tx, actor, CHANGED, OBJECT, changes, &rows).await?;
    // Behind the audit entry: its place in the chain makes replicas wait for each other, so that no administrator
    // leaves meanwhile.
    if before.local != Some(false) && after.local == Some(false) {
        require_way_in(app, &mut tx).await?;
    }
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(show(app, &after))
}

async fn require_way_in(app: &App, tx: &mut Tx) -> Result<(), OpError> {
    let Some(provider) = app.config.auth.oidc.shown_name() else {
        let sentence = "Passwords cannot be switched off: no OpenID provider is configured, so nobody could sign in. \
                        Set auth.oidc.issuer and auth.oidc.client_id first";
        return Err(invalid(LOCAL, "no_other_way_in", sentence));
    };
    if administrators_by_provider(app, tx).await? > 0 {
        return Ok(());
    }
    let sentence = format!(
        "Passwords cannot be switched off: no administrator signs in with {provider} yet, so nobody could switch them on \
         again. Let an administrator come in with {provider} first"
    );
    Err(invalid(LOCAL, "no_other_way_in", sentence))
}

/// How many administrators the present provider lets in.
pub(in crate::ops) async fn administrators_by_provider(app: &App, tx: &mut Tx) -> Result<usize, OpError> {
    let Some(issuer) = app.config.auth.oidc.issuer.as_deref() else { return Ok(0) };
    let all = users::active_with(tx, Role::Administrator).await?;
    let by_provider = |user: &&users::User| user.identity.as_ref().is_some_and(|who| who.issuer == issuer);
    Ok(all.iter().filter(by_provider).count())
}

#[cfg(test)]
mod tests;
