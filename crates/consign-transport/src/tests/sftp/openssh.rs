//! OpenSSH's sshd, one for each test, with a folder, host keys and a log of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU32;

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A running sshd; it ends with the value.
pub(super) struct Sshd {
    child: Child,
    pub(super) folder: Folder,
    pub(super) port: u16,
}

/// How one is set up.
pub(super) struct Setup<'a> {
    /// Private keys it proves itself with.
    pub(super) host_keys: &'a [&'a str],
    /// Public keys that are let in.
    pub(super) authorized: &'a [&'a str],
    /// Further lines of its configuration.
    pub(super) lines: &'a str,
    /// It runs where the account [`ANA`] exists, with [`PASSWORD`], after these commands. Needs root.
    pub(super) apart: Option<&'a str>,
}

/// An account of a server that runs apart.
pub(super) const ANA: &str = "ana";
pub(super) const PASSWORD: &str = "open sesame";
/// Her number, which nobody else has.
const ANA_ID: u32 = 47_001;

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { host_keys: &[ED25519, P256, P384, P521, RSA], authorized: &[P256_PUB], lines: "", apart: None }
    }
}

impl Sshd {
    /// Starts one and waits until it listens.
    pub(super) fn start(setup: &Setup<'_>) -> Self {
        let folder = Folder::new("sshd");
        let here = folder.path().display().to_string();
        let mut text = String::new();
        for (place, key) in setup.host_keys.iter().enumerate() {
            let path = folder.write(&format!("host_{place}"), key);
            text.push_str(&format!("HostKey {}\n", path.display()));
        }
        let authorized: String = setup.authorized.iter().map(|line| format!("{}\n", line.trim())).collect();
        folder.write("authorized", &authorized);
        let port = free_port();
        text.push_str(&format!(
            "ListenAddress 127.0.0.1\nPort {port}\nPidFile {here}/pid\nLogLevel DEBUG1\nStrictModes no\n\
             AuthorizedKeysFile {here}/authorized\nPermitRootLogin yes\nUseDNS no\nMaxStartups 100\n"
        ));
        let own = |word: &str| setup.lines.lines().any(|line| line.trim().starts_with(word));
        if !own("UsePAM") {
            text.push_str("UsePAM no\n");
        }
        if !own("PasswordAuthentication") {
            text.push_str("PasswordAuthentication no\nKbdInteractiveAuthentication no\n");
        }
        if !own("Subsystem") {
            text.push_str("Subsystem sftp internal-sftp\n");
        }
        text.push_str(setup.lines);
        let config = folder.write("sshd_config", &text);
        if is_root() {
            // The folder that the privilege separation of Debian's sshd wants.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let program = variable("CONSIGN_TEST_SSHD", "/usr/sbin/sshd");
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = match setup.apart {
            None => Command::new(&program),
            Some(first) => apart(&folder, &program, first),
        };
        command.args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("sshd is installed: cargo xtask test --only peers");
        let mut sshd = Self { child, folder, port };
        sshd.wait();
        sshd
    }

    fn wait(&mut self) {
        for _ in 0..200 {
            if listens(self.port) {
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "sshd ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("sshd does not listen: {}", self.log());
    }

    /// All that it wrote so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How many lines of its log hold a text.
    pub(super) fn logged(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// No sign-in was as much as tried: not the name of an account was told.
    #[track_caller]
    pub(super) fn saw_no_sign_in(&self) {
        let log = self.log();
        assert!(log.contains("Connection from"), "{log}");
        assert!(!log.contains("userauth-request"), "{log}");
    }

    /// A folder below its own, for files.
    pub(super) fn inbox(&self) -> PathBuf {
        let inbox = self.folder.path().join("inbox");
        std::fs::create_dir_all(&inbox).unwrap();
        inbox
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command in a mount namespace of its own, where another `passwd` and `shadow` lie over those of the system: a real
/// account with a real password, which exists for this server alone.
fn apart(folder: &Folder, program: &Path, first: &str) -> Command {
    assert!(is_root(), "accounts with passwords need root: run this test as root");
    let here = folder.path().display().to_string();
    let hash = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    let line = format!("{ANA}:x:{ANA_ID}:{ANA_ID}::{here}/home:/bin/sh\n");
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let passwd = folder.write("passwd", &(read("/etc/passwd") + &line));
    let shadow =
        folder.write("shadow", &format!("{}{ANA}:{}:19000:0:99999:7:::\n", read("/etc/shadow"), hash.trim()));
    std::fs::set_permissions(&passwd, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let authorized = folder.path().join("authorized");
    std::fs::set_permissions(authorized, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::create_dir_all(folder.path().join("home")).unwrap();
    let home = folder.path().join("home");
    std::os::unix::fs::chown(home, Some(ANA_ID), Some(ANA_ID)).unwrap();
    let script = format!(
        "set -e; mount --bind {} /etc/passwd; mount --bind {} /etc/shadow; HERE={here}; {first}\nexec \"$@\"",
        passwd.display(),
        shadow.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(program);
    command
}

/// A folder that goes with the value.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("consign-test-{what}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner reads, as keys have to be.
    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Who runs the tests, and so whom sshd lets in by key.
pub(super) fn user() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

pub(super) fn is_root() -> bool {
    user() == "root"
}

/// The program that the gate found, or where Debian has it.
#[expect(clippy::disallowed_methods, reason = "the gate tells tests their peers by environment")]
pub(super) fn variable(name: &str, usual: &str) -> PathBuf {
    std::env::var_os(name).map_or_else(|| usual.into(), PathBuf::from)
}

/// Whether somebody listens on a port.
#[expect(clippy::disallowed_methods, reason = "a knock, before the test begins")]
pub(super) fn listens(port: u16) -> bool {
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A new key of a type, private and public.
pub(super) fn generate(kind: &[&str]) -> (String, String) {
    let folder = Folder::new("key");
    let path = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "", "-t"])
        .args(kind)
        .arg("-f")
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    (std::fs::read_to_string(&path).unwrap(), public)
}
