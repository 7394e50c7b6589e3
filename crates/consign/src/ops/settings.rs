//! Settings: what administrators set while the server runs, what its operator set in file and environment, and what the
//! egress rules make of an address.

use std::net::IpAddr;
use std::time::Duration;

use consign_core::address::{Blocked, BlockedWhy};
use consign_core::audit::Table;
use consign_core::auth::AUTHORIZATION_TYPES;
use consign_core::catalog::{Fault, Reader, Tokens};
use consign_core::locale::Locale;
use consign_core::rights::Right;
use consign_core::schedule::TimeZone;
use consign_core::sign::owner_and_end;
use consign_core::target::Origin;
use consign_core::time::Timestamp;
use consign_store::{Db, credentials, installation};
use consign_transport::AddressJudged;
use serde_json::{Value, json};

use super::audit::Saved;
use super::credentials::redirect_url;
use super::users::again::{require_password, take_password};
use super::{Actor, ActorKind, IfMatch, Object, OpError, Sent, audit_rows, commit, differences, notices};
use crate::App;
use crate::config::{Source, read_public_url};
use crate::engine::{
    EgressChoice, GeneralChoice, PUBLIC_URL, Part as _, SignInChoice, put_choice, read_choice,
    read_choice_to_change,
};

pub mod delivery;
pub mod egress;
pub mod sign_in;

/// As much as the navigation shows in two lines.
const NAME_CHARS_MAX: usize = 60;
/// How long a name may take to be found.
const LOOK_UP: Duration = Duration::from_secs(5);
/// An end that is as near as this is told.
const AUTHORITY_ENDS_SOON: Duration = Duration::from_secs(30 * 86_400);
const ADDRESS: &str = "address";
const PART: &str = "Settings";
const OBJECT: Object<'static> = Object { kind: "settings", id: String::new(), name: PART };
const CHANGED: &str = "Changed settings";
/// What is changed here, in the audit log.
pub const SAVED: Saved<'static> = Saved::Settings(CHANGED);
const TIME_ZONE: &str = "time_zone";
const LOCALE: &str = "locale";
const PUBLIC_URL_BY_PEOPLE: &str = "API keys choose no other public URL, whatever their scopes: invitations of \
    administrators lead there. Sign in as a person and do it in Settings, or set server.public_url where the server is \
    started";

/// What is set, and every option of the server with its source.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut db = app.store.read().await?;
    let stored = read_choice(&mut db).await?;
    show(app, &mut db, &stored).await
}

/// Every option of the server with its source.
fn options(app: &App) -> Vec<Value> {
    let option = |(key, value, source): (&'static str, String, Source)| {
        let (kind, name) = match &source {
            Source::Default => ("default", Value::Null),
            Source::File => ("file", Value::Null),
            Source::Environment(name) => ("environment", json!(name)),
            Source::Twin(path) => ("file_content", json!(path.display().to_string())),
            Source::Demo => ("demo", Value::Null),
        };
        json!({ "key": key, "value": value, "source": kind, "source_name": name })
    };
    app.config.print().into_iter().map(option).collect()
}

async fn show(app: &App, db: &mut Db, stored: &GeneralChoice) -> Result<Value, OpError> {
    Ok(json!({
        "etag": format!("\"{}\"", stored.revision),
        "instance_name": stored.instance_name,
        "public_url": app.public_url(),
        "public_url_set_by": public_url_set_by(app),
        "changed_outside": changed_outside(app, db).await?,
        "redirect_urls": redirect_urls(app, db).await?,
        TIME_ZONE: zone_name(&stored.time_zone),
        LOCALE: locale_of(stored).name(),
        "sending_pause": super::sending::shown(app.engine.snapshot().sending_pause()),
        "options": options(app),
    }))
}

/// Which of the settings that lead people somewhere are not as they were saved last, because the database was changed
/// outside Consign. Their defaults are used until they are saved again.
///
/// # Errors
/// When the database cannot be read.
pub async fn changed_outside(app: &App, db: &mut Db) -> Result<Vec<&'static str>, OpError> {
    let mut changed = Vec::new();
    if public_url_set_by(app).is_none() && !app.engine.snapshot().public_url_fits() {
        changed.push(PUBLIC_URL);
    }
    if !app.records.fits(db, Table::Setting, notices::SETTINGS).await? {
        changed.push(notices::SETTINGS);
    }
    if !app.records.fits(db, Table::Setting, SignInChoice::KEY).await? {
        changed.push(SignInChoice::KEY);
    }
    if !app.records.fits(db, Table::Setting, EgressChoice::KEY).await? {
        changed.push(EgressChoice::KEY);
    }
    Ok(changed)
}

/// Where its operator set the address of this server; `None` when a person may choose it.
pub fn public_url_set_by(app: &App) -> Option<String> {
    app.config.server.public_url.as_ref()?;
    Some(app.config.set_by("server.public_url").unwrap_or_else(|| "the configuration file".to_owned()))
}

/// A value that its operator set can be sent back, and not changed.
fn refuse_fixed(reader: &mut Reader, key: &str, label: &str, by: &str) {
    reader.refuse(key, Fault::new("set_elsewhere", format!("{label} is set by {by}")));
}

/// The redirect URLs that stand in tools: they change with the address of this server.
async fn redirect_urls(app: &App, db: &mut Db) -> Result<Value, OpError> {
    let granted = AUTHORIZATION_TYPES.iter().filter(|entry| entry.tokens == Tokens::Granted);
    let found = credentials::named(db, granted.map(|entry| entry.kind)).await?;
    let public_url = app.public_url();
    let shown = found.into_iter().map(|(id, name)| {
        json!({ "credential": { "id": id, "name": name }, "redirect_url": redirect_url(&public_url, id) })
    });
    Ok(shown.collect())
}

/// The certificate authorities besides those of the system: owner and end of each.
fn authorities(app: &App) -> Value {
    let now = app.now();
    let soon = now.plus(AUTHORITY_ENDS_SOON);
    let shown = authority_ends(app).into_iter().map(|(subject, ends)| {
        json!({ "subject": subject, "ends_at": ends, "ended": ends <= now, "ends_soon": ends <= soon })
    });
    shown.collect()
}

/// Owner and end of each, the first to end first.
pub(in crate::ops) fn authority_ends(app: &App) -> Vec<(String, Timestamp)> {
    let found = app.config.extra_roots().unwrap_or_default();
    let mut ends: Vec<_> = found.iter().filter_map(|der| owner_and_end(der)).collect();
    ends.sort_by_key(|(_, ends)| *ends);
    ends
}

/// The name that the navigation shows; empty for none.
///
/// # Errors
/// When the database cannot be read.
pub async fn instance_name(app: &App) -> Result<String, OpError> {
    Ok(read_choice::<GeneralChoice>(&mut *app.store.read().await?).await?.instance_name)
}

/// The time zone of this installation, by its name.
pub fn time_zone(app: &App) -> String {
    zone_name(&app.engine.snapshot().chosen().general.time_zone).to_owned()
}

/// How dates and times are written here.
pub fn locale(app: &App) -> Locale {
    locale_of(&app.engine.snapshot().chosen().general)
}

fn locale_of(stored: &GeneralChoice) -> Locale {
    Locale::find(&stored.locale).unwrap_or_default()
}

fn zone_name(stored: &str) -> &str {
    if stored.is_empty() { "UTC" } else { stored }
}

/// Changes what can be changed while the server runs. Another public URL is chosen by people, who enter their password
/// again: invitations and redirect URLs lead there.
///
/// # Errors
/// When a value was not accepted, a program sends another public URL, or somebody else changed it meanwhile.
pub async fn change(app: &App, actor: &Actor, mut sent: Sent, if_match: IfMatch) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let password = take_password(&mut sent);
    let mut reader = Reader::new(sent);
    let name = reader.has("instance_name").then(|| reader.text("instance_name", "Name").trim().to_owned());
    if let Some(name) = &name
        && (name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control))
    {
        let fault = Fault::new("too_long", "Name must be 60 characters or fewer, on one line");
        reader.refuse("instance_name", fault);
    }
    let zone = reader.has(TIME_ZONE).then(|| read_zone(&mut reader)).flatten();
    let locale = reader.has(LOCALE).then(|| read_locale(&mut reader)).flatten();
    let url = read_url(app, &mut reader);
    let read_only =
        ["etag", "public_url_set_by", "changed_outside", "redirect_urls", "sending_pause", "options"];
    reader.refuse_unknown(&["instance_name", PUBLIC_URL, TIME_ZONE, LOCALE], &read_only);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    let old_url = app.public_url();
    // What was changed outside is saved again by saying the address that is used meanwhile.
    let url = url.filter(|url| *url != old_url || !app.engine.snapshot().public_url_fits());
    if let Some(url) = &url {
        require_person_for(actor, url, &old_url)?;
        require_password(app, actor, &password).await?;
    }
    let mut tx = app.store.begin().await?;
    let before: GeneralChoice = read_choice_to_change(&mut tx).await?;
    if_match.judge(before.revision)?;
    let instance_name = name.unwrap_or_else(|| before.instance_name.clone());
    let time_zone = zone.unwrap_or_else(|| before.time_zone.clone());
    let locale = locale.unwrap_or_else(|| locale_of(&before)).name().to_owned();
    let now = GeneralChoice { revision: before.revision + 1, instance_name, time_zone, locale };
    let mut changes = differences(&values(&before), &values(&now));
    if changes == json!({}) && url.is_none() {
        return show(app, &mut tx, &before).await;
    }
    put_choice(&mut tx, &now).await?;
    if let Some(url) = &url {
        installation::put(&mut tx, PUBLIC_URL, url).await?;
        changes[PUBLIC_URL] = json!({ "old": old_url, "new": url });
    }
    let rows = url.iter().map(|_| (Table::Setting, PUBLIC_URL.to_owned())).collect::<Vec<_>>();
    audit_rows(app, &mut tx, actor, CHANGED, OBJECT, changes, &rows).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    show(app, &mut *app.store.read().await?, &now).await
}

/// Whoever got hold of an API key must not lead those elsewhere who are invited.
fn require_person_for(actor: &Actor, url: &str, old_url: &str) -> Result<(), OpError> {
    match actor.kind {
        ActorKind::Key { .. } if url != old_url => Err(OpError::PeopleOnly(PUBLIC_URL_BY_PEOPLE)),
        ActorKind::Key { .. } | ActorKind::User { .. } | ActorKind::System => Ok(()),
    }
}

/// What stands there of its own, for the audit log.
fn values(stored: &GeneralChoice) -> Value {
    json!({
        "instance_name": stored.instance_name,
        TIME_ZONE: zone_name(&stored.time_zone),
        LOCALE: locale_of(stored).name(),
    })
}

/// How dates and times are to be written.
fn read_locale(reader: &mut Reader) -> Option<Locale> {
    let text = reader.text(LOCALE, "Dates and times");
    let found = Locale::find(&text);
    if found.is_none() {
        let names = Locale::ALL.map(Locale::name).join(" or ");
        reader.refuse(LOCALE, Fault::new("unknown", format!("Dates and times must be {names}")));
    }
    found
}

/// The address that somebody chose. Where the operator set one, only that may be sent back.
fn read_url(app: &App, reader: &mut Reader) -> Option<String> {
    if !reader.has(PUBLIC_URL) {
        return None;
    }
    let text = reader.text(PUBLIC_URL, "Public URL").trim().to_owned();
    match (read_public_url(&text), public_url_set_by(app)) {
        (Ok(url), None) => Some(url),
        (Ok(url), Some(_)) if url == app.public_url() => None,
        (_, Some(by)) => {
            refuse_fixed(reader, PUBLIC_URL, "Public URL", &by);
            None
        }
        (Err(needs), None) => {
            reader.refuse(PUBLIC_URL, Fault::new("bad_form", format!("Public URL {needs}")));
            None
        }
    }
}

/// The name of a time zone, as its database has it.
pub(in crate::ops) fn read_zone(reader: &mut Reader) -> Option<String> {
    let text = reader.text(TIME_ZONE, "Time zone");
    if text.trim().is_empty() {
        return Some(String::new());
    }
    reader.accept(TIME_ZONE, TimeZone::parse(&text)).map(|zone| zone.name().to_owned())
}

/// Whether an address may be reached, and which rule decides. Nothing is sent but the question for its name.
///
/// # Errors
/// When it is no address.
pub async fn check_egress(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut reader = Reader::new(sent);
    let text = reader.text(ADDRESS, "Address").trim().to_owned();
    // The egress rules know hosts and ports: what stands behind them does not matter.
    let whole = Origin::parse_whole("Address", &text).map(|(origin, _)| origin);
    let origin = if text.is_empty() {
        reader.refuse(ADDRESS, Fault::new("missing", "Enter an address such as https://10.21.0.5/"));
        None
    } else {
        reader.accept(ADDRESS, whole)
    };
    reader.refuse_unknown(&[ADDRESS], &[]);
    let faults = reader.into_invalid();
    let Some(origin) = origin.filter(|_| faults.is_empty()) else { return Err(OpError::Invalid(faults)) };
    let explained = app.engine.explain_destination(&origin, LOOK_UP).await;
    let host = origin.host().unicode();
    let allow_loopback = app.config.egress.allow_loopback;
    if let Err(blocked) = &explained.name {
        let sentence = no(&host, origin.host().literal(), blocked, allow_loopback);
        return Ok(verdict(false, &sentence, &[], &Value::Null));
    }
    let addresses: Vec<_> = explained.addresses.iter().map(|(address, _)| *address).collect();
    if let (Some(proxy), None) = (app.engine.proxy_to(origin.host()), origin.host().literal()) {
        let sentence = format!(
            "Yes. {host} is reached through the proxy {proxy}. No rule closes its name. Rules about networks were not asked: \
             the proxy finds its addresses."
        );
        return Ok(verdict(true, &sentence, &[], &Value::Null));
    }
    let mut rule = Value::Null;
    for (address, judged) in &explained.addresses {
        let sentence = match judged {
            AddressJudged::Open(used) => {
                if let Some(used) = used {
                    rule = json!(used.to_string());
                }
                continue;
            }
            AddressJudged::Own => format!("No. {address} with this port is this server itself."),
            AddressJudged::Closed(blocked) => no(&host, Some(*address), blocked, allow_loopback),
        };
        return Ok(verdict(false, &sentence, &addresses, &Value::Null));
    }
    let listed = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let sentence = match (addresses.is_empty(), rule.as_str()) {
        (true, _) => format!(
            "The name {host} was not found now. The rules do not close it by its name; its addresses are judged \
             when it is used."
        ),
        (false, Some(rule)) => format!("Yes. The rule {rule} of egress.allow opens {listed}."),
        (false, None) => format!("Yes. {listed} is public, and no rule closes it."),
    };
    Ok(verdict(!addresses.is_empty(), &sentence, &addresses, &rule))
}

fn verdict(allowed: bool, sentence: &str, addresses: &[IpAddr], rule: &Value) -> Value {
    json!({ "allowed": allowed, "message": sentence, "addresses": addresses, "rule": rule })
}

/// Why not, with what decides.
fn no(host: &str, address: Option<IpAddr>, blocked: &Blocked, allow_loopback: bool) -> String {
    let what = match address {
        Some(address) if address.to_string() != host => format!("{host} leads to {address}, which"),
        Some(_) | None => host.to_owned(),
    };
    let machine = address.is_some_and(|address| address.to_canonical().is_loopback());
    match &blocked.why {
        BlockedWhy::PrivateAddress if machine && !allow_loopback => format!(
            "No. {what} is this computer itself. Rules open it only while egress.allow_loopback is true."
        ),
        BlockedWhy::PrivateAddress => {
            format!("No. {what} is on a private network and no rule of egress.allow names it.")
        }
        BlockedWhy::ShortName => {
            format!("No. {what} is a short name and no rule of egress.allow names it.")
        }
        BlockedWhy::Port(port) => format!("No. Port {port} belongs to another protocol."),
        BlockedWhy::Denied(rule) => format!("No. The rule {rule} of egress.allow closes {host}."),
    }
}

#[cfg(test)]
mod tests;
