//! `consign delivery`: what was sent, what came back, and what waits for a person.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Global;
use super::client::{Answer, Call, Client};
use super::context;
use super::failure::{Code, Failure};
use super::listing::{PageFlags, cell, show, text};
use super::output::{Form, Output, Table, details};

use body::BodyFlags;

mod body;

const DELIVERIES: &str = "deliveries";
/// How often `tail` looks: the eye does not follow faster.
const TAIL_PAUSE: Duration = Duration::from_secs(1);
/// How much `tail` looks at each time, and so remembers.
const TAIL_ROWS: &str = "200";

/// What stands beside its words in an answer.
const CODES: &[&str] = &["state", "shown_state", "hold_reason", "last_outcome"];

/// What can be done with deliveries.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List deliveries
    List(ListFlags),
    /// Show one with its attempts
    Get {
        /// The id
        id: String,
    },
    /// What can be done with one, as commands and for curl, to copy
    Commands {
        /// The id
        id: String,
    },
    /// Print the payload of its event; reading it is recorded
    Payload(BodyFlags),
    /// Print the body of the request as it was first sent; reading it is recorded
    RequestBody(BodyFlags),
    /// Try a waiting one now
    Attempt {
        /// The id
        id: String,
    },
    /// Send the event of an ended one again
    Replay {
        /// The id
        id: String,
        /// The request that was first sent, exactly as it was, and not one with the present set-up
        #[arg(long)]
        as_first_sent: bool,
    },
    /// Decide about one that waits for a person
    Resolve {
        /// The id
        id: String,
        /// What became of it
        #[arg(long = "as", value_name = "WORD")]
        decision: Resolution,
    },
    /// Give a waiting one up
    Cancel {
        /// The id
        id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Watch deliveries as they change
    Tail(TailFlags),
}

/// What a person decided.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Resolution {
    /// The tool has not got it
    SendAgain,
    /// The tool has got it
    Delivered,
}

impl Resolution {
    /// As the API takes it.
    pub(crate) fn body(self) -> Value {
        let word = match self {
            Self::SendAgain => "send_again",
            Self::Delivered => "delivered",
        };
        json!({ "as": word })
    }
}

#[derive(Args)]
pub(crate) struct ListFlags {
    /// Only in this state
    #[arg(long)]
    state: Option<String>,
    /// Only held for this reason
    #[arg(long, value_name = "REASON")]
    hold_reason: Option<String>,
    /// Only of this connector, by name or id
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Only of this event type
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only later ones
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    /// Only earlier ones
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// Only those that hold this text
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only those that wait for a person
    #[arg(long)]
    needs_attention: bool,
    /// Only those that this operation sent again
    #[arg(long, value_name = "ID")]
    operation: Option<String>,
    /// The oldest first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    page: PageFlags,
}

#[derive(Args)]
pub(crate) struct TailFlags {
    /// Only of this connector, by name or id
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Only in this state
    #[arg(long)]
    state: Option<String>,
    /// Begin with those created after this time instead of now
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, global: &Global, output: &Output) -> Result<ExitCode, Failure> {
    let client = context::client(global, output)?;
    let act = |id: &str, what: &str| Call::post(&[DELIVERIES, id, what]);
    match verb {
        Verb::List(flags) => list(&client, output, &flags).await?,
        Verb::Get { id } => get(&client, output, &id).await?,
        Verb::Commands { id } => commands(&client, output, &id).await?,
        Verb::Payload(flags) => body::print(&client, output, &flags, "payload").await?,
        Verb::RequestBody(flags) => body::print(&client, output, &flags, "request-body").await?,
        Verb::Attempt { id } => changed(output, &client.send(act(&id, "attempts")).await?, "Trying now")?,
        Verb::Replay { id, as_first_sent } => {
            let mut call = act(&id, "replays");
            if as_first_sent {
                call = call.json(&json!({ "request": "as_first_sent" }));
            }
            changed(output, &client.send(call).await?, "Replaying")?;
        }
        Verb::Resolve { id, decision } => {
            let answer = client.send(act(&id, "resolution").json(&decision.body())).await?;
            changed(output, &answer, "Resolved")?;
        }
        Verb::Cancel { id, yes } => {
            output.confirm(&format!("Cancel delivery {id}? Its event is not sent."), yes)?;
            changed(output, &client.send(act(&id, "cancellation")).await?, "Cancelled")?;
        }
        Verb::Tail(flags) => tail(&client, output, &flags).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client<'_>, output: &Output, flags: &ListFlags) -> Result<(), Failure> {
    let call = Call::get(&[DELIVERIES])
        .query("state", flags.state.as_deref())
        .query("hold_reason", flags.hold_reason.as_deref())
        .query("connector", flags.connector.as_deref())
        .query("event_type", flags.event_type.as_deref())
        .query("created_after", flags.created_after.as_deref())
        .query("created_before", flags.created_before.as_deref())
        .query("sort", flags.oldest_first.then_some("created_at"))
        .query("q", flags.q.as_deref())
        .query("operation", flags.operation.as_deref())
        .query("needs_attention", flags.needs_attention.then_some("true"));
    let answer = client.send(flags.page.of(call)).await?;
    let headings = ["id", "event", "connector", "state", "attempts", "answer", "created"];
    show(output, &answer, &headings, "There are no deliveries.", |row| {
        vec![
            cell(row, "id"),
            cell(row, "event.type"),
            cell(row, "connector.name"),
            cell(row, "state_label"),
            cell(row, "attempts"),
            cell(row, "last_status"),
            output.when(&row["created_at"]),
        ]
    })
}

async fn get(client: &Client<'_>, output: &Output, id: &str) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[DELIVERIES, id])).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    if let Value::Object(mut delivery) = answer.json()? {
        // People read the words; the codes behind them are for programs.
        delivery.retain(|key, _| output.form != Form::People || !CODES.contains(&key.as_str()));
        output.text(&details(output, &delivery));
    }
    let attempts = client.send(Call::get(&[DELIVERIES, id, "attempts"])).await?.json()?;
    show_attempts(output, attempts["items"].as_array().map(Vec::as_slice).unwrap_or_default());
    Ok(())
}

/// Text to paste, in the order of a script: what is not a command is a comment.
async fn commands(client: &Client<'_>, output: &Output, id: &str) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[DELIVERIES, id, "commands"])).await?;
    if output.form == Form::Json {
        output.text(&answer.text());
        return Ok(());
    }
    let body = answer.json()?;
    for one in body["items"].as_array().into_iter().flatten() {
        output.line(&format!("# {}", text(one, "title")));
        for line in ["command", "curl"].map(|key| text(one, key)).iter().filter(|line| !line.is_empty()) {
            output.line(line);
        }
    }
    output.note("For curl put the text of an API key into $CONSIGN_TOKEN; other names with $ are secrets of the tool.");
    Ok(())
}

/// A row for each attempt.
pub(super) fn show_attempts(output: &Output, attempts: &[Value]) {
    if attempts.is_empty() {
        return;
    }
    let mut table = Table::new(&["attempt", "started", "ms", "outcome", "status", "message"]);
    for attempt in attempts {
        table.row([
            cell(attempt, "number"),
            output.when(&attempt["started_at"]),
            cell(attempt, "duration_ms"),
            cell(attempt, if output.form == Form::People { "outcome_label" } else { "outcome" }),
            cell(attempt, "status"),
            cell(attempt, "message"),
        ]);
    }
    output.table(&table);
}

fn changed(output: &Output, answer: &Answer, verb: &str) -> Result<(), Failure> {
    let delivery = answer.json()?;
    let id = text(&delivery, "id");
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::Plain => output.line(&id),
        Form::People => output.done(&format!("{verb}: {id}")),
    }
    output.next(&format!("consign delivery get {id}"));
    Ok(())
}

/// Prints each delivery when it is new and when its state changed, oldest first, until stopped.
async fn tail(client: &Client<'_>, output: &Output, flags: &TailFlags) -> Result<(), Failure> {
    let since = flags.since.clone().unwrap_or_else(|| output.now.to_string());
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut away = false;
    loop {
        let call = Call::get(&[DELIVERIES])
            .query("connector", flags.connector.as_deref())
            .query("state", flags.state.as_deref())
            .query("created_after", Some(&since))
            .query("limit", Some(TAIL_ROWS));
        match client.send(call).await {
            Ok(answer) => {
                away = false;
                let body = answer.json()?;
                for row in news(&mut seen, body["items"].as_array().map(Vec::as_slice).unwrap_or_default()) {
                    tell(output, row);
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
        tokio::time::sleep(TAIL_PAUSE).await;
    }
}

/// The rows that are new or changed, oldest first. What left the page is forgotten.
fn news<'a>(seen: &mut HashMap<String, String>, rows: &'a [Value]) -> Vec<&'a Value> {
    let mark =
        |row: &Value| (text(row, "id"), format!("{} {}", text(row, "shown_state"), text(row, "attempts")));
    let present: HashMap<String, String> = rows.iter().map(mark).collect();
    let fresh = rows.iter().rev().filter(|row| {
        let (id, state) = mark(row);
        seen.get(&id) != Some(&state)
    });
    let fresh = fresh.collect();
    *seen = present;
    fresh
}

fn tell(output: &Output, row: &Value) {
    match output.form {
        Form::Json => output.line(&row.to_string()),
        Form::People | Form::Plain => {
            let keys = ["id", "event.type", "connector.name", "state_label", "last_status", "duration_ms"];
            output.line(&super::output::clean(&keys.map(|key| cell(row, key)).join("  ")));
        }
    }
}

#[cfg(test)]
mod tests;
