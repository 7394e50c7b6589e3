//! Whether a copy that somebody else may have made holds the tables, indexes and triggers of our migrations and nothing
//! else. A view, a check or an index of somebody else would run with the first statement that reads it.

use std::collections::HashSet;

use crate::db::query;
use crate::sqlite::Object;
use crate::{Db, StoreError, migrate, sqlite};

/// More than any program of ours makes.
const OBJECTS_MAX: u32 = 2_000;
/// What SQLite makes for itself when somebody asks it to gather statistics: numbers, and no text of anybody.
const STATISTICS: [&str; 2] =
    ["CREATE TABLE sqlite_stat1(tbl,idx,stat)", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"];

/// Why a copy is not read any further, in words; `None` when all in it is ours. Nothing but the list of objects is read
/// before it was judged.
pub(super) async fn foreign(db: &mut Db) -> Result<Option<String>, StoreError> {
    let found = objects(db).await?;
    if !found.iter().any(|(kind, name, _, _)| kind == "table" && name == "installation") {
        return Ok(Some("it holds no installation of Consign".to_owned()));
    }
    let versions = sqlite::objects_of(&migrate::sqlite_texts(0))?;
    let version =
        if versions.iter().all(|one| found.contains(one)) { migrate::version(db).await? } else { 0 };
    if version < 0 || version > crate::schema_known() {
        return Ok(Some("its tables are not those of a version that this program knows".to_owned()));
    }
    let ours: HashSet<_> = sqlite::objects_of(&migrate::sqlite_texts(version))?.into_iter().collect();
    let other = found.iter().find(|one| !ours.contains(*one) && !is_statistics(one));
    Ok(other.map(|(kind, _, _, _)| {
        let kind =
            [("table", "a table"), ("index", "an index"), ("trigger", "a trigger"), ("view", "a view")]
                .into_iter()
                .find(|(word, _)| word == kind);
        format!("it holds {} that Consign did not make", kind.map_or("a part", |(_, words)| words))
    }))
}

fn is_statistics((kind, _, _, text): &Object) -> bool {
    kind == "table" && text.as_deref().is_some_and(|text| STATISTICS.contains(&text))
}

async fn objects(db: &mut Db) -> Result<Vec<Object>, StoreError> {
    let text = "select type, name, tbl_name, sql from sqlite_master limit $1";
    let rows = query(text).bind(i64::from(OBJECTS_MAX)).all(db).await?;
    let object = |row: &crate::row::Row| {
        Ok((row.text("type")?, row.text("name")?, row.text("tbl_name")?, row.optional_text("sql")?))
    };
    rows.iter().map(object).collect()
}
