//! Durable accept to delivered, as fast as it goes and at a steady rate.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::bail;
use serde_json::json;

use crate::figures::{Spread, Table, number, percentile};
use crate::ground::{Ground, free_port};
use crate::load::{Client, Load};
use crate::process;
use crate::product::{self, Home, Product};
use crate::report::Section;
use crate::tool::{Port, Tool};

const ROUNDS: u64 = 3;
const CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(120);
/// The last results are committed after the last delivery was seen.
const SETTLE: Duration = Duration::from_millis(300);
const STEADY_PER_SECOND: u32 = 500;

/// One round.
pub(crate) struct Round {
    /// Events answered in a second.
    pub(crate) acks: f64,
    /// Events delivered in a second, from the first request to the last arrival.
    pub(crate) delivered: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of 1,000 deliveries, in milliseconds.
    pub(crate) cpu_ms: f64,
    postgres_cpu_ms: f64,
    memory_mib: f64,
    peak_mib: f64,
}

/// A running product with one webhook, and its tool.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) product: Product,
    pub(crate) tool: Tool,
    pub(crate) webhook: String,
    pub(crate) port: u16,
    /// The server process of PostgreSQL.
    postgres: Option<u32>,
    next_id: u64,
    home: Home,
}

impl Line {
    pub(crate) async fn start(
        ground: &Ground,
        postgres: Option<&str>,
        settings: serde_json::Value,
    ) -> anyhow::Result<Self> {
        let bearer =
            json!({ "authorization_type": "bearer", "header_prefix": "Bearer", "token": ground.token });
        Self::start_with(ground, postgres, settings, |_| bearer).await
    }

    /// The same with a sign-in of one's own, made of the address of the tool.
    pub(crate) async fn start_with(
        ground: &Ground,
        postgres: Option<&str>,
        mut settings: serde_json::Value,
        credential: impl FnOnce(&str) -> serde_json::Value,
    ) -> anyhow::Result<Self> {
        let server = postgres.map(|url| process::postgres_on(port_of(url)?)).transpose()?;
        let port = free_port()?;
        let tool = Tool::start(&ground.certificates, &ground.token, &[Port { number: port, hangs: false }])?;
        let home = Home::create(ground, postgres)?;
        let client = home.client()?;
        let product = home.serve()?;
        settings["max_concurrency"] = json!(64);
        let origin = product::origin(port);
        let webhook =
            product::connect_with(&client, &origin, credential(&origin), "bench.0", settings).await?;
        Ok(Self { client, product, tool, webhook, port, postgres: server, next_id: 0, home })
    }

    /// The next ids that no event had yet.
    pub(crate) fn take_ids(&mut self, count: u64) -> u64 {
        let first = self.next_id;
        self.next_id += count;
        first
    }

    /// Sends events and waits for all of them.
    pub(crate) async fn round(
        &mut self,
        count: u64,
        clients: usize,
        per_second: Option<u32>,
    ) -> anyhow::Result<Round> {
        let first_id = self.take_ids(count);
        self.tool.expect(first_id, count)?;
        let cpu = self.cpu()?;
        let sent = Load { first_id, count, clients, per_second, types: 1 }.send(&self.client).await?;
        let arrived = self.tool.until(count, PATIENCE).await?;
        tokio::time::sleep(SETTLE).await;
        self.check_ended().await?;
        let cpu_after = self.cpu()?;
        let lateness = self.tool.lateness()?;
        let memory = self.product.memory()?;
        let per_thousand = |before: f64, after: f64| (after - before) / count as f64 * 1e3;
        Ok(Round {
            acks: sent.per_second(),
            delivered: count as f64 * 1e9 / arrived.last_ns.saturating_sub(sent.started_ns) as f64,
            ack_p50_ms: percentile(&sent.acks_us, 0.5) / 1e3,
            ack_p99_ms: percentile(&sent.acks_us, 0.99) / 1e3,
            p50_ms: lateness.p50_ms,
            p99_ms: lateness.p99_ms,
            cpu_ms: per_thousand(cpu.0, cpu_after.0),
            postgres_cpu_ms: per_thousand(cpu.1, cpu_after.1),
            memory_mib: memory.now,
            peak_mib: memory.peak,
        })
    }

    fn cpu(&self) -> anyhow::Result<(f64, f64)> {
        Ok((self.product.cpu_ms()?, self.postgres.map(process::postgres_cpu_ms).transpose()?.unwrap_or(0.0)))
    }

    /// The product's own books must agree: nothing waits, nothing failed.
    pub(crate) async fn check_ended(&self) -> anyhow::Result<()> {
        for state in ["pending", "held", "failed"] {
            let mut tries = 0;
            while !self.client.has_none(state).await? {
                tries += 1;
                if tries > 50 {
                    bail!("everything arrived, but a delivery is {state}. This run does not count");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.product.stop()?;
        // The tool ends after the product, which may still speak to it; the folder goes last.
        drop(self.tool);
        drop(self.home);
        Ok(())
    }
}

fn port_of(url: &str) -> anyhow::Result<u16> {
    let authority = url.split("://").nth(1).unwrap_or_default().split('/').next().unwrap_or_default();
    Ok(authority.rsplit(':').next().unwrap_or_default().parse()?)
}

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let (events, warm_up) = (ground.of(40_000, 2_000), ground.of(4_000, 200));
    let steady_events = ground.of(5_000, 500);
    let mut fast = Vec::new();
    let mut steady = Vec::new();
    let mut names = Vec::new();
    for (name, postgres) in [("SQLite", None), ("PostgreSQL", ground.postgres.as_deref())] {
        if name == "PostgreSQL" && postgres.is_none() {
            println!("deliver: no PostgreSQL was given");
            continue;
        }
        let mut line = Line::start(ground, postgres, json!({})).await?;
        line.round(warm_up, CLIENTS, None).await?;
        let mut rounds = Vec::new();
        for place in 1..=ROUNDS {
            let round = line.round(events, CLIENTS, None).await?;
            let (delivered, cpu) = (number(round.delivered), number(round.cpu_ms));
            println!(
                "deliver: {name}, round {place}: {delivered} events/s, {cpu} ms of processor time per 1,000"
            );
            rounds.push(round);
        }
        let mut paced = Vec::new();
        for _ in 0..ROUNDS {
            paced.push(line.round(steady_events, CLIENTS, Some(STEADY_PER_SECOND)).await?);
        }
        line.stop()?;
        names.push(name);
        fast.push(rounds);
        steady.push(paced);
    }
    let text = section(events, steady_events, &names, &fast, &steady)?;
    Ok(Section { title: "Accept and deliver", text })
}

fn section(
    events: u64,
    steady_events: u64,
    names: &[&str],
    fast: &[Vec<Round>],
    steady: &[Vec<Round>],
) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{CLIENTS} clients, each with one request at a time, send {} events to one webhook with 64 \
         requests at a time; {ROUNDS} rounds. Times of a delivery are waits in a full queue here; the second \
         table shows them at a steady rate.\n",
        number(events as f64)
    )?;
    writeln!(text, "{}", table(names, fast))?;
    let shown = number(steady_events as f64);
    writeln!(text, "At {STEADY_PER_SECOND} events a second, {shown} events, {ROUNDS} rounds:\n")?;
    write!(text, "{}", table(names, steady))?;
    if names.len() == 1 {
        writeln!(text, "\nPostgreSQL was not measured.")?;
    }
    Ok(text)
}

type Figure = (&'static str, fn(&Round) -> f64);

const POSTGRES_CPU: &str = "PostgreSQL, ms of processor time per 1,000 deliveries";

const FIGURES: &[Figure] = &[
    ("answered, events/s", |round| round.acks),
    ("delivered, events/s", |round| round.delivered),
    ("answer p50, ms", |round| round.ack_p50_ms),
    ("answer p99, ms", |round| round.ack_p99_ms),
    ("delivery p50, ms", |round| round.p50_ms),
    ("delivery p99, ms", |round| round.p99_ms),
    ("Consign, ms of processor time per 1,000 deliveries", |round| round.cpu_ms),
    (POSTGRES_CPU, |round| round.postgres_cpu_ms),
    ("Consign, memory at the end, MiB", |round| round.memory_mib),
    ("Consign, most memory, MiB", |round| round.peak_mib),
];

fn table(names: &[&str], columns: &[Vec<Round>]) -> Table {
    let mut table = Table::new(std::iter::once("").chain(names.iter().copied()));
    for (label, figure) in FIGURES {
        let cells = names.iter().zip(columns).map(|(name, rounds)| match *name {
            "SQLite" if *label == POSTGRES_CPU => "none".to_owned(),
            _ => Spread::of(rounds.iter().map(figure)).to_string(),
        });
        table.row(std::iter::once((*label).to_owned()).chain(cells));
    }
    table
}
