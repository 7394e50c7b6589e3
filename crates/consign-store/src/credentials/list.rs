//! Lists of credentials.

use std::collections::{BTreeMap, BTreeSet};

use consign_core::auth::{self, AUTHORIZATION_TYPES};
use consign_core::catalog::Protocol;
use consign_core::credential::{Credential, StatusCode, URL_PATH};
use consign_core::field_manager::FieldManager;
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;

use super::{midnight, second, soon, with_secrets};
use crate::db::query;
use crate::row::{Row, anywhere, json_text};
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError};

/// Which credentials a list shows; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct CredentialFilter {
    /// Part of the name, address, client ID or a label, without regard to case.
    pub q: Option<String>,
    /// Only what needs a person.
    pub needs_attention: bool,
    /// How the tool is spoken to.
    pub protocol: Option<Protocol>,
    /// The status that is shown now.
    pub status: Option<StatusCode>,
    /// The stored word of the authorization type.
    pub authorization_type: Option<String>,
    /// A label and its value.
    pub label: Option<(String, String)>,
    /// Ends before this day, `2027-02-12`.
    pub ends_before: Option<String>,
    /// Who manages it from a file.
    pub managed_by: Option<FieldManager>,
}

/// The order of a list of credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialSort {
    /// What needs a person first, then by name.
    #[default]
    NeedsAttention,
    /// By name.
    Name,
    /// By name, the last one first.
    NameDown,
    /// By the last use, the oldest first.
    LastUsed,
    /// By the last use, the newest first.
    LastUsedDown,
}

impl CredentialSort {
    /// All, in the order of their words.
    pub const ALL: [Self; 5] =
        [Self::NeedsAttention, Self::Name, Self::NameDown, Self::LastUsed, Self::LastUsedDown];

    /// The word in an address.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NeedsAttention => "needs_attention",
            Self::Name => "name",
            Self::NameDown => "-name",
            Self::LastUsed => "last_used_at",
            Self::LastUsedDown => "-last_used_at",
        }
    }

    /// The order with this word.
    pub fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.kind() == word)
    }

    const fn is_down(self) -> bool {
        matches!(self, Self::NameDown | Self::LastUsedDown)
    }
}

/// Times of the last use as texts that are in the order of the times: all have as many digits.
const LAST_USED_BASE: i64 = 1_000_000_000_000_000;

/// A page of credentials. `now` decides which end dates are near.
///
/// # Errors
/// `BadCursor`, or `Damaged` when a newer program stored a word that this one does not know.
pub async fn list(
    db: &mut Db,
    filter: &CredentialFilter,
    sort: CredentialSort,
    page: &Page,
    now: Timestamp,
) -> Result<Listed<Credential>, StoreError> {
    let turn = page.turn()?;
    let rank = |credential: &Credential| match sort {
        CredentialSort::NeedsAttention if credential.status(now).code.needs_attention() => "0".to_owned(),
        CredentialSort::NeedsAttention | CredentialSort::Name | CredentialSort::NameDown => "1".to_owned(),
        CredentialSort::LastUsed | CredentialSort::LastUsedDown => {
            (LAST_USED_BASE + credential.last_used_at.map_or(0, Timestamp::millis)).to_string()
        }
    };
    let mut statement = Statement::new(db, "select * from (select c.*, ");
    match sort {
        CredentialSort::NeedsAttention => rank_column(&mut statement, now),
        CredentialSort::Name | CredentialSort::NameDown => {
            statement.push("'1'");
        }
        CredentialSort::LastUsed | CredentialSort::LastUsedDown => {
            statement.push("cast(").bind(LAST_USED_BASE).push(" + coalesce(c.last_used_at, 0) as text)");
        }
    }
    statement.push(" as list_rank from credential c) as ranked where 1 = 1");
    restrict(&mut statement, filter, now);
    let count = turn.count(&statement, db).await?;
    turn.by_rank(&mut statement, (sort.kind(), sort.is_down()))?;
    let rows = statement.all(db).await?;
    let credentials = with_secrets(db, rows).await?;
    let key = |credential: &Credential| {
        vec![sort.kind().to_owned(), rank(credential), credential.name.key(), credential.id.to_string()]
    };
    Ok(turn.listed(credentials, key).of(count))
}

/// A credential as it is offered where one is chosen: little of each, for there may be many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choosable {
    /// Which one.
    pub id: CredentialId,
    /// Its name.
    pub name: String,
    /// The status that is shown.
    pub status: StatusCode,
    /// How the tool is spoken to.
    pub protocol: Protocol,
    /// Where the tool is.
    pub address: String,
    /// Its address goes on, and how is a secret.
    pub has_secret_path: bool,
}

impl Choosable {
    /// What is offered of a credential.
    pub fn of(credential: &Credential, now: Timestamp) -> Self {
        Self {
            id: credential.id,
            name: credential.name.to_string(),
            status: credential.status(now).code,
            protocol: credential.authorization_type.protocol,
            address: credential.target.to_string(),
            has_secret_path: credential.secrets.contains_key(URL_PATH),
        }
    }
}

/// Credentials to choose from, at most so many: what needs a person first, then by name.
///
/// # Errors
/// When the database cannot be read.
pub async fn choosable(
    db: &mut Db,
    protocol: Option<Protocol>,
    most: u32,
    now: Timestamp,
) -> Result<Vec<Choosable>, StoreError> {
    let mut statement = Statement::new(
        db,
        "select f.*, case when exists (select 1 from credential_secret s
           where s.credential_id = f.id and s.field = 'url_path') then 1 else 0 end as has_secret_path
         from (select id, name, name_key, authorization_type, origin, ",
    );
    status_column(&mut statement, now);
    statement.push(" as shown, ");
    rank_column(&mut statement, now);
    statement.push(" as list_rank from credential where 1 = 1");
    let filter = CredentialFilter { protocol, ..CredentialFilter::default() };
    restrict(&mut statement, &filter, now);
    statement.push(" order by list_rank, name_key, id limit ").bind(i64::from(most));
    statement.push(") as f order by f.list_rank, f.name_key, f.id");
    let read = |row: &Row| {
        Ok(Choosable {
            id: row.id("id")?,
            name: row.text("name")?,
            status: row.word("shown", StatusCode::find)?,
            protocol: row.word("authorization_type", auth::find)?.protocol,
            address: row.text("origin")?,
            has_secret_path: row.number("has_secret_path")? == 1,
        })
    };
    statement.all(db).await?.iter().map(read).collect()
}

/// The labels that credentials have, with their values, out of at most so many different sets of labels.
///
/// # Errors
/// When the database cannot be read.
pub async fn labels(db: &mut Db, most: u32) -> Result<BTreeSet<(String, String)>, StoreError> {
    // The index of those that have labels: its condition stands here in the same words.
    let sets = query("select distinct labels from credential where labels <> '{}' order by labels limit $1");
    let mut labels = BTreeSet::new();
    for row in sets.bind(i64::from(most)).all(db).await? {
        labels.extend(row.json::<BTreeMap<String, String>>("labels")?);
    }
    Ok(labels)
}

/// The names under which credentials are managed from files, at most so many.
///
/// # Errors
/// When the database cannot be read.
pub async fn managers(db: &mut Db, most: u32) -> Result<Vec<FieldManager>, StoreError> {
    let managers = query(
        "select distinct managed_by from credential where managed_by is not null order by managed_by limit $1",
    );
    let rows = managers.bind(i64::from(most)).all(db).await?;
    rows.iter().map(|row| row.text("managed_by").map(FieldManager::from_stored)).collect()
}

/// How many credentials there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn total(db: &mut Db) -> Result<u64, StoreError> {
    query("select count(*) as total from credential").one(db).await?.count("total")
}

/// How many credentials a person should look at.
///
/// # Errors
/// When the database cannot be read.
pub async fn attention_count(db: &mut Db, now: Timestamp) -> Result<u64, StoreError> {
    let mut statement = Statement::new(db, "select count(*) as pressing from credential where ");
    rank_column(&mut statement, now);
    statement.push(" = '0'");
    statement.one(db).await?.count("pressing")
}

/// How many credentials there are of each status that is shown and each authorization type.
///
/// # Errors
/// When the database cannot be read.
pub async fn counts(db: &mut Db, now: Timestamp) -> Result<Vec<(String, String, u64)>, StoreError> {
    let mut statement = Statement::new(db, "select status, kind, count(*) as number from (select ");
    status_column(&mut statement, now);
    statement.push(" as status, authorization_type as kind from credential) as shown group by status, kind");
    let rows = statement.all(db).await?;
    rows.iter().map(|row| Ok((row.text("status")?, row.text("kind")?, row.count("number")?))).collect()
}

/// The credentials of some authorization types, by name.
///
/// # Errors
/// When the database cannot be read.
pub async fn named<'a>(
    db: &mut Db,
    kinds: impl Iterator<Item = &'a str>,
) -> Result<Vec<(CredentialId, String)>, StoreError> {
    let mut statement = Statement::new(db, "select id, name from credential where authorization_type in (");
    statement.list(kinds).push(") order by name_key, id");
    statement.all(db).await?.iter().map(|row| Ok((row.id("id")?, row.text("name")?))).collect()
}

/// `'0'` for what needs a person: [`StatusCode::needs_attention`] of the status that is shown.
fn rank_column(statement: &mut Statement, now: Timestamp) {
    statement.push("case when seen_code in (");
    let pressing = StatusCode::ALL.iter().filter(|code| code.needs_attention());
    statement.list(pressing.map(|code| code.kind()));
    statement.push(") or ends_first <= ").bind(soon(now)).push(" then '0' else '1' end");
}

/// The status that is shown: a failure outranks an end date, an end date outranks the rest.
fn status_column(statement: &mut Statement, now: Timestamp) {
    statement.push("case when seen_code in (");
    let failures = StatusCode::ALL.iter().filter(|code| **code < StatusCode::Ended);
    statement.list(failures.map(|code| code.kind()));
    statement.push(") then seen_code when ends_first <= ").bind(second(now)).push(" then 'ended'");
    statement.push(" when ends_first <= ").bind(soon(now)).push(" then 'ends_soon' else seen_code end");
}

fn restrict(statement: &mut Statement, filter: &CredentialFilter, now: Timestamp) {
    if let Some(q) = &filter.q {
        let pattern = anywhere(&q.trim().to_lowercase());
        statement.push(" and (name_key like ").bind(pattern.clone()).push(" escape '!'");
        statement.push(" or origin like ").bind(pattern.clone()).push(" escape '!'");
        statement.push(" or lower(labels) like ").bind(pattern).push(" escape '!'");
        // Among the fields that are no secret, kept as one JSON text, the client ID is looked for alone.
        let of_client = anywhere(&format!("\"client_id\":\"{}", q.trim().to_lowercase()));
        statement.push(" or lower(plain) like ").bind(of_client).push(" escape '!')");
    }
    if filter.needs_attention {
        statement.push(" and ");
        rank_column(statement, now);
        statement.push(" = '0'");
    }
    if let Some(protocol) = filter.protocol {
        let of_it = AUTHORIZATION_TYPES.iter().filter(|entry| entry.protocol == protocol);
        statement.push(" and authorization_type in (");
        statement.list(of_it.map(|entry| entry.kind));
        statement.push(")");
    }
    if let Some(status) = filter.status {
        statement.push(" and ");
        status_column(statement, now);
        statement.push(" = ").bind(status.kind());
    }
    if let Some(kind) = &filter.authorization_type {
        statement.push(" and authorization_type = ").bind(kind.as_str());
    }
    if let Some((label, value)) = &filter.label {
        let pair = format!("{}:{}", json_text(label), json_text(value));
        statement.push(" and labels like ").bind(anywhere(&pair)).push(" escape '!'");
    }
    if let Some(day) = &filter.ends_before {
        statement.push(" and ends_first <= ").bind(midnight(day));
    }
    if let Some(manager) = &filter.managed_by {
        statement.push(" and managed_by = ").bind(manager.as_str());
    }
}
