//! Rows of credentials and their sealed secrets.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use consign_core::credential::{
    Credential, CustomHeader, ENDS_SOON, Rate, SentWith, Status, StatusCode, StoredSecret, stored_type,
};
use consign_core::field_manager::FieldManager;
use consign_core::id::CredentialId;
use consign_core::name::Name;
use consign_core::pin::{self, Pins};
use consign_core::target::{Origin, SftpAddress, SftpHost, Target};
use consign_core::time::Timestamp;
use consign_core::vault::Sealed;

use crate::db::{Query, query};
use crate::row::{Row, damaged, json_text, millis};
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError, installation, keep_locked};

pub use list::{
    Choosable, CredentialFilter, CredentialSort, attention_count, choosable, counts, labels, list, managers,
    named, total,
};

mod list;

const DAY: Duration = Duration::from_secs(86_400);

/// Adds a credential with its secrets.
///
/// # Errors
/// `NotUnique` when its name is taken.
pub async fn insert(db: &mut Db, credential: &Credential) -> Result<(), StoreError> {
    let query = query(
        "insert into credential (name, name_key, origin, authorization_type, plain, custom_headers, ends_on,
           labels, max_concurrency, max_per_second, seen_code, seen_reason, seen_since, last_used_at,
           updated_at, revision, test_path, ends_first, managed_by, id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
           $21)",
    );
    let query = bind_saved(query, credential);
    query.bind(credential.id.to_string()).bind(credential.created_at.millis()).execute(db).await?;
    insert_secrets(db, credential).await?;
    installation::bump(db).await
}

/// Replaces a credential and its secrets. `false`, and no change, when someone else saved it in the meantime.
///
/// # Errors
/// `NotUnique` when its name is taken.
pub async fn update(
    db: &mut Db,
    credential: &Credential,
    expected_revision: i64,
) -> Result<bool, StoreError> {
    let query = query(
        "update credential set name = $1, name_key = $2, origin = $3, authorization_type = $4, plain = $5,
           custom_headers = $6, ends_on = $7, labels = $8, max_concurrency = $9, max_per_second = $10,
           seen_code = $11, seen_reason = $12, seen_since = $13, last_used_at = $14, updated_at = $15,
           revision = $16, test_path = $17, ends_first = $18, managed_by = $19
         where id = $20 and revision = $21",
    );
    let query = bind_saved(query, credential).bind(credential.id.to_string()).bind(expected_revision);
    if query.execute(db).await? == 0 {
        return Ok(false);
    }
    delete_secrets(db, credential.id).await?;
    insert_secrets(db, credential).await?;
    installation::bump(db).await?;
    Ok(true)
}

/// The columns that a save writes, in the order of both statements above.
fn bind_saved(query: Query<&'static str>, credential: &Credential) -> Query<&'static str> {
    query
        .bind(credential.name.as_str())
        .bind(credential.name.key())
        .bind(credential.target.to_string())
        .bind(credential.authorization_type.kind)
        .bind(plain_text(credential))
        .bind(headers_text(&credential.custom_headers))
        .bind(credential.ends_on.as_deref())
        .bind(json_text(&credential.labels))
        .bind(credential.max_concurrency.map(i64::from))
        .bind(credential.max_per_second.map(|rate| i64::from(rate.thousandths())))
        .bind(credential.seen.code.kind())
        .bind(credential.seen.reason.as_str())
        .bind(credential.seen.since.millis())
        .bind(millis(credential.last_used_at))
        .bind(credential.updated_at.millis())
        .bind(credential.revision)
        .bind(credential.test_path.as_deref())
        .bind(credential.ends_at().map(second).as_deref())
        .bind(credential.managed_by.as_ref().map(FieldManager::as_str))
}

/// Removes a credential and its secrets, and tells whether it was there.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete(db: &mut Db, id: CredentialId) -> Result<bool, StoreError> {
    delete_secrets(db, id).await?;
    let query = query("delete from credential where id = $1").bind(id.to_string());
    let deleted = query.execute(db).await? == 1;
    installation::bump(db).await?;
    Ok(deleted)
}

async fn delete_secrets(db: &mut Db, id: CredentialId) -> Result<(), StoreError> {
    let query = query("delete from credential_secret where credential_id = $1").bind(id.to_string());
    query.execute(db).await?;
    Ok(())
}

async fn insert_secrets(db: &mut Db, credential: &Credential) -> Result<(), StoreError> {
    let secrets: Vec<(&String, &StoredSecret)> = credential.secrets.iter().collect();
    for chunk in chunks(&secrets) {
        let mut statement = Statement::new(
            db,
            "insert into credential_secret (credential_id, field, sealed, generation, updated_at, updated_by)
             values ",
        );
        statement.rows(chunk, |row, (field, secret)| {
            row.bind(credential.id.to_string()).push(", ").bind(field.as_str()).push(", ");
            row.bind(secret.sealed.as_stored()).push(", ").bind(secret.generation).push(", ");
            row.bind(secret.updated_at.millis()).push(", ").bind(secret.updated_by.as_str());
        });
        statement.execute(db).await?;
    }
    Ok(())
}

/// A credential by its id.
///
/// # Errors
/// `Damaged` when a newer program stored a word that this one does not know.
pub async fn find(db: &mut Db, id: CredentialId) -> Result<Option<Credential>, StoreError> {
    let query = query("select * from credential where id = $1").bind(id.to_string());
    match query.optional(db).await? {
        Some(row) => Ok(with_secrets(db, vec![row]).await?.pop()),
        None => Ok(None),
    }
}

/// A credential as it is now and stays until the end of the transaction. Whoever changes it together with its tokens
/// and connectors begins here and goes on in that order, so that no two wait for each other.
///
/// # Errors
/// As [`find`].
pub async fn lock(db: &mut Db, id: CredentialId) -> Result<Option<Credential>, StoreError> {
    let mut statement = Statement::new(db, "select * from credential where id = ");
    statement.bind(id.to_string()).push(keep_locked(db));
    let rows = statement.all(db).await?;
    Ok(with_secrets(db, rows).await?.pop())
}

/// A credential by its name, without regard to case.
///
/// # Errors
/// As [`find`].
pub async fn find_by_name(db: &mut Db, name: &Name) -> Result<Option<Credential>, StoreError> {
    let query = query("select * from credential where name_key = $1").bind(name.key());
    match query.optional(db).await? {
        Some(row) => Ok(with_secrets(db, vec![row]).await?.pop()),
        None => Ok(None),
    }
}

/// Every credential, for a program that starts.
///
/// # Errors
/// As [`find`].
pub async fn all(db: &mut Db) -> Result<Vec<Credential>, StoreError> {
    let rows = query("select * from credential order by id").all(db).await?;
    with_secrets(db, rows).await
}

/// Credentials whose end is near and has not passed.
///
/// # Errors
/// As [`find`].
pub async fn ending_soon(db: &mut Db, now: Timestamp) -> Result<Vec<Credential>, StoreError> {
    let query = query("select * from credential where ends_first > $1 and ends_first <= $2 order by id");
    let rows = query.bind(second(now)).bind(soon(now)).all(db).await?;
    with_secrets(db, rows).await
}

/// An end, or what ends are held against: texts of whole seconds, in the order of time.
fn second(time: Timestamp) -> String {
    Timestamp::from_millis(time.seconds() * 1_000).to_string()
}

/// What ends until then ends soon: whole days count, and the first second of a day belongs to the one before.
fn soon(now: Timestamp) -> String {
    midnight(&now.plus(ENDS_SOON + DAY).day())
}

/// The first second of a day.
fn midnight(day: &str) -> String {
    format!("{day}T00:00:00Z")
}

/// The revision of a credential as it is now.
///
/// # Errors
/// When the database cannot be read.
pub async fn revision(db: &mut Db, id: CredentialId) -> Result<Option<i64>, StoreError> {
    let query = query("select revision from credential where id = $1").bind(id.to_string());
    query.optional(db).await?.map(|row| row.number("revision")).transpose()
}

/// Keeps what was seen of a credential. Not a save: its revision stays. `false`, and no change, when it was saved
/// since that revision was used: what was seen then says nothing about it now.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_seen(
    db: &mut Db,
    id: CredentialId,
    revision: i64,
    seen: &Status,
) -> Result<bool, StoreError> {
    let query = query(
        "update credential set seen_code = $1, seen_reason = $2, seen_since = $3 where id = $4 and revision = $5",
    );
    let query = query.bind(seen.code.kind()).bind(seen.reason.as_str()).bind(seen.since.millis());
    Ok(query.bind(id.to_string()).bind(revision).execute(db).await? == 1)
}

/// As [`set_seen`], for what was learned with a credential as it was read some time ago: what lets in does not cover
/// a refusal that came meanwhile.
///
/// # Errors
/// As [`set_seen`].
pub async fn learn(db: &mut Db, read: &Credential, seen: &Status) -> Result<bool, StoreError> {
    if seen.code.holds() {
        return set_seen(db, read.id, read.revision, seen).await;
    }
    let query = query(
        "update credential set seen_code = $1, seen_reason = $2, seen_since = $3
         where id = $4 and revision = $5 and seen_code = $6",
    );
    let query = query.bind(seen.code.kind()).bind(seen.reason.as_str()).bind(seen.since.millis());
    let query = query.bind(read.id.to_string()).bind(read.revision).bind(read.seen.code.kind());
    Ok(query.execute(db).await? == 1)
}

/// Keeps the time of the last request that the tool let in.
///
/// # Errors
/// When the database cannot be written.
pub async fn mark_used(db: &mut Db, id: CredentialId, now: Timestamp) -> Result<(), StoreError> {
    query("update credential set last_used_at = $1 where id = $2 and coalesce(last_used_at, 0) < $1")
        .bind(now.millis())
        .bind(id.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// How many connectors use each credential; those that nobody uses are absent.
///
/// # Errors
/// When the database cannot be read.
pub async fn usage_counts(
    db: &mut Db,
    ids: &[CredentialId],
) -> Result<HashMap<CredentialId, u64>, StoreError> {
    let mut counts = HashMap::new();
    for chunk in chunks(ids) {
        let mut statement = Statement::new(
            db,
            "select credential_id, count(*) as used_by from connector where credential_id in (",
        );
        statement.list(chunk.iter().map(ToString::to_string));
        statement.push(") group by credential_id");
        for row in statement.all(db).await? {
            counts.insert(row.id("credential_id")?, row.count("used_by")?);
        }
    }
    Ok(counts)
}

async fn with_secrets(db: &mut Db, rows: Vec<Row>) -> Result<Vec<Credential>, StoreError> {
    let mut credentials = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut places: HashMap<String, usize> = HashMap::new();
    let ids: Vec<String> = credentials.iter().map(|credential| credential.id.to_string()).collect();
    places.extend(ids.iter().cloned().zip(0..));
    for chunk in chunks(&ids) {
        let mut statement = Statement::new(db, "select * from credential_secret where credential_id in (");
        statement.list(chunk.iter().map(String::as_str));
        statement.push(")");
        for row in statement.all(db).await? {
            let secret = StoredSecret {
                sealed: Sealed::from_stored(row.text("sealed")?),
                generation: row.number("generation")?,
                updated_at: row.time("updated_at")?,
                updated_by: row.text("updated_by")?,
            };
            let place = places.get(&row.text("credential_id")?).ok_or_else(|| damaged("credential_id"))?;
            credentials[*place].secrets.insert(row.text("field")?, secret);
        }
    }
    Ok(credentials)
}

fn read(row: &Row) -> Result<Credential, StoreError> {
    let authorization_type = stored_type(&row.text("authorization_type")?)
        .map_err(|word| StoreError::Damaged(format!("unknown authorization type {word}")))?;
    let mut plain: BTreeMap<String, String> = row.json("plain")?;
    let target = target(&row.text("origin")?, plain.remove(pin::FIELD).as_deref());
    let rate = row.optional_number("max_per_second")?;
    Ok(Credential {
        id: row.id("id")?,
        name: Name::from_stored(row.text("name")?),
        target: target.ok_or_else(|| damaged("credential.origin"))?,
        authorization_type,
        plain,
        custom_headers: read_headers(row)?,
        secrets: BTreeMap::new(),
        test_path: row.optional_text("test_path")?,
        ends_on: row.optional_text("ends_on")?,
        labels: row.json("labels")?,
        max_concurrency: row.optional_count("max_concurrency")?,
        max_per_second: rate
            .map(|rate| Rate::from_thousandths(rate).ok_or_else(|| damaged("max_per_second")))
            .transpose()?,
        managed_by: row.optional_text("managed_by")?.map(FieldManager::from_stored),
        seen: Status {
            code: row.word("seen_code", StatusCode::find)?,
            reason: row.text("seen_reason")?,
            since: row.time("seen_since")?,
        },
        last_used_at: row.optional_time("last_used_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        revision: row.number("revision")?,
    })
}

/// The plain fields; host keys stand among them, under the key they have in a request.
fn plain_text(credential: &Credential) -> String {
    let pins = credential.target.sftp().map(|host| host.pins.to_stored());
    let mut plain: BTreeMap<&str, &str> =
        credential.plain.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    plain.extend(pins.as_deref().map(|pins| (pin::FIELD, pins)));
    json_text(&plain)
}

/// A stored address with the host keys beside it.
fn target(address: &str, pins: Option<&str>) -> Option<Target> {
    let Some(pins) = pins else { return Origin::parse("URL address", address).ok().map(Target::Https) };
    let host = SftpHost { address: SftpAddress::parse(address).ok()?, pins: Pins::from_stored(pins)? };
    Some(Target::Sftp(host))
}

fn headers_text(headers: &[CustomHeader]) -> String {
    let pairs: Vec<_> = headers.iter().map(|header| (&header.name, header.sent_with.kind())).collect();
    json_text(&pairs)
}

fn read_headers(row: &Row) -> Result<Vec<CustomHeader>, StoreError> {
    let pairs: Vec<(String, String)> = row.json("custom_headers")?;
    let header = |(name, word): (String, String)| {
        let sent_with = SentWith::find(&word).ok_or_else(|| damaged("custom_headers"))?;
        Ok(CustomHeader { name, sent_with })
    };
    pairs.into_iter().map(header).collect()
}
