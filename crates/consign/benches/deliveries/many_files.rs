//! Many small files, each a push and a run of its own, beside one batch of other clients; on loopback and over a distance.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;

use crate::figures::{Table, number};
use crate::files::{BLOCK_BYTES, LOOK, PATIENCE, Rounds, Sender, block, pushed};
use crate::ground::Ground;
use crate::relay::{self, Relay};
use crate::report::Section;
use crate::sshd::{self, Server};

const ROUNDS: usize = 5;
const FAR_ROUNDS: usize = 3;
const SMALL_BYTES: usize = 4 << 10;

pub(crate) async fn run(ground: &Ground) -> anyhow::Result<Section> {
    let server = Server::start(ground)?;
    let near = Trial {
        server: &server,
        port: server.port(),
        block: block()?,
        counts: [ground.of(5_000, 60), ground.of(5_000, 60), ground.of(5_000, 60)],
        rounds: ROUNDS,
    };
    let near_table = near.run(ground, "near").await?;
    let relay = Relay::start(server.port())?;
    // The others take a second for a few dozen files.
    let counts = [ground.of(3_000, 60), ground.of(100, 10), ground.of(200, 10)];
    let far = Trial { server: &server, port: relay.port(), block: block()?, counts, rounds: FAR_ROUNDS };
    let far_table = far.run(ground, "far").await?;
    let text = format!(
        "SQLite. The server is {} on loopback; files arrive in memory (tmpfs). In Consign each pushed file is a run of its \
         own, with its states and log in the database: claimed, on the disk of the server (`fsync`), measured, noted \
         before it may have its name, renamed, measured again, noted as done. Files of one exporter leave side by side \
         over one session. The files are pushed while the exporter is paused; it is timed from the moment it is resumed \
         until all files have their final names (looked at every {} ms). `sftp -b` and `rclone --transfers 8` write under \
         the final names, without `fsync`.{}\n\n{} files of 4 KiB, {ROUNDS} rounds of each in turn; ratios are taken \
         round by round. The aim is 1.5 times `sftp -b`.\n\n{near_table}\nBy way of a relay that delays every byte by {} \
         ms in each direction; {} files by Consign, {} by `sftp -b`, {FAR_ROUNDS} rounds in turn. The aim is 20 times \
         `sftp -b`.\n\n{far_table}",
        sshd::version()?,
        LOOK.as_millis(),
        if sshd::has_rclone() { "" } else { " There is no rclone here: install rclone to have it compared." },
        number(near.counts[0] as f64),
        relay::ONE_WAY.as_millis(),
        number(counts[0] as f64),
        number(counts[1] as f64),
    );
    Ok(Section { title: "Many small files to an SFTP server", text })
}

/// Files that all send in turn.
struct Trial<'a> {
    server: &'a Server,
    port: u16,
    block: Bytes,
    /// How many files Consign, `sftp` and `rclone` send.
    counts: [u64; 3],
    rounds: usize,
}

impl Trial<'_> {
    async fn run(&self, ground: &Ground, what: &str) -> anyhow::Result<Table> {
        let folders = [ground.home()?, ground.home()?, ground.home()?];
        for (folder, count) in folders.iter().zip(self.counts) {
            for place in 0..count {
                std::fs::write(folder.path().join(name(place)), self.content(place))?;
            }
        }
        let sender = Sender::start_by(ground, self.server, self.port, &[pushed()]).await?;
        let names = ["Consign", "`sftp -b`", "`rclone --transfers 8`"];
        let clients = if sshd::has_rclone() { 3 } else { 2 };
        let mut rounds: [Rounds; 3] = Default::default();
        for round in 0..self.rounds {
            for turn in 0..clients {
                let client = (round + turn) % clients;
                self.server.empty()?;
                let (count, folder) = (self.counts[client], folders[client].path());
                let (seconds, cpu_ms) = match client {
                    0 => self.drain(&sender).await?,
                    1 => self.batch(folder)?,
                    _ => {
                        let taken = self.server.rclone(self.port, &folder.display().to_string())?;
                        (taken.seconds, taken.cpu_ms)
                    }
                };
                self.check(count)?;
                // For so many files as Consign sends.
                let cpu_ms = cpu_ms / count as f64 * self.counts[0] as f64;
                rounds[client].push(count, seconds, cpu_ms);
                let rate = number(count as f64 / seconds);
                println!(
                    "many-files: {what}: {}: {rate}/s, {} ms of processor",
                    names[client],
                    number(cpu_ms)
                );
            }
        }
        sender.product.stop()?;
        self.server.empty()?;
        let head =
            ["small files", "files/s", "client's processor time, ms", "rate of Consign by it", "time by its"];
        let mut table = Table::new(head);
        for client in 0..clients {
            let theirs = &rounds[client];
            let [rate, cpu] =
                if client == 0 { [String::new(), String::new()] } else { rounds[0].ratios(theirs) };
            table.row([names[client].to_owned(), theirs.rate(), theirs.cpu(), rate, cpu]);
        }
        Ok(table)
    }

    fn content(&self, place: u64) -> Bytes {
        let from = place as usize * 7 % (BLOCK_BYTES - SMALL_BYTES);
        self.block.slice(from..from + SMALL_BYTES)
    }

    fn batch(&self, folder: &Path) -> anyhow::Result<(f64, f64)> {
        let taken = self.server.sftp(self.port, None, &folder.join("f*").display().to_string())?;
        Ok((taken.seconds, taken.cpu_ms))
    }

    fn check(&self, count: u64) -> anyhow::Result<()> {
        for place in 0..count {
            let found = std::fs::read(self.server.inbox().join(name(place)));
            if found.context("a small file did not arrive")? != self.content(place) {
                bail!("a small file is not what was sent. This run does not count");
            }
        }
        Ok(())
    }

    /// Pushes files to the paused exporter, resumes it, and tells how long all took to arrive.
    async fn drain(&self, sender: &Sender) -> anyhow::Result<(f64, f64)> {
        let (pauses, count) = (format!("/exporters/{}/pauses", sender.exporters[0]), self.counts[0]);
        sender.client.call(Method::POST, &pauses, None).await?;
        let mut last = String::new();
        for place in 0..count {
            last = sender.push(0, &name(place), Full::new(self.content(place))).await?;
        }
        let (start, cpu) = (Instant::now(), sender.product.cpu_ms()?);
        sender.client.call(Method::DELETE, &pauses, None).await?;
        while arrived(self.server)? < count {
            if start.elapsed() > PATIENCE {
                let found = arrived(self.server)?;
                bail!("{found} of {count} small files arrived in time. This run does not count");
            }
            tokio::time::sleep(LOOK).await;
        }
        let seconds = start.elapsed().as_secs_f64();
        sender.until_done(&last).await?;
        Ok((seconds, sender.product.cpu_ms()? - cpu))
    }
}

fn name(place: u64) -> String {
    format!("f{place:06}")
}

/// Files under their final names; a part starts with a dot.
fn arrived(server: &Server) -> anyhow::Result<u64> {
    let mut count = 0;
    for file in std::fs::read_dir(server.inbox())? {
        count += u64::from(!file?.file_name().as_encoded_bytes().starts_with(b"."));
    }
    Ok(count)
}
