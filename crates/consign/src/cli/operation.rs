//! `consign operation`: work that takes a while, and goes on after a restart of the server.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use consign_core::catalog::size;
use http::Method;
use serde_json::Value;

use super::Global;
use super::client::{Answer, Call, Client};
use super::context;
use super::failure::{Code, Failure};
use super::listing::{PageFlags, cell, show, show_one, text};
use super::output::{Form, Output};

const OPERATIONS: &str = "operations";
/// How often a person who waits is told more.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Lines between which nobody on the other side of a pipe loses patience.
const LINE_EVERY: u32 = 10;

/// What can be done with operations.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List them, the newest first
    List(ListFlags),
    /// Show how one stands
    Get {
        /// The id
        id: String,
    },
    /// Stop one; what it has done stays done
    Stop {
        /// The id
        id: String,
    },
}

#[derive(Args)]
pub(crate) struct ListFlags {
    /// Only of this kind: replay or backup
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    page: PageFlags,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { id } => show_one(output, &client.send(Call::get(&[OPERATIONS, &id])).await?)?,
        Verb::Stop { id } => {
            let answer = client.send(Call::new(Method::DELETE, &[OPERATIONS, &id])).await?;
            let stopped = answer.json()?;
            match output.form {
                Form::Json => output.text(&answer.text()),
                Form::Plain => output.line(&text(&stopped, "id")),
                Form::People => output.done(&format!("Stopped. {}", stands(&stopped))),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let call = Call::get(&[OPERATIONS]).query("kind", flags.kind.as_deref());
    let answer = client.send(flags.page.of(call)).await?;
    let headings = ["id", "kind", "state", "done", "total", "started", "by"];
    show(output, &answer, &headings, "There are no operations.", |row| {
        vec![
            cell(row, "id"),
            cell(row, "kind"),
            cell(row, "state_label"),
            cell(row, "done"),
            cell(row, "total"),
            output.when(&row["started_at"]),
            cell(row, "started_by"),
        ]
    })
}

/// Tells how a new operation goes on until it ends. Without `wait` it is left alone at once.
pub(super) async fn follow(
    client: &Client<'_>,
    output: &Output,
    started: &Answer,
    wait: bool,
) -> Result<ExitCode, Failure> {
    let id = text(&started.json()?, "id");
    if !wait {
        match output.form {
            Form::Json => output.text(&started.text()),
            Form::Plain => output.line(&id),
            Form::People => output.done(&format!("Started: {id}")),
        }
        output.next(&format!("consign operation get {id}"));
        return Ok(ExitCode::SUCCESS);
    }
    let operation = watch(client, output, started).await?;
    match output.form {
        Form::Json => output.line(&operation.to_string()),
        Form::Plain => output.line(&id),
        Form::People => {}
    }
    require_done(&operation)?;
    output.done(&stands(&operation));
    Ok(ExitCode::SUCCESS)
}

/// Tells how a new operation goes on, and gives how it ended.
pub(super) async fn watch(client: &Client<'_>, output: &Output, started: &Answer) -> Result<Value, Failure> {
    let mut operation = started.json()?;
    let id = text(&operation, "id");
    output.note(&format!("{} To look again: consign operation get {id}", stands(&operation)));
    let mut looks = 0_u32;
    while operation["state"] == "running" {
        tokio::time::sleep(LOOK_EVERY).await;
        operation = client.send(Call::get(&[OPERATIONS, &id])).await?.json()?;
        looks += 1;
        if looks.is_multiple_of(LINE_EVERY) {
            output.note(&stands(&operation));
        }
    }
    Ok(operation)
}

/// An operation that did not do what it was to do is a failure of the command.
pub(super) fn require_done(operation: &Value) -> Result<(), Failure> {
    if operation["state"] == "done" {
        return Ok(());
    }
    let problem = text(operation, "problem");
    let line = if problem.is_empty() { stands(operation) } else { problem };
    Err(Failure::new(Code::SaidNo, &line)
        .and(&format!("See: consign operation get {}", text(operation, "id"))))
}

/// How an operation stands, in a sentence.
fn stands(operation: &Value) -> String {
    let count = |key: &str| text(operation, key);
    if operation["kind"] == "backup" {
        return backup_stands(operation);
    }
    format!(
        "{} of {} {} sent again; {} delivered, {} failed, {} on the way.",
        count("done"),
        count("total"),
        count("unit"),
        count("result.delivered"),
        count("result.failed"),
        operation["result"]["waiting"].as_u64().unwrap_or(0)
            + operation["result"]["held"].as_u64().unwrap_or(0)
    )
}

fn backup_stands(operation: &Value) -> String {
    let bytes = |value: &Value| size(value.as_u64().unwrap_or(0));
    let (done, total) = (bytes(&operation["done"]), bytes(&operation["total"]));
    match operation["state"].as_str() {
        Some("running") => format!("{}: {done} of {total}.", text(operation, "step")),
        Some("done") => {
            format!("Made {}, {}.", text(operation, "result.name"), bytes(&operation["result"]["bytes"]))
        }
        _ => format!("No backup was made: it was stopped at {done} of {total}."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_backup_stands_in_bytes() {
        let mut operation = json!({ "id": "op_1", "kind": "backup", "state": "running", "done": 2_000_000,
            "total": 4_000_000, "step": "Compressing it", "result": null, "problem": null });
        assert_eq!(stands(&operation), "Compressing it: 2.0 MB of 4.0 MB.");
        assert!(require_done(&operation).is_err());
        operation["state"] = json!("stopped");
        assert_eq!(stands(&operation), "No backup was made: it was stopped at 2.0 MB of 4.0 MB.");
        operation["state"] = json!("done");
        operation["result"] = json!({ "name": "consign-1.tar.zst", "bytes": 1_000_000 });
        assert_eq!(stands(&operation), "Made consign-1.tar.zst, 1.0 MB.");
        assert!(require_done(&operation).is_ok());
    }
}
