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
        Table::Setting => {
            "select key as id, value from installation where key = $1 and value <> '' and key in ('public_url', 'notifications', 'sign_in', 'egress')"
        }
    };
    let Some(row) = query(one).bind(id).optional(db).await? else { return Ok(None) };
    let secrets = match table {
        Table::Credential => Some("select * from credential_secret where credential_id = $1"),
        Table::Connector => Some("select * from signing_key where connector_id = $1"),
        Table::User | Table::ApiKey | Table::Setting => None,
    };
    let mut secrets = match secrets {
        Some(text) => by_owner(table, &query(text).bind(id).all(db).await?)?,
        None => HashMap::new(),
    };
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
        Table::Setting => {
            "select key as id, value from installation where value <> '' and key in ('public_url', 'notifications', 'sign_in', 'egress')"
        }
    };
    let rows = query(all).all(db).await?;
    let secrets = match table {
        Table::Credential => Some("select * from credential_secret"),
        Table::Connector => Some("select * from signing_key"),
        Table::User | Table::ApiKey | Table::Setting => None,
    };
    let mut secrets = match secrets {
        Some(text) => by_owner(table, &query(text).all(db).await?)?,
        None => HashMap::new(),
    };
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
        Table::ApiKey => (&["id", "name", "rights", "gateways", "hash"], &["ends_at", "created_at"]),
        Table::Setting => (&["id", "value"], &[]),
    }
}

/// Columns that came later, each with what a row from before has in it. They are in the text of a row only where one
/// of them says something else, so that the text of a row from before stays what its record says.
pub(crate) fn later_columns(table: Table) -> (LaterTexts, LaterNumbers) {
    match table {
        Table::User => (
            &[
                ("role", Some("administrator")),
                ("invite_hash", None),
                ("totp", None),
                ("recovery_codes", None),
                ("oidc_issuer", None),
                ("oidc_subject", None),
            ],
            &[("suspended_at", None), ("invite_until", None), ("totp_at", None), ("revision", Some(1))],
        ),
        Table::ApiKey => (&[("allowed_from", None)], &[]),
        Table::Credential | Table::Connector => (&[("managed_by", None)], &[]),
        Table::Setting => (&[], &[]),
    }
}

type LaterTexts = &'static [(&'static str, Option<&'static str>)];
type LaterNumbers = &'static [(&'static str, Option<i64>)];

fn text(table: Table, row: &Row, secrets: &mut HashMap<String, Vec<Value>>) -> Result<Text, StoreError> {
    let (texts, numbers) = columns(table);
    let id = row.text("id")?;
    let texts = texts.iter().map(|name| row.optional_text(name)).collect::<Result<Vec<_>, _>>()?;
    let numbers = numbers.iter().map(|name| row.optional_number(name)).collect::<Result<Vec<_>, _>>()?;
    let mut whole = vec![json!(texts), json!(numbers), json!(secrets.remove(&id))];
    whole.extend(later(table, row)?);
    Ok((id, Value::Array(whole).to_string()))
}

/// What the later columns add to the text.
fn later(table: Table, row: &Row) -> Result<Option<Value>, StoreError> {
    let (texts, numbers) = later_columns(table);
    let (mut said, mut differs) = (Vec::new(), false);
    for (name, before) in texts {
        let mut text = row.optional_text(name)?;
        if *name == "totp" {
            // As with the secrets of credentials: another key of the ring changes nothing.
            text = text.map(|sealed| Sealed::from_stored(sealed).ciphertext().to_owned());
        }
        differs |= text.as_deref() != *before;
        said.push(json!(text));
    }
    for (name, before) in numbers {
        let number = row.optional_number(name)?;
        differs |= number != *before;
        said.push(json!(number));
    }
    Ok(differs.then_some(Value::Array(said)))
}

/// The secrets of credentials, and what webhooks sign with. Of a sealed value the ciphertext counts: moving to another key
/// of the ring wraps its data key anew and no more.
fn by_owner(table: Table, rows: &[Row]) -> Result<HashMap<String, Vec<Value>>, StoreError> {
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    for row in rows {
        let sealed = Sealed::from_stored(row.text("sealed")?);
        let (owner, secret) = if table == Table::Connector {
            let secret = json!([
                row.number("generation")?,
                row.text("kind")?,
                sealed.ciphertext(),
                row.number("created_at")?,
                row.optional_number("ends_at")?,
            ]);
            ("connector_id", secret)
        } else {
            let secret = json!([
                row.text("field")?,
                sealed.ciphertext(),
                row.number("generation")?,
                row.number("updated_at")?,
                row.text("updated_by")?,
            ]);
            ("credential_id", secret)
        };
        found.entry(row.text(owner)?).or_default().push(secret);
    }
    // Databases sort text each in its own way.
    found.values_mut().for_each(|secrets| secrets.sort_by_key(Value::to_string));
    Ok(found)
}
