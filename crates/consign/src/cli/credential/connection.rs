//! `consign credential test`: each step of a connection test, what it means, and what to do.

use std::process::ExitCode;
use std::time::Duration;

use consign_core::time::in_words;
use serde_json::Value;

use super::super::client::{Answer, Call, Client};
use super::super::failure::{Code, Failure};
use super::super::listing::text;
use super::super::output::{Form, Output, Table, clean};
use super::CREDENTIALS;

/// Tests a stored credential.
pub(super) async fn test(
    client: &Client<'_>,
    output: &Output,
    name: &str,
    write: bool,
) -> Result<ExitCode, Failure> {
    let call = Call::post(&[CREDENTIALS, name, "tests"]).query("write", write.then_some("true"));
    let answer = client.send(call).await?;
    // Whoever may test may still not be allowed to look.
    let credential = match client.send(Call::get(&[CREDENTIALS, name])).await {
        Ok(found) => found.json()?,
        Err(_) => Value::Null,
    };
    show(output, &answer, name, &credential)
}

/// Prints a result. A test that failed is a failure of the command, with its own code.
fn show(output: &Output, answer: &Answer, name: &str, credential: &Value) -> Result<ExitCode, Failure> {
    let result = answer.json()?;
    let steps = result["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::Plain => output.table(&table(steps)),
        Form::People => lines(steps).iter().for_each(|line| output.line(line)),
    }
    let message = text(&result, "message");
    for warning in result["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output.warn(warning);
    }
    if let Some(details) = result["details"].as_str() {
        output.detail(&details.lines().map(clean).collect::<Vec<_>>().join("\n"));
    }
    let next = next(&result, name, credential);
    if text(&result, "outcome") == "failed" {
        let failure = Failure::new(Code::SaidNo, &message);
        return Err(match next {
            Some(next) => failure.and(&format!("Next: {next}")),
            None => failure,
        });
    }
    // What was only reached proves nothing, and does not look as if it did.
    if text(&result, "outcome") == "working" {
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

/// A line for each step that was taken: mark, name, fact, time.
fn lines(steps: &[Value]) -> Vec<String> {
    let shown: Vec<[String; 4]> = steps
        .iter()
        .map(|step| {
            let mark = match text(step, "state").as_str() {
                "done" => "✓",
                "failed" => "✕",
                _ => "–",
            };
            let (fact, host) = (text(step, "fact"), text(step, "host"));
            let fact = if host.is_empty() { fact } else { format!("{host}: {fact}") };
            let time =
                step["duration_ms"].as_u64().map(Duration::from_millis).map(in_words).unwrap_or_default();
            [mark.to_owned(), text(step, "label"), clean(fact.trim_end_matches(": ")), time]
        })
        .collect();
    let width = |part: usize| shown.iter().map(|step| step[part].chars().count()).max().unwrap_or(0);
    let (labels, facts) = (width(1), width(2));
    let line = |[mark, label, fact, time]: &[String; 4]| {
        let line = format!("  {mark} {label:labels$}  {fact:facts$}  {time:>8}");
        line.trim_end().to_owned()
    };
    shown.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
