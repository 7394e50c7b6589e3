//! What lists have in common: pages, and texts out of JSON.

use clap::Args;
use serde_json::Value;

use super::client::{Answer, Call};
use super::failure::Failure;
use super::output::{Form, Output, Table};

/// Which page of a list.
#[derive(Args)]
pub(crate) struct PageFlags {
    /// How many rows, at most 200
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Where the last page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Tell how many there are in all, up to 10,000
    #[arg(long)]
    count: bool,
}

impl PageFlags {
    /// The request for this page.
    pub(crate) fn of(&self, call: Call) -> Call {
        let limit = self.limit.map(|limit| limit.to_string());
        call.query("limit", limit.as_deref())
            .query("cursor", self.cursor.as_deref())
            .query("count", self.count.then_some("true"))
    }
}

/// Prints the items of an answer: its body, or a row for each.
pub(crate) fn show(
    output: &Output,
    answer: &Answer,
    headings: &[&'static str],
    nothing: &str,
    row: impl Fn(&Value) -> Vec<String>,
) -> Result<(), Failure> {
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    let body = answer.json()?;
    let mut table = Table::new(headings);
    for item in body["items"].as_array().into_iter().flatten() {
        table.row(row(item));
    }
    if table.is_empty() && output.form == Form::People {
        output.note(nothing);
        return Ok(());
    }
    output.table(&table);
    if let Some(count) = body["count"].as_u64() {
        let more = if body["count_is_capped"] == true { " or more" } else { "" };
        output.note(&format!("{count}{more} in all."));
    }
    if let Some(cursor) = body["next_cursor"].as_str() {
        output.note(&format!("There are more. Next page: --cursor {cursor}"));
    }
    Ok(())
}

/// Prints one object: its body, or a line for each of its keys.
pub(crate) fn show_one(output: &Output, answer: &Answer) -> Result<(), Failure> {
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    if let Value::Object(object) = answer.json()? {
        output.text(&super::output::details(output, &object));
    }
    Ok(())
}

/// Prints what was written: its body, or a sentence; its id for scripts that ask for plain values.
pub(crate) fn show_written(
    output: &Output,
    answer: &Answer,
    verb: &str,
    noun: &str,
) -> Result<Value, Failure> {
    let written = answer.json()?;
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::Plain => output.line(&text(&written, "id")),
        Form::People => {
            output.done(&format!("{verb} {noun} “{}” ({})", text(&written, "name"), text(&written, "id")));
        }
    }
    Ok(written)
}

/// A text by key; nested keys with dots. Numbers as texts, what is not there as nothing.
pub(crate) fn text(value: &Value, key: &str) -> String {
    match key.split('.').fold(value, |value, part| &value[part]) {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// A text for a table, where nothing is shown as a dash.
pub(crate) fn cell(value: &Value, key: &str) -> String {
    let text = text(value, key);
    if text.is_empty() { "–".to_owned() } else { text }
}
