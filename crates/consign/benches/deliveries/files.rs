//! Data exporters to an OpenSSH server beside OpenSSH's own client, in turns: one large file, many small ones, and records
//! from the store.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context as Waker, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};

use crate::figures::{Spread, Table, number};
use crate::ground::Ground;
use crate::load::Client;
use crate::product::{Home, Product};
use crate::report::Section;
use crate::rows;
use crate::sshd::{self, Server};

const ROUNDS: usize = 5;
const SMALL_ROUNDS: usize = 3;
const SMALL_BYTES: usize = 4 << 10;
const BLOCK_BYTES: usize = 1 << 20;
/// The product works on so many runs at a time, one of each exporter.
const EXPORTERS: usize = 4;
/// Between two looks at a run or a folder.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(600);
const GCM: &str = "aes128-gcm@openssh.com";
const OCTETS: &str = "application/octet-stream";

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let server = Server::start(ground)?;
    let large = large(ground, &server).await?;
    let memory = memory(ground, &server).await?;
    let small = small(ground, &server).await?;
    let rows = rows::run(ground, &server).await?;
    let text = format!(
        "SQLite. The server is {} on loopback with an ed25519 host key; files arrive in memory (tmpfs). Consign puts \
         each file on the disk of the server as far as it can (`fsync`), compares its size and renames it, over \
         AES-256-GCM in a session that it keeps; `sftp` writes under the final name, in a session of its own each \
         time.\n\n{large}\n{memory}\n{small}\n{rows}",
        sshd::version()?
    );
    Ok(Section { title: "Files to an SFTP server", text })
}

/// A product with exporters to the server.
pub(crate) struct Sender {
    pub(crate) product: Product,
    pub(crate) client: Client,
    pub(crate) exporters: Vec<String>,
    _home: Home,
}

impl Sender {
    /// Starts it with so many exporters, each with its own settings.
    pub(crate) async fn start(ground: &Ground, server: &Server, settings: &[Value]) -> anyhow::Result<Self> {
        let home = Home::create(ground, None)?;
        let client = home.client()?;
        let product = home.serve()?;
        client.call(Method::POST, "/credentials", Some(&server.credential()?)).await?;
        let mut exporters = Vec::new();
        for (place, settings) in settings.iter().enumerate() {
            let mut exporter = json!({
                "name": format!("Exporter {place}"), "credential": "Files", "folder": server.inbox(),
                "if_exists": "replace",
            });
            for (key, value) in settings.as_object().into_iter().flatten() {
                exporter[key] = value.clone();
            }
            let made = client.call(Method::POST, "/exporters", Some(&exporter)).await?;
            exporters.push(id(&made)?);
        }
        Ok(Self { product, client, exporters, _home: home })
    }

    /// Waits until a run is done; one that needed a second attempt does not count.
    pub(crate) async fn until_done(&self, run: &str) -> anyhow::Result<Value> {
        let start = Instant::now();
        loop {
            let shown = self.client.call(Method::GET, &format!("/runs/{run}"), None).await?;
            if shown["state"] == "done" {
                return Ok(shown);
            }
            if shown["state"] == "failed" || shown["attempts"] != 0 || start.elapsed() > PATIENCE {
                bail!("a run is not done at its first attempt: {shown}. This run does not count");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Pushes a file through an exporter, and tells its run.
    async fn push<B>(&self, exporter: usize, name: &str, body: B) -> anyhow::Result<String>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let path = format!("/exporters/{}/files?file_name={name}", self.exporters[exporter]);
        id(&self.client.post(&path, OCTETS, body).await?)
    }
}

/// The id of what was made.
pub(crate) fn id(made: &Value) -> anyhow::Result<String> {
    Ok(made["id"].as_str().context("what is made has an id")?.to_owned())
}

fn pushed() -> Value {
    json!({ "source": "pushed", "columns": [{ "name": "n" }] })
}

/// A block, again and again.
struct Repeated {
    block: Bytes,
    left: u64,
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Waker<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.block.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left * BLOCK_BYTES as u64)
    }
}

/// A block that does not compress.
fn block() -> anyhow::Result<Bytes> {
    let mut block = vec![0; BLOCK_BYTES];
    aws_lc_rs::rand::fill(&mut block).map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    Ok(Bytes::from(block))
}

/// Whether a file is this block so many times, and nothing else.
fn check(path: &Path, block: &Bytes, times: u64) -> anyhow::Result<()> {
    let mut file = File::open(path).context("the file did not arrive")?;
    let mut found = vec![0; BLOCK_BYTES];
    let mut same = file.metadata()?.len() == times * BLOCK_BYTES as u64;
    for _ in 0..times {
        same = same && file.read_exact(&mut found).is_ok() && found == *block;
    }
    if same { Ok(()) } else { bail!("{} is not what was sent. This run does not count", path.display()) }
}

/// What one kind of client took, round by round.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    cpu_ms: Vec<f64>,
}

impl Rounds {
    fn push(&mut self, amount: u64, seconds: f64, cpu_ms: f64) {
        self.rates.push(amount as f64 / seconds);
        self.cpu_ms.push(cpu_ms);
    }

    fn rate(&self) -> String {
        Spread::of(self.rates.iter().copied()).to_string()
    }

    fn cpu(&self) -> String {
        Spread::of(self.cpu_ms.iter().copied()).to_string()
    }

    /// These by those, round by round.
    fn ratios(&self, others: &Self) -> [String; 2] {
        let ratio = |ours: &[f64], theirs: &[f64]| {
            Spread::of(ours.iter().zip(theirs).map(|(a, b)| a / b)).to_string()
        };
        [ratio(&self.rates, &others.rates), ratio(&self.cpu_ms, &others.cpu_ms)]
    }
}

/// One large file, sent again and again, by three clients in turn.
async fn large(ground: &Ground, server: &Server) -> anyhow::Result<String> {
    let (mib, block) = (ground.of(1_024, 32), block()?);
    let folder = ground.home()?;
    let source = folder.path().join("large");
    let mut written = File::create(&source)?;
    for _ in 0..mib {
        written.write_all(&block)?;
    }
    written.sync_all()?;
    drop(written);
    let sender = Sender::start(ground, server, &[pushed()]).await?;
    let (start, cpu) = (Instant::now(), sender.product.cpu_ms()?);
    let first = sender.push(0, "large", Repeated { block: block.clone(), left: mib }).await?;
    let (taken_in, intake_cpu) = (start.elapsed().as_secs_f64(), sender.product.cpu_ms()? - cpu);
    sender.until_done(&first).await?;
    let arrived = server.inbox().join("large");
    check(&arrived, &block, mib)?;
    let mut rounds: [Rounds; 3] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..rounds.len() {
            // Who comes first in one round comes last in the next.
            let client = (round + turn) % rounds.len();
            server.empty()?;
            let (seconds, cpu_ms) = if client == 0 {
                let (start, cpu) = (Instant::now(), sender.product.cpu_ms()?);
                let again =
                    sender.client.call(Method::POST, &format!("/runs/{first}/repetitions"), None).await?;
                sender.until_done(&id(&again)?).await?;
                (start.elapsed().as_secs_f64(), sender.product.cpu_ms()? - cpu)
            } else {
                let cipher = (client == 2).then_some(GCM);
                let taken = server.sftp(cipher, &source.display().to_string())?;
                (taken.seconds, taken.cpu_ms)
            };
            check(&arrived, &block, mib)?;
            rounds[client].push(mib, seconds, cpu_ms);
            let name = ["consign", "sftp", "sftp gcm"][client];
            println!("files: large: {name}: {} s, {} ms of processor", number(seconds), number(cpu_ms));
        }
    }
    sender.product.stop()?;
    server.empty()?;
    let [ours, default, gcm] = &rounds;
    let mut table = Table::new([
        "one file",
        "MiB/s",
        "client's processor time, ms",
        "rate of Consign by it",
        "time by its",
    ]);
    table.row(["Consign, from the store".to_owned(), ours.rate(), ours.cpu(), String::new(), String::new()]);
    for (name, theirs) in [("`sftp`".to_owned(), default), (format!("`sftp -c {GCM}`"), gcm)] {
        let [rate, cpu] = ours.ratios(theirs);
        table.row([name, theirs.rate(), theirs.cpu(), rate, cpu]);
    }
    Ok(format!(
        "One file of {} MiB that does not compress, {ROUNDS} rounds of each client in turn. Consign reads it from its \
         store, where it is encrypted, and sends it again each time, timed from the request to the run that is seen \
         done (looked at every {} ms); `sftp` reads it from a file, timed from its start to its end. Aims: 1.0 times \
         the rate of `sftp` with GCM, 1.5 times that of `sftp`, 1.1 times the processor time of `sftp` with GCM. Before, \
         the file was pushed once: {} MiB/s into the store, {} ms of processor time.\n\n{table}",
        number(mib as f64),
        LOOK.as_millis(),
        number(mib as f64 / taken_in),
        number(intake_cpu),
    ))
}

/// The most memory of a fresh product while a file comes in and while it leaves.
async fn memory(ground: &Ground, server: &Server) -> anyhow::Result<String> {
    let (mib, block) = (ground.of(2_048, 64), block()?);
    let sender = Sender::start(ground, server, &[pushed()]).await?;
    sender.product.forget_peak()?;
    let before = sender.product.memory()?.peak;
    let run = sender.push(0, "larger", Repeated { block: block.clone(), left: mib }).await?;
    let coming_in = sender.product.memory()?.peak;
    sender.product.forget_peak()?;
    sender.until_done(&run).await?;
    let leaving = sender.product.memory()?.peak;
    check(&server.inbox().join("larger"), &block, mib)?;
    sender.product.stop()?;
    server.empty()?;
    println!("files: memory: {} then {} then {} MiB", number(before), number(coming_in), number(leaving));
    let mut table = Table::new([
        format!("a push of {} MiB through a fresh process", number(mib as f64)),
        "MiB".to_owned(),
    ]);
    table.row(["memory before".to_owned(), number(before)]);
    table.row(["most memory while it comes in".to_owned(), number(coming_in)]);
    table.row(["most memory while it leaves".to_owned(), number(leaving)]);
    Ok(format!("Resident memory of the server; the aim is 64 MiB or less.\n\n{table}"))
}

/// Many small files, each a push and a run of its own, against one batch of `sftp`.
async fn small(ground: &Ground, server: &Server) -> anyhow::Result<String> {
    let (count, block) = (ground.of(3_000, 60), block()?);
    let content = |place: u64| {
        let from = place as usize * 7 % (BLOCK_BYTES - SMALL_BYTES);
        block.slice(from..from + SMALL_BYTES)
    };
    let folder = ground.home()?;
    for place in 0..count {
        std::fs::write(folder.path().join(format!("f{place:06}")), content(place))?;
    }
    let all = folder.path().join("f*").display().to_string();
    let sender = Sender::start(ground, server, &vec![pushed(); EXPORTERS]).await?;
    let mut rounds: [Rounds; 3] = Default::default();
    for round in 0..SMALL_ROUNDS {
        for turn in 0..rounds.len() {
            let client = (round + turn) % rounds.len();
            server.empty()?;
            let (seconds, cpu_ms) = match client {
                0 => drain(&sender, server, 1, count, content).await?,
                1 => drain(&sender, server, EXPORTERS, count, content).await?,
                _ => {
                    let taken = server.sftp(None, &all)?;
                    (taken.seconds, taken.cpu_ms)
                }
            };
            for place in 0..count {
                let found = std::fs::read(server.inbox().join(format!("f{place:06}")));
                if found.context("a small file did not arrive")? != content(place) {
                    bail!("a small file is not what was sent. This run does not count");
                }
            }
            rounds[client].push(count, seconds, cpu_ms);
            let name = ["one exporter", "four exporters", "sftp"][client];
            println!("files: small: {name}: {} s, {} ms of processor", number(seconds), number(cpu_ms));
        }
    }
    sender.product.stop()?;
    server.empty()?;
    let [one, four, sftp] = &rounds;
    let mut table = Table::new([
        "small files",
        "files/s",
        "client's processor time, ms",
        "rate by `sftp -b`",
        "time by its",
    ]);
    for (name, ours) in [("Consign, one exporter", one), ("Consign, four exporters", four)] {
        let [rate, cpu] = ours.ratios(sftp);
        table.row([name.to_owned(), ours.rate(), ours.cpu(), rate, cpu]);
    }
    table.row(["`sftp -b`".to_owned(), sftp.rate(), sftp.cpu(), String::new(), String::new()]);
    Ok(format!(
        "{} files of 4 KiB, {SMALL_ROUNDS} rounds of each in turn. In Consign each pushed file is a run of its own, with \
         its states and log in the database, and an exporter has one run at a time. The files are pushed while the \
         exporters are paused; it is timed from the moment they are resumed until all files have their final names \
         (looked at every {} ms). The aim is 1.5 times `sftp -b`.\n\n{table}",
        number(count as f64),
        LOOK.as_millis(),
    ))
}

/// Pushes files to paused exporters, resumes those, and tells how long all took to arrive.
async fn drain(
    sender: &Sender,
    server: &Server,
    exporters: usize,
    count: u64,
    content: impl Fn(u64) -> Bytes,
) -> anyhow::Result<(f64, f64)> {
    let pauses = |place: usize| format!("/exporters/{}/pauses", sender.exporters[place]);
    for place in 0..exporters {
        sender.client.call(Method::POST, &pauses(place), None).await?;
    }
    let mut last = String::new();
    for place in 0..count {
        let exporter = place as usize % exporters;
        last = sender.push(exporter, &format!("f{place:06}"), Full::new(content(place))).await?;
    }
    let (start, cpu) = (Instant::now(), sender.product.cpu_ms()?);
    for place in 0..exporters {
        sender.client.call(Method::DELETE, &pauses(place), None).await?;
    }
    while arrived(server)? < count {
        if start.elapsed() > PATIENCE {
            bail!("{} of {count} small files arrived in time. This run does not count", arrived(server)?);
        }
        tokio::time::sleep(LOOK).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    sender.until_done(&last).await?;
    Ok((seconds, sender.product.cpu_ms()? - cpu))
}

/// Files under their final names; a part starts with a dot.
fn arrived(server: &Server) -> anyhow::Result<u64> {
    let mut count = 0;
    for file in std::fs::read_dir(server.inbox())? {
        count += u64::from(!file?.file_name().as_encoded_bytes().starts_with(b"."));
    }
    Ok(count)
}
