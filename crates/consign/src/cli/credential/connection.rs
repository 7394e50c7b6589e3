//! `consign credential test`: each step of a connection test, what it means, and what to do.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use consign_core::time::in_words;
use http::header::ACCEPT;
use serde_json::Value;

use super::super::client::{Call, Client};
use super::super::failure::{Code, Failure};
use super::super::listing::{cell, show, text};
use super::super::object::read_object;
use super::super::output::{Form, Output, Table, clean};
use super::super::secret::Secrets;
use super::CREDENTIALS;

/// As long as the names of most steps: the longest are of file servers.
const LABEL_WIDTH: usize = 21;

#[derive(Args)]
pub(crate) struct TestFlags {
    /// Name or id
    #[arg(required_unless_present = "from_file")]
    name: Option<String>,
    /// Test the values of a JSON file with the keys of the API, and save none; with a name, in place of those it has
    #[arg(long, short = 'f', value_name = "FILE")]
    from_file: Option<String>,
    /// A secret of these values from a file, a variable, standard input or the keyboard; repeatable
    #[arg(long, value_name = "FIELD=@FILE|env:VAR|-|prompt", requires = "from_file")]
    secret: Vec<String>,
    /// File servers: write a small file to the folder of the test path, rename and delete it
    #[arg(long)]
    write: bool,
}

/// Tests a stored credential, or values that are not saved.
pub(super) async fn run(
    client: &Client<'_>,
    output: &Output,
    flags: &TestFlags,
) -> Result<ExitCode, Failure> {
    let name = flags.name.as_deref();
    let mut call = match name {
        Some(name) => Call::post(&[CREDENTIALS, name, "tests"]),
        None => Call::post(&["credential-tests"]),
    };
    if let Some(path) = &flags.from_file {
        let mut values = read_object(path)?;
        let mut secrets = Secrets::new(output);
        for argument in &flags.secret {
            let (field, secret) = secrets.field(argument)?;
            values.insert(field, secret.expose().into());
        }
        call = call.json(&Value::Object(values));
    }
    tested(client, output, call.query("write", flags.write.then_some("true")), name).await
}

/// Tests a stored credential.
pub(super) async fn test(client: &Client<'_>, output: &Output, name: &str) -> Result<ExitCode, Failure> {
    tested(client, output, Call::post(&[CREDENTIALS, name, "tests"]), Some(name)).await
}

/// The last tests of a credential, the newest first.
pub(super) async fn list(client: &Client<'_>, output: &Output, name: &str) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[CREDENTIALS, name, "tests"])).await?;
    show(output, &answer, &["when", "who", "outcome", "message"], "It was not tested yet.", |row| {
        vec![output.when(&row["at"]), cell(row, "by"), cell(row, "outcome"), cell(row, "message")]
    })
}

/// Prints a test, and tells what came of it. People see each step as soon as it ends.
async fn tested(
    client: &Client<'_>,
    output: &Output,
    call: Call,
    name: Option<&str>,
) -> Result<ExitCode, Failure> {
    let result = match output.form {
        Form::People => watched(client, output, call).await?,
        Form::Json | Form::Plain => {
            let answer = client.send(call).await?;
            let result = answer.json()?;
            match output.form {
                Form::Json => output.text(&answer.text()),
                _ => output.table(&table(result["steps"].as_array().map(Vec::as_slice).unwrap_or_default())),
            }
            result
        }
    };
    let Some(name) = name else { return conclude(output, &result, None) };
    // Whoever may test may still not be allowed to look.
    let credential = match client.send(Call::get(&[CREDENTIALS, name])).await {
        Ok(found) => found.json()?,
        Err(_) => Value::Null,
    };
    conclude(output, &result, next(&result, name, &credential))
}

/// Prints the steps of a test while it goes on, and tells its result.
async fn watched(client: &Client<'_>, output: &Output, call: Call) -> Result<Value, Failure> {
    let (mut waiting, mut result) = (Vec::new(), None);
    let take = |bytes: &[u8]| {
        waiting.extend_from_slice(bytes);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let said: Value = serde_json::from_slice(&waiting[..end])?;
            waiting.drain(..=end);
            match said.get("step") {
                Some(step) => output.line(&line(step)),
                None => result = said.get("result").cloned(),
            }
        }
        Ok(())
    };
    client.download(call.header(ACCEPT, "application/x-ndjson"), take).await?;
    result.ok_or_else(|| {
        Failure::new(Code::Failed, "The result of the test did not come").and("Test the connection again")
    })
}

/// Prints what came of it. A test that failed is a failure of the command, with its own code.
fn conclude(output: &Output, result: &Value, next: Option<String>) -> Result<ExitCode, Failure> {
    let message = text(result, "message");
    for warning in result["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output.warn(warning);
    }
    if let Some(details) = result["details"].as_str() {
        output.detail(&details.lines().map(clean).collect::<Vec<_>>().join("\n"));
    }
    if text(result, "outcome") == "failed" {
        let failure = Failure::new(Code::SaidNo, &message);
        return Err(match next {
            Some(next) => failure.and(&format!("Next: {next}")),
            None => failure,
        });
    }
    // What was only reached proves nothing, and does not look as if it did.
    if text(result, "outcome") == "working" {
        output.done(&message);
    } else {
        output.warn(&message);
    }
    if let Some(next) = next {
        output.next(&next);
    }
    Ok(ExitCode::SUCCESS)
}

/// The command that helps, where one does.
fn next(result: &Value, name: &str, credential: &Value) -> Option<String> {
    if result["offer"].is_object() {
        let flag = text(result, "offer.field").replace('_', "-");
        return Some(format!("consign credential edit \"{name}\" --{flag} {}", text(result, "offer.value")));
    }
    // What the test itself says comes before what was known of the credential.
    let own = text(result, "action_code");
    let action = if own.is_empty() { text(credential, "status.action_code") } else { own };
    match action.as_str() {
        "authorize" | "authorize_again" => Some(format!("consign credential authorize \"{name}\"")),
        "replace_secret" => {
            let secret = secret_of(credential)?;
            Some(format!("consign credential set-secret \"{name}\" {secret}=prompt"))
        }
        "compare_keys" => Some(format!("consign credential scan-host-key --pin \"{name}\"")),
        "add_test_path" => Some(format!("consign credential edit \"{name}\" --test-path /…")),
        _ => None,
    }
}

/// The key of the secret that the type of a credential has.
fn secret_of(credential: &Value) -> Option<&str> {
    let members = credential.as_object()?.iter();
    let mut secrets = members.filter(|(key, value)| *key != "url_path" && value["set"].is_boolean());
    secrets.next().map(|(key, _)| key.as_str())
}

fn table(steps: &[Value]) -> Table {
    let mut table = Table::new(&["step", "state", "host", "ms", "fact"]);
    for step in steps {
        table.row(["code", "state", "host", "duration_ms", "fact"].map(|key| text(step, key)));
    }
    table
}

/// The line of a step: mark, name, fact, time.
fn line(step: &Value) -> String {
    let mark = match text(step, "state").as_str() {
        "done" => "✓",
        "failed" => "✕",
        _ => "–",
    };
    let took = step["duration_ms"].as_u64().map(Duration::from_millis).map(in_words).unwrap_or_default();
    let facts = [text(step, "host"), clean(&text(step, "fact")), took];
    let facts: Vec<_> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    let line = format!("  {mark} {:LABEL_WIDTH$}  {}", text(step, "label"), facts.join(" · "));
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests;
