//! Settings: what administrators set while the server runs, what its operator set in file and environment, and what the
//! egress rules make of an address.

use std::net::IpAddr;
use std::time::Duration;

use consign_core::address::{Blocked, BlockedWhy};
use consign_core::catalog::{Fault, Reader};
use consign_core::rights::Right;
use consign_core::target::Origin;
use consign_store::{Db, installation};
use consign_transport::AddressJudged;
use serde_json::{Value, json};

use super::{Actor, IfMatch, Object, OpError, Sent, audit_entry, commit};
use crate::App;
use crate::config::Source;

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
    let stored = stored(&mut *app.store.read().await?).await?;
    Ok(show(app, &stored))
}

fn show(app: &App, stored: &Stored) -> Value {
    let options = app.config.print().into_iter().map(|(key, value, source)| {
        let (kind, name) = match &source {
            Source::Default => ("default", Value::Null),
            Source::File => ("file", Value::Null),
            Source::Environment(name) => ("environment", json!(name)),
            Source::Twin(path) => ("file_content", json!(path.display().to_string())),
        };
        json!({ "key": key, "value": value, "source": kind, "source_name": name })
    });
    json!({
        "etag": format!("\"{}\"", stored.revision),
        "instance_name": stored.instance_name,
        "public_url": app.public_url(),
        "options": options.collect::<Vec<_>>(),
    })
}

/// The name that the navigation shows; empty for none.
///
/// # Errors
/// When the database cannot be read.
pub async fn instance_name(app: &App) -> Result<String, OpError> {
    Ok(stored(&mut *app.store.read().await?).await?.instance_name)
}

/// Changes what can be changed while the server runs.
///
/// # Errors
/// When a value was not accepted, or somebody else changed it meanwhile.
pub async fn change(app: &App, actor: &Actor, sent: Sent, if_match: IfMatch) -> Result<Value, OpError> {
    actor.require(Right::Admin)?;
    let mut reader = Reader::new(sent);
    let name = reader.has("instance_name").then(|| reader.text("instance_name", "Name").trim().to_owned());
    if let Some(name) = &name
        && (name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control))
    {
        let fault = Fault::new("too_long", "Name must be 60 characters or fewer, on one line");
        reader.refuse("instance_name", fault);
    }
    reader.refuse_unknown(&["instance_name"], &["etag", "public_url", "options"]);
    let faults = reader.into_invalid();
    if !faults.is_empty() {
        return Err(OpError::Invalid(faults));
    }
    let mut tx = app.store.begin().await?;
    let before = stored(&mut tx).await?;
    if_match.judge(before.revision)?;
    let instance_name = name.unwrap_or_else(|| before.instance_name.clone());
    if instance_name == before.instance_name {
        return Ok(show(app, &before));
    }
    let now = Stored { revision: before.revision + 1, instance_name };
    let text = json!({ "revision": now.revision, "instance_name": now.instance_name }).to_string();
    installation::put(&mut tx, SETTINGS, &text).await?;
    let changes = json!({ "instance_name": { "old": before.instance_name, "new": now.instance_name } });
    let object = Object { kind: "settings", id: String::new(), name: "Settings" };
    audit_entry(app, &mut tx, actor, "Changed settings", object, changes).await?;
    commit(app, tx).await?;
    Ok(show(app, &now))
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
