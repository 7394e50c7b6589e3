//! The real programs that tests talk to: found, and installed by the package manager, npm and pip where missing.
//! A missing peer is an error that says what to install, never a skipped test.

mod postgres;
mod python;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use postgres::{Durability, Postgres};

use crate::{output, root, succeeds};

/// A program of somebody else's.
struct Peer {
    name: &'static str,
    /// Debian's packages.
    packages: &'static [&'static str],
    find: fn() -> Option<PathBuf>,
}

const POSTGRES: Peer =
    Peer { name: "the PostgreSQL server", packages: &["postgresql"], find: postgres::programs };
const NGINX: Peer = Peer { name: "nginx", packages: &["nginx-light"], find: || program(&["nginx"]) };
const CHROMIUM: Peer =
    Peer { name: "Chromium", packages: &["chromium"], find: || program(&["chromium", "chromium-browser"]) };
const CHROMEDRIVER: Peer =
    Peer { name: "ChromeDriver", packages: &["chromium-driver"], find: || program(&["chromedriver"]) };
const NODE: Peer = Peer { name: "Node.js", packages: &["nodejs"], find: || program(&["node", "nodejs"]) };
const NPM: Peer = Peer { name: "npm", packages: &["npm"], find: || program(&["npm"]) };

const XMLSEC1: Peer = Peer { name: "xmlsec1", packages: &["xmlsec1"], find: || program(&["xmlsec1"]) };
const PYTHON: Peer = Peer { name: "Python 3", packages: &["python3-venv"], find: || program(&["python3"]) };
const SSHD: Peer =
    Peer { name: "the OpenSSH server", packages: &["openssh-server"], find: || program(&["sshd"]) };
const SSH_KEYGEN: Peer =
    Peer { name: "ssh-keygen", packages: &["openssh-client"], find: || program(&["ssh-keygen"]) };
const PROFTPD: Peer = Peer {
    name: "ProFTPD with mod_sftp",
    packages: &["proftpd-core", "proftpd-mod-crypto"],
    find: || program(&["proftpd"]).filter(|_| Path::new(MOD_SFTP).is_file()),
};
const OPENSSL: Peer = Peer { name: "openssl", packages: &["openssl"], find: || program(&["openssl"]) };

/// Where Debian puts it; tests load it from there.
const MOD_SFTP: &str = "/usr/lib/proftpd/mod_sftp.so";

const PEERS: [&Peer; 12] = [
    &POSTGRES,
    &NGINX,
    &CHROMIUM,
    &CHROMEDRIVER,
    &NODE,
    &NPM,
    &XMLSEC1,
    &PYTHON,
    &SSHD,
    &SSH_KEYGEN,
    &PROFTPD,
    &OPENSSL,
];

/// A package of npm's; `package.json` names its version.
struct NpmPackage {
    name: &'static str,
    /// The file that tests use.
    file: &'static str,
}

/// A page loads its one file.
const AXE: NpmPackage = NpmPackage { name: "axe-core", file: "axe.min.js" };
/// `authorization-server.mjs` is written with it.
const OIDC_PROVIDER: NpmPackage = NpmPackage { name: "oidc-provider", file: "lib/index.js" };

/// Signatures of XML, verified by code that is not ours.
const XML_CRYPTO: NpmPackage = NpmPackage { name: "xml-crypto", file: "lib/index.js" };

const NPM_PACKAGES: [&NpmPackage; 3] = [&AXE, &OIDC_PROVIDER, &XML_CRYPTO];

/// Where daemons lie, which an ordinary user's PATH leaves out.
const MORE_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The peers of this machine.
pub(crate) struct Peers {
    /// The folder of `initdb` and `postgres`.
    postgres: PathBuf,
    nginx: PathBuf,
    chromium: PathBuf,
    chromedriver: PathBuf,
    node: PathBuf,
    xmlsec1: PathBuf,
    openssl: PathBuf,
    sshd: PathBuf,
    proftpd: PathBuf,
}

impl Peers {
    /// Finds every peer, or says which are missing.
    pub(crate) fn find() -> Result<Self, String> {
        let advice = "Install with: cargo xtask test --only peers";
        let missing = missing();
        if !missing.is_empty() {
            return Err(format!("{}\n{advice}", absent(&missing)));
        }
        let old = not_current()?;
        if !old.is_empty() {
            return Err(format!("missing, or not as package.json wants them: {}\n{advice}", old.join(", ")));
        }
        if !python::is_current() {
            return Err(format!(
                "missing, or not as requirements.txt wants them: signxml and its packages\n{advice}"
            ));
        }
        let found = |peer: &Peer| (peer.find)().ok_or_else(|| absent(&[peer]));
        Ok(Self {
            postgres: found(&POSTGRES)?,
            nginx: found(&NGINX)?,
            chromium: found(&CHROMIUM)?,
            chromedriver: found(&CHROMEDRIVER)?,
            node: found(&NODE)?,
            xmlsec1: found(&XMLSEC1)?,
            openssl: found(&OPENSSL)?,
            sshd: found(&SSHD)?,
            proftpd: found(&PROFTPD)?,
        })
    }

    /// Starts a database server for tests; it lives as long as the value.
    pub(crate) fn start_postgres(&self) -> Result<Postgres, String> {
        Postgres::start(&self.postgres, Durability::OfProcess)
    }

    /// Tells tests where the peers are. (The database has an address of its own.)
    pub(crate) fn tell(&self, tests: &mut Command) {
        tests.env("CONSIGN_TEST_NGINX", &self.nginx);
        tests.env("CONSIGN_TEST_CHROMIUM", &self.chromium);
        tests.env("CONSIGN_TEST_CHROMEDRIVER", &self.chromedriver);
        tests.env("CONSIGN_TEST_AXE", AXE.path());
        tests.env("CONSIGN_TEST_NODE", &self.node);
        tests.env("CONSIGN_TEST_XMLSEC1", &self.xmlsec1);
        tests.env("CONSIGN_TEST_OPENSSL", &self.openssl);
        tests.env("CONSIGN_TEST_PYTHON", python::program());
        tests.env("CONSIGN_TEST_SSHD", &self.sshd);
        tests.env("CONSIGN_TEST_PROFTPD", &self.proftpd);
        tests.env("CONSIGN_TEST_AUTHORIZATION_SERVER", npm_folder().join("authorization-server.mjs"));
    }

    pub(crate) fn postgres_version(&self) -> String {
        version(&self.postgres.join("postgres"), "--version")
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL {}, nginx {}", self.postgres_version(), version(&self.nginx, "-v"))?;
        let (chromium, driver) =
            (version(&self.chromium, "--version"), version(&self.chromedriver, "--version"));
        let node = version(&self.node, "--version");
        write!(f, ", Chromium {chromium}, ChromeDriver {driver}, Node.js {node}")?;
        write!(f, ", xmlsec1 {}, signxml {}", version(&self.xmlsec1, "--version"), python::signxml())?;
        let sshd = version(&self.sshd, "-V");
        write!(f, ", OpenSSH {sshd}, ProFTPD {}", version(&self.proftpd, "--version"))?;
        NPM_PACKAGES
            .iter()
            .try_for_each(|package| write!(f, ", {} {}", package.name, package.wanted().unwrap_or_default()))
    }
}

/// Starts a database server where no other peer is needed; it lives as long as the value.
pub(crate) fn start_postgres() -> Result<Postgres, String> {
    let programs = (POSTGRES.find)().ok_or_else(|| absent(&[&POSTGRES]))?;
    Postgres::start(&programs, Durability::OnDisk)
}

/// Installs what is missing.
pub(crate) fn install() -> Result<(), String> {
    let missing_peers = missing();
    if !missing_peers.is_empty() {
        install_packages(&missing_peers)?;
    }
    let old = not_current()?;
    if !old.is_empty() {
        println!("xtask: installing {}", old.join(" "));
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
        if !succeeds(npm.current_dir(npm_folder()))? || !not_current()?.is_empty() {
            let (names, folder) = (old.join(", "), npm_folder());
            return Err(format!("cannot install {names}; by hand: `npm ci` in {}", folder.display()));
        }
    }
    if python::is_current() { Ok(()) } else { python::install() }
}

fn missing() -> Vec<&'static Peer> {
    PEERS.into_iter().filter(|peer| (peer.find)().is_none()).collect()
}

fn install_packages(missing_peers: &[&Peer]) -> Result<(), String> {
    if program(&["apt-get"]).is_none() {
        return Err(format!(
            "{}\nThis system has no apt-get: install them with its own package manager, so that \
             `initdb`, `nginx`, `chromium`, `chromedriver`, `node`, `npm`, `xmlsec1`, `python3` with its module \
             venv, `sshd`, `ssh-keygen`, `proftpd` and `openssl` are in PATH.",
            absent(missing_peers)
        ));
    }
    let packages: Vec<&str> = missing_peers.iter().flat_map(|peer| peer.packages).copied().collect();
    println!("xtask: installing {}", packages.join(" "));
    apt_get(&["update"])?;
    // A package may fail to start its own service, which nobody here needs: what counts are the programs.
    let installed =
        apt_get(&[&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat());
    let still = missing();
    if still.is_empty() {
        return Ok(());
    }
    let failure = installed.err().unwrap_or_default();
    Err(format!("{}\nBy hand: apt-get install {}\n{failure}", absent(&still), packages.join(" ")))
}

/// Runs apt-get as root, without questions. `RUNLEVEL=1` keeps packages from starting their services.
fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let settings =
        ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"];
    let mut command = if is_root()? {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    };
    if succeeds(command.args(settings).args(arguments))? {
        return Ok(());
    }
    Err(format!("`apt-get {}` failed (it needs root, or sudo without a password)", arguments.join(" ")))
}

fn absent(missing_peers: &[&Peer]) -> String {
    let names: Vec<&str> = missing_peers.iter().map(|peer| peer.name).collect();
    format!("missing: {}", names.join(", "))
}

fn is_root() -> Result<bool, String> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// The first of these programs that PATH, or a daemon's folder, has.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from)).collect();
    let candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// The first word that starts with a digit in what a program says of its version.
fn version(program: &Path, option: &str) -> String {
    let said = Command::new(program).arg(option).output();
    let text = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    version_in(&text).unwrap_or("(no version)").to_owned()
}

fn version_in(text: &str) -> Option<&str> {
    // Node.js says `v20.1.0`.
    let mut words = text.split([' ', '/', '\n', '_', ',']).map(|word| word.strip_prefix('v').unwrap_or(word));
    words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
}

fn npm_folder() -> PathBuf {
    root().join("crates/consign/tests/peers")
}

/// The packages of npm's that are missing here, or of another version than `package.json` names.
fn not_current() -> Result<Vec<&'static str>, String> {
    let mut old = Vec::new();
    for package in NPM_PACKAGES {
        if !package.is_current()? {
            old.push(package.name);
        }
    }
    Ok(old)
}

impl NpmPackage {
    fn folder(&self) -> PathBuf {
        npm_folder().join("node_modules").join(self.name)
    }

    fn path(&self) -> PathBuf {
        self.folder().join(self.file)
    }

    /// The version that `package.json` names.
    fn wanted(&self) -> Result<String, String> {
        let file = npm_folder().join("package.json");
        let text =
            std::fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let version = string_after(&text, &format!("\"{}\":", self.name));
        version.ok_or_else(|| format!("{} names no {}", file.display(), self.name))
    }

    fn is_current(&self) -> Result<bool, String> {
        let text = std::fs::read_to_string(self.folder().join("package.json")).unwrap_or_default();
        Ok(string_after(&text, "\"version\":") == Some(self.wanted()?) && self.path().is_file())
    }
}

/// The JSON string that follows a key.
fn string_after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(key)?;
    rest.split('"').nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests;
