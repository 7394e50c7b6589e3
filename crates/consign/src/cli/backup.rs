//! `consign backup`: copies of the database of a server, checked here or there, and put back on this machine.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use consign_core::catalog::size;
use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::failure::{Code, Failure};
use super::listing::{cell, show, text};
use super::output::{Form, Output};
use super::upload::Upload;
use super::{Global, context, operation};
use crate::archive::{Examined, Room, examine};

pub(crate) use restore::forget_second_names;

mod restore;

const BACKUPS: &str = "backups";
/// A large database takes its time.
const CREATE_TIME_MAX: Duration = Duration::from_secs(4 * 3_600);

/// What can be done with backups.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a backup on the server, in its folder of backups
    Create {
        /// Also write it to a file here
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Do not wait for its end
        #[arg(long, conflicts_with = "output")]
        no_wait: bool,
    },
    /// The backups of the server, the newest first
    List,
    /// Write a backup of the server to a file
    Download {
        /// Its name
        name: String,
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Remove a backup from the server
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Whether a backup is whole, and which encryption keys it needs; exits with 8 when it cannot be restored
    Check(CheckFlags),
    /// Put a backup in the place of the database of this machine, while the server is stopped
    Restore(restore::Restore),
}

#[derive(Args)]
pub(crate) struct CheckFlags {
    /// The file; with --kept the name of a backup of the server
    backup: String,
    /// One that is in the folder of the server
    #[arg(long, conflicts_with = "upload")]
    kept: bool,
    /// Send the file to the server, which tells whether it has the keys
    #[arg(long)]
    upload: bool,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Create { output: _, no_wait: true } => {
            let client = context::client(global, output)?;
            let started = client.send(Call::post(&[BACKUPS])).await?;
            return operation::follow(&client, output, &started, false).await;
        }
        Verb::Create { output: to, no_wait: false } => {
            create(&patient(global, output)?, output, to.as_deref()).await?;
        }
        Verb::List => list(&context::client(global, output)?, output).await?,
        Verb::Download { name, output: to } => {
            download(&context::client(global, output)?, output, &name, &to).await?;
        }
        Verb::Delete { name, yes } => {
            let client = context::client(global, output)?;
            output.confirm(&format!("Delete the backup {name}? It cannot be brought back."), yes)?;
            client.send(Call::new(Method::DELETE, &[BACKUPS, &name])).await?;
            output.done(&format!("Deleted {name}"));
        }
        Verb::Check(flags) if flags.kept || flags.upload => {
            check_there(&patient(global, output)?, output, &flags).await?;
        }
        Verb::Check(flags) => check_here(output, Path::new(&flags.backup)).await?,
        Verb::Restore(flags) => restore::run(flags, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn patient<'a>(global: &Global, output: &'a Output) -> Result<Client<'a>, Failure> {
    let mut client = context::client(global, output)?;
    client.time_max = global.timeout.unwrap_or(CREATE_TIME_MAX);
    Ok(client)
}

async fn create(client: &Client<'_>, output: &Output, to: Option<&Path>) -> Result<(), Failure> {
    let started = client.send(Call::post(&[BACKUPS])).await?;
    let operation = operation::watch(client, output, &started).await?;
    operation::require_done(&operation)?;
    let made = &operation["result"];
    let name = text(made, "name");
    match output.form {
        Form::Json => output.line(&operation.to_string()),
        Form::Plain => output.line(&name),
        Form::People => {
            output.done(&format!("Made {name}, {}", size(made["bytes"].as_u64().unwrap_or(0))));
        }
    }
    if let Some(to) = to {
        download(client, output, &name, to).await?;
    }
    output.note(&format!("{}.", text(made, "left_out")));
    output.next(&format!("consign backup check --kept {name}"));
    Ok(())
}

async fn list(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[BACKUPS])).await?;
    show(output, &answer, &["name", "made", "size", "version", "keys"], "There is no backup.", |row| {
        let keys = row["encryption_keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
        vec![
            cell(row, "name"),
            output.when(&row["made_at"]),
            size(row["bytes"].as_u64().unwrap_or(0)),
            cell(row, "version"),
            keys.collect::<Vec<_>>().join(", "),
        ]
    })?;
    let body = answer.json()?;
    for key in ["unavailable", "last_failure.message"] {
        let why = text(&body, key);
        if !why.is_empty() {
            output.warn(&why);
        }
    }
    Ok(())
}

async fn download(client: &Client<'_>, output: &Output, name: &str, to: &Path) -> Result<(), Failure> {
    let unwritten =
        |error| Failure::caused(Code::Failed, &format!("{} cannot be written", to.display()), &error);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(to).map_err(unwritten)?;
    let call = Call::post(&[BACKUPS, name, "downloads"]);
    let arrived = client.download(call, |bytes| file.write_all(bytes)).await;
    if arrived.is_err() {
        // Half of it is no backup.
        let _ = std::fs::remove_file(to);
    }
    arrived?;
    file.sync_all().map_err(unwritten)?;
    output.done(&format!("Wrote {}", to.display()));
    Ok(())
}

async fn check_there(client: &Client<'_>, output: &Output, flags: &CheckFlags) -> Result<(), Failure> {
    let call = Call::post(&[BACKUPS, "checks"]);
    let answer = if flags.kept {
        client.send(call.json(&json!({ "name": flags.backup }))).await?
    } else {
        let file = open(Path::new(&flags.backup))?;
        let length = file.metadata().ok().map(|metadata| metadata.len());
        let upload = Upload::new(Box::new(file), length);
        client.upload(call.content_type("application/zstd"), upload).await?
    };
    let checked = answer.json()?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    let message = text(&checked, "message");
    if checked["whole"] != true {
        return Err(Failure::new(Code::SaidNo, &message));
    }
    output.done(&message);
    Ok(())
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path)
        .map_err(|error| Failure::caused(Code::Usage, &format!("{} cannot be read", path.display()), &error))
}

/// No server is asked: the file is unpacked into the folder for temporary files.
async fn check_here(output: &Output, path: &Path) -> Result<(), Failure> {
    let folder = std::env::temp_dir();
    let examined = examine(open(path)?, Room::alone(&folder), output.now).await.map_err(|error| {
        let line = format!("There is no room to unpack it in {}", folder.display());
        Failure::caused(Code::Failed, &line, &error).and("Choose another folder with TMPDIR")
    })?;
    let manifest = match examined {
        Examined::Whole(manifest, _) => manifest,
        Examined::Refused(why) => return Err(refused(path, &why)),
    };
    let shown = manifest.json();
    match output.form {
        Form::Json => output.line(&shown.to_string()),
        Form::Plain => output.line(&manifest.keys().join(",")),
        Form::People => {
            output.done(&format!(
                "Whole: made {} by Consign {}, database {}",
                output.when(&shown["made_at"]),
                text(shown, "version"),
                size(manifest.database_bytes())
            ));
            output.note(&format!("It needs the encryption keys {}", manifest.keys().join(", ")));
        }
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(Code::SaidNo, &format!("{} cannot be restored: {why}", path.display()))
}
