//! The file server of the demo: OpenSSH's own, where it is installed, with keys and a folder that go with the demo. A program
//! of somebody else judges the sign-in, and a file arrives that anybody can read.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{bail, ensure};
use serde_json::{Value, json};

use super::LOOK_EVERY;
use crate::config::variable;

/// How to get the server.
pub(super) const ADVICE: &str = "apt-get install openssh-server (or your system's own package of it)";
/// The name of its credential.
pub(super) const NAME: &str = "Demo file server";
/// It listens within this time, or something is wrong with it.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

/// A server that runs as long as this is kept.
pub(super) struct FileServer {
    child: Child,
    port: u16,
    user: String,
    host_key: String,
    user_key: String,
    inbox: PathBuf,
}

impl FileServer {
    /// Starts one, if it is installed. `folder`: where its keys and files are.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        let (Some(sshd), Some(keygen)) = (find("sshd"), find("ssh-keygen")) else { return Ok(None) };
        let here = folder.join("file-server");
        let inbox = here.join("inbox");
        std::fs::create_dir_all(&inbox)?;
        let key = |name: &str| -> anyhow::Result<(String, String)> {
            let path = here.join(name);
            let mut make = Command::new(&keygen);
            make.args(["-q", "-t", "ed25519", "-C", "", "-N", "", "-f"]).arg(&path).stdin(Stdio::null());
            ensure!(make.status()?.success(), "ssh-keygen made no key");
            let public = std::fs::read_to_string(path.with_extension("pub"))?.trim().to_owned();
            Ok((std::fs::read_to_string(&path)?, public))
        };
        let ((_, host_key), (user_key, authorized)) = (key("host")?, key("user")?);
        std::fs::write(here.join("authorized"), format!("{authorized}\n"))?;
        let user = String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?.trim().to_owned();
        if user == "root" {
            // Where the privilege separation of Debian's server stands.
            std::fs::create_dir_all("/run/sshd")?;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = here.join("sshd_config");
        std::fs::write(&config, configuration(&here, port))?;
        let log = std::fs::File::create(here.join("log"))?;
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(&config);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let mut server = Self { child, port, user, host_key, user_key, inbox };
        server.listens(&here.join("log")).await?;
        Ok(Some(server))
    }

    async fn listens(&mut self, log: &Path) -> anyhow::Result<()> {
        for _ in 0..STARTS_WITHIN.as_millis() / LOOK_EVERY.as_millis() {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            if said.contains("Server listening on 127.0.0.1") {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() {
                bail!("sshd ended: {}", said.lines().last().unwrap_or("it said nothing"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("sshd did not listen within {} seconds", STARTS_WITHIN.as_secs())
    }

    /// Its port on loopback.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    fn address(&self) -> String {
        format!("sftp://127.0.0.1:{}/", self.port)
    }

    /// A credential for it.
    pub(super) fn credential(&self) -> Value {
        json!({
            "name": NAME,
            "protocol": "sftp",
            "hostname": self.address(),
            "sftp_server_fingerprint": [self.host_key],
            "authorization_type": "ssh_key",
            "username": self.user,
            "ssh_key": self.user_key,
        })
    }

    /// The folder where files arrive.
    pub(super) fn inbox(&self) -> &Path {
        &self.inbox
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        // It may have ended by itself, as with Ctrl-C in a terminal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program in a folder of `PATH`, or in the `sbin` beside one.
fn find(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let beside = folders.iter().filter_map(|folder| Some(folder.parent()?.join("sbin")));
    folders.iter().cloned().chain(beside).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Loopback, this user, one key, files only.
fn configuration(here: &Path, port: u16) -> String {
    let here = here.display();
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nPidFile none\nHostKey {here}/host\n\
         AuthorizedKeysFile {here}/authorized\nStrictModes no\nUsePAM no\nUseDNS no\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         DisableForwarding yes\nPermitTTY no\nSubsystem sftp internal-sftp\nForceCommand internal-sftp\n"
    )
}
