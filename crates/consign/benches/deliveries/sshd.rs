//! A private OpenSSH server on loopback whose folder is in memory, and OpenSSH's own client beside the product.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::ground::{Folder, Ground, free_port};
use crate::process;

/// Files arrive in memory, so that protocol and encryption decide, not a disk.
const MEMORY: &str = "/dev/shm";
/// What Debian's sshd wants for its separation of privileges, when root starts it.
const SEPARATION: &str = "/run/sshd";
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// The running server; dropping it ends it.
pub(crate) struct Server {
    process: Child,
    keys: Folder,
    inbox: Folder,
    port: u16,
    user: String,
}

/// What another client took.
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) cpu_ms: f64,
}

impl Server {
    /// Starts it with an ed25519 host key; it lets in whoever measures, by a key of its own.
    pub(crate) fn start(ground: &Ground) -> anyhow::Result<Self> {
        let (keys, port, user) = (ground.home()?, free_port()?, output("id", &["-un"])?);
        if !Path::new(MEMORY).is_dir() {
            bail!("there is no {MEMORY}: files would be measured on a disk");
        }
        let inbox = Folder::create(Path::new(MEMORY).join(format!("consign-bench-{}", std::process::id())))?;
        for name in ["host", "id"] {
            let path = keys.path().join(name).display().to_string();
            output("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &path])?;
        }
        let here = keys.path().display();
        let options = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {here}/host\nAuthorizedKeysFile {here}/id.pub\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUseDNS no\nSubsystem sftp internal-sftp\nLogLevel ERROR\n"
        );
        std::fs::write(keys.path().join("sshd_config"), options)?;
        if user == "root" {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(SEPARATION)?;
        }
        let process = spawn(keys.path())?;
        let mut server = Self { process, keys, inbox, port, user };
        server.listens()?;
        Ok(server)
    }

    fn listens(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if self.process.try_wait()?.is_some() || start.elapsed() > START_TIME_MAX {
                let said = std::fs::read_to_string(self.keys.path().join("log")).unwrap_or_default();
                bail!("sshd does not start: {}", said.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where files arrive.
    pub(crate) fn inbox(&self) -> &Path {
        self.inbox.path()
    }

    /// Removes what has arrived.
    pub(crate) fn empty(&self) -> anyhow::Result<()> {
        for file in std::fs::read_dir(self.inbox.path())? {
            std::fs::remove_file(file?.path())?;
        }
        Ok(())
    }

    /// What Consign is told to get in.
    pub(crate) fn credential(&self, port: u16) -> anyhow::Result<Value> {
        let read = |name: &str| std::fs::read_to_string(self.keys.path().join(name));
        Ok(json!({
            "name": "Files", "protocol": "sftp", "hostname": format!("sftp://127.0.0.1:{port}/"),
            "sftp_server_fingerprint": [read("host.pub")?.trim()], "authorization_type": "ssh_key",
            "username": self.user, "ssh_key": read("id")?,
        }))
    }

    /// Its own port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its host key, for clients that come by this port.
    fn known(&self, port: u16) -> anyhow::Result<PathBuf> {
        let public = std::fs::read_to_string(self.keys.path().join("host.pub"))?;
        let known = self.keys.path().join(format!("known-{port}"));
        std::fs::write(&known, format!("[127.0.0.1]:{port} {public}"))?;
        Ok(known)
    }

    /// Puts files there with `sftp -b`, as many as the pattern fits.
    pub(crate) fn sftp(&self, port: u16, cipher: Option<&str>, files: &str) -> anyhow::Result<Taken> {
        let here = self.keys.path();
        let batch = here.join("batch");
        std::fs::write(&batch, format!("put {files} {}/\n", self.inbox.path().display()))?;
        let mut command = Command::new("sftp");
        command.arg("-q").args(cipher.iter().flat_map(|cipher| ["-c", cipher]));
        for option in ["StrictHostKeyChecking=yes", "BatchMode=yes", "IdentitiesOnly=yes"] {
            command.args(["-o", option]);
        }
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.known(port)?.display()));
        command.args(["-F", "none", "-i"]).arg(here.join("id")).args(["-P", &port.to_string(), "-b"]);
        command.arg(&batch).arg(format!("{}@127.0.0.1", self.user));
        taken(&mut command)
    }

    /// Copies a file, or what is in a folder, with rclone.
    pub(crate) fn rclone(&self, port: u16, source: &str) -> anyhow::Result<Taken> {
        let here = self.keys.path();
        let config = format!(
            "[there]\ntype = sftp\nhost = 127.0.0.1\nport = {port}\nuser = {}\nkey_file = {}\nknown_hosts_file = {}\n\
             shell_type = none\nmd5sum_command = none\nsha1sum_command = none\n",
            self.user,
            here.join("id").display(),
            self.known(port)?.display(),
        );
        let file = here.join("rclone.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new("rclone");
        command.arg("--config").arg(file).args([
            "copy",
            "--no-check-dest",
            "--ignore-times",
            "--no-traverse",
        ]);
        command.args(["--transfers", "8", source]).arg(format!("there:{}", self.inbox.path().display()));
        taken(&mut command)
    }
}

fn taken(command: &mut Command) -> anyhow::Result<Taken> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let (start, cpu) = (Instant::now(), process::ended_children_cpu_ms()?);
    let said = command.output().with_context(|| format!("{name} cannot be started"))?;
    let seconds = start.elapsed().as_secs_f64();
    if !said.status.success() {
        bail!("{name} does not work: {}", String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(Taken { seconds, cpu_ms: process::ended_children_cpu_ms()? - cpu })
}

/// Whether rclone is here to be compared with.
pub(crate) fn has_rclone() -> bool {
    Command::new("rclone").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already has nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(folder: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(program()?);
    command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(folder.join("log"))?);
    command.spawn().context("sshd cannot be started")
}

/// sshd starts only by its full path.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join("sshd")).find(|program| program.is_file());
    found.context("there is no sshd: install openssh-server")
}

/// `OpenSSH_9.2p1`.
pub(crate) fn version() -> anyhow::Result<String> {
    let said =
        Command::new("ssh").arg("-V").output().context("ssh cannot be started: install openssh-client")?;
    let said = String::from_utf8_lossy(&said.stderr);
    Ok(said.split([' ', ',']).next().unwrap_or_default().to_owned())
}

fn output(program: &str, words: &[&str]) -> anyhow::Result<String> {
    let said = Command::new(program).args(words).stdin(Stdio::null()).output();
    let said = said.with_context(|| format!("{program} cannot be started"))?;
    if !said.status.success() {
        bail!("{program} does not work: {}", String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}
