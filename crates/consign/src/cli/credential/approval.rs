//! `consign credential authorize` and `forget-tokens`: a person approves access in the tool; this end shows the way
//! there and waits.

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::super::client::{Answer, Call, Client};
use super::super::failure::{Code, Failure};
use super::super::listing::text;
use super::super::output::{Form, Output};
use super::CREDENTIALS;

/// Between two looks at the approval.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct AuthorizeFlags {
    /// Name or id
    name: String,
    /// Print the link only; open no browser
    #[arg(long)]
    no_browser: bool,
    /// Print the link and do not wait for the approval
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the approval
    #[arg(long, value_name = "TIME", value_parser = crate::cli::duration, default_value = "10m")]
    wait: Duration,
}

#[derive(Args)]
pub(crate) struct ForgetFlags {
    /// Name or id
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Shows the way to the approval and waits until someone gave it.
pub(super) async fn authorize(
    client: &Client<'_>,
    output: &Output,
    flags: &AuthorizeFlags,
) -> Result<ExitCode, Failure> {
    let started = client.send(Call::post(&[CREDENTIALS, &flags.name, "authorizations"])).await?;
    let before = started.json()?;
    let link = text(&before, "authorize_url");
    match output.form {
        Form::Json if flags.no_wait => output.text(&started.text()),
        Form::Json => output.note(&link),
        Form::People | Form::Plain => output.line(&link),
    }
    if !flags.no_browser && output.may_ask() && open(&link) {
        output.note("Your browser opens this page. Approve access there.");
    } else {
        output.note("Open this page in a browser and approve access there.");
    }
    if flags.no_wait {
        output.next(&format!("consign credential get \"{}\"", flags.name));
        return Ok(ExitCode::SUCCESS);
    }
    tokio::select! {
        waited = approved(client, output, &flags.name, &before) => ended(output, &waited?, flags),
        () = tokio::time::sleep(flags.wait) => {
            let line = format!("Nobody approved access within {} s", flags.wait.as_secs());
            Err(Failure::new(Code::TooLong, &line).and("The link stays good; run the command again to wait for it"))
        }
        _ = tokio::signal::ctrl_c() => {
            output.note(&format!("Stopped waiting. To look again: consign credential get \"{}\"", flags.name));
            Ok(Code::Stopped.into())
        }
    }
}

/// The state once there are tokens that were not there before.
async fn approved(
    client: &Client<'_>,
    output: &Output,
    name: &str,
    before: &Value,
) -> Result<Answer, Failure> {
    let mut away = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match client.send(Call::get(&[CREDENTIALS, name, "authorizations"])).await {
            Ok(answer) => {
                away = false;
                if is_new(before, &answer.json()?) {
                    return Ok(answer);
                }
            }
            Err(failure) if matches!(failure.code, Code::Unreachable | Code::TooLong) => {
                if !away {
                    output.note("The server cannot be reached. Waiting for it.");
                }
                away = true;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether the approval that was waited for has come: there are tokens, and not those of before.
fn is_new(before: &Value, now: &Value) -> bool {
    let obtained = |state: &Value| text(state, "token.obtained_at");
    let authorized = |state: &Value| state["authorized"].as_bool() == Some(true);
    authorized(now) && (!authorized(before) || obtained(before) != obtained(now))
}

fn ended(output: &Output, answer: &Answer, flags: &AuthorizeFlags) -> Result<ExitCode, Failure> {
    let state = answer.json()?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    output.done(&format!("“{}” is authorized", flags.name));
    if state["token"]["renewable"].as_bool() == Some(false) && state["token"]["ends_at"].is_string() {
        let ends = output.when(&state["token"]["ends_at"]);
        output.warn(&format!(
            "The tool gave no refresh token: access ends {ends}. Does the scope ask for one?"
        ));
    }
    output.next(&format!("consign credential test \"{}\"", flags.name));
    Ok(ExitCode::SUCCESS)
}

/// Forgets what was granted.
pub(super) async fn forget(client: &Client<'_>, output: &Output, flags: &ForgetFlags) -> Result<(), Failure> {
    let name = &flags.name;
    let question =
        format!("Forget the tokens of “{name}”? What uses it waits until someone approves access again.");
    output.confirm(&question, flags.yes)?;
    let answer = client.send(Call::new(Method::DELETE, &[CREDENTIALS, name, "authorizations"])).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    output.done(&format!("Forgot the tokens of “{name}”"));
    output.next(&format!("consign credential authorize \"{name}\""));
    Ok(())
}

/// Asks the desktop for its browser. Only an address of the web is handed on.
fn open(link: &str) -> bool {
    const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if !(link.starts_with("https://") || link.starts_with("http://")) {
        return false;
    }
    let mut command = Command::new(OPENER);
    command.arg(link).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

#[cfg(test)]
mod tests;
