//! The pages of the console over full tables: how long a signed-in browser waits for each, and how much it gets.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::addresses::{PAGES, left_out};
use crate::figures::{Table, number, percentile};
use crate::ground::{Ground, free_port};
use crate::load::{Client, Load};
use crate::product::{self, Home};
use crate::report::Section;
use crate::tool::{Port, Tool};
use crate::visitor::Visitor;

const WEBHOOKS: u64 = 40;
/// The webhook whose pages are opened: its requests arrive, and are signed.
const OPENED: u64 = 1;
/// Runs of the exporter.
const RUNS: u64 = 40;
/// Calls through the gateway.
const CALLS: u64 = 2_000;
const BATCH_EVENTS: u64 = 500;
const CLIENTS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(600);
/// One key may make 500 requests a second.
const BETWEEN_CREDENTIALS: Duration = Duration::from_millis(2);
/// What is aimed at, for each page.
const AIM_MS: f64 = 50.0;

/// A page with its address.
struct Page {
    name: &'static str,
    path: String,
}

/// What a page took, with one state of the tables.
#[derive(Clone, Default)]
struct Taken {
    /// From the request to the last byte of the answer, sorted.
    answers_us: Vec<u32>,
    page: Bytes,
}

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let gets = consign::console::addresses().filter(|(method, _)| method.as_str() == "GET");
    let left_out = left_out(&gets.map(|(_, address)| address).collect::<Vec<_>>());
    if !left_out.is_empty() {
        let left_out = left_out.join(", ");
        bail!(
            "not measured, and no reason is given why not: {left_out}. Add each to one of the lists of addresses.rs"
        );
    }
    let (credentials, deliveries) = (ground.of(10_000, 200), ground.of(1_000_000, 20_000));
    let home = Home::of_person(ground)?;
    let client = home.client()?;
    let product = home.serve()?;
    let tables = Tables::fill(ground, &client, credentials).await?;
    let mut visitor = Visitor::sign_in(&client).await?;

    let mut next_id = 0;
    let mut batches = async |count: u64| {
        let load = Load { first_id: next_id, count, clients: CLIENTS, per_second: None, types: WEBHOOKS };
        next_id += count;
        load.send_batches(&client, BATCH_EVENTS, PATIENCE).await
    };
    // Some of each state first, and a replay of what failed.
    batches(ground.of(4_000, 2_000)).await?;
    until_none_waits(&client).await?;
    let again = json!({ "filter": { "connector": tables.webhooks[0] }, "rate_per_second": 50 });
    client.call_once(Method::POST, "/replays", "again", &again).await?;
    tables.pause(&client, true).await?;
    let filling = Instant::now();
    batches(deliveries).await?;
    println!("pages: {} deliveries wait after {} s", number(deliveries as f64), filling.elapsed().as_secs());
    let pages = pages(&client, &tables).await?;
    let rounds = usize::try_from(ground.of(100, 3))?;
    let waiting = measure(&mut visitor, &pages, rounds).await?;

    tables.pause(&client, false).await?;
    until_none_waits(&client).await?;
    println!("pages: they are delivered after {} s", filling.elapsed().as_secs());
    let ended = measure(&mut visitor, &pages, rounds).await?;
    let assets = visitor.assets(&ended[0].page).await?;
    product.stop()?;
    drop(tables);

    let counts = format!(
        "SQLite, {} credentials and {} deliveries to {WEBHOOKS} webhooks, one of which never reaches its tool, \
         {} runs of an exporter and {} calls through a gateway",
        number(credentials as f64),
        number(deliveries as f64),
        ground.of(RUNS, 2),
        number(ground.of(CALLS, 20) as f64)
    );
    Ok(Section {
        title: "Pages of the console",
        text: text(&counts, rounds, &pages, &waiting, &ended, &assets),
    })
}

/// The set-up: credentials, webhooks of their own event types, and what ran and was called before.
struct Tables {
    webhooks: Vec<String>,
    exporter: String,
    run: String,
    gateway: String,
    /// A credential that waits for somebody to approve it.
    approved: String,
    /// A credential that signs assertions.
    signed: String,
    /// Ends with the tables.
    _tool: Tool,
}

impl Tables {
    async fn fill(ground: &Ground, client: &Client, credentials: u64) -> anyhow::Result<Self> {
        let port = free_port()?;
        let tool = Tool::start(&ground.certificates, &ground.token, &[Port { number: port, hangs: false }])?;
        let start = Instant::now();
        let mut webhooks = Vec::new();
        for number in 0..WEBHOOKS {
            // Nobody listens behind the first: what goes there fails, and is not tried again.
            let (port, retries) = if number == 0 { (free_port()?, json!([])) } else { (port, json!(null)) };
            let mut settings = json!({ "max_concurrency": 16, "retry_schedule_seconds": retries });
            if number == OPENED {
                settings["signature"] = json!("hmac");
            }
            let origin = product::origin(port);
            let kind = format!("bench.{number}");
            webhooks.push(product::connect(client, &origin, &ground.token, &kind, settings).await?);
        }
        for number in WEBHOOKS..credentials {
            let credential = json!({
                "name": format!("Tool {number}"), "protocol": "https",
                "url_address": product::origin(port),
                "authorization_type": "bearer", "header_prefix": "Bearer", "token": ground.token,
            });
            client.call(Method::POST, "/credentials", Some(&credential)).await?;
            tokio::time::sleep(BETWEEN_CREDENTIALS).await;
        }
        println!("pages: {credentials} credentials after {} s", start.elapsed().as_secs());
        let (exporter, run) = export(ground, client).await?;
        let gateway = json!({ "name": "Desk", "credential": "Tool of bench.1", "slug": "desk", "path_prefixes": ["/"] });
        let gateway = id(&client.call(Method::POST, "/gateways", Some(&gateway)).await?)?;
        client.call_gateway("/gateway/desk/hook", ground.of(CALLS, 20)).await?;
        let (approved, signed) = oauth(client, &product::origin(port)).await?;
        Ok(Self { webhooks, exporter, run, gateway, approved, signed, _tool: tool })
    }

    async fn pause(&self, client: &Client, pauses: bool) -> anyhow::Result<()> {
        let method = if pauses { Method::POST } else { Method::DELETE };
        for id in &self.webhooks {
            client.call(method.clone(), &format!("/webhooks/{id}/pauses"), None).await?;
        }
        Ok(())
    }
}

/// A credential that somebody has to approve, and one that signs.
async fn oauth(client: &Client, origin: &str) -> anyhow::Result<(String, String)> {
    let token_url = format!("{origin}token");
    let approved = json!({
        "name": "Service desk", "protocol": "https", "url_address": origin,
        "authorization_type": "oauth2_authorization_code", "client_id": "client", "client_secret": "made up for this bench",
        "authorization_code_url": format!("{origin}authorize"), "access_token_url": token_url,
        "authentication_information": "body", "pkce": "off", "scope": "read",
    });
    let signed = json!({
        "name": "HXM", "protocol": "https", "url_address": origin, "authorization_type": "oauth2_saml_bearer",
        "key_pair": "generate", "key_pair_bits": 2048, "name_id": "ana.silva", "issuer": "https://consign.example",
        "audience": "www.successfactors.com", "recipient": token_url,
        "oauth_token_requests": [{ "name": "client_id", "value": "client" }],
    });
    let approved = id(&client.call(Method::POST, "/credentials", Some(&approved)).await?)?;
    Ok((approved, id(&client.call(Method::POST, "/credentials", Some(&signed)).await?)?))
}

/// An exporter with runs that are done, and the last of them.
async fn export(ground: &Ground, client: &Client) -> anyhow::Result<(String, String)> {
    let exporter = json!({
        "name": "List", "credential": "Tool of bench.1", "path": "/hook", "format": "ndjson", "source": "pushed",
        "columns": [],
    });
    let exporter = id(&client.call(Method::POST, "/exporters", Some(&exporter)).await?)?;
    let mut last = String::new();
    for number in 0..ground.of(RUNS, 2) {
        let of = format!("/exporters/{exporter}");
        let (records, run) = (format!("records-{number}"), format!("run-{number}"));
        client.call_once(Method::POST, &format!("{of}/records"), &records, &json!([{ "n": number }])).await?;
        last = id(&client.call_once(Method::POST, &format!("{of}/runs"), &run, &json!({})).await?)?;
        let start = Instant::now();
        while client.call(Method::GET, &format!("/runs/{last}"), None).await?["state"] != "done" {
            if start.elapsed() > PATIENCE {
                bail!("a run is not done after {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok((exporter, last))
}

fn id(shown: &Value) -> anyhow::Result<String> {
    Ok(shown["id"].as_str().context("what was made has an id")?.to_owned())
}

async fn until_none_waits(client: &Client) -> anyhow::Result<()> {
    let start = Instant::now();
    while !client.has_none("pending").await? {
        if start.elapsed() > PATIENCE {
            bail!("deliveries still wait after {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// The addresses of all pages, with the ids of what there is.
async fn pages(client: &Client, tables: &Tables) -> anyhow::Result<Vec<Page>> {
    let id_of = async |path: &str, key: &str| {
        let found = client.call(Method::GET, path, None).await?;
        let id = found.pointer(key).and_then(|id| id.as_str()).map(str::to_owned);
        id.with_context(|| format!("{path} has no {key}"))
    };
    let webhook = &tables.webhooks[usize::try_from(OPENED)?];
    let credential = id_of(&format!("/webhooks/{webhook}"), "/credential/id").await?;
    let delivered = id_of("/deliveries?state=delivered&limit=1", "/items/0/id").await?;
    let failed = id_of("/deliveries?state=failed&limit=1", "/items/0/id").await?;
    let event = id_of("/events?limit=1", "/items/0/id").await?;
    let operation = id_of("/operations", "/items/0/id").await?;
    let user = id_of("/users", "/items/0/id").await?;
    let key = id_of("/api-keys", "/items/0/id").await?;
    let ids: [(&str, &str); 13] = [
        ("{credential}", credential.as_str()),
        ("{approved}", &tables.approved),
        ("{signed}", &tables.signed),
        ("{webhook}", webhook),
        ("{exporter}", &tables.exporter),
        ("{run}", &tables.run),
        ("{gateway}", &tables.gateway),
        ("{delivered}", &delivered),
        ("{failed}", &failed),
        ("{event}", &event),
        ("{operation}", &operation),
        ("{user}", &user),
        ("{key}", &key),
    ];
    let filled = |path: &str| ids.iter().fold(path.to_owned(), |path, (what, id)| path.replace(what, id));
    Ok(PAGES.iter().map(|&(name, path)| Page { name, path: filled(path) }).collect())
}

/// All pages in turn, round after round, so that none has a better time of the machine than another.
async fn measure(visitor: &mut Visitor, pages: &[Page], rounds: usize) -> anyhow::Result<Vec<Taken>> {
    visitor.come_back().await?;
    let mut taken = vec![Taken::default(); pages.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (page, taken) in pages.iter().zip(&mut taken) {
            let start = Instant::now();
            taken.page = visitor.page(&page.path).await?;
            if round > 0 {
                taken.answers_us.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
        }
    }
    for taken in &mut taken {
        taken.answers_us.sort_unstable();
    }
    Ok(taken)
}

/// As many bytes as gzip of the best level would make of a page, which is sent as it is.
fn gzipped(bytes: &[u8]) -> f64 {
    const HEADER_AND_TRAILER: usize = 18;
    (miniz_oxide::deflate::compress_to_vec(bytes, 9).len() + HEADER_AND_TRAILER) as f64
}

fn text(
    counts: &str,
    rounds: usize,
    pages: &[Page],
    waiting: &[Taken],
    ended: &[Taken],
    assets: &[Bytes],
) -> String {
    let mut table =
        Table::new(["", "wait p50, ms", "wait p95, ms", "ended p50, ms", "ended p95, ms", "KiB", "KiB gz"]);
    let ms = |taken: &Taken, share| percentile(&taken.answers_us, share) / 1e3;
    let mut beyond = Vec::new();
    for ((page, waiting), ended) in pages.iter().zip(waiting).zip(ended) {
        let heavier = if waiting.page.len() > ended.page.len() { &waiting.page } else { &ended.page };
        let times = [ms(waiting, 0.5), ms(waiting, 0.95), ms(ended, 0.5), ms(ended, 0.95)];
        if times[1].max(times[3]) > AIM_MS {
            beyond.push(page.name);
        }
        let sizes = [heavier.len() as f64 / 1024.0, gzipped(heavier) / 1024.0];
        let cells = times.into_iter().chain(sizes).map(number);
        table.row(std::iter::once(page.name.to_owned()).chain(cells));
    }
    let aim = if beyond.is_empty() {
        format!("The aim, a p95 below {AIM_MS} ms, is reached by every page.")
    } else {
        format!("The aim, a p95 below {AIM_MS} ms, is missed by: {}.", beyond.join(", "))
    };
    let first = ended[0].page.len() + assets.iter().map(Bytes::len).sum::<usize>();
    format!(
        "{counts}. Twice {rounds} rounds of all pages, one request after another over one connection, signed in as an \
         administrator: while all of them wait behind paused webhooks, and when they have ended. A time is from the request \
         to the last byte of the page. {aim} The first load ({}, and style, script and icons as gzip) is {} KiB. Pages \
         are sent without compression; KiB gz is what gzip would make of them.\n\n{table}",
        pages[0].name,
        number(first as f64 / 1024.0)
    )
}
