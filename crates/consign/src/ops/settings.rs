//! Settings: what administrators set while the server runs, what its operator set in file and environment, and what the
//! egress rules make of an address.

use std::net::IpAddr;
use std::time::Duration;

use consign_core::address::{Blocked, BlockedWhy};
use consign_core::catalog::{Fault, Reader, Tokens};
use consign_core::rights::Right;
use consign_core::sign::owner_and_end;
use consign_core::target::Origin;
use consign_store::{Db, credentials, installation};
use consign_transport::AddressJudged;
use serde_json::{Value, json};

use super::credentials::redirect_url;
use super::users::again::{require_password, take_password};
use super::{Actor, IfMatch, Object, OpError, Sent, audit_entry, commit};
use crate::App;
use crate::config::{Source, read_public_url};
use crate::engine::PUBLIC_URL;

/// Where they are kept, as one JSON text.
const SETTINGS: &str = "settings";
/// As much as the navigation shows in two lines.
const NAME_CHARS_MAX: usize = 60;
/// How long a name may take to be found.
const LOOK_UP: Duration = Duration::from_secs(5);
const ADDRESS: &str = "address";

/// What is set, and every option of the server with its source.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn find(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut db = app.store.read().await?;
    let stored = stored(&mut db).await?;
    show(app, &mut db, &stored).await
}

async fn show(app: &App, db: &mut Db, stored: &Stored) -> Result<Value, OpError> {
    let options = app.config.print().into_iter().map(|(key, value, source)| {
        let (kind, name) = match &source {
            Source::Default => ("default", Value::Null),
            Source::File => ("file", Value::Null),
            Source::Environment(name) => ("environment", json!(name)),
            Source::Twin(path) => ("file_content", json!(path.display().to_string())),
        };
        json!({ "key": key, "value": value, "source": kind, "source_name": name })
    });
    Ok(json!({
        "etag": format!("\"{}\"", stored.revision),
        "instance_name": stored.instance_name,
        "public_url": app.public_url(),
        "public_url_set_by": set_by(app),
        "redirect_urls": redirect_urls(app, db).await?,
        "sending_pause": super::sending::shown(app.engine.snapshot().sending_pause()),
        "options": options.collect::<Vec<_>>(),
    }))
}

/// Where its operator set the address of this server; `None` when a person may choose it.
fn set_by(app: &App) -> Option<String> {
    app.config.server.public_url.as_ref()?;
    Some(match app.config.sources.get("server.public_url") {
        Some(Source::Environment(name)) => name.clone(),
        Some(Source::Twin(path)) => path.display().to_string(),
        Some(Source::File | Source::Default) | None => "the configuration file".to_owned(),
    })
}

/// The redirect URLs that stand in tools: they change with the address of this server.
async fn redirect_urls(app: &App, db: &mut Db) -> Result<Value, OpError> {
    let (found, public_url) = (credentials::all(db).await?, app.public_url());
    let granted = found.iter().filter(|one| one.authorization_type.tokens == Tokens::Granted);
    let mut shown: Vec<_> = granted.map(|one| (one.name.as_str(), one.id)).collect();
    shown.sort_unstable();
    let shown = shown.into_iter().map(|(name, id)| {
        json!({ "credential": { "id": id, "name": name }, "redirect_url": redirect_url(&public_url, id) })
    });
    Ok(shown.collect())
}

/// The certificate authorities besides those of the system: owner and end of each.
///
/// # Errors
/// Without the right.
pub fn extra_authorities(app: &App, actor: &Actor) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let now = app.now();
    let found = app.config.extra_roots().unwrap_or_default();
    let shown = found
        .iter()
        .filter_map(|der| owner_and_end(der))
        .map(|(subject, ends)| json!({ "subject": subject, "ends_at": ends, "ended": ends <= now }));
    Ok(shown.collect())
}

/// The name that the navigation shows; empty for none.
///
/// # Errors
/// When the database cannot be read.
pub async fn instance_name(app: &App) -> Result<String, OpError> {
    Ok(stored(&mut *app.store.read().await?).await?.instance_name)
}

/// Changes what can be changed while the server runs. For another public URL a person enters their password again:
/// invitations and redirect URLs lead there.
///
/// # Errors
/// When a value was not accepted, or somebody else changed it meanwhile.
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
    let url = read_url(app, &mut reader);
    let read_only = ["etag", "public_url_set_by", "redirect_urls", "sending_pause", "options"];
    reader.refuse_unknown(&["instance_name", PUBLIC_URL], &read_only);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    let old_url = app.public_url();
    let url = url.filter(|url| *url != old_url);
    if url.is_some() {
        require_password(app, actor, &password).await?;
    }
    let mut tx = app.store.begin().await?;
    let before = stored(&mut tx).await?;
    if_match.judge(before.revision)?;
    let instance_name = name.unwrap_or_else(|| before.instance_name.clone());
    if instance_name == before.instance_name && url.is_none() {
        return show(app, &mut tx, &before).await;
    }
    let now = Stored { revision: before.revision + 1, instance_name };
    let text = json!({ "revision": now.revision, "instance_name": now.instance_name }).to_string();
    installation::put(&mut tx, SETTINGS, &text).await?;
    let mut changes = json!({});
    if before.instance_name != now.instance_name {
        changes["instance_name"] = json!({ "old": before.instance_name, "new": now.instance_name });
    }
    if let Some(url) = &url {
        installation::put(&mut tx, PUBLIC_URL, url).await?;
        installation::bump(&mut tx).await?;
        changes[PUBLIC_URL] = json!({ "old": old_url, "new": url });
    }
    let object = Object { kind: "settings", id: String::new(), name: "Settings" };
    audit_entry(app, &mut tx, actor, "Changed settings", object, changes).await?;
    commit(app, tx).await?;
    if url.is_some() {
        app.engine.changed().await;
    }
    show(app, &mut *app.store.read().await?, &now).await
}

/// The address that somebody chose. Where the operator set one, only that may be sent back.
fn read_url(app: &App, reader: &mut Reader) -> Option<String> {
    if !reader.has(PUBLIC_URL) {
        return None;
    }
    let text = reader.text(PUBLIC_URL, "Public URL").trim().to_owned();
    match (read_public_url(&text), set_by(app)) {
        (Ok(url), None) => Some(url),
        (Ok(url), Some(_)) if url == app.public_url() => None,
        (_, Some(by)) => {
            reader.refuse(PUBLIC_URL, Fault::new("set_elsewhere", format!("Public URL is set by {by}")));
            None
        }
        (Err(needs), None) => {
            reader.refuse(PUBLIC_URL, Fault::new("bad_form", format!("Public URL {needs}")));
            None
        }
    }
}

struct Stored {
    revision: i64,
    instance_name: String,
}

async fn stored(db: &mut Db) -> Result<Stored, OpError> {
    let text = installation::get(db, SETTINGS).await?.unwrap_or_default();
    let read: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(Stored {
        revision: read["revision"].as_i64().unwrap_or(1),
        instance_name: read["instance_name"].as_str().unwrap_or_default().to_owned(),
    })
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
