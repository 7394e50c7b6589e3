//! The real server in a process of its own, which can be told to stop, or killed.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use super::cli::PROGRAM;
use super::{Client, Folder, eventually};
use crate::peers;

/// `consign serve` over a data folder.
pub(crate) struct Process {
    child: Child,
    pub(crate) client: Client,
    output: PathBuf,
}

/// The options of a server over this folder: names and values of the environment.
pub(crate) fn options(folder: &Folder, address: SocketAddr) -> Vec<(String, String)> {
    let ca = folder.write("ca.pem", peers::authority().pem());
    let data = folder.join("data").display().to_string();
    let options = [
        ("CONSIGN_SERVER_LISTEN", address.to_string()),
        ("CONSIGN_SERVER_METRICS_LISTEN", String::new()),
        ("CONSIGN_DATA_DIR", data),
        ("CONSIGN_EGRESS_ALLOW", "127.0.0.1:*".to_owned()),
        ("CONSIGN_EGRESS_ALLOW_LOOPBACK", "true".to_owned()),
        ("CONSIGN_EGRESS_CA_FILE", ca),
        ("CONSIGN_LOG_LEVEL", "info,consign=debug".to_owned()),
    ];
    options.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

/// An address of loopback that nobody has now.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, peers::free_port()))
}

impl Process {
    /// Starts a server over this folder and waits until it answers.
    pub(crate) async fn start(folder: &Folder, words: &[&str]) -> Self {
        let address = free_address();
        let mut command = Command::new(PROGRAM);
        command
            .arg("serve")
            .args(words)
            .env_clear()
            .envs(options(folder, address))
            .current_dir(folder.path());
        Self::spawn(command, address, folder.path()).await
    }

    /// Starts a command that serves at this address, and waits until it answers.
    pub(crate) async fn spawn(mut command: Command, address: SocketAddr, folder: &Path) -> Self {
        let output = folder.join(format!("output-{}", address.port()));
        let file = File::create(&output).unwrap();
        command.stderr(file.try_clone().unwrap());
        if command.get_program() == PROGRAM {
            command.stdin(Stdio::null()).stdout(file);
        } else {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        }
        // A group of its own, so that a shell and what it started end together.
        let child = command.process_group(0).spawn().expect("the program starts");
        let client = Client::new(address, super::http::Served::default());
        let process = Self { child, client, output };
        eventually("the server to answer", async || {
            let reply = process.client.try_send("GET", "/healthz", &[], "").await.ok()?;
            (reply.status == 200).then_some(())
        })
        .await;
        process
    }

    /// The most memory that it has held so far.
    pub(crate) fn resident_bytes_max(&mut self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child().id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// What it printed and logged.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the process to end", async || self.child.try_wait().unwrap()).await
    }

    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.ended().await
    }

    /// A call of the API.
    pub(crate) async fn call(&self, key: &str, method: &str, path: &str, body: &Value) -> super::Reply {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("if-match", "*")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.send(method, &format!("/api/v1{path}"), &headers, body).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// An API key for everything, made over a data folder whose server is stopped.
pub(crate) async fn admin_key(folder: &Folder) -> String {
    let words = ["admin", "api-key", "--name", "tests", "--scope", "admin"];
    let mut command = super::Cli::new(folder.path(), &words);
    for (name, value) in options(folder, free_address()) {
        command = command.env(&name, &value);
    }
    command.run().await.expect(0).stdout.trim().to_owned()
}
