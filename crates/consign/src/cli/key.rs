//! `consign key`: the encryption key ring of this machine. Only `new` prints a key, for a secret store.

use std::process::ExitCode;

use clap::Subcommand;
use consign_core::vault::RingKey;
use serde_json::json;

use super::ConfigFile;
use super::failure::{Code, Failure};
use super::output::{Form, Output, Table};
use crate::keys;

/// What can be done with the key ring.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Print a new key, for a secret store
    New,
    /// Which keys the server on this machine would load, and from where
    Status(ConfigFile),
}

/// Runs one verb.
pub(crate) fn run(verb: Verb, output: &Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::New => {
            output.line(&RingKey::generate().line());
            output.note("Keep a copy somewhere else. Without it saved secrets cannot be recovered.");
        }
        Verb::Status(file) => status(&file, output)?,
    }
    Ok(ExitCode::SUCCESS)
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
