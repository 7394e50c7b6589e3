//! The receiving tool as this process sees it: started, asked, and ended.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;

use crate::SINK;
use crate::certificate::Certificates;
use crate::recorder::{Count, Lateness};

/// Between two looks at what has arrived.
const LOOK: Duration = Duration::from_millis(20);

/// A port of the tool.
#[derive(Clone, Copy)]
pub(crate) struct Port {
    pub(crate) number: u16,
    /// Keeps every request for 30 seconds.
    pub(crate) hangs: bool,
}

/// The running tool; dropping it ends its process.
pub(crate) struct Tool {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Tool {
    /// Starts it, expecting nothing yet.
    pub(crate) fn start(certificates: &Certificates, token: &str, ports: &[Port]) -> anyhow::Result<Self> {
        Self::expecting(0, 0, certificates, token, ports)
    }

    /// Starts it, expecting so many events from this one on: they may arrive as soon as it listens.
    pub(crate) fn expecting(
        first_id: u64,
        count: u64,
        certificates: &Certificates,
        token: &str,
        ports: &[Port],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SINK).args([&certificates.chain, &certificates.key]).arg(token);
        command.args([first_id.to_string(), count.to_string()]);
        command
            .args(ports.iter().map(|port| format!("{}{}", if port.hangs { "~" } else { "" }, port.number)));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().context("the tool has no output")?);
        let mut tool = Self { process, commands, answers };
        let _: String = tool.read().context("the tool did not start")?;
        Ok(tool)
    }

    /// Starts counting anew, for so many events from this one on.
    pub(crate) fn expect(&mut self, first_id: u64, count: u64) -> anyhow::Result<()> {
        self.ask(&format!("expect {first_id} {count}"))
    }

    pub(crate) fn count(&mut self) -> anyhow::Result<Count> {
        self.ask("count")
    }

    /// From now on tokens live so long and are given after this delay; counting starts anew.
    pub(crate) fn give_tokens(&mut self, life_seconds: u64, delay_ms: u64) -> anyhow::Result<()> {
        self.ask(&format!("tokens {life_seconds} {delay_ms}"))
    }

    /// Token requests since then.
    pub(crate) fn tokens_given(&mut self) -> anyhow::Result<u64> {
        self.ask("tokens_given")
    }

    pub(crate) fn lateness(&mut self) -> anyhow::Result<Lateness> {
        self.ask("lateness")
    }

    /// Waits until so many different events have arrived. One wrong request is an error, and so is a lack of
    /// time.
    pub(crate) async fn until(&mut self, events: u64, patience: Duration) -> anyhow::Result<Count> {
        let start = Instant::now();
        loop {
            let count = self.count()?;
            if count.wrong > 0 {
                let fault = count.fault.unwrap_or_default();
                bail!(
                    "{} wrong requests at the tool; the first: {fault}. This run does not count",
                    count.wrong
                );
            }
            if count.delivered >= events {
                return Ok(count);
            }
            if start.elapsed() > patience {
                let (arrived, seconds) = (count.delivered, patience.as_secs());
                bail!("{arrived} of {events} events arrived within {seconds} s. This run does not count");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> anyhow::Result<T> {
        let commands = self.commands.as_mut().context("the tool was told to end")?;
        writeln!(commands, "{command}").context("the tool has ended")?;
        self.read()
    }

    fn read<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the tool has ended");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        drop(self.commands.take());
        // It ends by itself when its input does; a tool that cannot be waited for is gone already.
        let _ = self.process.wait();
    }
}
