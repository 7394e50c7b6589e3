//! OAuth beside a fixed token: what a cached token costs, how soon the first delivery goes out after the end of a token,
//! and how many token requests a storm makes.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::deliver::{Line, Round};
use crate::figures::{Spread, Table, number};
use crate::ground::Ground;
use crate::load::Load;
use crate::report::Section;
use crate::sink::{TOKEN_PATH, now_ns};

const ROUNDS: usize = 6;
const CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(120);
/// A token address that is not next door.
const DELAY_MS: u64 = 100;
const LONG_LIFE_SECONDS: u64 = 3_600;
const SHORT_LIFE_SECONDS: u64 = 3;
const STEADY_PER_SECOND: u32 = 500;
const STEADY_SECONDS: u64 = 20;
const BURSTS: usize = 5;

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let (bearer, oauth) = side_by_side(ground).await?;
    let rates = |rounds: &[Round]| Spread::of(rounds.iter().map(|round| round.delivered));
    let costs = |rounds: &[Round]| Spread::of(rounds.iter().map(|round| round.cpu_ms));
    let ratios =
        Spread::of(oauth.iter().zip(&bearer).map(|(oauth, bearer)| oauth.delivered / bearer.delivered));
    let mut table = Table::new(["", "Bearer token", "client credentials, token cached"]);
    table.row(["delivered, events/s".to_owned(), rates(&bearer).to_string(), rates(&oauth).to_string()]);
    let cost = "ms of processor time per 1,000 deliveries".to_owned();
    table.row([cost, costs(&bearer).to_string(), costs(&oauth).to_string()]);
    table.row(["rate by rate of Bearer, round by round".to_owned(), String::new(), ratios.to_string()]);

    let burst_events = ground.of(2_000, 200);
    let (mut after, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..BURSTS {
        let (first_ms, requests) = burst(ground, burst_events).await?;
        println!("oauth: burst, first delivery after {} ms, {requests} token requests", number(first_ms));
        after.push(first_ms);
        asked.push(requests as f64);
    }
    let (steady, requests, seconds) = short_lived(ground).await?;
    println!("oauth: {requests} token requests in {} s", number(seconds));
    let per_life = requests as f64 * SHORT_LIFE_SECONDS as f64 / seconds;
    let mut storm = Table::new(["", "SQLite"]);
    storm.row(["first delivery after what waits may go, ms".to_owned(), Spread::of(after).to_string()]);
    storm.row([
        format!("token requests for {} waiting events", number(burst_events as f64)),
        Spread::of(asked).to_string(),
    ]);
    let shown = format!("token requests in {} s", number(seconds));
    storm.row([shown, format!("{requests}, {} for each life of a token", number(per_life))]);
    storm.row(["delivery p50 meanwhile, ms".to_owned(), number(steady.p50_ms)]);
    storm.row(["delivery p99 meanwhile, ms".to_owned(), number(steady.p99_ms)]);
    let text = format!(
        "SQLite, {CLIENTS} clients, {ROUNDS} rounds of each sign-in, alternating between two running products.\n\n\
         {table}\n\
         {BURSTS} times a fresh product holds events behind a paused webhook, without a token; the token address \
         takes {DELAY_MS} ms. Then the webhook is resumed. After that, {STEADY_PER_SECOND} events a second are sent \
         while tokens live {SHORT_LIFE_SECONDS} s and the token address takes {DELAY_MS} ms.\n\n{storm}"
    );
    Ok(Section { title: "OAuth", text })
}

fn client_credentials(origin: &str) -> Value {
    json!({
        "authorization_type": "oauth2_client_credentials", "client_id": "bench", "client_secret": "bench secret",
        "access_token_url": format!("{}{TOKEN_PATH}", origin.trim_end_matches('/')),
    })
}

/// Rounds with a fixed token and with a cached one, in turn.
async fn side_by_side(ground: &Ground) -> anyhow::Result<(Vec<Round>, Vec<Round>)> {
    let (events, warm_up) = (ground.of(30_000, 1_000), ground.of(4_000, 200));
    let mut lines = [
        Line::start(ground, None, json!({})).await?,
        Line::start_with(ground, None, json!({}), client_credentials).await?,
    ];
    lines[1].tool.give_tokens(LONG_LIFE_SECONDS, 0)?;
    for line in &mut lines {
        line.round(warm_up, CLIENTS, None).await?;
    }
    let mut rounds = (Vec::new(), Vec::new());
    for place in 0..ROUNDS {
        // Whoever comes second in one round comes first in the next.
        for turn in [place % 2, (place + 1) % 2] {
            let round = lines[turn].round(events, CLIENTS, None).await?;
            let kept = if turn == 0 { &mut rounds.0 } else { &mut rounds.1 };
            println!(
                "oauth: {}, {} events/s",
                ["bearer", "client credentials"][turn],
                number(round.delivered)
            );
            kept.push(round);
        }
    }
    for line in lines {
        line.stop()?;
    }
    Ok(rounds)
}

/// What waits goes out at once: the time until the first arrival, and the token requests of all.
async fn burst(ground: &Ground, events: u64) -> anyhow::Result<(f64, u64)> {
    let mut line = Line::start_with(ground, None, json!({}), client_credentials).await?;
    line.tool.give_tokens(LONG_LIFE_SECONDS, DELAY_MS)?;
    let pauses = format!("/webhooks/{}/pauses", line.webhook);
    line.client.call(Method::POST, &pauses, None).await?;
    let first_id = line.take_ids(events);
    line.tool.expect(first_id, events)?;
    Load { first_id, count: events, clients: CLIENTS, per_second: None, types: 1 }.send(&line.client).await?;
    let resumed_ns = now_ns();
    line.client.call(Method::DELETE, &pauses, None).await?;
    let arrived = line.tool.until(events, PATIENCE).await?;
    let requests = line.tool.tokens_given()?;
    line.check_ended().await?;
    line.stop()?;
    Ok((arrived.first_ns.saturating_sub(resumed_ns) as f64 / 1e6, requests))
}

/// A steady rate over many lives of a token: the round, its token requests and how long it took.
async fn short_lived(ground: &Ground) -> anyhow::Result<(Round, u64, f64)> {
    let mut line = Line::start_with(ground, None, json!({}), client_credentials).await?;
    line.tool.give_tokens(SHORT_LIFE_SECONDS, DELAY_MS)?;
    let events = ground.of(u64::from(STEADY_PER_SECOND) * STEADY_SECONDS, u64::from(STEADY_PER_SECOND));
    let start = now_ns();
    let round = line.round(events, CLIENTS, Some(STEADY_PER_SECOND)).await?;
    let seconds = (now_ns() - start) as f64 / 1e9;
    let requests = line.tool.tokens_given()?;
    line.stop()?;
    Ok((round, requests, seconds))
}
