//! The product: a data folder with its options, `consign serve` over it, and its set-up through the API.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::ground::{Folder, Ground, free_port};
use crate::load::Client;
use crate::process::{self, Memory};

const PROGRAM: &str = env!("CARGO_BIN_EXE_consign");
const START_TIME_MAX: Duration = Duration::from_secs(30);
/// Longer than the grace time for running attempts.
const STOP_TIME_MAX: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(1);
/// Of a failed program's complaint, the end.
const COMPLAINT_BYTES: usize = 1_000;

/// The administrator of a [`Home::of_person`].
pub(crate) const EMAIL: &str = "ana@example.com";
/// Theirs; whoever reaches loopback of this machine may look at made-up data.
pub(crate) const PASSWORD: &str = "a-bench-of-oak-and-iron";

/// A data folder and its options, without a process.
pub(crate) struct Home {
    folder: Folder,
    address: SocketAddr,
}

/// A running `consign serve`; dropping it kills it.
pub(crate) struct Product {
    process: Child,
    /// Its process id.
    pub(crate) id: u32,
    /// From the start of the program until it was ready.
    pub(crate) ready_after: Duration,
}

impl Home {
    /// Writes the options: the tool's authority is trusted and loopback is open, all else is as delivered.
    pub(crate) fn create(ground: &Ground, postgres: Option<&str>) -> anyhow::Result<Self> {
        Self::trusting(ground, &ground.certificates.authority, "127.0.0.1:*", postgres)
    }

    /// The same with an administrator, who can sign in to the console.
    pub(crate) fn of_person(ground: &Ground) -> anyhow::Result<Self> {
        let home = Self::create(ground, None)?;
        let mut options = File::options().append(true).open(home.folder.path().join("consign.toml"))?;
        write!(options, "\n[admin]\nemail = \"{EMAIL}\"\npassword = \"{PASSWORD}\"\n")?;
        Ok(home)
    }

    /// The same with another authority and rule.
    pub(crate) fn trusting(
        ground: &Ground,
        authority: &Path,
        rule: &str,
        postgres: Option<&str>,
    ) -> anyhow::Result<Self> {
        let folder = ground.home()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut options = json!({
            "server": { "listen": address, "metrics_listen": "" },
            "data": { "dir": folder.path().join("data") },
            "egress": { "allow": [rule], "allow_loopback": true, "ca_file": authority },
        });
        if let Some(url) = postgres {
            options["database"] = json!({ "url": url });
        }
        std::fs::write(folder.path().join("consign.toml"), toml::to_string(&options)?)?;
        Ok(Self { folder, address })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        // No option may come from the environment of whoever measures.
        command.env_clear().current_dir(self.folder.path()).args(words).args(["--config", "consign.toml"]);
        command.stdin(Stdio::null());
        command
    }

    /// An API key, made before the server starts.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let made = self.command(&["admin", "api-key", "--name", "benchmark", "--scope", "admin"]).output()?;
        if !made.status.success() {
            bail!("no API key: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        Client::new(self.address, String::from_utf8(made.stdout)?.trim())
    }

    /// Starts the server and waits until it is ready. The log has its usual level, and goes nowhere.
    pub(crate) fn serve(&self) -> anyhow::Result<Product> {
        let complaints = self.folder.path().join("stderr");
        let mut command = self.command(&["serve"]);
        command.stdout(Stdio::null()).stderr(File::create(&complaints)?);
        let start = Instant::now();
        let process = command.spawn()?;
        let id = process.id();
        let mut product = Product { process, id, ready_after: Duration::ZERO };
        while !is_ready(self.address) {
            let ended = product.process.try_wait()?;
            if ended.is_some() || start.elapsed() > START_TIME_MAX {
                let said = std::fs::read_to_string(&complaints).unwrap_or_default();
                let from = said.ceil_char_boundary(said.len().saturating_sub(COMPLAINT_BYTES));
                bail!("consign serve does not become ready: {}", &said[from..]);
            }
            std::thread::sleep(LOOK);
        }
        product.ready_after = start.elapsed();
        Ok(product)
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let asked = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
        let mut status = [0_u8; 12];
        stream.read_exact(&mut status)?;
        Ok(&status == b"HTTP/1.1 200")
    };
    asked().unwrap_or(false)
}

impl Product {
    pub(crate) fn cpu_ms(&self) -> anyhow::Result<f64> {
        process::cpu_ms(self.id)
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        process::memory(self.id)
    }

    /// From now on the most memory is counted anew.
    pub(crate) fn forget_peak(&self) -> anyhow::Result<()> {
        process::forget_peak(self.id)
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw).context("a process has an id")?;
        kill_process(id, Signal::TERM)?;
        let start = Instant::now();
        while start.elapsed() < STOP_TIME_MAX {
            if let Some(status) = self.process.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(anyhow::anyhow!("consign serve ended with {status}"))
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("consign serve does not stop")
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // After a clean stop there is nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A credential for the tool and a webhook of an event type; tells the webhook's id.
pub(crate) async fn connect(
    client: &Client,
    origin: &str,
    token: &str,
    event_type: &str,
    settings: Value,
) -> anyhow::Result<String> {
    let bearer = json!({ "authorization_type": "bearer", "header_prefix": "Bearer", "token": token });
    connect_with(client, origin, bearer, event_type, settings).await
}

/// The same with a sign-in of one's own.
pub(crate) async fn connect_with(
    client: &Client,
    origin: &str,
    mut credential: Value,
    event_type: &str,
    settings: Value,
) -> anyhow::Result<String> {
    credential["name"] = json!(format!("Tool of {event_type}"));
    credential["protocol"] = json!("https");
    credential["url_address"] = json!(origin);
    let credential = client.call(Method::POST, "/credentials", Some(&credential)).await?;
    let mut webhook = json!({
        "name": format!("Webhook of {event_type}"),
        "credential": credential["id"],
        "path": "/hook",
        "event_types": [event_type],
    });
    for (key, value) in settings.as_object().into_iter().flatten() {
        webhook[key] = value.clone();
    }
    let webhook = client.call(Method::POST, "/webhooks", Some(&webhook)).await?;
    Ok(webhook["id"].as_str().context("a webhook has an id")?.to_owned())
}

/// The address of a port of the tool.
pub(crate) fn origin(port: u16) -> String {
    format!("https://127.0.0.1:{port}/")
}
