//! `consign replica`: the processes that share the database of a server.

use std::process::ExitCode;

use clap::Subcommand;

use super::client::Call;
use super::failure::Failure;
use super::listing::{cell, show};
use super::output::Output;
use super::{Global, context};

/// What can be asked.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// The servers of the database, the oldest first, with what each has leased
    List,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List => {
            let answer = client.send(Call::get(&["replicas"])).await?;
            let headings = ["name", "state", "version", "role", "last seen", "deliveries", "runs"];
            show(output, &answer, &headings, "There is no server.", |row| {
                vec![
                    cell(row, "name"),
                    cell(row, "state"),
                    cell(row, "version"),
                    cell(row, "role"),
                    output.when(&row["last_seen_at"]),
                    cell(row, "leases.deliveries"),
                    cell(row, "leases.runs"),
                ]
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
