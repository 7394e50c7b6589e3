//! `consign credential scan-host-key`: the host keys of a file server, compared, and pinned when a person says so.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::super::client::{Call, Client};
use super::super::failure::{Code, Failure};
use super::super::listing::{cell, text};
use super::super::object::{etag, save};
use super::super::output::{Form, Output, Table, clean};
use super::super::secret::Secrets;
use super::CREDENTIALS;

#[derive(Args)]
pub(crate) struct ScanFlags {
    /// The address, such as sftp://sftp.example.org:22/ [default: that of the credential]
    #[arg(value_name = "SFTP-URL", required_unless_present = "pin")]
    hostname: Option<String>,
    /// The credential to compare with, and to pin a key in once you have compared it
    #[arg(long, value_name = "NAME")]
    pin: Option<String>,
    /// The fingerprint that you know to be right; the exit code is 8 when the server has another key
    #[arg(long, value_name = "SHA256:…")]
    expect: Option<String>,
    /// What you compared it with, such as a ticket; stored with the pin
    #[arg(long, value_name = "TEXT", requires = "pin")]
    compared_with: Option<String>,
    /// Keep the present pins beside the new one
    #[arg(long, requires = "pin")]
    keep: bool,
    /// The secrets of the credential, which another host key asks for again; repeatable
    #[arg(long, value_name = "FIELD=@FILE|env:VAR|-|prompt", requires = "pin")]
    secret: Vec<String>,
    /// Do not ask
    #[arg(long, requires = "expect")]
    yes: bool,
}

/// Reads the keys, compares, and pins.
pub(super) async fn scan(
    client: &Client<'_>,
    output: &Output,
    flags: ScanFlags,
) -> Result<ExitCode, Failure> {
    let stored = match &flags.pin {
        Some(name) => Some(client.send(Call::get(&[CREDENTIALS, name])).await?),
        None => None,
    };
    let credential = stored.as_ref().map(|stored| stored.json()).transpose()?.unwrap_or(Value::Null);
    let hostname = flags.hostname.clone().unwrap_or_else(|| text(&credential, "hostname"));
    let mut asked = json!({ "hostname": hostname });
    if credential["sftp_server_fingerprint"].is_array() && hostname == text(&credential, "hostname") {
        asked["sftp_server_fingerprint"] = credential["sftp_server_fingerprint"].clone();
    }
    let answer = client.send(Call::post(&["host-key-scans"]).json(&asked)).await?;
    let found = answer.json()?;
    if text(&found, "outcome") == "failed" {
        return Err(Failure::new(Code::SaidNo, &text(&found, "message")));
    }
    let keys = found["keys"].as_array().cloned().unwrap_or_default();
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::Plain => {
            let mut table = Table::new(&["type", "bits", "fingerprint", "compared"]);
            for key in &keys {
                table.row(["type", "bits", "fingerprint", "compared"].map(|name| cell(key, name)));
            }
            output.table(&table);
        }
        // A fingerprint is never cut.
        Form::People => keys.iter().for_each(|key| output.line(&line(key))),
    }
    output.warn(
        "Anyone between us and the server could have answered. Compare the fingerprint with one you got another way \
         before you use it.",
    );
    let chosen = choose(output, &flags, &keys)?;
    if let (Some(stored), Some(key)) = (stored, chosen) {
        let etag = etag(None, &stored)?;
        pin(client, output, &flags, (&credential, &etag), key).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(key: &Value) -> String {
    let kind = format!("{} ({})", text(key, "type"), cell(key, "bits"));
    clean(&format!("  {kind:26}  {}  {}", text(key, "fingerprint"), text(key, "compared_label")))
}

/// The key that was expected, or that is chosen now; `None` when none is to be pinned.
fn choose<'a>(output: &Output, flags: &ScanFlags, keys: &'a [Value]) -> Result<Option<&'a Value>, Failure> {
    if let Some(expected) = &flags.expect {
        let expected = expected.trim_end_matches('=');
        let same = keys.iter().find(|key| text(key, "fingerprint") == expected);
        return match same {
            Some(key) => Ok(Some(key).filter(|_| flags.pin.is_some())),
            None => Err(Failure::new(Code::SaidNo, "The server has no key with the expected fingerprint.")),
        };
    }
    if flags.pin.is_none() {
        return Ok(None);
    }
    if !output.may_ask() {
        return Err(Failure::usage("Say which key is the right one with --expect SHA256:…"));
    }
    let typed = output.ask("The fingerprint that you compared: ")?;
    match keys.iter().find(|key| text(key, "fingerprint") == typed.trim().trim_end_matches('=')) {
        Some(key) => Ok(Some(key)),
        None => Err(Failure::new(Code::SaidNo, "The server has no key with this fingerprint.")),
    }
}

/// Pins a key in a stored credential; its secrets are asked for again, because they are bound to the host keys.
async fn pin(
    client: &Client<'_>,
    output: &Output,
    flags: &ScanFlags,
    (credential, etag): (&Value, &str),
    key: &Value,
) -> Result<(), Failure> {
    let name = text(credential, "name");
    if text(key, "compared") == "same" {
        output.done(&format!("“{name}” has this key pinned already"));
        return Ok(());
    }
    let question = format!("Pin {} {} in “{name}”?", text(key, "type"), text(key, "fingerprint"));
    output.confirm(&question, flags.yes)?;
    let mut lines = vec![key["line"].clone()];
    if flags.keep {
        lines.extend(credential["sftp_server_fingerprint"].as_array().cloned().unwrap_or_default());
    }
    let mut patch = Map::new();
    patch.insert("sftp_server_fingerprint".to_owned(), lines.into());
    if let Some(with) = &flags.compared_with {
        patch.insert("host_keys_compared_with".to_owned(), with.as_str().into());
    }
    let mut secrets = Secrets::new(output);
    for argument in &flags.secret {
        let (field, secret) = secrets.field(argument)?;
        patch.insert(field, secret.expose().into());
    }
    // What is saved and was not given is asked for, where there is someone to ask.
    let saved = credential.as_object().into_iter().flatten();
    let saved = saved.filter(|(_, value)| value["set"] == Value::Bool(true)).map(|(key, _)| key);
    for field in saved.filter(|_| output.may_ask()) {
        if !patch.contains_key(field) && field != "ssh_key" {
            let secret = output.ask_secret(field)?;
            patch.insert(field.clone(), secret.expose().into());
        }
    }
    save(client, output, &[CREDENTIALS, &name], etag, patch, "credential").await.map(drop)
}
