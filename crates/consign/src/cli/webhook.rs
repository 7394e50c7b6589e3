//! `consign webhook`: one request per event.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::Global;
use super::client::{Call, Client};
use super::connector::{DeleteFlags, ListFlags, pause, resume};
use super::context;
use super::delivery::show_attempts;
use super::event::json_argument;
use super::failure::{Code, Failure};
use super::listing::{cell, show, show_one, show_written, text};
use super::object::{Edited, delete as delete_object, history, put, read_object, save};
use super::output::{Form, Output};

use preview::{PreviewFlags, preview};
use recover::{RecoverFlags, recover};
use signing::{ChangeFlags, CheckFlags};

mod preview;
mod recover;
mod signing;

const WEBHOOKS: &str = "webhooks";

/// What can be done with webhooks.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List webhooks
    List(ListFlags),
    /// Show one
    Get {
        /// Name or id
        name: String,
    },
    /// Create one
    Create(Box<CreateFlags>),
    /// Change one; what is not mentioned stays
    #[command(visible_alias = "update")]
    Edit(Box<EditFlags>),
    /// Show the request that one with these values would send; nothing is stored or sent
    Preview(Box<PreviewFlags>),
    /// Send a test event now and show what came back
    Test(TestFlags),
    /// Pause: events keep arriving and wait
    Pause {
        /// Name or id
        name: String,
    },
    /// Resume
    Resume {
        /// Name or id
        name: String,
    },
    /// What was done with one
    History {
        /// Name or id
        name: String,
    },
    /// Send again what failed, at a pace
    Recover(RecoverFlags),
    /// The keys that sign its requests, without their secrets
    SigningKeys {
        /// Name or id
        name: String,
    },
    /// Make a new signing key; the old one signs beside it for a while
    ChangeSigningKey(ChangeFlags),
    /// Whether a request that a receiver got is signed by it
    CheckSignature(CheckFlags),
    /// Delete one; its waiting deliveries are cancelled
    Delete(DeleteFlags),
}

/// What a webhook is made of.
#[derive(Args)]
pub(crate) struct Fields {
    /// Free text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The credential it uses, by name or id
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// POST, PUT or PATCH
    #[arg(long)]
    method: Option<String>,
    /// Added to the URL address of the credential
    #[arg(long)]
    path: Option<String>,
    /// device.score.low, or device.* for all below it; repeatable
    #[arg(long, value_name = "TYPE")]
    event_type: Vec<String>,
    /// A condition, such as: data.score < 3
    #[arg(long, value_name = "CONDITION")]
    only_when: Option<String>,
    /// event, cloudevents or template
    #[arg(long)]
    payload: Option<String>,
    /// The template, or @FILE; makes the payload a template
    #[arg(long, value_name = "TEXT|@FILE")]
    template: Option<String>,
    /// The media type of the template
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// A header that is no secret; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// off, hmac or ed25519: how requests are signed
    #[arg(long, value_name = "WORD")]
    signature: Option<String>,
    /// status or status_and_json
    #[arg(long, value_name = "WORD")]
    success_when: Option<String>,
    /// A value to keep from the answer, by JSON Pointer; repeatable
    #[arg(long, value_name = "NAME=POINTER")]
    output: Vec<String>,
    /// Waits between attempts
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    retry_schedule_seconds: Vec<u64>,
    /// Try 400, 413, 415 and 422 again too
    #[arg(long, value_name = "true|false")]
    retry_client_errors: Option<bool>,
    /// retry or hold
    #[arg(long, value_name = "WORD")]
    when_no_answer: Option<String>,
    /// The time for an answer
    #[arg(long, value_name = "N")]
    timeout_seconds: Option<u32>,
    /// The most requests at one time
    #[arg(long, value_name = "N")]
    max_concurrency: Option<u32>,
    /// The most requests a second
    #[arg(long, value_name = "N")]
    max_per_second: Option<f64>,
    /// Send Idempotency-Key
    #[arg(long, value_name = "true|false")]
    idempotency_header: Option<bool>,
    /// Start from a JSON file with the keys of the API
    #[arg(long, value_name = "FILE")]
    from_file: Option<String>,
}

#[derive(Args)]
pub(crate) struct CreateFlags {
    /// Its name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Args)]
pub(crate) struct EditFlags {
    /// Name or id
    name: String,
    #[command(flatten)]
    object: Edited,
    #[command(flatten)]
    fields: Fields,
}

#[derive(Args)]
pub(crate) struct TestFlags {
    /// Name or id
    name: String,
    /// Like this event that came in, by its id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// The type of the test event
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Its data: JSON, @FILE or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    data: Option<String>,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { name } => show_one(output, &client.send(Call::get(&[WEBHOOKS, &name])).await?)?,
        Verb::Create(flags) => create(&client, output, *flags).await?,
        Verb::Edit(flags) => edit(&client, output, *flags).await?,
        Verb::Preview(flags) => preview(&client, output, *flags).await?,
        Verb::Test(flags) => return test(&client, output, &flags).await,
        Verb::Pause { name } => {
            pause(
                &client,
                output,
                (WEBHOOKS, "webhook"),
                &name,
                "Events keep arriving and wait. Nothing is lost.",
            )
            .await?;
        }
        Verb::Resume { name } => resume(&client, output, (WEBHOOKS, "webhook"), &name).await?,
        Verb::History { name } => history(&client, output, WEBHOOKS, &name).await?,
        Verb::SigningKeys { name } => signing::list(&client, output, &name).await?,
        Verb::ChangeSigningKey(flags) => signing::change(&client, output, &flags).await?,
        Verb::CheckSignature(flags) => return signing::check(&client, output, &flags).await,
        Verb::Recover(flags) => return recover(&client, output, &flags).await,
        Verb::Delete(flags) => delete(&client, output, &flags).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let answer = flags.send(client, WEBHOOKS).await?;
    let headings = ["name", "credential", "state", "delivered", "failed", "waiting", "last delivery"];
    show(output, &answer, &headings, "There are no webhooks.", |row| {
        vec![
            cell(row, "name"),
            cell(row, "credential.name"),
            cell(row, "state_label"),
            cell(row, "last_24_hours.delivered"),
            cell(row, "last_24_hours.failed"),
            cell(row, "last_24_hours.waiting"),
            output.when(&row["last_delivery_at"]),
        ]
    })
}

async fn create(client: &Client<'_>, output: &Output, flags: CreateFlags) -> Result<(), Failure> {
    let mut body = flags.fields.body()?;
    put(&mut body, "name", flags.name);
    let answer = client.send(Call::post(&[WEBHOOKS]).json(&Value::Object(body))).await?;
    let written = show_written(output, &answer, "Created", "webhook")?;
    signing::tell(output, &written);
    output.next(&format!("consign webhook test \"{}\"", text(&written, "name")));
    Ok(())
}

async fn edit(client: &Client<'_>, output: &Output, flags: EditFlags) -> Result<(), Failure> {
    let found = client.send(Call::get(&[WEBHOOKS, &flags.name])).await?;
    let mut patch = flags.fields.body()?;
    let etag = flags.object.put(&mut patch, &found)?;
    let saved = save(client, output, &[WEBHOOKS, &flags.name], &etag, patch, "webhook").await?;
    signing::tell(output, &saved);
    Ok(())
}

async fn test(client: &Client<'_>, output: &Output, flags: &TestFlags) -> Result<ExitCode, Failure> {
    let mut sample = Map::new();
    put(&mut sample, "event", flags.event.clone());
    put(&mut sample, "type", flags.event_type.clone());
    if let Some(data) = &flags.data {
        let data = serde_json::from_str(json_argument(data)?.get()).expect("it was just read as JSON");
        sample.insert("data".to_owned(), data);
    }
    let answer =
        client.send(Call::post(&[WEBHOOKS, &flags.name, "tests"]).json(&Value::Object(sample))).await?;
    let delivery = answer.json()?;
    if output.form == Form::Json {
        output.text(&answer.text());
    } else {
        show_attempts(output, delivery["attempts"].as_array().map(Vec::as_slice).unwrap_or_default());
    }
    let happened = text(&delivery, "what_happened");
    if text(&delivery, "state") == "delivered" {
        output.done(if happened.is_empty() { "Delivered" } else { &happened });
        return Ok(ExitCode::SUCCESS);
    }
    let line = if happened.is_empty() { "It was not delivered".to_owned() } else { happened };
    Err(Failure::new(Code::SaidNo, &line)
        .and(&format!("Next: consign delivery get {}", text(&delivery, "id"))))
}

async fn delete(client: &Client<'_>, output: &Output, flags: &DeleteFlags) -> Result<(), Failure> {
    let found = flags.find(client, WEBHOOKS).await?;
    let webhook = found.json()?;
    let name = text(&webhook, "name");
    let waiting = webhook["last_24_hours"]["waiting"].as_u64().unwrap_or(0);
    let question = match waiting {
        0 => format!("Delete webhook “{name}”?"),
        some => format!("Delete webhook “{name}” and cancel {some} waiting deliveries?"),
    };
    output.confirm(&question, flags.yes)?;
    delete_object(client, output, flags.call(WEBHOOKS, &found)?, &format!("webhook “{name}”")).await
}

impl Fields {
    /// The keys of the API that these flags give.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = self.from_file.as_deref().map(read_object).transpose()?.unwrap_or_default();
        put(&mut body, "description", self.description.clone());
        put(&mut body, "credential", self.credential.clone());
        put(&mut body, "method", self.method.clone());
        put(&mut body, "path", self.path.clone());
        put(&mut body, "only_when", self.only_when.clone());
        put(&mut body, "payload", self.payload.clone());
        if let Some(template) = &self.template {
            let text = match template.strip_prefix('@') {
                Some(path) => read_text(path)?,
                None => template.clone(),
            };
            body.insert("template".to_owned(), text.into());
            body.insert("payload".to_owned(), "template".into());
        }
        put(&mut body, "content_type", self.content_type.clone());
        put(&mut body, "signature", self.signature.clone());
        put(&mut body, "success_when", self.success_when.clone());
        put(&mut body, "when_no_answer", self.when_no_answer.clone());
        if !self.event_type.is_empty() {
            body.insert("event_types".to_owned(), json!(self.event_type));
        }
        if !self.header.is_empty() {
            body.insert("headers".to_owned(), rows(&self.header, "value")?);
        }
        if !self.output.is_empty() {
            body.insert("outputs".to_owned(), rows(&self.output, "pointer")?);
        }
        if !self.retry_schedule_seconds.is_empty() {
            body.insert("retry_schedule_seconds".to_owned(), json!(self.retry_schedule_seconds));
        }
        let numbers = [
            ("timeout_seconds", self.timeout_seconds.map(Value::from)),
            ("max_concurrency", self.max_concurrency.map(Value::from)),
            ("max_per_second", self.max_per_second.map(Value::from)),
            ("retry_client_errors", self.retry_client_errors.map(Value::from)),
            ("idempotency_header", self.idempotency_header.map(Value::from)),
        ];
        body.extend(numbers.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Ok(body)
    }
}

/// `NAME=VALUE` arguments as rows.
fn rows(arguments: &[String], value: &str) -> Result<Value, Failure> {
    let row = |argument: &String| {
        let (name, text) =
            argument.split_once('=').ok_or_else(|| Failure::usage("It is given as NAME=VALUE"))?;
        Ok(json!({ "name": name, value: text }))
    };
    arguments.iter().map(row).collect::<Result<Vec<_>, Failure>>().map(Value::from)
}

fn read_text(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::caused(Code::Usage, &format!("{path} cannot be read"), &error))
}

#[cfg(test)]
mod tests;
