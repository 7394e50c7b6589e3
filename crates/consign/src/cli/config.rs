//! `consign config`: the options of the server on this machine.

use std::process::ExitCode;

use clap::Subcommand;
use consign_store::DatabaseUrl;
use serde_json::{Map, Value, json};

use super::ConfigFile;
use super::failure::{Code, Failure};
use super::output::{Form, Output, Table};
use crate::config::{DEFAULTS, Loaded};
use crate::server;

/// What can be done with options.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Read all options and the files they name, and start nothing
    Check(ConfigFile),
    /// Print the options in force and where each comes from; secrets as set
    Print(ConfigFile),
    /// Print every option with its default and its reason
    Default,
}

/// Runs one verb.
pub(crate) fn run(verb: Verb, output: &Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Check(file) => check(&file.load()?, output)?,
        Verb::Print(file) => print(&file.load()?, output),
        Verb::Default => output.text(DEFAULTS),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(loaded: &Loaded, output: &Output) -> Result<(), Failure> {
    let config = &loaded.config;
    let wrong = |what: &str| Failure::new(Code::Failed, "The configuration cannot be used").and(what);
    config.extra_roots().map_err(|why| wrong(&why))?;
    server::check_tls(config).map_err(|error| wrong(&error.to_string()))?;
    DatabaseUrl::parse(&config.database_url())
        .map_err(|error| wrong(&format!("database.url cannot be used: {error}")))?;
    match &loaded.file {
        Some(path) => output.done(&format!("{} and the environment are readable", path.display())),
        None => output.done("The environment is readable; there is no configuration file"),
    }
    Ok(())
}

fn print(loaded: &Loaded, output: &Output) {
    let rows = loaded.config.print();
    if output.form == Form::Json {
        let options: Map<String, Value> = rows
            .into_iter()
            .map(|(key, value, source)| {
                (key.to_owned(), json!({ "value": value, "source": source.to_string() }))
            })
            .collect();
        return output.line(&Value::Object(options).to_string());
    }
    let mut table = Table::new(&["option", "value", "source"]);
    for (key, value, source) in rows {
        table.row([key.to_owned(), value, source.to_string()]);
    }
    output.table(&table);
    if let Some(path) = &loaded.file {
        output.note(&format!("File: {}", path.display()));
    }
}
