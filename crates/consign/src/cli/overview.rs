//! `consign overview`: how it goes, and what needs a person.

use std::process::ExitCode;

use serde_json::Value;

use super::Global;
use super::client::Call;
use super::context;
use super::failure::Failure;
use super::listing::{cell, text};
use super::output::{Form, Output, Table};

/// Shows it.
pub(crate) async fn run(global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    let answer = client.send(Call::get(&["overview"])).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(ExitCode::SUCCESS);
    }
    let overview = answer.json()?;
    if output.form == Form::People {
        output.note(&told(output, &overview));
    }
    let mut table = Table::new(&["what", "state", "reason", "since", "deliveries", "records", "next"]);
    for line in overview["attention"].as_array().into_iter().flatten() {
        table.row([
            cell(line, "name"),
            cell(line, "label"),
            cell(line, "reason"),
            output.when(&line["since"]),
            cell(line, "deliveries"),
            cell(line, "records"),
            cell(line, "action"),
        ]);
    }
    if table.is_empty() && output.form == Form::People {
        output.note("Nothing needs attention.");
    } else {
        output.table(&table);
    }
    Ok(ExitCode::SUCCESS)
}

fn told(output: &Output, overview: &Value) -> String {
    let count = |key: &str| {
        let more = if overview[key]["is_capped"] == true { " or more" } else { "" };
        format!("{}{more}", text(&overview[key], "count"))
    };
    let oldest = match &overview["waiting"]["oldest_created_at"] {
        Value::Null => String::new(),
        oldest => format!(" (the oldest {})", output.when(oldest)),
    };
    format!(
        "Last 24 hours: {} delivered, {} failed. {} waiting{oldest}, {} need attention. {} events matched no webhook.",
        text(overview, "delivered"),
        text(overview, "failed"),
        count("waiting"),
        count("need_attention"),
        count("unmatched"),
    )
}
