//! Runs: start, watch, list, stop, send again.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use consign_core::catalog::size;
use serde_json::{Value, json};

use super::{EXPORTERS, said_no};
use crate::cli::client::{Call, Client};
use crate::cli::delivery::Resolution;
use crate::cli::failure::{Code, Failure};
use crate::cli::listing::{PageFlags, cell, show, show_one, text};
use crate::cli::output::{Form, Output, Progress, ProgressForm};

const RUNS: &str = "runs";
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(400);

#[derive(Args)]
pub(crate) struct WatchFlags {
    /// Return at once
    #[arg(long)]
    pub(super) no_wait: bool,
    /// auto, json or none: how progress is shown on standard error
    #[arg(long, value_name = "FORM", default_value = "auto")]
    pub(super) progress: ProgressForm,
}

#[derive(Args)]
pub(crate) struct RunFlags {
    /// Name or id of the exporter
    name: String,
    #[command(flatten)]
    watch: WatchFlags,
}

#[derive(Args)]
pub(crate) struct RunsFlags {
    /// Name or id of the exporter
    name: String,
    /// Only those in this state
    #[arg(long)]
    state: Option<String>,
    #[command(flatten)]
    page: PageFlags,
}

#[derive(Args)]
pub(crate) struct CancelFlags {
    /// The id of the run
    run: String,
    /// Its records are not sent with the next run either
    #[arg(long)]
    leave_out: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Args)]
pub(crate) struct RepeatFlags {
    /// The id of the run
    run: String,
    #[command(flatten)]
    watch: WatchFlags,
}

pub(super) async fn start(
    client: &Client<'_>,
    output: &Output,
    flags: &RunFlags,
) -> Result<ExitCode, Failure> {
    let answer = client.send(Call::post(&[EXPORTERS, &flags.name, RUNS])).await?;
    follow(client, output, &answer.json()?, &flags.watch).await
}

pub(super) async fn repeat(
    client: &Client<'_>,
    output: &Output,
    flags: &RepeatFlags,
) -> Result<ExitCode, Failure> {
    let answer = client.send(Call::post(&[RUNS, &flags.run, "repetitions"])).await?;
    follow(client, output, &answer.json()?, &flags.watch).await
}

pub(super) async fn list(client: &Client<'_>, output: &Output, flags: &RunsFlags) -> Result<(), Failure> {
    let call = Call::get(&[EXPORTERS, &flags.name, RUNS]).query("state", flags.state.as_deref());
    let answer = client.send(flags.page.of(call)).await?;
    let headings = ["id", "number", "started", "state", "records", "bytes", "what happened"];
    show(output, &answer, &headings, "There are no runs.", |row| {
        vec![
            cell(row, "id"),
            cell(row, "number"),
            output.when(&row["created_at"]),
            cell(row, "state_label"),
            cell(row, "sent_records"),
            cell(row, "sent_bytes"),
            cell(row, "message"),
        ]
    })
}

pub(super) async fn log(client: &Client<'_>, output: &Output, run: &str) -> Result<(), Failure> {
    let answer = client.send(Call::get(&[RUNS, run])).await?;
    if output.form != Form::People {
        return show_one(output, &answer);
    }
    let run = answer.json()?;
    let head = format!(
        "Run {} of {} · {} · {} of {} records · {}",
        text(&run, "number"),
        text(&run, "exporter.name"),
        text(&run, "state_label"),
        text(&run, "sent_records"),
        text(&run, "records"),
        size(run["sent_bytes"].as_u64().unwrap_or(0)),
    );
    output.line(&head);
    for line in run["log"].as_array().into_iter().flatten() {
        output.line(&format!("{}  {}", text(line, "at"), text(line, "line")));
    }
    Ok(())
}

pub(super) async fn cancel(client: &Client<'_>, output: &Output, flags: &CancelFlags) -> Result<(), Failure> {
    if flags.leave_out {
        output.confirm("Stop the run and leave its records out for good?", flags.yes)?;
    }
    let records = if flags.leave_out { "left_out" } else { "next_run" };
    let call = Call::post(&[RUNS, &flags.run, "cancellation"]).json(&json!({ "records": records }));
    let answer = client.send(call).await?;
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::Plain => output.line(&flags.run),
        Form::People => {
            let run = answer.json()?;
            if run["state"] != "cancelled" {
                output.done("Stopped the run. Its file may have arrived: look on the server, then decide");
                output.next(&format!(
                    "consign exporter resolve {} --as delivered, or --as send-again",
                    flags.run
                ));
                return Ok(());
            }
            output.done("Cancelled the run");
            if run["records_in_next_run"] == true {
                output.note("Its records go with the next run.");
            }
        }
    }
    Ok(())
}

pub(super) async fn resolve(
    client: &Client<'_>,
    output: &Output,
    run: &str,
    decision: Resolution,
) -> Result<(), Failure> {
    let answer = client.send(Call::post(&[RUNS, run, "resolution"]).json(&decision.body())).await?;
    match output.form {
        Form::Json => output.text(&answer.text()),
        Form::Plain => output.line(run),
        Form::People => output.done(match decision {
            Resolution::SendAgain => "The run is sent again",
            Resolution::Delivered => "The run is marked as delivered",
        }),
    }
    output.next(&format!("consign exporter log {run}"));
    Ok(())
}

/// Watches a run to its end, and says what came of it.
pub(super) async fn follow(
    client: &Client<'_>,
    output: &Output,
    started: &Value,
    flags: &WatchFlags,
) -> Result<ExitCode, Failure> {
    let id = text(started, "id");
    if flags.no_wait {
        match output.form {
            Form::Json => output.text(&started.to_string()),
            Form::Plain => output.line(&id),
            Form::People => output.done(&format!("Started {id}")),
        }
        output.next(&format!("consign exporter log {id}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mut progress = Progress::new(output, flags.progress);
    let ended = tokio::select! {
        ended = watch(client, &id, &mut progress) => ended?,
        _ = tokio::signal::ctrl_c() => {
            progress.clear();
            return Err(Failure::new(Code::Stopped, "Stopped watching. The run goes on")
                .and(&format!("Look again: consign exporter log {id}")));
        }
    };
    progress.clear();
    if output.form == Form::Json {
        output.text(&ended.to_string());
    }
    if text(&ended, "state") != "done" {
        return Err(said_no(&ended));
    }
    match output.form {
        Form::Json => {}
        Form::Plain => output.line(&id),
        Form::People => output.done(&summary(&ended)),
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(client: &Client<'_>, id: &str, progress: &mut Progress<'_>) -> Result<Value, Failure> {
    loop {
        let run = client.send(Call::get(&[RUNS, id])).await?.json()?;
        let number = |key: &str| run[key].as_u64().unwrap_or(0);
        match text(&run, "state").as_str() {
            "done" | "failed" | "cancelled" => return Ok(run),
            // Nothing comes of it before somebody decides.
            "waiting"
                if run["actions"].as_array().is_some_and(|acts| acts.contains(&json!("send_again"))) =>
            {
                return Ok(run);
            }
            "waiting" if number("attempts") > 0 || !run["hold_reason"].is_null() => {
                let hold = text(&run, "hold_text");
                let why = if hold.is_empty() { text(&run, "message") } else { hold };
                progress.say(&format!("Waiting. {why}"));
            }
            _ if run["file"].is_object() => {
                progress.show("Sending", number("sent_bytes"), run["file"]["bytes"].as_u64(), "bytes");
            }
            _ => progress.show("Sending", number("sent_records"), Some(number("records")), "records"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// "Sent devices.csv · 48.2 MB · 312,400 records · 21 s".
fn summary(run: &Value) -> String {
    let number = |key: &str| run[key].as_u64().unwrap_or(0);
    if number("requests") == 0 {
        return text(run, "message");
    }
    let mut parts = vec![format!("Sent {}", text(run, "file_name")).trim_end().to_owned()];
    parts.push(size(number("sent_bytes")));
    if run["file"].is_null() {
        let records = usize::try_from(number("sent_records")).unwrap_or(usize::MAX);
        parts.push(format!("{} records", consign_core::catalog::with_commas(records)));
    }
    parts.push(format!("{:.1} s", number("duration_ms") as f64 / 1_000.0));
    parts.join(" · ")
}
