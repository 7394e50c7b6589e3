//! `consign webhook signing-keys`, `change-signing-key` and `check-signature`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::WEBHOOKS;
use crate::cli::client::{Call, Client};
use crate::cli::failure::{Code, Failure};
use crate::cli::listing::{cell, show, text};
use crate::cli::output::{Form, Output};

#[derive(Args)]
pub(crate) struct ChangeFlags {
    /// Name or id
    name: String,
    /// How long the old key signs beside the new one: 0 to 168
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    old_ends_in_hours: u32,
}

#[derive(Args)]
pub(crate) struct CheckFlags {
    /// Name or id
    name: String,
    /// The header webhook-id
    #[arg(long, value_name = "ID")]
    webhook_id: String,
    /// The header webhook-timestamp
    #[arg(long, value_name = "SECONDS")]
    webhook_timestamp: String,
    /// The header webhook-signature
    #[arg(long, value_name = "TEXT")]
    webhook_signature: String,
    /// The body as it came: a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    body: String,
}

/// Lists the keys.
pub(super) async fn list(client: &Client<'_>, output: &Output, name: &str) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[WEBHOOKS, name, "signing-keys"])).await?;
    show(output, &answer, &["signature", "public key", "made", "ends"], "It does not sign.", |row| {
        vec![
            cell(row, "signature"),
            cell(row, "public_key"),
            output.when(&row["created_at"]),
            output.when(&row["ends_at"]),
        ]
    })
}

/// Makes a new key and shows what the receiver needs of it.
pub(super) async fn change(client: &Client<'_>, output: &Output, flags: &ChangeFlags) -> Result<(), Failure> {
    let body = json!({ "old_ends_in_hours": flags.old_ends_in_hours });
    let answer = client.send(Call::post(&[WEBHOOKS, &flags.name, "signing-keys"]).json(&body)).await?;
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::People | Form::Plain => {
            let made = answer.json()?;
            output.done("Changed the signing key");
            tell(output, &made);
            if let Some(public) = made["public_key"].as_str() {
                output.line(public);
            }
        }
    }
    Ok(())
}

/// A secret, and that it is seen once.
pub(super) fn tell(output: &Output, made: &Value) {
    if let (Some(secret), Form::People | Form::Plain) = (made["signing_secret"].as_str(), &output.form) {
        output.line(secret);
        output.note("The signing secret is shown once. Store it where the receiver reads its secrets.");
    }
}

/// Checks what a receiver got.
pub(super) async fn check(
    client: &Client<'_>,
    output: &Output,
    flags: &CheckFlags,
) -> Result<ExitCode, Failure> {
    let body = read(&flags.body)?;
    let mut sent = Map::new();
    for (key, value) in [
        ("webhook_id", &flags.webhook_id),
        ("webhook_timestamp", &flags.webhook_timestamp),
        ("webhook_signature", &flags.webhook_signature),
        ("body", &body),
    ] {
        sent.insert(key.to_owned(), json!(value));
    }
    let call = Call::post(&[WEBHOOKS, &flags.name, "signature-checks"]).json(&Value::Object(sent));
    let answer = client.send(call).await?;
    let found = answer.json()?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    let message = text(&found, "message");
    if found["right"] == true {
        output.done(message.trim_end_matches('.'));
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(Code::SaidNo, &message))
}

fn read(file: &str) -> Result<String, Failure> {
    let read =
        if file == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
    read.map_err(|error| Failure::caused(Code::Usage, &format!("{file} cannot be read"), &error))
}
