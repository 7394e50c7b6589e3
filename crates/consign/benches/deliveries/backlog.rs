//! A million events behind an endpoint that is down, which then comes back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;

use crate::deliver::Line;
use crate::figures::{Table, number};
use crate::ground::Ground;
use crate::load::Load;
use crate::report::Section;
use crate::tool::{Port, Tool};

const BATCH_EVENTS: u64 = 500;
const FILLERS: usize = 4;
const CLIENTS: usize = 64;
/// Twelve minutes in all: this long to fill, and the rest to drain.
const FILL_TIME_MAX: Duration = Duration::from_secs(5 * 60);
const DRAIN_TIME_MAX: Duration = Duration::from_secs(6 * 60);
/// At least half the fresh rate is expected of the drain, so a slow machine gets fewer events.
const SHARE_EXPECTED: f64 = 0.5;
/// Memory is looked at after so long without anything new.
const WAIT: Duration = Duration::from_secs(10);

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    // Short waits, so that what was attempted in vain is due again before the drain is over.
    let mut line = Line::start(ground, None, json!({ "retry_schedule_seconds": vec![10; 20] })).await?;
    line.round(ground.of(4_000, 200), CLIENTS, None).await?;
    let fresh = line.round(ground.of(40_000, 2_000), CLIENTS, None).await?.delivered;
    println!("backlog: fresh, {} events/s", number(fresh));
    let wanted = ground.of(1_000_000, 20_000);
    let fits = (fresh * SHARE_EXPECTED * DRAIN_TIME_MAX.as_secs_f64()) as u64;
    let port = line.port;
    // The endpoint goes down: nobody listens on its port any more.
    line.tool = Tool::start(&ground.certificates, &ground.token, &[])?;
    let count = wanted.min(fits / BATCH_EVENTS * BATCH_EVENTS).max(BATCH_EVENTS);
    let first_id = line.take_ids(count);
    let filling = Instant::now();
    let load = Load { first_id, count, clients: FILLERS, per_second: None, types: 1 };
    let waiting = load.send_batches(&line.client, BATCH_EVENTS, FILL_TIME_MAX).await?;
    let fill_rate = waiting as f64 / filling.elapsed().as_secs_f64();
    println!("backlog: {} events wait, accepted at {} events/s", number(waiting as f64), number(fill_rate));
    tokio::time::sleep(WAIT).await;
    let memory = line.product.memory()?;
    println!("backlog: {} MiB while they wait, {} at most", number(memory.now), number(memory.peak));

    let back = Instant::now();
    let (cpu, back_ns) = (line.product.cpu_ms()?, crate::sink::now_ns());
    let ports = [Port { number: port, hangs: false }];
    line.tool = Tool::expecting(first_id, waiting, &ground.certificates, &ground.token, &ports)?;
    let webhook = line.client.call(Method::GET, &format!("/webhooks/{}", line.webhook), None).await?;
    let resumed = webhook["state"] != "active";
    if resumed {
        line.client.call(Method::DELETE, &format!("/webhooks/{}/pauses", line.webhook), None).await?;
    }
    let arrived = line.tool.until(waiting, DRAIN_TIME_MAX).await?;
    let drain = waiting as f64 * 1e9 / arrived.last_ns.saturating_sub(arrived.first_ns) as f64;
    println!("backlog: drained in {} s at {} events/s", back.elapsed().as_secs(), number(drain));
    line.check_ended().await?;
    let cpu = (line.product.cpu_ms()? - cpu) / waiting as f64 * 1e3;
    let after = line.product.memory()?;
    line.stop()?;

    let mut table = Table::new(["", "SQLite"]);
    table.row(["events that waited".to_owned(), number(waiting as f64)]);
    table.row([format!("accepted in batches of {BATCH_EVENTS}, events/s"), number(fill_rate)]);
    table.row(["memory while they wait, MiB".to_owned(), number(memory.now)]);
    table.row(["most memory until then, MiB".to_owned(), number(memory.peak)]);
    let first_after = arrived.first_ns.saturating_sub(back_ns) as f64 / 1e6;
    table.row(["first delivery after the endpoint came back, ms".to_owned(), number(first_after)]);
    table.row(["drained, events/s".to_owned(), number(drain)]);
    table.row(["fresh events before, delivered/s".to_owned(), number(fresh)]);
    table.row(["drain rate by fresh rate".to_owned(), number(drain / fresh)]);
    table.row(["ms of processor time per 1,000 drained".to_owned(), number(cpu)]);
    table.row(["most memory in all, MiB".to_owned(), number(after.peak)]);
    let mut text = String::from(
        "An endpoint is down (connections are refused) while events are accepted for it; the webhook goes on \
         trying. Then \
         it comes back on the same port, and everything that waits is delivered. One round.\n\n",
    );
    write!(text, "{table}")?;
    if waiting < wanted {
        let (waiting, wanted) = (number(waiting as f64), number(wanted as f64));
        writeln!(
            text,
            "\nThis machine is too slow for {wanted} events in twelve minutes: {waiting} were used."
        )?;
    }
    if resumed {
        writeln!(text, "\nThe webhook was resumed by hand when the endpoint was back.")?;
    }
    Ok(Section { title: "A backlog", text })
}
