//! `consign key`: the encryption key ring of this machine, and what a server makes of its own. Only `new` prints a key, for
//! a secret store.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use consign_core::secret::Secret;
use consign_core::vault::RingKey;
use serde_json::json;

use super::client::{Call, Client};
use super::failure::{Code, Failure};
use super::listing::{cell, show};
use super::output::{Form, Output, Table};
use super::{ConfigFile, Global, context};
use crate::keys;
use crate::keys::recovery::{self, PASSPHRASE_CHARS_MIN};

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
    /// Write the key ring into a file that a passphrase protects, to be kept away from the server
    RecoveryFile {
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Put the key ring of a recovery file in place on this machine, where there is none
    Import {
        /// The recovery file
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Open every value on the server, and show none; exits with 8 when one does not open
    Check,
}

/// Asked for unless a file holds it.
#[derive(Args)]
pub(crate) struct Passphrase {
    /// The file whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Passphrase {
    fn read(&self, output: &Output) -> Result<Secret, Failure> {
        let Some(path) = &self.passphrase_file else { return output.ask_secret("Passphrase") };
        let text = std::fs::read_to_string(path).map(Secret::new).map_err(|error| {
            Failure::caused(Code::Usage, &format!("{} cannot be read", path.display()), &error)
        })?;
        Ok(Secret::new(text.expose().lines().next().unwrap_or_default().to_owned()))
    }
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
        Verb::RecoveryFile { output: to, passphrase, config } => {
            let passphrase = passphrase.read(output)?;
            if passphrase.expose().chars().count() < PASSPHRASE_CHARS_MIN {
                let line = "The passphrase must be 12 characters or more. Longer is better";
                return Err(Failure::new(Code::NotAccepted, line));
            }
            let ring = loaded(&config)?.ring;
            let text = recovery::write(&ring, &passphrase).map_err(|error| not_opened(&error))?;
            write_private(&to, &text)?;
            output.done(&format!("Wrote {}. Keep it away from the server", to.display()));
        }
        Verb::Import { file, passphrase, config } => import(&file, &passphrase, &config, output)?,
        Verb::Check => check(&context::client(global, output)?, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[KEYS])).await?;
    let headings = ["key", "role", "first used", "values", "backups", "can be removed"];
    show(output, &answer, &headings, "There is no key.", |row| {
        vec![
            cell(row, "id"),
            cell(row, "role"),
            output.when(&row["first_seen_at"]),
            cell(row, "values"),
            cell(row, "needed_by_backups"),
            cell(row, if row["removable"] == true { "removable" } else { "not_removable_because" }),
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

fn import(file: &Path, passphrase: &Passphrase, config: &ConfigFile, output: &Output) -> Result<(), Failure> {
    let config = config.load()?.config;
    let place = keys::place(&config);
    let to = place.file().ok_or_else(|| {
        Failure::new(
            Code::Failed,
            &format!("The key ring comes from {place}, which this command cannot write"),
        )
    })?;
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::caused(Code::Usage, &format!("{} cannot be read", file.display()), &error)
    })?;
    let ring = recovery::read(&text, &passphrase.read(output)?).map_err(|error| not_opened(&error))?;
    keys::import(&ring, to).map_err(|error| {
        let failure = Failure::caused(Code::Failed, &format!("{} cannot be written", to.display()), &error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => failure.and("Move the ring that is there away first"),
            _ => failure,
        }
    })?;
    let ids: Vec<_> = ring.keys().iter().map(RingKey::id).collect();
    output.done(&format!("{} holds {} now", to.display(), ids.join(", ")));
    Ok(())
}

fn not_opened(error: &recovery::RecoveryError) -> Failure {
    Failure::caused(Code::Failed, "Nothing was written", error)
}

fn write_private(path: &Path, text: &Secret) -> Result<(), Failure> {
    let written = || {
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.expose().as_bytes())?;
        file.sync_all()
    };
    written().map_err(|error| {
        Failure::caused(Code::Failed, &format!("{} cannot be written", path.display()), &error)
    })
}

fn loaded(file: &ConfigFile) -> Result<keys::Found, Failure> {
    keys::load(&file.load()?.config, false)
        .map_err(|error| Failure::caused(Code::Failed, "The key ring cannot be used", &error))
}

fn status(file: &ConfigFile, output: &Output) -> Result<(), Failure> {
    let found = loaded(file)?;
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
