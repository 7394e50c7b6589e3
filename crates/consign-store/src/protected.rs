//! The rows that decide where secrets go and who may say so, each as one unambiguous text of its columns as they are
//! stored. What changes without an audit record (states, counters, last uses) is not in it.

use std::collections::HashMap;

use consign_core::audit::Table;
use consign_core::vault::Sealed;
use serde_json::{Value, json};

use crate::db::query;
use crate::row::Row;
use crate::{Db, StoreError};

/// A row: its id and its text.
pub type Text = (String, String);

/// A row of a table; `None` when there is none.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, table: Table, id: &str) -> Result<Option<String>, StoreError> {
    let one = match table {
        Table::Credential => "select * from credential where id = $1",
        Table::Connector => "select * from connector where id = $1",
        Table::User => "select * from users where id = $1",
        Table::ApiKey => "select * from api_key where id = $1",
    };
    let Some(row) = query(one).bind(id).optional(db).await? else { return Ok(None) };
    let mut secrets = HashMap::new();
    if table == Table::Credential {
        let query = query("select * from credential_secret where credential_id = $1").bind(id);
        secrets = by_credential(&query.all(db).await?)?;
    }
    Ok(Some(text(table, &row, &mut secrets)?.1))
}

/// All rows of a table.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(db: &mut Db, table: Table) -> Result<Vec<Text>, StoreError> {
    let all = match table {
        Table::Credential => "select * from credential",
        Table::Connector => "select * from connector",
        Table::User => "select * from users",
        Table::ApiKey => "select * from api_key",
    };
    let rows = query(all).all(db).await?;
    let mut secrets = HashMap::new();
    if table == Table::Credential {
        secrets = by_credential(&query("select * from credential_secret").all(db).await?)?;
    }
    rows.iter().map(|row| text(table, row, &mut secrets)).collect()
}

/// The columns that are text or absent, and those that are numbers or absent.
pub(crate) fn columns(table: Table) -> (&'static [&'static str], &'static [&'static str]) {
    match table {
        Table::Credential => (
            &[
                "id",
                "name",
                "name_key",
                "origin",
                "authorization_type",
                "plain",
                "custom_headers",
                "test_path",
                "ends_on",
                "labels",
            ],
            &["max_concurrency", "max_per_second", "created_at", "updated_at", "revision"],
        ),
        Table::Connector => (
            &[
                "id",
                "name",
                "name_key",
                "description",
                "kind",
                "credential_id",
                "lost_credential",
                "settings",
            ],
            &["in_flight_max", "created_at", "updated_at", "revision"],
        ),
        Table::User => (&["id", "name", "email", "email_key", "password_hash"], &["created_at"]),
        Table::ApiKey => (&["id", "name", "rights", "hash"], &["ends_at", "created_at"]),
    }
}

fn text(table: Table, row: &Row, secrets: &mut HashMap<String, Vec<Value>>) -> Result<Text, StoreError> {
    let (texts, numbers) = columns(table);
    let id = row.text("id")?;
    let texts = texts.iter().map(|name| row.optional_text(name)).collect::<Result<Vec<_>, _>>()?;
    let numbers = numbers.iter().map(|name| row.optional_number(name)).collect::<Result<Vec<_>, _>>()?;
    let text = json!([texts, numbers, secrets.remove(&id)]).to_string();
    Ok((id, text))
}

/// Of a sealed value the ciphertext counts: moving to another key of the ring wraps its data key anew and no more.
fn by_credential(rows: &[Row]) -> Result<HashMap<String, Vec<Value>>, StoreError> {
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    for row in rows {
        let sealed = Sealed::from_stored(row.text("sealed")?);
        let secret = json!([
            row.text("field")?,
            sealed.ciphertext(),
            row.number("generation")?,
            row.number("updated_at")?,
            row.text("updated_by")?,
        ]);
        found.entry(row.text("credential_id")?).or_default().push(secret);
    }
    // Databases sort text each in its own way.
    found.values_mut().for_each(|secrets| secrets.sort_by_key(Value::to_string));
    Ok(found)
}
