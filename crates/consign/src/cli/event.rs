//! `consign event`: send what happened, and look at what was received.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use consign_core::secret::Secret;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Global;
use super::client::{Call, Client};
use super::context;
use super::failure::{Code, Failure};
use super::listing::{PageFlags, cell, show, show_one, text};
use super::output::{Form, Output};
use super::secret::from_input;

const EVENTS: &str = "events";
const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// What can be done with events.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Send one event, or a batch from a file
    Send(SendFlags),
    /// List events
    List(ListFlags),
    /// Show one with its deliveries
    Get {
        /// The id
        id: String,
    },
}

#[derive(Args)]
pub(crate) struct SendFlags {
    /// Its type, such as device.score.low
    #[arg(
        long = "type",
        value_name = "TYPE",
        required_unless_present = "cloudevents",
        conflicts_with = "cloudevents"
    )]
    event_type: Option<String>,
    /// Your name for the sender
    #[arg(long)]
    source: Option<String>,
    /// What it is about
    #[arg(long)]
    subject: Option<String>,
    /// Its data: JSON, @FILE or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: Option<String>,
    /// Your id for it: the same source and id is accepted once
    #[arg(long)]
    id: Option<String>,
    /// Send a CloudEvents document, or an array of them: @FILE or -
    #[arg(long, value_name = "@FILE|-")]
    cloudevents: Option<String>,
}

#[derive(Args)]
pub(crate) struct ListFlags {
    /// Only of this type, or device.* for all below it
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only those that hold this text
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only those that no webhook takes
    #[arg(long)]
    unmatched: bool,
    /// Only later ones
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only earlier ones
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    page: PageFlags,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::Send(flags) => send(&client, output, flags).await?,
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { id } => show_one(output, &client.send(Call::get(&[EVENTS, &id])).await?)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn send(client: &Client<'_>, output: &Output, flags: SendFlags) -> Result<(), Failure> {
    let call = Call::post(&[EVENTS]);
    let call = match &flags.cloudevents {
        Some(source) => {
            let document = json_argument(source)?;
            let content_type = if document.get().starts_with('[') { CLOUD_EVENTS } else { CLOUD_EVENT };
            call.body(content_type, document.get().as_bytes().to_vec())
        }
        None => call.body("application/json", event(&flags)?),
    };
    let answer = client.send(call).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    let accepted = answer.json()?;
    let all = accepted.as_array().map_or_else(|| std::slice::from_ref(&accepted), Vec::as_slice);
    for event in all {
        let id = text(event, "id");
        if output.form == Form::Plain {
            output.line(&id);
        } else if event["duplicate"].as_bool() == Some(true) {
            output.done(&format!("Received before as {id}"));
        } else {
            let deliveries = event["deliveries"].as_array().map_or(0, Vec::len);
            let what = match deliveries {
                0 => "no webhook takes it".to_owned(),
                1 => "1 delivery".to_owned(),
                some => format!("{some} deliveries"),
            };
            output.done(&format!("Accepted {id}: {what}"));
        }
    }
    if let Some(first) = all.first() {
        output.next(&format!("consign event get {}", text(first, "id")));
    }
    Ok(())
}

/// An event in the plain form; its data stays as it was given, digit for digit.
#[derive(Serialize)]
struct Event<'a> {
    r#type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

fn event(flags: &SendFlags) -> Result<Vec<u8>, Failure> {
    let event = Event {
        r#type: flags.event_type.as_deref(),
        source: flags.source.as_deref(),
        subject: flags.subject.as_deref(),
        id: flags.id.as_deref(),
        data: flags.data.as_deref().map(json_argument).transpose()?,
    };
    Ok(serde_json::to_vec(&event).expect("texts and JSON are JSON"))
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let call = Call::get(&[EVENTS])
        .query("event_type", flags.event_type.as_deref())
        .query("q", flags.q.as_deref())
        .query("unmatched", flags.unmatched.then_some("true"))
        .query("created_after", flags.created_after.as_deref())
        .query("created_before", flags.created_before.as_deref())
        .query("sort", flags.oldest_first.then_some("created_at"));
    let answer = client.send(flags.page.of(call)).await?;
    show(output, &answer, &["id", "type", "subject", "received"], "There are no events.", |row| {
        let received = if row["received_at"].is_null() { &row["created_at"] } else { &row["received_at"] };
        vec![cell(row, "id"), cell(row, "type"), cell(row, "subject"), output.when(received)]
    })
}

/// JSON given as it is, in a file (`@PATH`) or on standard input (`-`).
pub(super) fn json_argument(argument: &str) -> Result<Box<RawValue>, Failure> {
    let text = match argument.strip_prefix('@') {
        Some(path) => {
            let text = std::fs::read_to_string(path).map(Secret::new);
            text.map_err(|error| Failure::caused(Code::Usage, &format!("{path} cannot be read"), &error))?
        }
        None if argument == "-" => from_input()?,
        None => Secret::new(argument.to_owned()),
    };
    serde_json::from_str(text.expose()).map_err(|error| {
        Failure::usage(&format!("The data is not JSON: line {}, column {}", error.line(), error.column()))
            .and("Give JSON, @FILE or - for standard input")
    })
}
