//! Pushing: a file as it is, or records for the next run. Neither is held whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use consign_core::id::RequestId;
use consign_core::json::duplicate_member;
use serde_json::Value;

use super::EXPORTERS;
use super::resumable::Resumable;
use super::run::{WatchFlags, follow};
use crate::cli::client::{Call, Client};
use crate::cli::failure::{Code, Failure};
use crate::cli::output::{Form, Output, Progress};
use crate::cli::upload::Upload;

/// Records of one request: well below what the server takes.
const RECORDS_MAX: usize = 5_000;
const RECORDS_BYTES_MAX: usize = 4 << 20;
/// A single record larger than this is none.
const LINE_BYTES_MAX: u64 = 10 << 20;
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct PushFlags {
    /// Name or id of the exporter
    name: String,
    /// The file, or - for standard input
    file: String,
    /// The file holds records, one JSON object a line: they wait for the next run
    #[arg(long)]
    records: bool,
    /// The name under which the file is sent; that of the file without it
    #[arg(long, value_name = "NAME", conflicts_with = "records")]
    file_name: Option<String>,
    /// The media type of the file
    #[arg(long, value_name = "TYPE", conflicts_with = "records", default_value = "application/octet-stream")]
    content_type: String,
    /// The same key makes no second copy, and goes on with a file that was cut off
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    watch: WatchFlags,
}

pub(super) async fn push(
    client: &Client<'_>,
    output: &Output,
    flags: &PushFlags,
) -> Result<ExitCode, Failure> {
    let key = flags.idempotency_key.clone().unwrap_or_else(|| RequestId::new(output.now).to_string());
    if flags.records {
        return push_records(client, output, flags, &key).await;
    }
    let named = Path::new(&flags.file).file_name().and_then(|name| name.to_str());
    let name = flags.file_name.as_deref().or_else(|| named.filter(|_| flags.file != "-"));
    let name = name.ok_or_else(|| Failure::usage("Name the file with --file-name"))?;
    let started = if flags.file == "-" {
        pipe(client, output, flags, (name, &key)).await?
    } else {
        let file = Resumable { client, output, path: &flags.file, progress: flags.watch.progress };
        let run = file.send(&flags.name, name, &flags.content_type, &key).await?;
        client.send(Call::get(&["runs", &run])).await?.json()?
    };
    follow(client, output, &started, &flags.watch).await
}

/// What comes through a pipe cannot be sent a second time: it leaves in one request.
async fn pipe(
    client: &Client<'_>,
    output: &Output,
    flags: &PushFlags,
    (name, key): (&str, &str),
) -> Result<Value, Failure> {
    let call = Call::post(&[EXPORTERS, &flags.name, "files"])
        .query("file_name", Some(name))
        .idempotency_key(key)
        .content_type(&flags.content_type);
    let upload = Upload::new(open("-")?, None);
    let sent = upload.progress();
    let mut progress = Progress::new(output, flags.watch.progress);
    let mut answer = std::pin::pin!(client.upload(call, upload));
    let answer = loop {
        tokio::select! {
            answer = &mut answer => break answer,
            () = tokio::time::sleep(LOOK_EVERY) => progress.show("Uploading", sent.bytes(), None, "bytes"),
        }
    };
    progress.clear();
    answer?.json()
}

pub(super) fn unreadable(path: &str, error: &io::Error) -> Failure {
    Failure::caused(Code::Usage, &format!("{path} cannot be read"), error)
}

fn open(path: &str) -> Result<Box<dyn io::Read + Send>, Failure> {
    if path == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path).map_err(|error| unreadable(path, &error))?))
}

/// Sends records in portions, each with a key of its own made of the one that was given.
async fn push_records(
    client: &Client<'_>,
    output: &Output,
    flags: &PushFlags,
    key: &str,
) -> Result<ExitCode, Failure> {
    let mut lines = BufReader::new(open(&flags.file)?);
    let mut progress = Progress::new(output, flags.watch.progress);
    let (mut accepted, mut portion, mut line_number) = (0_u64, 0_u32, 0_u64);
    let mut more = true;
    while more {
        let mut body = Vec::new();
        let mut records = 0;
        while more && records < RECORDS_MAX && body.len() < RECORDS_BYTES_MAX {
            let mut line = Vec::new();
            let read = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            more = read.map_err(|error| unreadable(&flags.file, &error))? > 0;
            line_number += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            judge(&line, line_number)?;
            body.extend_from_slice(line.trim_ascii());
            body.push(b'\n');
            records += 1;
        }
        if records == 0 {
            break;
        }
        portion += 1;
        let call = Call::post(&[EXPORTERS, &flags.name, "records"])
            .idempotency_key(&format!("{key}-{portion}"))
            .body("application/x-ndjson", body);
        let answer = client.send(call).await?.json()?;
        accepted += answer["accepted"].as_u64().unwrap_or(0);
        progress.show("Pushed", accepted, None, "records");
    }
    progress.clear();
    match output.form {
        Form::Json => output.line(&serde_json::json!({ "accepted": accepted }).to_string()),
        Form::Plain => output.line(&accepted.to_string()),
        Form::People => {
            let records = usize::try_from(accepted).unwrap_or(usize::MAX);
            let records = consign_core::catalog::with_commas(records);
            output.done(&format!("Pushed {records} records. They wait for the next run"));
        }
    }
    output.next(&format!("consign exporter run \"{}\"", flags.name));
    Ok(ExitCode::SUCCESS)
}

/// A wrong record is named by its line before anything of its portion is sent.
fn judge(line: &[u8], number: u64) -> Result<(), Failure> {
    let wrong = |what: &str| {
        Failure::new(Code::NotAccepted, &format!("Line {number} {what}"))
            .and("Records are JSON objects, one a line. What stands before its portion was pushed")
    };
    match serde_json::from_slice::<Value>(line) {
        Ok(Value::Object(_)) => match duplicate_member(line) {
            None => Ok(()),
            Some(_) => Err(wrong("has a member twice")),
        },
        Ok(_) => Err(wrong("is not a JSON object")),
        Err(_) => Err(wrong("is not JSON")),
    }
}
