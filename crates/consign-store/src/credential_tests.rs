//! The last connection tests of each credential.

use consign_core::id::{CredentialId, TestId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::Row;
use crate::{Db, StoreError};

/// So many are kept for each credential.
const KEPT: i64 = 20;

/// A finished test.
#[derive(Clone, Debug)]
pub struct FinishedTest {
    /// Its id.
    pub id: TestId,
    /// When it began.
    pub at: Timestamp,
    /// The name of who asked for it.
    pub by: String,
    /// `working`, `reached` or `failed`.
    pub outcome: String,
    /// All of it, JSON: what the surfaces show.
    pub result: String,
}

/// Adds one and drops the oldest beyond those that are kept.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, credential: CredentialId, test: &FinishedTest) -> Result<(), StoreError> {
    query(
        "insert into credential_test (id, credential_id, at, tested_by, outcome, result)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(test.id.to_string())
    .bind(credential.to_string())
    .bind(test.at.millis())
    .bind(test.by.as_str())
    .bind(test.outcome.as_str())
    .bind(test.result.as_str())
    .execute(db)
    .await?;
    query(
        "delete from credential_test where credential_id = $1 and id not in (
           select id from credential_test where credential_id = $1 order by id desc limit $2)",
    )
    .bind(credential.to_string())
    .bind(KEPT)
    .execute(db)
    .await?;
    Ok(())
}

/// The last tests of a credential, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(db: &mut Db, credential: CredentialId) -> Result<Vec<FinishedTest>, StoreError> {
    let query = query(
        "select id, at, tested_by, outcome, result from credential_test where credential_id = $1 order by id desc",
    );
    let rows = query.bind(credential.to_string()).all(db).await?;
    let test = |row: &Row| {
        Ok(FinishedTest {
            id: row.id("id")?,
            at: row.time("at")?,
            by: row.text("tested_by")?,
            outcome: row.text("outcome")?,
            result: row.text("result")?,
        })
    };
    rows.iter().map(test).collect()
}
