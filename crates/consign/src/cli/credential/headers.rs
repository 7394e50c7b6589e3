//! Custom headers, changed one by one.

use serde_json::Value;

use super::super::listing::text;

/// The present rows, which keep their values, with fresh ones in their place or at the end.
pub(super) fn merged_headers(present: Vec<Value>, fresh: Vec<Value>, removed: &[String]) -> Vec<Value> {
    let same = |row: &Value, name: &str| text(row, "name").eq_ignore_ascii_case(name);
    let gone = |row: &Value| removed.iter().any(|name| same(row, name));
    let mut rows: Vec<Value> = present.into_iter().filter(|row| !gone(row)).collect();
    for mut row in fresh {
        match rows.iter_mut().find(|other| same(other, &text(&row, "name"))) {
            Some(place) => {
                if row["sent_with"].is_null() {
                    row["sent_with"] = place["sent_with"].take();
                }
                *place = row;
            }
            None => rows.push(row),
        }
    }
    rows
}
