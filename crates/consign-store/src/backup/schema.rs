//! Whether a copy that somebody else may have made holds the tables, indexes and triggers of our migrations, all of them
//! and nothing else. A view, a check or an index of somebody else would run with the first statement that reads it, and
//! without a trigger or an index of ours a database would take what it must refuse.

use std::collections::HashSet;

use crate::db::query;
use crate::sqlite::Object;
use crate::{Db, StoreError, migrate, sqlite};

/// More than any program of ours makes: a copy that holds more is not looked through.
const OBJECTS_MAX: usize = 2_000;
/// What SQLite makes for itself when somebody asks it to gather statistics: numbers, and no text of anybody.
const STATISTICS: [&str; 2] =
    ["CREATE TABLE sqlite_stat1(tbl,idx,stat)", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"];

/// Why a copy is not read any further, in words; `None` when all in it is ours. Nothing but the list of objects is read
/// before it was judged.
pub(super) async fn foreign(db: &mut Db) -> Result<Option<String>, StoreError> {
    let found = objects(db).await?;
    if found.len() > OBJECTS_MAX {
        return Ok(Some("it holds more parts than Consign makes".to_owned()));
    }
    if !found.iter().any(|(kind, name, _, _)| kind == "table" && name == "installation") {
        return Ok(Some("it holds no installation of Consign".to_owned()));
    }
    let versions = sqlite::objects_of(&migrate::sqlite_texts(0))?;
    let version =
        if versions.iter().all(|one| found.contains(one)) { migrate::version(db).await? } else { 0 };
    if version < 0 || version > crate::schema_known() {
        return Ok(Some("its tables are not those of a version that this program knows".to_owned()));
    }
    Ok(differs(&found, &sqlite::objects_of(&migrate::sqlite_texts(version))?))
}

/// What one list of objects has that the other has not, in words; `None` when they are the same.
fn differs(found: &[Object], ours: &[Object]) -> Option<String> {
    let expected: HashSet<_> = ours.iter().collect();
    if let Some(one) = found.iter().find(|one| !expected.contains(one) && !is_statistics(one)) {
        return Some(format!("it holds {} that Consign did not make", part(one)));
    }
    let mut seen = HashSet::new();
    if let Some(one) = found.iter().find(|one| !seen.insert(*one)) {
        return Some(format!("it holds {} twice", part(one)));
    }
    let lost = ours.iter().find(|one| !seen.contains(one));
    lost.map(|one| format!("it lacks {} that Consign made", part(one)))
}

/// Nothing of its name, which somebody else may have chosen.
fn part((kind, _, _, _): &Object) -> &'static str {
    match kind.as_str() {
        "table" => "a table",
        "index" => "an index",
        "trigger" => "a trigger",
        "view" => "a view",
        _ => "a part",
    }
}

fn is_statistics((kind, _, _, text): &Object) -> bool {
    kind == "table" && text.as_deref().is_some_and(|text| STATISTICS.contains(&text))
}

async fn objects(db: &mut Db) -> Result<Vec<Object>, StoreError> {
    let text = "select type, name, tbl_name, sql from sqlite_master limit $1";
    let one_too_many = i64::try_from(OBJECTS_MAX + 1).expect("some thousands");
    let rows = query(text).bind(one_too_many).all(db).await?;
    let object = |row: &crate::row::Row| {
        Ok((row.text("type")?, row.text("name")?, row.text("tbl_name")?, row.optional_text("sql")?))
    };
    rows.iter().map(object).collect()
}
