//! Collected events, from the store to one CSV file on a server, and the file read back.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::figures::{Table, number};
use crate::files::{Sender, id};
use crate::ground::Ground;
use crate::load::Client;
use crate::sshd::Server;

const TYPE: &str = "bench.row";
const BATCH_EVENTS: u64 = 500;
const FILLERS: u64 = 4;
const HEAD: &str = "n,name,note,score";
const JSON: &str = "application/json";

/// Two exporters collect the same events; each sends them once.
pub(crate) async fn run(ground: &Ground, server: &Server) -> anyhow::Result<String> {
    let count = ground.of(1_000_000, 20_000);
    let settings = ["none", "gzip"].map(exporter);
    let sender = Sender::start(ground, server, &settings).await?;
    let start = Instant::now();
    fill(&sender.client, count).await?;
    let stored = count as f64 / start.elapsed().as_secs_f64();
    println!("files: rows: {} events stored, {} events/s", number(count as f64), number(stored));
    let mut table =
        Table::new(["CSV", "rows/s", "file, MiB", "ms of processor time per 1,000 rows", "most memory, MiB"]);
    for (place, compression) in ["none", "gzip"].into_iter().enumerate() {
        sender.product.forget_peak()?;
        let (start, cpu) = (Instant::now(), sender.product.cpu_ms()?);
        let path = format!("/exporters/{}/runs", sender.exporters[place]);
        let started = sender.client.post(&path, JSON, Full::new(Bytes::new())).await?;
        let done = sender.until_done(&id(&started)?).await?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = (sender.product.cpu_ms()? - cpu) / count as f64 * 1e3;
        let peak = sender.product.memory()?.peak;
        let path = server.inbox().join(done["file_name"].as_str().context("its file has a name")?);
        check(&path, compression == "gzip", count)?;
        let (rate, mib) = (count as f64 / seconds, path.metadata()?.len() as f64 / f64::from(1 << 20));
        println!("files: rows: {compression}: {} rows/s", number(rate));
        let name = if compression == "none" { "not compressed" } else { compression };
        table.row([name.to_owned(), number(rate), number(mib), number(cpu), number(peak)]);
    }
    sender.product.stop()?;
    server.empty()?;
    Ok(format!(
        "{} events are collected by two exporters, sent in batches of {BATCH_EVENTS} ({} events/s stored, each as a \
         record of both). Then each exporter runs once; it is timed from the request to the run that is seen done. The \
         file is read back: every event is one row, once, and equal. One round.\n\n{table}",
        number(count as f64),
        number(stored),
    ))
}

fn exporter(compression: &str) -> Value {
    json!({
        "source": "events", "event_types": [TYPE], "format": "csv", "compression": compression,
        "file_name": format!("rows-{compression}-{{run}}.{{ext}}"),
        "columns": [{ "name": "n" }, { "name": "name" }, { "name": "note" }, { "name": "score" }],
    })
}

fn event(n: u64) -> Value {
    let data = json!({
        "n": n, "name": format!("device-{n}"), "note": format!("seen by \"gate {}\", again", n % 17), "score": n % 1_000,
    });
    json!({ "type": TYPE, "data": data })
}

/// The row of an event, as RFC 4180 has it.
fn row(n: u64) -> String {
    format!("{n},device-{n},\"seen by \"\"gate {}\"\", again\",{}", n % 17, n % 1_000)
}

async fn fill(client: &Client, count: u64) -> anyhow::Result<()> {
    let mut fillers = JoinSet::new();
    for filler in 0..FILLERS {
        let client = client.clone();
        fillers.spawn(async move {
            for first in
                (0..count).step_by(BATCH_EVENTS as usize).skip(filler as usize).step_by(FILLERS as usize)
            {
                let events: Value = (first..count.min(first + BATCH_EVENTS)).map(event).collect();
                client.post("/events", JSON, Full::new(Bytes::from(events.to_string()))).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = fillers.join_next().await {
        done??;
    }
    Ok(())
}

/// Reads a file back: each row once, each as it has to be.
fn check(path: &Path, gzip: bool, count: u64) -> anyhow::Result<()> {
    let file = File::open(path).context("the file did not arrive")?;
    let plain: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut lines = BufReader::new(plain).lines();
    if lines.next().transpose()?.as_deref() != Some(HEAD) {
        bail!("the file has another first line than {HEAD}. This run does not count");
    }
    let mut seen = vec![false; usize::try_from(count)?];
    for line in lines {
        let line = line?;
        let n: Option<u64> = line.split_once(',').and_then(|(n, _)| n.parse().ok());
        match n.and_then(|n| Some((n, seen.get_mut(usize::try_from(n).ok()?)?))) {
            Some((n, seen)) if !*seen && line == row(n) => *seen = true,
            _ => bail!(
                "the file has a row twice or another one than was sent: {line}. This run does not count"
            ),
        }
    }
    match seen.iter().filter(|seen| !**seen).count() {
        0 => Ok(()),
        missing => bail!("{missing} rows are missing in the file. This run does not count"),
    }
}
