//! Entries as lines of CSV (RFC 4180). A cell that a spreadsheet would take for a formula is made text: ASVS 1.2.10.

use consign_core::connector::format::is_formula;
use consign_store::audit::AuditRecord;

const COLUMNS: [&str; 14] = [
    "sequence",
    "id",
    "at",
    "actor_kind",
    "actor_id",
    "actor",
    "action",
    "object_kind",
    "object_id",
    "object",
    "changes",
    "from",
    "request_id",
    "result",
];

/// The names of the columns.
pub(super) fn head() -> String {
    row(COLUMNS.map(str::to_owned))
}

/// One entry.
pub(super) fn line(entry: &AuditRecord) -> String {
    row([
        entry.sequence.to_string(),
        entry.id.to_string(),
        entry.at.to_string(),
        entry.actor_kind.clone(),
        entry.actor_id.clone(),
        entry.actor.clone(),
        entry.action.clone(),
        entry.object_kind.clone(),
        entry.object_id.clone(),
        entry.object.clone(),
        if entry.changes.is_null() { String::new() } else { entry.changes.to_string() },
        entry.from.clone(),
        entry.request_id.clone(),
        entry.result.clone(),
    ])
}

fn row(cells: [String; COLUMNS.len()]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| quoted(cell)).collect();
    format!("{}\r\n", cells.join(","))
}

/// A quote in front of what begins like a formula; quotes around what holds a separator.
fn quoted(text: &str) -> String {
    let formula = is_formula(text);
    let guarded = if formula { format!("'{text}") } else { text.to_owned() };
    if guarded.contains(['"', ',', '\r', '\n']) || guarded != guarded.trim() {
        return format!("\"{}\"", guarded.replace('"', "\"\""));
    }
    guarded
}

#[cfg(test)]
mod tests;
