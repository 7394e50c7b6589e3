//! Credentials: create, edit, delete, and what may be shown of them.

use consign_core::audit::Table;
use consign_core::catalog::{Input, Tokens};
use consign_core::credential::{Change, Credential, Draft, Save};
use consign_core::id::CredentialId;
use consign_core::name::Name;
use consign_core::rights::Right;
use consign_core::secret::Secret;
use consign_core::target::{Address, Target};
use consign_core::time::Timestamp;
use consign_store::audit::Wanted;
use consign_store::credentials::{CredentialFilter, CredentialSort};
use consign_store::{
    Db, Listed, Page, StoreError, Tx, audit as audit_log, connectors, credentials, runs, tokens,
};
use serde_json::{Map, Value, json};

use super::overview::ByHour;
use super::{
    Actor, IfMatch, Object, OpError, Rest, Sent, Usage, audit_rows, commit, commit_answered, differences,
    invalid, not_unique, require_as_saved, with_manager,
};
use crate::App;
use show::{Beside, show};

pub use choices::{choosable, chosen, labels, managers};
pub use show::{catalogue, redirect_url};

pub(in crate::ops) use show::{away as shown_away, refused_by, token as shown_token};

pub mod certificates;

pub(in crate::ops) use read::read;

mod again;
mod choices;
mod read;
mod show;

/// What a person looks back at; the audit log has the rest.
const HISTORY_ENTRIES: u32 = 20;
/// The time that a save waits for a name to resolve; a name that does not resolve never blocks it.
const RESOLVE_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// A page of credentials.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    (filter, sort): (&CredentialFilter, CredentialSort),
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::CredentialsRead)?;
    let mut db = app.store.read().await?;
    let now = app.now();
    let found = credentials::list(&mut db, filter, sort, page, now).await?;
    let ids: Vec<_> = found.items.iter().map(|credential| credential.id).collect();
    let used = credentials::usage_counts(&mut db, &ids).await?;
    let tokens = tokens::of(&mut db, &ids).await?;
    let public_url = app.public_url();
    Ok(found.map(|credential| {
        let used_by = used.get(&credential.id).copied().unwrap_or(0);
        let beside = Beside { used_by, token: tokens.get(&credential.id), public_url: &public_url, now };
        show(&credential, &beside)
    }))
}

/// How many credentials there are.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn total(app: &App, actor: &Actor) -> Result<u64, OpError> {
    actor.require(Right::CredentialsRead)?;
    Ok(credentials::total(&mut *app.store.read().await?).await?)
}

/// One credential, by id or name.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::CredentialsRead)?;
    let mut db = app.store.read().await?;
    let credential = by_reference(&mut db, reference).await?;
    shown(&mut db, &credential, &app.public_url(), app.now()).await
}

/// Creates a credential.
///
/// # Errors
/// Every value that was not accepted.
pub async fn create(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    create_as(app, actor, sent, CredentialId::new(app.now())).await
}

/// The code of a fault: a credential was created under the reserved id before.
pub const ID_TAKEN: &str = "id_taken";

/// Creates a credential under an id that was reserved, so that its redirect URL was known before.
///
/// # Errors
/// As [`create`].
pub async fn create_as(app: &App, actor: &Actor, sent: Sent, id: CredentialId) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    let now = app.now();
    let draft = read(sent, None, now).await?;
    judge_destinations(app, &draft, None).await?;
    let name = draft.name.clone();
    let save = Save { now, by: actor.name() };
    let makes_key = draft.new_key_pair.is_some();
    let mut credential = at_length(makes_key, || draft.seal(&app.vault, &save, id, None));
    credential.managed_by = actor.owner_after(None)?;
    let beside = Beside { used_by: 0, token: None, public_url: &app.public_url(), now };
    let value = show(&credential, &beside);
    let mut tx = app.store.begin().await?;
    if let Some(known) = credentials::find(&mut tx, id).await? {
        let sentence =
            format!("This was saved already, as “{}”. Save again to create another one", known.name);
        return Err(invalid("", ID_TAKEN, sentence));
    }
    if credentials::find_by_name(&mut tx, &name).await?.is_some() {
        return Err(not_unique("credential", name.as_str()));
    }
    insert_unique(credentials::insert(&mut tx, &credential).await, &name)?;
    if actor.only_tries() {
        return Ok(value);
    }
    let object = object(&credential);
    let changes = differences(&Value::Null, &value);
    audit_rows(app, &mut tx, actor, "Created credential", object, changes, &[row(&credential)]).await?;
    commit_answered(app, actor, tx, &value).await?;
    Ok(value)
}

/// Replaces a credential; absent secrets are kept.
///
/// # Errors
/// Every value that was not accepted, or when someone else changed it.
pub async fn replace(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    save(app, actor, reference, sent, if_match, Rest::Dropped).await
}

/// Changes what is sent and leaves the rest (RFC 7396).
///
/// # Errors
/// As [`replace`].
pub async fn patch(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    save(app, actor, reference, sent, if_match, Rest::Kept).await
}

/// Replaces one secret.
///
/// # Errors
/// As [`replace`]; also when the credential has no such secret.
pub async fn replace_secret(
    app: &App,
    actor: &Actor,
    reference: &str,
    field: &str,
    value: Secret,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    let credential = by_reference(&mut *app.store.read().await?, reference).await?;
    let text = || Value::String(value.expose().to_owned());
    let mut sent = Map::new();
    if credential.authorization_type.fields.iter().any(|known| known.key == field && known.is_secret()) {
        sent.insert(field.to_owned(), text());
    } else if let Some(name) = field.strip_prefix("custom_headers/") {
        let rows = credential.custom_headers.iter().map(|header| {
            let ours = header.name.eq_ignore_ascii_case(name);
            let value = if ours { text() } else { json!({ "set": true }) };
            json!({ "name": header.name, "sent_with": header.sent_with.kind(), "value": value })
        });
        if !credential.custom_headers.iter().any(|header| header.name.eq_ignore_ascii_case(name)) {
            return Err(OpError::NotFound("secret"));
        }
        sent.insert("custom_headers".to_owned(), rows.collect());
    } else {
        return Err(OpError::NotFound("secret"));
    }
    save(app, actor, reference, sent, if_match, Rest::Kept).await
}

async fn save(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
    rest: Rest,
) -> Result<Value, OpError> {
    actor.require(Right::CredentialsWrite)?;
    let now = app.now();
    let read = by_reference(&mut *app.store.read().await?, reference).await?;
    if_match.judge(read.revision)?;
    let managed_by = actor.owner_after_save(read.managed_by.as_ref(), &sent)?;
    let mut draft = read::read(sent, Some((&read, rest)), now).await?;
    judge_destinations(app, &draft, Some(&read)).await?;
    if actor.applying.is_some() {
        again::keep_what_is_the_same(app, actor, &read, &mut draft).await?;
    }
    let makes_key = draft.new_key_pair.is_some();
    let secrets_replaced =
        makes_key || draft.secrets.values().any(|change| matches!(change, Change::Replace(_)));
    // What is sent whole, every secret included, keeps nothing of the row that is there.
    let save = Save { now, by: actor.name() };
    let whole = matches!(rest, Rest::Dropped)
        && draft.secrets.values().all(|change| matches!(change, Change::Replace(_)));
    let name = draft.name.clone();
    let mut credential = at_length(makes_key, || draft.seal(&app.vault, &save, read.id, Some(&read)));
    credential.managed_by = managed_by;

    let mut tx = app.store.begin().await?;
    let seen = lay_over(&mut tx, &read, &mut credential).await?;
    if !whole {
        require_as_saved(app, &mut tx, &row(&seen)).await?;
    }
    if credential.authorization_type.protocol != seen.authorization_type.protocol {
        require_unused(&mut tx, seen.id).await?;
    }
    let taken = credentials::find_by_name(&mut tx, &name).await?;
    if taken.is_some_and(|other| other.id != credential.id) {
        return Err(not_unique("credential", name.as_str()));
    }
    let public_url = app.public_url();
    let old = shown(&mut tx, &seen, &public_url, now).await?;
    if actor.applying.is_some() && credential.is_saved_like(&seen) && is_as_saved(app, &mut tx, &seen).await?
    {
        return Ok(old);
    }
    if !credentials::update(&mut tx, &credential, seen.revision).await? {
        return Err(OpError::NotFound("credential"));
    }
    update_tokens(&mut tx, &seen, &credential, secrets_replaced).await?;
    if !credential.signs_in_like(&seen) {
        connectors::release_by_credential(&mut tx, credential.id, now).await?;
    }
    let new = shown(&mut tx, &credential, &public_url, now).await?;
    if actor.only_tries() {
        return Ok(new);
    }
    let action = action(&seen, &credential);
    let changes = with_manager(differences(&old, &new), actor, seen.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, &action, object(&credential), changes, &[row(&credential)]).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(new)
}

/// Whether the row is as its last record says.
async fn is_as_saved(app: &App, db: &mut Db, credential: &Credential) -> Result<bool, StoreError> {
    app.records.fits(db, Table::Credential, &credential.id.to_string()).await
}

/// Lays a change of what was `read` over what is stored now, which it gives back and which stays until the end of the
/// transaction. Its status may be another one by now, which is no save: what holds its connectors stays what it says.
async fn lay_over(tx: &mut Tx, read: &Credential, new: &mut Credential) -> Result<Credential, OpError> {
    let present = credentials::lock(tx, read.id).await?.ok_or(OpError::NotFound("credential"))?;
    if present.revision != read.revision {
        return Err(OpError::Changed { current: present.revision });
    }
    new.goes_on_from(&present);
    Ok(present)
}

/// Reading a private key and creating one take up to seconds: other work goes on meanwhile.
pub(super) fn at_length<T>(long: bool, work: impl FnOnce() -> T) -> T {
    if long { tokio::task::block_in_place(work) } else { work() }
}

/// Connectors are made for one protocol.
async fn require_unused(db: &mut Db, id: CredentialId) -> Result<(), OpError> {
    let used = credentials::usage_counts(db, &[id]).await?.get(&id).copied().unwrap_or(0);
    if used == 0 {
        return Ok(());
    }
    let connectors = if used == 1 { "1 connector uses".to_owned() } else { format!("{used} connectors use") };
    let sentence = format!("Protocol cannot change while {connectors} this credential");
    Err(invalid("protocol", "in_use", sentence))
}

/// What a save means for the tokens: a new destination takes all of them, a new secret the access token, and so does
/// any other change of how we sign in where nobody has to approve it.
async fn update_tokens(
    db: &mut Db,
    old: &Credential,
    new: &Credential,
    secrets_replaced: bool,
) -> Result<(), StoreError> {
    let fetched = new.authorization_type.tokens == Tokens::Fetched;
    if old.binding() != new.binding() {
        tokens::forget(db, new.id).await?;
    } else if secrets_replaced || (fetched && !new.signs_in_like(old)) {
        tokens::drop_access(db, new.id).await?;
    } else {
        tokens::forgive(db, new.id).await?;
    }
    Ok(())
}

/// "Replaced client secret" when that is all; else "Edited credential".
fn action(old: &Credential, new: &Credential) -> String {
    let replaced: Vec<_> = new
        .secrets
        .iter()
        .filter(|(key, secret)| {
            old.secrets.get(*key).is_none_or(|before| before.generation != secret.generation)
        })
        .map(|(key, _)| label_of(new, key))
        .collect();
    let only_secrets = old.name == new.name && old.target == new.target && old.plain == new.plain;
    if replaced.is_empty() || !only_secrets {
        return "Edited credential".to_owned();
    }
    format!("Replaced {}", replaced.join(", "))
}

fn label_of(credential: &Credential, key: &str) -> String {
    let field = credential.authorization_type.fields.iter().find(|field| field.key == key);
    match (field, key.strip_prefix("custom_headers/")) {
        (Some(field), _) => consign_core::catalog::in_sentence(field.label),
        (None, Some(header)) => format!("value of {header}"),
        (None, None) => "address".to_owned(),
    }
}

/// What a deletion left behind.
#[derive(Debug)]
pub struct Deleted {
    /// The name it had.
    pub name: String,
    /// The connectors that now wait for a credential.
    pub connectors: Vec<Usage>,
}

/// Deletes a credential and destroys its secrets. Its connectors wait until another is chosen.
///
/// # Errors
/// [`OpError::StillUsed`] when connectors use it and `hold_linked` does not say that they may wait.
pub async fn delete(
    app: &App,
    actor: &Actor,
    reference: &str,
    if_match: IfMatch,
    hold_linked: bool,
) -> Result<Deleted, OpError> {
    actor.require(Right::CredentialsWrite)?;
    // Counted before the transaction: nothing that is written meanwhile waits for it.
    let hours = app.hours.last(&mut *app.store.read().await?, app.now()).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let found = by_reference(&mut tx, reference).await?;
    let credential = credentials::lock(&mut tx, found.id).await?.ok_or(OpError::NotFound("credential"))?;
    if_match.judge(credential.revision)?;
    actor.owner_after(credential.managed_by.as_ref())?;
    let users = users_of(&mut tx, credential.id, &hours).await?;
    if !users.is_empty() && !hold_linked {
        return Err(OpError::StillUsed(users));
    }
    let mut rows = vec![row(&credential)];
    for user in &users {
        // One that was changed behind our back stays known as such.
        if app.records.fits(&mut tx, Table::Connector, &user.id).await? {
            rows.push((Table::Connector, user.id.clone()));
        }
    }
    connectors::lose_credential(&mut tx, credential.id, &credential.name, now).await?;
    credentials::delete(&mut tx, credential.id).await?;
    let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
    let changes = with_manager(json!({ "connectors": names }), actor, credential.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, "Deleted credential", object(&credential), changes, &rows).await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(Deleted { name: credential.name.to_string(), connectors: users })
}

/// The connectors that use a credential.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn usage(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Usage>, OpError> {
    actor.require(Right::CredentialsRead)?;
    let mut db = app.store.read().await?;
    let credential = by_reference(&mut db, reference).await?;
    let hours = app.hours.last(&mut db, app.now()).await?;
    Ok(users_of(&mut db, credential.id, &hours).await?)
}

/// What was done to a credential, newest first.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn history(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    actor.require(Right::CredentialsRead)?;
    let mut db = app.store.read().await?;
    let credential = by_reference(&mut db, reference).await?;
    // A file that is applied every minute would leave room for nothing else.
    let without = Wanted::Without(again::COMPARED);
    let entries = audit_log::newest_of(&mut db, &credential.id.to_string(), without, HISTORY_ENTRIES).await?;
    Ok(entries.iter().map(|entry| json!(entry)).collect())
}

/// Finds a credential by id or name.
pub(super) async fn by_reference(db: &mut Db, reference: &str) -> Result<Credential, OpError> {
    let found = match reference.parse::<CredentialId>() {
        Ok(id) => credentials::find(db, id).await?,
        Err(_) => credentials::find_by_name(db, &Name::from_stored(reference.trim().to_owned())).await?,
    };
    found.ok_or(OpError::NotFound("credential"))
}

async fn users_of(db: &mut Db, id: CredentialId, hours: &ByHour) -> Result<Vec<Usage>, StoreError> {
    let found = connectors::by_credential(db, id).await?;
    let ids: Vec<_> = found.iter().map(|connector| connector.id).collect();
    let counts = connectors::waiting_counts(db, &ids).await?;
    let mut users = Vec::with_capacity(found.len());
    for connector in found {
        let waiting = counts.get(&connector.id).map_or(0, |counts| counts.waiting);
        let (delivered, failed) = hours.sum(Some(connector.id));
        users.push(Usage {
            id: connector.id.to_string(),
            kind: connector.kind.word(),
            name: connector.name.to_string(),
            state: connector.state.kind(),
            deliveries_24h: delivered + failed,
            waiting,
            waiting_is_capped: waiting >= connectors::WAITING_MAX,
            next_run_at: runs::next_run_at(db, connector.id).await?,
        });
    }
    Ok(users)
}

async fn shown(
    db: &mut Db,
    credential: &Credential,
    public_url: &str,
    now: Timestamp,
) -> Result<Value, OpError> {
    let used = credentials::usage_counts(db, &[credential.id]).await?;
    let token = tokens::find(db, credential.id).await?;
    let beside = Beside {
        used_by: used.get(&credential.id).copied().unwrap_or(0),
        token: token.as_ref(),
        public_url,
        now,
    };
    Ok(show(credential, &beside))
}

/// Where an address may lead is decided at each connection; a save already says what is plain to see. Addresses
/// that stay as they are were judged before.
pub(super) async fn judge_destinations(
    app: &App,
    draft: &Draft,
    before: Option<&Credential>,
) -> Result<(), OpError> {
    let (key, label) = match draft.target {
        Target::Https(_) => ("url_address", "URL address"),
        Target::Sftp(_) => ("hostname", "Hostname"),
    };
    let mut asked = vec![(key, label, draft.target.clone())];
    for field in draft.authorization_type.fields.iter().filter(|field| field.input == Input::Address) {
        let text = draft.plain.get(field.key).map_or("", String::as_str);
        if let Ok(address) = Address::parse(field.label, text) {
            asked.push((field.key, field.label, Target::Https(address.origin().clone())));
        }
    }
    let mut invalid = Vec::new();
    for (key, label, target) in asked {
        let same = before.is_some_and(|before| match key {
            "url_address" | "hostname" => before.target.to_string() == target.to_string(),
            key => before.plain.get(key) == draft.plain.get(key),
        });
        if same {
            continue;
        }
        if let Err(blocked) = app.engine.judge_destination(&target, RESOLVE_MAX).await {
            invalid.push(blocked.fault(label).at(key));
        }
    }
    if invalid.is_empty() { Ok(()) } else { Err(OpError::Invalid(invalid)) }
}

fn insert_unique(inserted: Result<(), StoreError>, name: &Name) -> Result<(), OpError> {
    match inserted {
        Err(StoreError::NotUnique(_)) => Err(not_unique("credential", name.as_str())),
        other => Ok(other?),
    }
}

pub(super) fn object(credential: &Credential) -> Object<'_> {
    Object { kind: "credential", id: credential.id.to_string(), name: credential.name.as_str() }
}

pub(super) fn row(credential: &Credential) -> (Table, String) {
    (Table::Credential, credential.id.to_string())
}
