//! One endpoint that hangs beside twenty that deliver.

use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::figures::{Spread, Table, number};
use crate::ground::{Ground, free_port};
use crate::load::Load;
use crate::product::{self, Home};
use crate::report::Section;
use crate::tool::{Port, Tool};

const GOOD: u64 = 20;
const ROUNDS: u64 = 3;
const CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let count = ground.of(2_000, 100) * (GOOD + 1);
    let mut quiet = Vec::new();
    let mut hanging = Vec::new();
    for number_of_round in 1..=ROUNDS {
        // A process of its own each time: what hangs in one round must not last into the next.
        quiet.push(round(ground, count, false).await?);
        hanging.push(round(ground, count, true).await?);
        let (without, with) = (quiet.last().copied().unwrap_or(0.0), hanging.last().copied().unwrap_or(0.0));
        println!(
            "hang: round {number_of_round}: {} events/s without, {} with",
            number(without),
            number(with)
        );
    }
    let ratios = Spread::of(hanging.iter().zip(&quiet).map(|(with, without)| with / without));
    let mut table = Table::new(["twenty endpoints together", "SQLite"]);
    table.row(["delivered/s while the other is paused".to_owned(), Spread::of(quiet).to_string()]);
    table.row(["delivered/s while the other hangs".to_owned(), Spread::of(hanging).to_string()]);
    table.row(["ratio, round by round".to_owned(), ratios.to_string()]);
    let shown = number(count as f64);
    let text = format!(
        "SQLite. {} webhooks with an endpoint, a credential and an event type each; {CLIENTS} clients send \
         {shown} events to them in turn. Twenty endpoints answer. The other one keeps every request for 30 s, \
         or its webhook is paused, so that the same events are accepted and only the sending differs. {ROUNDS} \
         rounds of each, alternating.\n\n{table}",
        GOOD + 1
    );
    Ok(Section { title: "One endpoint that hangs", text })
}

/// The rate of the good ones.
async fn round(ground: &Ground, count: u64, hangs: bool) -> anyhow::Result<f64> {
    let mut ports = Vec::new();
    for number in 0..=GOOD {
        ports.push(Port { number: free_port()?, hangs: number == GOOD });
    }
    let mut tool = Tool::start(&ground.certificates, &ground.token, &ports)?;
    let home = Home::create(ground, None)?;
    let client = home.client()?;
    let product = home.serve()?;
    let mut last = String::new();
    for (number, port) in ports.iter().enumerate() {
        let settings = json!({ "max_concurrency": 16, "timeout_seconds": 60 });
        let event_type = format!("bench.{number}");
        last = product::connect(&client, &product::origin(port.number), &ground.token, &event_type, settings)
            .await?;
    }
    if !hangs {
        client.call(Method::POST, &format!("/webhooks/{last}/pauses"), None).await?;
    }
    let warm_up = 20 * (GOOD + 1);
    let good = |events: u64| events / (GOOD + 1) * GOOD;
    let load = Load { first_id: 0, count: warm_up, clients: CLIENTS, per_second: None, types: GOOD + 1 };
    tool.expect(0, warm_up)?;
    load.send(&client).await?;
    tool.until(good(warm_up), PATIENCE).await?;
    tool.expect(warm_up, count)?;
    let sent = Load { first_id: warm_up, count, ..load }.send(&client).await?;
    let arrived = tool.until(good(count), PATIENCE).await?;
    // What hangs would keep a clean stop waiting; dropping the product ends it at once.
    drop(product);
    Ok(good(count) as f64 * 1e9 / arrived.last_ns.saturating_sub(sent.started_ns) as f64)
}
