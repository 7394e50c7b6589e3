//! OpenSSH's sshd: it judges keys itself, and its log tells who tried to sign in. It lets in whoever runs the tests.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use super::free_port;
use crate::harness::{Folder, eventually, http, variable};

/// What answers SFTP.
const SUBSYSTEM: &str = "Subsystem sftp internal-sftp";

pub(crate) struct Sshd {
    child: Child,
    folder: Folder,
    port: u16,
}

/// A key pair, made for this test.
pub(crate) struct KeyPair {
    pub(crate) private: String,
    pub(crate) public: String,
}

impl KeyPair {
    /// `kind` as ssh-keygen has it; an empty passphrase is none.
    pub(crate) fn generate(kind: &str, passphrase: &str) -> Self {
        let folder = Folder::new("key");
        let path = folder.join("key");
        let mut made = Command::new("ssh-keygen");
        made.args(["-q", "-C", "", "-a", "4", "-t", kind, "-N", passphrase, "-f"]).arg(&path);
        assert!(made.status().expect("ssh-keygen is installed").success());
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        Self { private: read("key"), public: read("key.pub") }
    }

    /// `SHA256:…` of the public half.
    pub(crate) fn fingerprint(&self) -> String {
        let folder = Folder::new("print");
        let path = folder.write("key.pub", format!("{}\n", self.public));
        let said = Command::new("ssh-keygen").args(["-lf", &path]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    }
}

impl Sshd {
    /// Starts one with these host keys that lets in by this public key.
    pub(crate) async fn start(host_keys: &[&KeyPair], authorized: &str) -> Self {
        let (folder, port) = (Folder::new("sshd"), free_port());
        folder.write("authorized", format!("{authorized}\n"));
        std::fs::create_dir(folder.join("inbox")).unwrap();
        let child = spawn(&folder, port, host_keys);
        let sshd = Self { child, folder, port };
        sshd.listens().await;
        sshd
    }

    /// The same server with other host keys.
    pub(crate) async fn change_keys(&mut self, host_keys: &[&KeyPair]) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(&self.folder, self.port, host_keys);
        self.listens().await;
    }

    /// The same server, which refuses these requests of SFTP from now on, in new sessions.
    pub(crate) async fn deny(&mut self, requests: &str) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let path = self.folder.join("sshd_config");
        let config = std::fs::read_to_string(&path).unwrap();
        let (rest, _) = config.split_once(SUBSYSTEM).unwrap();
        let denied = if requests.is_empty() { String::new() } else { format!(" -P {requests}") };
        // It is the last line.
        std::fs::write(&path, format!("{rest}{SUBSYSTEM}{denied}\n")).unwrap();
        self.child = run(&self.folder);
        self.listens().await;
    }

    async fn listens(&self) {
        let address = (Ipv4Addr::LOCALHOST, self.port).into();
        eventually("sshd listens", async || http::connect(address).await.ok()).await;
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `sftp://127.0.0.1:port/`.
    pub(crate) fn hostname(&self) -> String {
        format!("sftp://127.0.0.1:{}/", self.port)
    }

    /// A folder on it.
    pub(crate) fn inbox(&self) -> String {
        self.folder.join("inbox").display().to_string()
    }

    /// The names in that folder.
    pub(crate) fn files(&self) -> usize {
        std::fs::read_dir(self.folder.join("inbox")).unwrap().count()
    }

    /// How often a sign-in was as much as begun.
    pub(crate) fn sign_ins(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap();
        log.lines().filter(|line| line.contains("userauth-request")).count()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The account that it lets in.
pub(crate) fn user() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn spawn(folder: &Folder, port: u16, host_keys: &[&KeyPair]) -> Child {
    let here = folder.path().display();
    let mut config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nPidFile {here}/pid\nLogLevel DEBUG1\nStrictModes no\nUsePAM no\n\
         AuthorizedKeysFile {here}/authorized\nPermitRootLogin yes\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nUseDNS no\nMaxStartups 100\n"
    );
    for (place, key) in host_keys.iter().enumerate() {
        let path = folder.write(&format!("host_{place}"), format!("{}\n", key.private));
        config.push_str(&format!("HostKey {path}\n"));
    }
    folder.write("sshd_config", format!("{config}{SUBSYSTEM}\n"));
    run(folder)
}

fn run(folder: &Folder) -> Child {
    if user() == "root" {
        // The folder that the privilege separation of Debian's sshd wants.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    let mut command = Command::new(variable("CONSIGN_TEST_SSHD"));
    command
        .args(["-D", "-e", "-f"])
        .arg(folder.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command.spawn().unwrap()
}
