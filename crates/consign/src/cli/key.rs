//! `consign key`: the encryption key ring of this machine, and what a server makes of its own. Only `new` prints a key, for
//! a secret store.

use std::process::ExitCode;

use clap::Subcommand;
use consign_core::vault::RingKey;
use serde_json::json;

use super::client::{Call, Client};
use super::failure::{Code, Failure};
use super::listing::{cell, show};
use super::output::{Form, Output, Table};
use super::{ConfigFile, Global, context};
use crate::keys;

/// What can be done with the key ring.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Print a new key, for a secret store
    New,
    /// Which keys the server on this machine would load, and from where
    Status(ConfigFile),
    /// The keys of the server, and how many values each of them seals
    List,
    /// Put a new key in use on the server, and move every value to it
    Rotate {
        /// Only move every value to the key that seals already
        #[arg(long)]
        no_new_key: bool,
    },
    /// Open every value on the server, and show none; exits with 8 when one does not open
    Check,
}

const KEYS: &str = "encryption-keys";

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::New => {
            output.line(&RingKey::generate().line());
            output.note("Keep a copy somewhere else. Without it saved secrets cannot be recovered.");
        }
        Verb::Status(file) => status(&file, output)?,
        Verb::List => list(&context::client(global, output)?, output).await?,
        Verb::Rotate { no_new_key } => rotate(&context::client(global, output)?, output, !no_new_key).await?,
        Verb::Check => check(&context::client(global, output)?, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[KEYS])).await?;
    let headings = ["key", "role", "first used", "values", "can be removed"];
    show(output, &answer, &headings, "There is no key.", |row| {
        vec![
            cell(row, "id"),
            cell(row, "role"),
            output.when(&row["first_seen_at"]),
            cell(row, "values"),
            cell(row, "removable"),
        ]
    })
}

async fn rotate(client: &Client<'_>, output: &Output, new_key: bool) -> Result<(), Failure> {
    let call = Call::post(&[KEYS, "rotations"]).json(&json!({ "new_key": new_key }));
    let answer = client.send(call).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    let sealing = cell(&answer.json()?["items"][0], "id");
    output.done(&format!("{sealing} seals from now on; every other value is being moved to it"));
    if new_key {
        output.note("Keep a new copy of the key ring away from the server.");
    }
    output.next("consign key list");
    Ok(())
}

async fn check(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::post(&[KEYS, "checks"])).await?;
    let found = answer.json()?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    if found["failed"] == 0 {
        output.done(&format!("All {} values open", cell(&found, "checked")));
        return Ok(());
    }
    for name in found["failures"].as_array().into_iter().flatten() {
        output.warn(&format!("does not open: {}", name.as_str().unwrap_or_default()));
    }
    let sentence = format!("{} of {} values do not open", cell(&found, "failed"), cell(&found, "checked"));
    Err(Failure::new(Code::SaidNo, &sentence)
        .and("Load the key that sealed them, or enter their secrets again."))
}

fn status(file: &ConfigFile, output: &Output) -> Result<(), Failure> {
    let config = file.load()?.config;
    let found = keys::load(&config, false);
    let found =
        found.map_err(|error| Failure::caused(Code::Failed, "The key ring cannot be used", &error))?;
    let role = |index: usize| if index == 0 { "seals and opens" } else { "opens" };
    if output.form == Form::Json {
        let keys = found.ring.keys().iter().enumerate();
        let keys: Vec<_> = keys.map(|(index, key)| json!({ "id": key.id(), "role": role(index) })).collect();
        output.line(&json!({ "source": found.place.to_string(), "keys": keys }).to_string());
        return Ok(());
    }
    let mut table = Table::new(&["key", "role", "source"]);
    for (index, key) in found.ring.keys().iter().enumerate() {
        table.row([key.id().to_owned(), role(index).to_owned(), found.place.to_string()]);
    }
    output.table(&table);
    Ok(())
}
