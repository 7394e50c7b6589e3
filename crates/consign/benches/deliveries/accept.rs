//! Accepting alone: the webhook is paused, so events are stored and wait.

use hyper::Method;
use serde_json::json;

use crate::deliver::Line;
use crate::figures::{Spread, Table, number, percentile};
use crate::ground::Ground;
use crate::load::Load;
use crate::report::Section;

const ROUNDS: u64 = 3;
/// How many clients, and how many events each round of them sends.
const CROWDS: [(usize, u64); 3] = [(1, 4_000), (16, 30_000), (128, 40_000)];

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let mut line = Line::start(ground, None, json!({})).await?;
    line.client.call(Method::POST, &format!("/webhooks/{}/pauses", line.webhook), None).await?;
    let mut table = Table::new([
        "clients",
        "events of a round",
        "answered, events/s",
        "answer p50, ms",
        "answer p99, ms",
        "ms of processor time per 1,000",
    ]);
    for (clients, many) in CROWDS {
        let count = ground.of(many, 400);
        let mut rounds = Vec::new();
        // The first warms up and is not counted.
        for round in 0..=ROUNDS {
            let first_id = line.take_ids(count);
            let cpu = line.product.cpu_ms()?;
            let sent =
                Load { first_id, count, clients, per_second: None, types: 1 }.send(&line.client).await?;
            let cpu = (line.product.cpu_ms()? - cpu) / count as f64 * 1e3;
            if round > 0 {
                rounds.push((sent, cpu));
            }
        }
        let spread =
            |figure: fn(&crate::load::Sent) -> f64| Spread::of(rounds.iter().map(|(sent, _)| figure(sent)));
        let rate = spread(|sent| sent.per_second());
        println!("accept: {clients} clients: {rate} events/s");
        table.row([
            clients.to_string(),
            number(count as f64),
            rate.to_string(),
            spread(|sent| percentile(&sent.acks_us, 0.5) / 1e3).to_string(),
            spread(|sent| percentile(&sent.acks_us, 0.99) / 1e3).to_string(),
            Spread::of(rounds.iter().map(|(_, cpu)| *cpu)).to_string(),
        ]);
    }
    line.stop()?;
    let text = format!(
        "SQLite. The webhook is paused: events are stored with their delivery and wait. One request per \
         event, {ROUNDS} rounds.\n\n{table}"
    );
    Ok(Section { title: "Accept alone", text })
}
