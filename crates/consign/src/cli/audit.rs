//! `consign audit`: who did what, the whole of it as a file, and whether it is whole.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::Global;
use super::client::{Call, Client};
use super::context;
use super::failure::{Code, Failure};
use super::listing::{PageFlags, cell, show, show_one, text};
use super::output::{Form, Output};

const ENTRIES: &str = "audit-entries";

/// What can be done with the audit log.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List entries, the newest first
    List(ListFlags),
    /// Show one entry with what changed
    Get {
        /// Its place in the chain
        sequence: u64,
    },
    /// Write entries to standard output or a file, the oldest first
    Export(ExportFlags),
    /// Check that no entry was changed, removed or moved
    Verify,
}

#[derive(Args)]
pub(crate) struct Filter {
    /// Only of this person or API key, by id or name
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Only those with this in what was done
    #[arg(long, value_name = "TEXT")]
    action: Option<String>,
    /// Only about this object, by id or name
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// Only from this address
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Only done, or only refused
    #[arg(long, value_name = "RESULT")]
    result: Option<String>,
    /// Only later ones
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only earlier ones
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
}

impl Filter {
    fn of(&self, call: Call) -> Call {
        call.query("actor", self.actor.as_deref())
            .query("action", self.action.as_deref())
            .query("object", self.object.as_deref())
            .query("from", self.from.as_deref())
            .query("result", self.result.as_deref())
            .query("created_after", self.created_after.as_deref())
            .query("created_before", self.created_before.as_deref())
    }
}

#[derive(Args)]
pub(crate) struct ListFlags {
    #[command(flatten)]
    filter: Filter,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    page: PageFlags,
}

#[derive(Args)]
pub(crate) struct ExportFlags {
    /// How it is written
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// Where to, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object on each line
    Ndjson,
    /// For spreadsheets
    Csv,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    match verb {
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { sequence } => {
            let call = Call::get(&[ENTRIES, &sequence.to_string()]);
            show_one(output, &client.send(call).await?)?;
        }
        Verb::Export(flags) => export(&client, output, &flags).await?,
        Verb::Verify => verify(&client, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let call = flags.page.of(flags.filter.of(Call::get(&[ENTRIES])));
    let answer = client.send(call.query("sort", flags.oldest_first.then_some("created_at"))).await?;
    let headings = ["entry", "time", "who", "action", "object", "from", "result"];
    show(output, &answer, &headings, "No entry matches.", |row| {
        vec![
            cell(row, "sequence"),
            output.when(&row["at"]),
            cell(row, "actor"),
            cell(row, "action"),
            cell(row, "object"),
            cell(row, "from"),
            cell(row, "result"),
        ]
    })
}

async fn export(client: &Client<'_>, output: &Output, flags: &ExportFlags) -> Result<(), Failure> {
    let format = match flags.format {
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
    };
    let call = flags.filter.of(Call::get(&[ENTRIES, "export"]).query("format", Some(format)));
    let unwritten = |error| Failure::caused(Code::Failed, "The file cannot be written", &error);
    let Some(path) = &flags.output else {
        return client.download(call, |bytes| output.bytes(bytes)).await;
    };
    let mut file = std::fs::File::create(path).map_err(unwritten)?;
    client.download(call, |bytes| file.write_all(bytes)).await?;
    file.sync_all().map_err(unwritten)?;
    output.done(&format!("Wrote {}", path.display()));
    Ok(())
}

/// A log that is not whole is a no of the other side.
async fn verify(client: &Client<'_>, output: &Output) -> Result<(), Failure> {
    let answer = client.send(Call::post(&[ENTRIES, "verification"])).await?;
    let verified = answer.json()?;
    if output.form == Form::Json {
        output.text(&answer.text());
    }
    let message = text(&verified, "message");
    if verified["whole"] != true {
        return Err(Failure::new(Code::SaidNo, &message));
    }
    output.done(&message);
    Ok(())
}
