//! `consign gateway`: calls of applications, passed on to a tool with its sign-in.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::Global;
use super::client::{Call, Client};
use super::connector::{DeleteFlags, ListFlags, pause, resume};
use super::context;
use super::failure::{Code, Failure};
use super::listing::{PageFlags, cell, show, show_one, show_written, text};
use super::object::{Edited, delete as delete_object, history, put, read_object, save};
use super::output::{Form, Output};

const GATEWAYS: &str = "gateways";

/// What can be done with gateways.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List gateways
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
    /// List the API keys that may call gateways
    Callers,
    /// List what was called through one, newest first
    Calls(CallsFlags),
    /// Send a GET or HEAD through one and show the answer
    Try {
        /// Name or id
        name: String,
        /// Path of the tool, such as /api/now/table/incident
        path: String,
        /// GET or HEAD
        #[arg(long, default_value = "GET")]
        method: String,
    },
    /// Pause: calls are refused until it is resumed
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
    /// Delete one; nothing answers at its address any more
    Delete(DeleteFlags),
}

/// What a gateway is made of.
#[derive(Args)]
pub(crate) struct Fields {
    /// Free text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The credential it uses, by name or id
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// The part of its address that names it: small letters, digits and hyphens
    #[arg(long, value_name = "TEXT")]
    slug: Option<String>,
    /// A method that is passed on, such as GET; repeatable
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    method: Vec<String>,
    /// A path that is passed on with all below it, such as /api/now/table; repeatable
    #[arg(long, value_name = "PATH")]
    path_prefix: Vec<String>,
    /// The id of an API key that may call, or any; repeatable
    #[arg(long, value_name = "ID|any", value_delimiter = ',')]
    api_key: Vec<String>,
    /// The time for the first byte of an answer
    #[arg(long, value_name = "N")]
    timeout_seconds: Option<u32>,
    /// The time in which nothing may come of an answer that has begun
    #[arg(long, value_name = "N")]
    idle_seconds: Option<u32>,
    /// The largest body of a request, such as 100MiB
    #[arg(long, value_name = "SIZE")]
    max_request_bytes: Option<String>,
    /// The most calls at one time
    #[arg(long, value_name = "N")]
    max_concurrency: Option<u32>,
    /// The most calls a second
    #[arg(long, value_name = "N")]
    max_per_second: Option<f64>,
    /// Whether answers are searched for the secrets of the credential
    #[arg(long, value_name = "true|false")]
    scrub_answers: Option<bool>,
    /// Whether a line is kept of each call
    #[arg(long, value_name = "true|false")]
    record_calls: Option<bool>,
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
pub(crate) struct CallsFlags {
    /// Name or id
    name: String,
    /// Only those of this API key
    #[arg(long, value_name = "ID")]
    api_key: Option<String>,
    /// Only this method
    #[arg(long)]
    method: Option<String>,
    /// Only those that did not end well
    #[arg(long)]
    errors: bool,
    #[command(flatten)]
    page: PageFlags,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { name } => show_one(output, &client.send(Call::get(&[GATEWAYS, &name])).await?)?,
        Verb::Create(flags) => create(&client, output, *flags).await?,
        Verb::Edit(flags) => edit(&client, output, *flags).await?,
        Verb::Callers => callers(&client, output).await?,
        Verb::Calls(flags) => calls(&client, output, &flags).await?,
        Verb::Try { name, path, method } => {
            return trial(&client, output, &name, &json!({ "path": path, "method": method })).await;
        }
        Verb::Pause { name } => {
            pause(&client, output, (GATEWAYS, "gateway"), &name, "Calls are refused until you resume it.")
                .await?;
        }
        Verb::Resume { name } => resume(&client, output, (GATEWAYS, "gateway"), &name).await?,
        Verb::History { name } => history(&client, output, GATEWAYS, &name).await?,
        Verb::Delete(flags) => delete(&client, output, &flags).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let answer = flags.send(client, GATEWAYS).await?;
    let headings = ["name", "address", "credential", "methods", "24 h", "errors", "state"];
    show(output, &answer, &headings, "There are no gateways.", |row| {
        let methods = row["methods"].as_array().into_iter().flatten().filter_map(Value::as_str);
        vec![
            cell(row, "name"),
            cell(row, "address"),
            cell(row, "credential.name"),
            methods.collect::<Vec<_>>().join(" "),
            cell(row, "last_24_hours.calls"),
            cell(row, "last_24_hours.errors"),
            cell(row, "state_label"),
        ]
    })
}

async fn callers(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::get(&["gateway-callers"])).await?;
    let nothing = "No API key has the scope gateway:call.";
    show(output, &answer, &["id", "name", "key", "ended"], nothing, |row| {
        let ended = if row["ended"] == true { "yes" } else { "no" };
        vec![cell(row, "id"), cell(row, "name"), cell(row, "key"), ended.to_owned()]
    })
}

async fn calls(client: &Client<'_>, output: &Output, flags: &CallsFlags) -> Result<(), Failure> {
    let call = Call::get(&[GATEWAYS, &flags.name, "calls"])
        .query("api_key", flags.api_key.as_deref())
        .query("method", flags.method.as_deref())
        .query("errors", flags.errors.then_some("true"));
    let answer = client.send(flags.page.of(call)).await?;
    let headings = ["time", "caller", "method", "path", "answer", "ms", "sent", "got"];
    show(output, &answer, &headings, "Nothing was called.", |row| {
        vec![
            output.when(&row["started_at"]),
            cell(row, "caller"),
            cell(row, "method"),
            cell(row, "path"),
            cell(row, "answer"),
            cell(row, "duration_ms"),
            cell(row, "request_bytes"),
            cell(row, "answer_bytes"),
        ]
    })
}

/// What the tool answered; that it did not is a failure of its own.
async fn trial(client: &Client<'_>, output: &Output, name: &str, sent: &Value) -> Result<ExitCode, Failure> {
    let answer = client.send(Call::post(&[GATEWAYS, name, "trials"]).json(sent)).await?;
    let tried = answer.json()?;
    if output.form == Form::Json {
        output.text(&answer.text());
    } else if tried["status"].is_null() {
        output.note(&format!("Consign itself answered {}: {}", text(&tried, "code"), text(&tried, "detail")));
    } else {
        output.note(&format!("{} in {} ms", cell(&tried, "status"), cell(&tried, "duration_ms")));
        output.text(&text(&tried, "body"));
        if tried["is_whole"] == false {
            output.note("This is not all of the answer.");
        }
    }
    let has_answered = tried["status"].is_u64();
    Ok(if has_answered { ExitCode::SUCCESS } else { ExitCode::from(Code::SaidNo) })
}

async fn create(client: &Client<'_>, output: &Output, flags: CreateFlags) -> Result<(), Failure> {
    let mut body = flags.fields.body()?;
    put(&mut body, "name", flags.name);
    let answer = client.send(Call::post(&[GATEWAYS]).json(&Value::Object(body))).await?;
    let written = show_written(output, &answer, "Created", "gateway")?;
    tell(output, &written);
    output.next("consign api-key create --scope gateway:call --name …");
    Ok(())
}

async fn edit(client: &Client<'_>, output: &Output, flags: EditFlags) -> Result<(), Failure> {
    let found = client.send(Call::get(&[GATEWAYS, &flags.name])).await?;
    let mut patch = flags.fields.body()?;
    let etag = flags.object.put(&mut patch, &found)?;
    let saved = save(client, output, &[GATEWAYS, &flags.name], &etag, patch, "gateway").await?;
    tell(output, &saved);
    Ok(())
}

/// Where it is called, and what deserves a second look.
fn tell(output: &Output, gateway: &Value) {
    if output.form != Form::People {
        return;
    }
    output.note(&text(gateway, "address"));
    for warning in gateway["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output.note(warning);
    }
}

async fn delete(client: &Client<'_>, output: &Output, flags: &DeleteFlags) -> Result<(), Failure> {
    let found = flags.find(client, GATEWAYS).await?;
    let gateway = found.json()?;
    let (name, address) = (text(&gateway, "name"), text(&gateway, "address"));
    let question = format!("Delete gateway “{name}”? Applications that call {address} get 404 from now on.");
    output.confirm(&question, flags.yes)?;
    delete_object(client, output, flags.call(GATEWAYS, &found)?, &format!("gateway “{name}”")).await
}

impl Fields {
    /// The keys of the API that these flags give.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = self.from_file.as_deref().map(read_object).transpose()?.unwrap_or_default();
        for (key, value) in [
            ("description", &self.description),
            ("credential", &self.credential),
            ("slug", &self.slug),
            ("max_request_bytes", &self.max_request_bytes),
        ] {
            put(&mut body, key, value.clone());
        }
        for (key, values) in [("methods", &self.method), ("path_prefixes", &self.path_prefix)] {
            if !values.is_empty() {
                body.insert(key.to_owned(), json!(values));
            }
        }
        match self.api_key.as_slice() {
            [] => {}
            [any] if any == "any" => drop(body.insert("api_keys".to_owned(), json!([]))),
            ids => drop(body.insert("api_keys".to_owned(), json!(ids))),
        }
        let others = [
            ("timeout_seconds", self.timeout_seconds.map(Value::from)),
            ("idle_seconds", self.idle_seconds.map(Value::from)),
            ("max_concurrency", self.max_concurrency.map(Value::from)),
            ("max_per_second", self.max_per_second.map(Value::from)),
            ("scrub_answers", self.scrub_answers.map(Value::from)),
            ("record_calls", self.record_calls.map(Value::from)),
        ];
        body.extend(others.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Ok(body)
    }
}
