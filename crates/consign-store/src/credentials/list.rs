//! Lists of credentials.

use consign_core::credential::{Credential, StatusCode};
use consign_core::time::Timestamp;

use super::{ENDS_SOON, with_secrets};
use crate::row::{anywhere, json_text};
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError};

/// Which credentials a list shows; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct CredentialFilter {
    /// Part of the name or address, without regard to case.
    pub q: Option<String>,
    /// The status that is shown now.
    pub status: Option<StatusCode>,
    /// The stored word of the authorization type.
    pub authorization_type: Option<String>,
    /// A label and its value.
    pub label: Option<(String, String)>,
    /// Ends before this day, `2027-02-12`.
    pub ends_before: Option<String>,
}

/// The order of a list of credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialSort {
    /// What needs a person first, then by name.
    #[default]
    NeedsAttention,
    /// By name.
    Name,
}

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
        CredentialSort::NeedsAttention if credential.status(now).code.needs_attention() => "0",
        CredentialSort::NeedsAttention | CredentialSort::Name => "1",
    };
    let mut statement = Statement::new(db, "select * from (select c.*, ");
    match sort {
        CredentialSort::NeedsAttention => rank_column(&mut statement, now),
        CredentialSort::Name => {
            statement.push("'1'");
        }
    }
    statement.push(" as list_rank from credential c) as ranked where 1 = 1");
    restrict(&mut statement, filter, now);
    let count = turn.count(&statement, db).await?;
    if let Some(from) = &turn.from {
        let [rank, name_key, id] = from.as_slice() else { return Err(StoreError::BadCursor) };
        statement.push(" and (list_rank, name_key, id)").push(if turn.backward { " < (" } else { " > (" });
        statement
            .bind(rank.as_str())
            .push(", ")
            .bind(name_key.as_str())
            .push(", ")
            .bind(id.as_str())
            .push(")");
    }
    statement.push(match turn.backward {
        true => " order by list_rank desc, name_key desc, id desc limit ",
        false => " order by list_rank, name_key, id limit ",
    });
    statement.bind(turn.rows());
    let rows = statement.all(db).await?;
    let credentials = with_secrets(db, rows).await?;
    let key = |credential: &Credential| {
        vec![rank(credential).to_owned(), credential.name.key(), credential.id.to_string()]
    };
    Ok(turn.listed(credentials, key).of(count))
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

/// `'0'` for what needs a person: [`StatusCode::needs_attention`] of the status that is shown.
fn rank_column(statement: &mut Statement, now: Timestamp) {
    statement.push("case when seen_code in (");
    let pressing = StatusCode::ALL.iter().filter(|code| code.needs_attention());
    statement.list(pressing.map(|code| code.kind()));
    statement.push(") or ends_first <= ").bind(now.plus(ENDS_SOON).day()).push(" then '0' else '1' end");
}

/// The status that is shown: a failure outranks an end date, an end date outranks the rest.
fn status_column(statement: &mut Statement, now: Timestamp) {
    statement.push("case when seen_code in (");
    let failures = StatusCode::ALL.iter().filter(|code| **code < StatusCode::Ended);
    statement.list(failures.map(|code| code.kind()));
    statement.push(") then seen_code when ends_first < ").bind(now.day()).push(" then 'ended'");
    statement
        .push(" when ends_first <= ")
        .bind(now.plus(ENDS_SOON).day())
        .push(" then 'ends_soon' else seen_code end");
}

fn restrict(statement: &mut Statement, filter: &CredentialFilter, now: Timestamp) {
    if let Some(q) = &filter.q {
        let pattern = anywhere(&q.trim().to_lowercase());
        statement.push(" and (name_key like ").bind(pattern.clone()).push(" escape '!'");
        statement.push(" or origin like ").bind(pattern).push(" escape '!')");
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
        statement.push(" and ends_first < ").bind(day.as_str());
    }
}
