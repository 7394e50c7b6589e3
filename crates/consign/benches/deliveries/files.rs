//! Data exporters to an OpenSSH server beside other clients, in turns: one large file, and records from the store.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context as Waker, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hyper::Method;
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};

use crate::figures::{Spread, Table, number};
use crate::ground::Ground;
use crate::load::Client;
use crate::product::{Home, Product};
use crate::relay::{self, Relay};
use crate::report::Section;
use crate::rows;
use crate::sshd::{self, Server};

const ROUNDS: usize = 5;
const FAR_ROUNDS: usize = 3;
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
/// Between two looks at a run or a folder.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
pub(crate) const GCM: &str = "aes128-gcm@openssh.com";
const OCTETS: &str = "application/octet-stream";

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let server = Server::start(ground)?;
    let large = large(ground, &server).await?;
    let far = far(ground, &server).await?;
    let memory = memory(ground, &server).await?;
    let rows = rows::run(ground, &server).await?;
    let text = format!(
        "SQLite. The server is {} on loopback with an ed25519 host key; files arrive in memory (tmpfs). Consign puts \
         each file on the disk of the server as far as it can (`fsync`), compares its size and renames it, over \
         AES-256-GCM in a session that it keeps; the others write under the final name, in a session of their own each \
         time.{}\n\n{large}\n{far}\n{memory}\n{rows}",
        sshd::version()?,
        if sshd::has_rclone() { "" } else { " There is no rclone here: install rclone to have it compared." },
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
        Self::start_by(ground, server, server.port(), settings).await
    }

    /// The same by way of another port.
    pub(crate) async fn start_by(
        ground: &Ground,
        server: &Server,
        port: u16,
        settings: &[Value],
    ) -> anyhow::Result<Self> {
        let home = Home::create(ground, None)?;
        let client = home.client()?;
        let product = home.serve()?;
        client.call(Method::POST, "/credentials", Some(&server.credential(port)?)).await?;
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
    pub(crate) async fn push<B>(&self, exporter: usize, name: &str, body: B) -> anyhow::Result<String>
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

pub(crate) fn pushed() -> Value {
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
pub(crate) fn block() -> anyhow::Result<Bytes> {
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
pub(crate) struct Rounds {
    rates: Vec<f64>,
    cpu_ms: Vec<f64>,
}

impl Rounds {
    pub(crate) fn push(&mut self, amount: u64, seconds: f64, cpu_ms: f64) {
        self.rates.push(amount as f64 / seconds);
        self.cpu_ms.push(cpu_ms);
    }

    pub(crate) fn rate(&self) -> String {
        Spread::of(self.rates.iter().copied()).to_string()
    }

    pub(crate) fn cpu(&self) -> String {
        Spread::of(self.cpu_ms.iter().copied()).to_string()
    }

    /// These by those, round by round.
    pub(crate) fn ratios(&self, others: &Self) -> [String; 2] {
        let ratio = |ours: &[f64], theirs: &[f64]| {
            Spread::of(ours.iter().zip(theirs).map(|(a, b)| a / b)).to_string()
        };
        [ratio(&self.rates, &others.rates), ratio(&self.cpu_ms, &others.cpu_ms)]
    }
}

/// Who sends a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Consign,
    Sftp,
    SftpGcm,
    Rclone,
}

impl Who {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Consign, Self::Sftp, Self::SftpGcm];
        all.extend(sshd::has_rclone().then_some(Self::Rclone));
        all
    }

    fn name(self) -> &'static str {
        match self {
            Self::Consign => "Consign, from the store",
            Self::Sftp => "`sftp`",
            Self::SftpGcm => "`sftp -c aes128-gcm@openssh.com`",
            Self::Rclone => "`rclone copy`",
        }
    }
}

/// One large file that is sent again and again.
struct Course<'a> {
    server: &'a Server,
    /// The port by which all reach the server.
    port: u16,
    sender: Sender,
    /// The run that is repeated.
    first: String,
    source: &'a Path,
    block: &'a Bytes,
    mib: u64,
}

impl Course<'_> {
    /// Rounds of all in turn.
    async fn rounds(&self, what: &str, count: usize) -> anyhow::Result<Vec<(Who, Rounds)>> {
        let mut rounds: Vec<_> = Who::all().into_iter().map(|who| (who, Rounds::default())).collect();
        let arrived = self.server.inbox().join("large");
        for round in 0..count {
            for turn in 0..rounds.len() {
                // Who comes first in one round comes last in the next.
                let place = (round + turn) % rounds.len();
                let (who, taken) = &mut rounds[place];
                self.server.empty()?;
                let (seconds, cpu_ms) = self.send(*who).await?;
                check(&arrived, self.block, self.mib)?;
                taken.push(self.mib, seconds, cpu_ms);
                let rate = number(self.mib as f64 / seconds);
                println!("files: {what}: {}: {rate} MiB/s, {} ms of processor", who.name(), number(cpu_ms));
            }
        }
        Ok(rounds)
    }

    async fn send(&self, who: Who) -> anyhow::Result<(f64, f64)> {
        let source = self.source.display().to_string();
        let taken = match who {
            Who::Consign => {
                let (start, cpu) = (Instant::now(), self.sender.product.cpu_ms()?);
                let path = format!("/runs/{}/repetitions", self.first);
                let again = self.sender.client.call(Method::POST, &path, None).await?;
                self.sender.until_done(&id(&again)?).await?;
                return Ok((start.elapsed().as_secs_f64(), self.sender.product.cpu_ms()? - cpu));
            }
            Who::Sftp => self.server.sftp(self.port, None, &source)?,
            Who::SftpGcm => self.server.sftp(self.port, Some(GCM), &source)?,
            Who::Rclone => self.server.rclone(self.port, &source)?,
        };
        Ok((taken.seconds, taken.cpu_ms))
    }
}

fn table(rounds: &[(Who, Rounds)]) -> Table {
    let head = ["one file", "MiB/s", "client's processor time, ms", "rate of Consign by it", "time by its"];
    let mut table = Table::new(head);
    let ours = &rounds[0].1;
    for (who, theirs) in rounds {
        let [rate, cpu] = match who {
            Who::Consign => [String::new(), String::new()],
            _ => ours.ratios(theirs),
        };
        table.row([who.name().to_owned(), theirs.rate(), theirs.cpu(), rate, cpu]);
    }
    table
}

/// A file of this block so many times.
fn write(path: &Path, block: &[u8], times: u64) -> anyhow::Result<()> {
    let mut written = File::create(path)?;
    for _ in 0..times {
        written.write_all(block)?;
    }
    Ok(written.sync_all()?)
}

/// One large file on loopback.
async fn large(ground: &Ground, server: &Server) -> anyhow::Result<String> {
    let (mib, block, folder) = (ground.of(1_024, 32), block()?, ground.home()?);
    let source = folder.path().join("large");
    write(&source, &block, mib)?;
    let sender = Sender::start(ground, server, &[pushed()]).await?;
    let (start, cpu) = (Instant::now(), sender.product.cpu_ms()?);
    let first = sender.push(0, "large", Repeated { block: block.clone(), left: mib }).await?;
    let (taken_in, intake_cpu) = (start.elapsed().as_secs_f64(), sender.product.cpu_ms()? - cpu);
    sender.until_done(&first).await?;
    check(&server.inbox().join("large"), &block, mib)?;
    let course = Course { server, port: server.port(), sender, first, source: &source, block: &block, mib };
    let rounds = course.rounds("large", ROUNDS).await?;
    course.sender.product.stop()?;
    server.empty()?;
    Ok(format!(
        "One file of {} MiB that does not compress, {ROUNDS} rounds of each client in turn; ratios are taken round by \
         round. Consign reads it from its store, where it is encrypted, and sends it again each time, timed from the \
         request to the run that is seen done (looked at every {} ms); the others read it from a file, timed from their \
         start to their end. Aims: 1.0 times the rate of `sftp` with GCM, 1.5 times that of `sftp`, 1.1 times the \
         processor time of `sftp` with GCM. Before, the file was pushed once: {} MiB/s into the store, {} ms of \
         processor time.\n\n{}",
        number(mib as f64),
        LOOK.as_millis(),
        number(mib as f64 / taken_in),
        number(intake_cpu),
        table(&rounds),
    ))
}

/// One large file to a server that is far away.
async fn far(ground: &Ground, server: &Server) -> anyhow::Result<String> {
    let (mib, block, folder) = (ground.of(256, 8), block()?, ground.home()?);
    let source = folder.path().join("large");
    write(&source, &block, mib)?;
    let relay = Relay::start(server.port())?;
    let port = relay.port();
    let sender = Sender::start_by(ground, server, port, &[pushed()]).await?;
    let first = sender.push(0, "large", Repeated { block: block.clone(), left: mib }).await?;
    sender.until_done(&first).await?;
    let course = Course { server, port, sender, first, source: &source, block: &block, mib };
    let rounds = course.rounds("far", FAR_ROUNDS).await?;
    course.sender.product.stop()?;
    server.empty()?;
    Ok(format!(
        "A file of {} MiB by way of a relay that delays every byte by {} ms in each direction, {FAR_ROUNDS} rounds in \
         turn. The server takes 2 MiB before it says more, which bounds every client on one connection. The aim is 0.98 \
         times the rate of `sftp`.\n\n{}",
        number(mib as f64),
        relay::ONE_WAY.as_millis(),
        table(&rounds),
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
