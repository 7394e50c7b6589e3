//! `consign webhook recover`: what failed since a time is sent again, at a pace.

use std::process::ExitCode;

use clap::Args;
use consign_core::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::cli::client::{Call, Client};
use crate::cli::failure::Failure;
use crate::cli::listing::text;
use crate::cli::operation::follow;
use crate::cli::output::{Form, Output};

#[derive(Args)]
pub(crate) struct RecoverFlags {
    /// Name or id
    name: String,
    /// Only what was accepted since this time, or so long ago, such as 2h or 3d
    #[arg(long, value_name = "TIME|AGE")]
    since: Option<String>,
    /// Only what was accepted before this time, or so long ago
    #[arg(long, value_name = "TIME|AGE")]
    until: Option<String>,
    /// failed, cancelled, held or delivered
    #[arg(long, value_name = "WORD,…", value_delimiter = ',', default_value = "failed")]
    state: Vec<String>,
    /// How many a second, such as 2/s or 0.5
    #[arg(long, value_name = "N/s")]
    rate: Option<String>,
    /// The requests that were first sent, exactly as they were, and not ones with the present set-up
    #[arg(long)]
    as_first_sent: bool,
    /// Tell what would be sent again, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Return at once
    #[arg(long)]
    no_wait: bool,
}

/// Tells what would be sent again, asks, starts, and follows.
pub(super) async fn recover(
    client: &Client<'_>,
    output: &Output,
    flags: &RecoverFlags,
) -> Result<ExitCode, Failure> {
    let mut body = body(flags, output.now)?;
    body.insert("dry_run".to_owned(), json!(true));
    let answer = client.send(Call::post(&["replays"]).json(&Value::Object(body.clone()))).await?;
    let preview = answer.json()?;
    if flags.dry_run {
        match output.form {
            Form::Json => output.text(&answer.text()),
            Form::Plain => output.line(&text(&preview, "count")),
            Form::People => output.line(&told(&preview)),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if preview["count"] == 0 {
        output.note(&told(&preview));
        return Ok(ExitCode::SUCCESS);
    }
    let question = format!("{} The tool may create second records. Send them again?", told(&preview));
    output.confirm(&question, flags.yes)?;
    // What fails from now on was not part of the question.
    if let Some(Value::Object(filter)) = body.get_mut("filter") {
        filter.entry("created_before").or_insert_with(|| preview["before"].clone());
    }
    body.insert("dry_run".to_owned(), json!(false));
    let started = client.send(Call::post(&["replays"]).json(&Value::Object(body))).await?;
    follow(client, output, &started, !flags.no_wait).await
}

fn told(preview: &Value) -> String {
    let count = preview["count"].as_u64().unwrap_or(0);
    if count == 0 {
        return "Nothing to send again.".to_owned();
    }
    let minutes = preview["seconds"].as_u64().unwrap_or(0).div_ceil(60);
    let mut left_out = match preview["without_payload"].as_u64() {
        None | Some(0) => String::new(),
        Some(gone) => format!(" {gone} more cannot be: their payloads were removed."),
    };
    if let Some(unsent) = preview["without_request"].as_u64().filter(|count| *count > 0) {
        left_out.push_str(&format!(" {unsent} more cannot be: nothing that was sent of them is kept."));
    }
    format!(
        "{count} {}, about {minutes} {} at {} per second.{left_out}",
        if count == 1 { "delivery" } else { "deliveries" },
        if minutes == 1 { "minute" } else { "minutes" },
        preview["rate_per_second"].as_f64().unwrap_or(0.0)
    )
}

fn body(flags: &RecoverFlags, now: Timestamp) -> Result<Map<String, Value>, Failure> {
    let mut filter = Map::new();
    filter.insert("connector".to_owned(), json!(flags.name));
    filter.insert("state".to_owned(), json!(flags.state));
    for (key, given) in [("created_after", &flags.since), ("created_before", &flags.until)] {
        if let Some(text) = given {
            filter.insert(key.to_owned(), json!(moment(text, now)?));
        }
    }
    let mut body = Map::new();
    body.insert("filter".to_owned(), Value::Object(filter));
    if flags.as_first_sent {
        body.insert("request".to_owned(), json!("as_first_sent"));
    }
    if let Some(rate) = &flags.rate {
        let number: Option<f64> = rate.trim().trim_end_matches("/s").trim().parse().ok();
        let number = number.ok_or_else(|| Failure::usage("The rate is a number a second, such as 2/s"))?;
        body.insert("rate_per_second".to_owned(), json!(number));
    }
    Ok(body)
}

/// A time, or an age such as `90s`, `30m`, `2h` or `3d`.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = || {
        Failure::usage(&format!(
            "“{text}” is neither a time such as 2026-11-22T13:00:00Z nor an age such as 2h"
        ))
    };
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Ok(time);
    }
    let (days, rest) = match text.strip_suffix('d') {
        Some(days) => (true, days),
        None => (false, text),
    };
    let age = if days {
        let seconds = rest.parse::<u64>().ok().and_then(|days| days.checked_mul(86_400));
        std::time::Duration::from_secs(seconds.ok_or_else(wrong)?)
    } else {
        super::super::duration(rest).map_err(|_| wrong())?
    };
    Ok(now.minus(age))
}

#[cfg(test)]
mod tests;
