//! `consign exporter`: files or requests with many records, on a schedule or on demand.

use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Subcommand};
use consign_core::catalog::with_commas;
use serde_json::{Map, Value, json};

use super::Global;
use super::client::{Call, Client};
use super::connector::{DeleteFlags, ListFlags, pause, resume};
use super::context;
use super::delivery::Resolution;
use super::failure::{Code, Failure};
use super::listing::{cell, show, show_one, show_written, text};
use super::object::{Edited, delete as delete_object, history, put, read_object, save};
use super::output::{Form, Output};

mod push;
mod resumable;
mod run;
mod uploads;

const EXPORTERS: &str = "exporters";

/// What can be done with exporters.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List exporters
    List(ListFlags),
    /// Show one
    Get {
        /// Name or id
        name: String,
    },
    /// Create one
    Create(Box<CreateFlags>),
    /// Change one; what is not mentioned stays. A run that is not finished goes on as it began
    #[command(visible_alias = "update")]
    Edit(Box<EditFlags>),
    /// Start a run now and watch it
    Run(run::RunFlags),
    /// Push a file, which is a run of its own, or records for the next run
    Push(push::PushFlags),
    /// List the runs of one
    Runs(run::RunsFlags),
    /// Show a run with its log
    Log {
        /// The id of the run
        run: String,
    },
    /// Stop a run; the next one takes its records
    Cancel(run::CancelFlags),
    /// Send a run again
    Repeat(run::RepeatFlags),
    /// Decide about a run whose file may have arrived
    Resolve {
        /// The id of the run
        run: String,
        /// What became of it
        #[arg(long = "as", value_name = "WORD")]
        decision: Resolution,
    },
    /// List files that you began to push and that are not whole; those of all, with a key of an administrator
    Uploads {
        /// Name or id of the exporter
        name: String,
    },
    /// Give up a file that was begun to push; what is stored of it goes
    Discard {
        /// The id of the upload
        upload: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Pause: records keep arriving and wait
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
    /// Delete one; its runs are cancelled, and what waits is not sent
    Delete(DeleteFlags),
}

/// How many files stay.
#[derive(Clone, Copy)]
enum Keep {
    All,
    Newest(u32),
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            count => count.parse().map(Self::Newest).map_err(|_| "a number, or all".to_owned()),
        }
    }
}

/// What an exporter is made of.
#[derive(Args)]
pub(crate) struct Fields {
    /// Free text
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The credential it uses, by name or id
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// events or pushed
    #[arg(long, value_name = "WORD")]
    source: Option<String>,
    /// device.score.low, or device.* for all below it; repeatable
    #[arg(long, value_name = "TYPE")]
    event_type: Vec<String>,
    /// A condition, such as: data.score < 3
    #[arg(long, value_name = "CONDITION")]
    only_when: Option<String>,
    /// by_hand, hourly, daily, weekly, or a cron text such as: 0 2 * * *
    #[arg(long, value_name = "WORD|CRON")]
    schedule: Option<String>,
    /// The place whose wall clock the schedule means, such as Europe/Lisbon
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// POST or PUT
    #[arg(long)]
    method: Option<String>,
    /// Added to the URL address of the credential
    #[arg(long)]
    path: Option<String>,
    /// The folder on the file server; it must be there
    #[arg(long)]
    folder: Option<String>,
    /// The name of the file, such as {exporter}-{date}-{run}.{ext}
    #[arg(long, value_name = "PATTERN")]
    file_name: Option<String>,
    /// Where the name is taken: fail, replace or number
    #[arg(long, value_name = "WORD")]
    if_exists: Option<String>,
    /// So many of its files stay on the server, the newest; older ones that its runs brought are removed
    #[arg(long, value_name = "N|all")]
    keep_files: Option<Keep>,
    /// The most records of a request
    #[arg(long, value_name = "N")]
    max_records_per_request: Option<u32>,
    /// The time for an answer
    #[arg(long, value_name = "N")]
    timeout_seconds: Option<u32>,
    /// The most requests a second
    #[arg(long, value_name = "N")]
    max_per_second: Option<f64>,
    /// csv, ndjson or json
    #[arg(long, value_name = "WORD")]
    format: Option<String>,
    /// array, concatenated or object_with_array
    #[arg(long, value_name = "WORD")]
    json_shape: Option<String>,
    /// The name of the array in one object
    #[arg(long, value_name = "NAME")]
    json_array_key: Option<String>,
    /// A text before the array in one object; repeatable
    #[arg(long, value_name = "NAME=TEXT")]
    json_property: Vec<String>,
    /// A column, and where its value stands; repeatable
    #[arg(long, value_name = "NAME[=PATH]")]
    column: Vec<String>,
    /// comma, semicolon or tab
    #[arg(long, value_name = "WORD")]
    csv_delimiter: Option<String>,
    /// lf or crlf
    #[arg(long, value_name = "WORD")]
    csv_line_end: Option<String>,
    /// Whether the first row holds the names of the columns
    #[arg(long, value_name = "true|false")]
    csv_header: Option<bool>,
    /// Whether a byte order mark comes first
    #[arg(long, value_name = "true|false")]
    csv_bom: Option<bool>,
    /// Whether texts that a spreadsheet would run are guarded
    #[arg(long, value_name = "true|false")]
    csv_guard: Option<bool>,
    /// none, gzip or zstd
    #[arg(long, value_name = "WORD")]
    compression: Option<String>,
    /// What a run without records does: skip or send
    #[arg(long, value_name = "WORD")]
    when_empty: Option<String>,
    /// Start from a JSON file with the keys of the API
    #[arg(long, value_name = "FILE")]
    from_file: Option<String>,
}

#[derive(Args)]
pub(crate) struct CreateFlags {
    /// Its name
    #[arg(long)]
    name: Option<String>,
    /// Only show what it would do: its times and a sample record
    #[arg(long)]
    dry_run: bool,
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

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { name } => show_one(output, &client.send(Call::get(&[EXPORTERS, &name])).await?)?,
        Verb::Create(flags) => create(&client, output, *flags).await?,
        Verb::Edit(flags) => edit(&client, output, *flags).await?,
        Verb::Run(flags) => return run::start(&client, output, &flags).await,
        Verb::Push(flags) => return push::push(&client, output, &flags).await,
        Verb::Runs(flags) => run::list(&client, output, &flags).await?,
        Verb::Log { run } => run::log(&client, output, &run).await?,
        Verb::Cancel(flags) => run::cancel(&client, output, &flags).await?,
        Verb::Repeat(flags) => return run::repeat(&client, output, &flags).await,
        Verb::Resolve { run, decision } => run::resolve(&client, output, &run, decision).await?,
        Verb::Uploads { name } => uploads::list(&client, output, &name).await?,
        Verb::Discard { upload, yes } => uploads::discard(&client, output, &upload, yes).await?,
        Verb::Pause { name } => {
            pause(
                &client,
                output,
                (EXPORTERS, "exporter"),
                &name,
                "Records keep arriving and wait. Nothing is lost.",
            )
            .await?;
        }
        Verb::Resume { name } => resume(&client, output, (EXPORTERS, "exporter"), &name).await?,
        Verb::History { name } => history(&client, output, EXPORTERS, &name).await?,
        Verb::Delete(flags) => delete(&client, output, &flags).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let answer = flags.send(client, EXPORTERS).await?;
    let headings = ["name", "credential", "schedule", "state", "waiting", "last run", "next run"];
    show(output, &answer, &headings, "There are no exporters.", |row| {
        vec![
            cell(row, "name"),
            cell(row, "credential.name"),
            cell(row, "schedule_in_words"),
            cell(row, "state_label"),
            format!(
                "{}{}",
                cell(row, "waiting_records"),
                if row["waiting_is_capped"] == true { "+" } else { "" }
            ),
            cell(row, "last_run.state_label"),
            output.when(&row["next_run_at"]),
        ]
    })
}

async fn create(client: &Client<'_>, output: &Output, flags: CreateFlags) -> Result<(), Failure> {
    let mut body = flags.fields.body()?;
    put(&mut body, "name", flags.name);
    if flags.dry_run {
        let call = Call::post(&[EXPORTERS, "preview"]).json(&Value::Object(body));
        return show_one(output, &client.send(call).await?);
    }
    let answer = client.send(Call::post(&[EXPORTERS]).json(&Value::Object(body))).await?;
    let written = show_written(output, &answer, "Created", "exporter")?;
    if output.form == Form::People {
        output.note(&text(&written, "schedule_in_words"));
    }
    output.next(&format!("consign exporter run \"{}\"", text(&written, "name")));
    Ok(())
}

async fn edit(client: &Client<'_>, output: &Output, flags: EditFlags) -> Result<(), Failure> {
    let found = client.send(Call::get(&[EXPORTERS, &flags.name])).await?;
    let mut patch = flags.fields.body()?;
    let etag = flags.object.put(&mut patch, &found)?;
    save(client, output, &[EXPORTERS, &flags.name], &etag, patch, "exporter").await.map(drop)
}

async fn delete(client: &Client<'_>, output: &Output, flags: &DeleteFlags) -> Result<(), Failure> {
    let found = flags.find(client, EXPORTERS).await?;
    let exporter = found.json()?;
    let name = text(&exporter, "name");
    let unsent = client.send(Call::get(&[EXPORTERS, &flags.name, "unsent"])).await?.json()?;
    let lost = losses(&unsent);
    let question = format!("Delete exporter “{name}”?{lost}");
    if flags.yes && !lost.is_empty() {
        output.note(lost.trim_start());
    }
    output.confirm(&question, flags.yes)?;
    delete_object(client, output, flags.call(EXPORTERS, &found)?, &format!("exporter “{name}”")).await
}

/// What is lost with an exporter: " Not sent any more: 5 records and 1 pushed file. 2 runs are cancelled."
fn losses(unsent: &Value) -> String {
    let counted = |key: &str, one: &str, many: &str| match unsent[key].as_u64().unwrap_or(0) {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{} {many}", with_commas(usize::try_from(count).unwrap_or(usize::MAX)))),
    };
    let lost: Vec<_> =
        [counted("records", "record", "records"), counted("files", "pushed file", "pushed files")]
            .into_iter()
            .flatten()
            .collect();
    let mut text = String::new();
    if !lost.is_empty() {
        text += &format!(" Not sent any more: {}.", lost.join(" and "));
    }
    let runs =
        counted("runs", "run that is not finished is cancelled", "runs that are not finished are cancelled");
    if let Some(runs) = runs {
        text += &format!(" {runs}.");
    }
    text
}

impl Fields {
    /// The keys of the API that these flags give.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = self.from_file.as_deref().map(read_object).transpose()?.unwrap_or_default();
        for (key, value) in [
            ("description", &self.description),
            ("credential", &self.credential),
            ("source", &self.source),
            ("only_when", &self.only_when),
            ("schedule", &self.schedule),
            ("time_zone", &self.time_zone),
            ("method", &self.method),
            ("path", &self.path),
            ("folder", &self.folder),
            ("file_name", &self.file_name),
            ("if_exists", &self.if_exists),
            ("format", &self.format),
            ("json_shape", &self.json_shape),
            ("json_array_key", &self.json_array_key),
            ("compression", &self.compression),
            ("when_empty", &self.when_empty),
        ] {
            put(&mut body, key, value.clone());
        }
        if !self.event_type.is_empty() {
            body.insert("event_types".to_owned(), json!(self.event_type));
        }
        if !self.column.is_empty() {
            let columns = self.column.iter().map(|column| match column.split_once('=') {
                Some((name, path)) => json!({ "name": name, "path": path }),
                None => json!({ "name": column }),
            });
            body.insert("columns".to_owned(), columns.collect());
        }
        if !self.json_property.is_empty() {
            let mut properties = Map::new();
            for property in &self.json_property {
                let (name, text) = property
                    .split_once('=')
                    .ok_or_else(|| Failure::usage("A property is given as NAME=TEXT"))?;
                properties.insert(name.to_owned(), text.into());
            }
            body.insert("json_properties".to_owned(), properties.into());
        }
        let csv = [
            ("delimiter", self.csv_delimiter.clone().map(Value::from)),
            ("line_end", self.csv_line_end.clone().map(Value::from)),
            ("header", self.csv_header.map(Value::from)),
            ("bom", self.csv_bom.map(Value::from)),
            ("guard", self.csv_guard.map(Value::from)),
        ];
        let csv: Map<_, _> =
            csv.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
        if !csv.is_empty() {
            body.insert("csv".to_owned(), csv.into());
        }
        match self.keep_files {
            None => {}
            Some(Keep::All) => drop(body.insert("keep_files".to_owned(), Value::Null)),
            Some(Keep::Newest(count)) => drop(body.insert("keep_files".to_owned(), count.into())),
        }
        let numbers = [
            ("max_records_per_request", self.max_records_per_request.map(Value::from)),
            ("timeout_seconds", self.timeout_seconds.map(Value::from)),
            ("max_per_second", self.max_per_second.map(Value::from)),
        ];
        body.extend(numbers.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Ok(body)
    }
}

/// Why a run that ended is no success.
fn said_no(run: &Value) -> Failure {
    let (id, label) = (text(run, "id"), text(run, "state_label").to_lowercase());
    let message = text(run, "message");
    let line = if message.is_empty() { format!("The run is {label}") } else { message };
    let failure = Failure::new(Code::SaidNo, &line);
    if run["ended_at"].is_null() {
        let decide = format!("Then: consign exporter resolve {id} --as delivered, or --as send-again");
        return failure.and("Look on the server whether the file is there").and(&decide);
    }
    failure.and(&format!("Next: consign exporter log {id}"))
}
