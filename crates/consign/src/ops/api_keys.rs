//! API keys: made, shown once, checked on every call, revoked at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use consign_core::allowance::Allowance;
use consign_core::api_key::{self, ApiKey, NotAKey};
use consign_core::audit::Table;
use consign_core::catalog::{Fault, Reader};
use consign_core::id::{ConnectorId, KeyId, RequestId};
use consign_core::rights::{Right, Rights};
use consign_core::role::Role;
use consign_core::secret::Secret;
use consign_core::subnet::Subnet;
use consign_core::time::Timestamp;
use consign_store::{PAGE_ITEMS_MAX as KEYS_SHOWN_MAX, Page, Tx, api_keys};
use serde_json::{Value, json};

use super::gateways::by_reference;
use super::users::again::{require_password, take_password};
use super::{Actor, ActorKind, Object, OpError, Sent, audit_rows, commit, commit_answered, invalid};
use crate::App;

const NAME_CHARS_MAX: usize = 80;
const GATEWAYS_MAX: usize = 50;
const ALLOWED: &str = "allowed_addresses";
const ALLOWED_MAX: usize = 50;
const DEFAULT_LIFE: Duration = Duration::from_secs(90 * 86_400);

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefused {
    /// Not the form of a key.
    #[error("{0}")]
    Form(NotAKey),
    /// No such key, or revoked.
    #[error("this API key is not known here; it may have been revoked")]
    Unknown,
    /// Its end has passed.
    #[error("this API key has ended")]
    Ended,
    /// It was made for other addresses.
    #[error("this API key may not be used from this address")]
    Address,
}

/// Who calls with this key. Asks the snapshot only; the comparison is one of SHA-256 hashes.
///
/// # Errors
/// Why it is refused.
pub fn authenticate(
    app: &App,
    text: &str,
    from: Option<IpAddr>,
    request_id: RequestId,
) -> Result<Actor, KeyRefused> {
    let (id, hash) = api_key::parse(text).map_err(KeyRefused::Form)?;
    let snapshot = app.engine.snapshot();
    let key = snapshot.key(id).filter(|key| key.hash == hash).ok_or(KeyRefused::Unknown)?;
    if key.has_ended(app.now()) {
        return Err(KeyRefused::Ended);
    }
    if !key.may_come_from(from) {
        tracing::warn!(key.id = %id, from = from.map(tracing::field::display), "an API key was used from an address that it is not for");
        return Err(KeyRefused::Address);
    }
    app.engine.key_used(id, from);
    Ok(Actor::new(ActorKind::Key { id, name: key.name.clone() }, key.rights, from, request_id))
}

/// What each API key has left, in memory: one count for events, one for the rest.
#[derive(Default)]
pub struct Allowances(Mutex<HashMap<(KeyId, bool), Allowance>>);

/// From so many keys on those that were quiet are forgotten.
const COUNTED_MAX: usize = 10_000;

impl Allowances {
    /// Counts a request of whoever acts; people and limits of 0 are not counted.
    ///
    /// # Errors
    /// The wait for the next one.
    pub fn take(&self, actor: &Actor, events: bool, limit: u32, now: Timestamp) -> Result<(), Duration> {
        let ActorKind::Key { id, .. } = actor.kind else { return Ok(()) };
        if limit == 0 {
            return Ok(());
        }
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED_MAX {
            counted.retain(|_, allowance| !allowance.is_full(limit, now));
        }
        counted.entry((id, events)).or_insert_with(|| Allowance::full(limit, now)).take(limit, now)
    }
}

/// All API keys, newest first.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(app: &App, actor: &Actor) -> Result<Vec<Value>, OpError> {
    actor.require(Right::Admin)?;
    let now = app.now();
    let found = api_keys::list(&mut *app.store.read().await?, &Page::first(KEYS_SHOWN_MAX)).await?;
    Ok(found.items.iter().map(|key| show(app, key, now)).collect())
}

/// Makes a key. Its text is in this answer and nowhere else. A person enters their password again.
///
/// # Errors
/// Every value that was not accepted.
pub async fn create(app: &App, actor: &Actor, mut sent: Sent) -> Result<(Value, Secret), OpError> {
    actor.require(Right::Admin)?;
    let now = app.now();
    let password = take_password(&mut sent);
    let draft = read(sent, now)?;
    if !actor.rights.cover(draft.rights) {
        return Err(OpError::NotAllowed(Right::Admin));
    }
    require_covered(app, actor, &draft.allowed_from)?;
    require_password(app, actor, &password).await?;
    let id = KeyId::new(now);
    let text = api_key::generate(id);
    let hash = api_key::hash(text.expose());
    let mut tx = app.store.begin().await?;
    let gateways = named_gateways(&mut tx, &draft.gateways).await?;
    let Draft { name, rights, allowed_from, ends_at, .. } = draft;
    let (last_used_at, last_used_from, created_at) = (None, None, now);
    let key = ApiKey {
        id,
        name,
        rights,
        gateways,
        allowed_from,
        hash,
        ends_at,
        last_used_at,
        last_used_from,
        created_at,
    };
    api_keys::insert(&mut tx, &key).await?;
    let shown = show(app, &key, now);
    let mut changes = json!({ "scopes": key.rights, "ends_at": key.ends_at });
    if !key.gateways.is_empty() {
        changes["gateways"] = shown["gateways"].clone();
    }
    if !key.allowed_from.is_empty() {
        changes["allowed_addresses"] = shown["allowed_addresses"].clone();
    }
    audit_rows(app, &mut tx, actor, "Created API key", object(&key), changes, &[row(&key)]).await?;
    let mut made = shown.clone();
    made["text"] = json!(text.expose());
    commit_answered(app, actor, tx, &made).await?;
    app.engine.changed().await;
    Ok((shown, text))
}

/// A key as it was asked for.
struct Draft {
    name: String,
    rights: Rights,
    /// Ids or names.
    gateways: Vec<String>,
    allowed_from: Vec<Subnet>,
    ends_at: Option<Timestamp>,
}

/// A key that was made for some addresses makes none for others: it would be a way round its own limit.
fn require_covered(app: &App, actor: &Actor, allowed_from: &[Subnet]) -> Result<(), OpError> {
    let ActorKind::Key { id, .. } = actor.kind else { return Ok(()) };
    let snapshot = app.engine.snapshot();
    if snapshot.key(id).is_some_and(|key| key.covers(allowed_from)) {
        return Ok(());
    }
    let sentence = "Allowed addresses must be within those of the API key that makes this one";
    Err(invalid(ALLOWED, "not_within", sentence))
}

fn read(sent: Sent, now: Timestamp) -> Result<Draft, OpError> {
    let mut reader = Reader::new(sent);
    let name = reader.text("name", "Name").trim().to_owned();
    if name.is_empty() {
        reader.refuse("name", Fault::new("missing", "Enter a name"));
    } else if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        reader.refuse("name", Fault::new("too_long", "Name must be 80 characters or fewer, on one line"));
    }
    let rights = read_rights(&mut reader);
    let gateways = read_gateways(&mut reader, rights);
    let allowed_from = read_allowed(&mut reader);
    let ends_at = match reader.take_if_sent("ends_on") {
        None => Some(now.plus(DEFAULT_LIFE)),
        Some(Value::Null) => None,
        Some(day) => {
            let end = day.as_str().and_then(|day| Timestamp::parse_rfc3339(&format!("{day}T23:59:59Z")));
            if end.is_none_or(|end| end < now) {
                reader.refuse(
                    "ends_on",
                    Fault::new("past_date", "Ends on must be a date such as 2027-02-20, today or later"),
                );
            }
            end
        }
    };
    reader.refuse_unknown(&["name", "role", "scopes", "gateways", ALLOWED, "ends_on"], &[]);
    let faults = reader.into_invalid();
    if faults.is_empty() {
        Ok(Draft { name, rights, gateways, allowed_from, ends_at })
    } else {
        Err(OpError::Invalid(faults))
    }
}

/// Those of a role, or the scopes one by one.
fn read_rights(reader: &mut Reader) -> Rights {
    let role = reader.take_if_sent("role").filter(|role| !role.is_null());
    let mut rights = Vec::new();
    for scope in reader.list("scopes", "Scopes") {
        match scope.as_str().and_then(Right::find) {
            Some(right) => rights.push(right),
            None => {
                let known: Vec<_> = Right::ALL.iter().map(|right| right.kind()).collect();
                let sentence = format!("{scope} is not a scope. Choose from {}", known.join(", "));
                reader.refuse("scopes", Fault::new("unknown", sentence));
            }
        }
    }
    let rights: Rights = rights.into_iter().collect();
    let Some(role) = role else {
        if rights.is_empty() && reader.is_clean("scopes") {
            reader.refuse("scopes", Fault::new("missing", "Choose a role, or at least one scope"));
        }
        return rights;
    };
    if !rights.is_empty() {
        reader.refuse("role", Fault::new("not_both", "Choose a role or scopes, not both"));
    }
    let Some(role) = role.as_str().and_then(Role::find) else {
        let known: Vec<_> = Role::ALL.iter().map(|role| role.kind()).collect();
        let sentence = format!("{role} is not a role. Choose from {}", known.join(", "));
        reader.refuse("role", Fault::new("unknown", sentence));
        return rights;
    };
    role.rights()
}

/// A limit is of use only to a key that calls gateways and can do no more than it was given: one for everything could make
/// another key without the limit, and one that changes gateways or credentials could lead its gateway to another tool.
fn read_gateways(reader: &mut Reader, rights: Rights) -> Vec<String> {
    let mut gateways = Vec::new();
    for gateway in reader.list("gateways", "Gateways") {
        match gateway.as_str().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => gateways.push(text.to_owned()),
            None => {
                reader.refuse("gateways", Fault::new("bad_form", "Gateways must be ids or names of gateways"))
            }
        }
    }
    if gateways.len() > GATEWAYS_MAX {
        let sentence = format!("Choose {GATEWAYS_MAX} gateways or fewer");
        reader.refuse("gateways", Fault::new("too_many", sentence));
    }
    let has = |right| rights.iter().any(|one| one == right);
    if !gateways.is_empty() && has(Right::Admin) {
        let sentence =
            "A key with the scope admin may call every gateway. Choose gateways or admin, not both";
        reader.refuse("gateways", Fault::new("not_together", sentence));
    } else if !gateways.is_empty() && (has(Right::ConnectorsWrite) || has(Right::CredentialsWrite)) {
        let sentence = "A key with the role Credential manager, or with credentials:write or connectors:write, may change where \
                        a gateway leads. Choose gateways or these, not both";
        reader.refuse("gateways", Fault::new("not_together", sentence));
    } else if !gateways.is_empty() && !has(Right::GatewayCall) {
        let sentence = "Choose the scope gateway:call too, or no gateways";
        reader.refuse("gateways", Fault::new("not_together", sentence));
    }
    gateways
}

fn read_allowed(reader: &mut Reader) -> Vec<Subnet> {
    let mut allowed = Vec::new();
    for network in reader.list(ALLOWED, "Allowed addresses") {
        let text = network.as_str().map(str::trim).unwrap_or_default();
        match text.parse::<Subnet>() {
            Ok(network) if allowed.contains(&network) => {}
            Ok(network) => allowed.push(network),
            Err(_) => {
                let sentence = format!(
                    "“{text}” is no address or network such as 192.0.2.7, 10.20.0.0/16 or 2001:db8::/32"
                );
                reader.refuse(ALLOWED, Fault::new("bad_form", sentence));
            }
        }
    }
    if allowed.len() > ALLOWED_MAX {
        let sentence = format!("Enter {ALLOWED_MAX} allowed addresses or fewer");
        reader.refuse(ALLOWED, Fault::new("too_many", sentence));
    }
    allowed
}

/// The gateways that a key is limited to, each once.
async fn named_gateways(tx: &mut Tx, references: &[String]) -> Result<Vec<ConnectorId>, OpError> {
    let mut found = Vec::new();
    for reference in references {
        match by_reference(tx, reference).await {
            Ok(gateway) if found.contains(&gateway.id) => {}
            Ok(gateway) => found.push(gateway.id),
            Err(OpError::NotFound(_)) => {
                return Err(invalid("gateways", "unknown", format!("There is no gateway “{reference}”")));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

/// Revokes a key: requests with it are refused from now on.
///
/// # Errors
/// When there is none.
pub async fn delete(app: &App, actor: &Actor, id: &str) -> Result<String, OpError> {
    actor.require(Right::Admin)?;
    let id: KeyId = id.parse().map_err(|_| OpError::NotFound("API key"))?;
    let mut tx = app.store.begin().await?;
    let key = api_keys::find(&mut tx, id).await?.ok_or(OpError::NotFound("API key"))?;
    api_keys::delete(&mut tx, id).await?;
    audit_rows(app, &mut tx, actor, "Revoked API key", object(&key), Value::Null, &[row(&key)]).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(key.name)
}

fn show(app: &App, key: &ApiKey, now: Timestamp) -> Value {
    let snapshot = app.engine.snapshot();
    let gateways = key
        .gateways
        .iter()
        .map(|id| json!({ "id": id, "name": snapshot.connector(*id).map(|gateway| gateway.name.as_str()) }));
    json!({
        "id": key.id,
        "name": key.name,
        "key": api_key::shown(key.id),
        "role": Role::ALL.iter().find(|role| role.rights() == key.rights),
        "scopes": key.rights,
        "gateways": gateways.collect::<Vec<_>>(),
        "allowed_addresses": key.allowed_from.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ends_at": key.ends_at,
        "ended": key.has_ended(now),
        "last_used_at": key.last_used_at,
        "last_used_from": key.last_used_from,
        "created_at": key.created_at,
    })
}

fn object(key: &ApiKey) -> Object<'_> {
    Object { kind: "api_key", id: key.id.to_string(), name: &key.name }
}

fn row(key: &ApiKey) -> (Table, String) {
    (Table::ApiKey, key.id.to_string())
}
