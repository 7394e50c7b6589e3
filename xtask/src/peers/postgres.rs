//! A PostgreSQL server of the tests' own: a new cluster in a temporary folder, on a free port of loopback,
//! removed at the end. The system's cluster is never touched.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::{is_root, program};
use crate::output;

/// Starts the server, waits until its standard input is closed, stops the server and removes the folder. The
/// pipe is closed however this process ends, so nothing is left behind, not even after Ctrl-C or a kill.
const WATCH: &str = r#"
trap : HUP INT TERM
folder=$1
shift
"$@" >"$folder/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

/// Another process may take the port that was found free.
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the server waits for its disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Durability {
    /// As in production: what is acknowledged outlives a power cut. That is part of what a benchmark measures.
    OnDisk,
    /// It outlives the end of the server's process, and no test cuts the power.
    OfProcess,
}

impl Durability {
    const fn setting(self) -> &'static str {
        match self {
            Self::OnDisk => "fsync=on",
            Self::OfProcess => "fsync=off",
        }
    }
}

/// A running server; dropping it stops it.
pub(crate) struct Postgres {
    watch: Child,
    port: u16,
    password: String,
}

impl Postgres {
    pub(super) fn start(programs: &Path, durability: Durability) -> Result<Self, String> {
        let mut failure = String::new();
        for _ in 0..TRIES {
            match Self::try_start(programs, durability) {
                Ok(server) => return Ok(server),
                Err(message) => failure = message,
            }
        }
        Err(format!("the PostgreSQL of the tests does not start: {failure}"))
    }

    /// The address of its first database, with the rights to make others.
    pub(crate) fn url(&self) -> String {
        format!("postgres://consign:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    fn try_start(programs: &Path, durability: Durability) -> Result<Self, String> {
        let port = free_port()?;
        let folder = PathBuf::from(output(Command::new("mktemp").arg("-d"))?.trim());
        let password = random_word()?;
        let user = server_user()?;
        let data = folder.join("data");
        if let Err(failure) = init(programs, &folder, &data, &password, &user) {
            // The cluster's own complaint matters more than a folder that stays.
            let _ = std::fs::remove_dir_all(&folder);
            return Err(failure);
        }
        let mut watch = Command::new("sh");
        watch
            .args(["-c", WATCH, "sh"])
            .arg(&folder)
            .args(&user)
            .arg(programs.join("postgres"))
            .arg("-D")
            .arg(&data);
        watch.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        watch.args([
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=200",
            "-c",
            durability.setting(),
        ]);
        let watch = watch.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let watch = watch.map_err(|e| format!("cannot start sh: {e}"))?;
        let server = Self { watch, port, password };
        server.wait_until_ready(programs, &folder.join("log"))?;
        Ok(server)
    }

    fn wait_until_ready(&self, programs: &Path, log: &Path) -> Result<(), String> {
        let port = self.port.to_string();
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            let mut ask = Command::new(programs.join("pg_isready"));
            if output(ask.args(["-q", "-h", "127.0.0.1", "-p", &port])).is_ok() {
                return Ok(());
            }
            let said = std::fs::read_to_string(log).unwrap_or_default();
            if said.contains("FATAL") {
                return Err(said);
            }
            sleep(PAUSE);
        }
        Err(format!("no answer within {} s", PATIENCE.as_secs()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        // Nothing can be done about a server that does not stop, and the tests' verdict stands.
        let _ = self.watch.wait();
    }
}

/// The folder of the newest server on this machine. Debian keeps it out of PATH.
pub(super) fn programs() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = installed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let in_debian = |version: u32| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    let newest = versions.filter(|version| in_debian(*version).join("initdb").is_file()).max();
    newest
        .map(in_debian)
        .or_else(|| program(&["initdb"])?.canonicalize().ok()?.parent().map(Path::to_path_buf))
}

/// Makes the cluster. Only its one user may come in, with a password, over TCP.
fn init(programs: &Path, folder: &Path, data: &Path, password: &str, user: &[String]) -> Result<(), String> {
    let password_file = folder.join("password");
    std::fs::write(&password_file, password)
        .map_err(|e| format!("cannot write {}: {e}", password_file.display()))?;
    if !user.is_empty() {
        output(Command::new("chown").args(["-R", SERVER_USER]).arg(folder))?;
    }
    let initdb = programs.join("initdb");
    let words: Vec<&std::ffi::OsStr> = user.iter().map(AsRef::as_ref).chain([initdb.as_os_str()]).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder).arg("-D").arg(data).arg("--pwfile").arg(&password_file);
    command.args(["--username=consign", "--auth-host=scram-sha-256", "--auth-local=reject"]);
    output(command.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]))?;
    Ok(())
}

/// The user that Debian's package makes.
const SERVER_USER: &str = "postgres";

/// PostgreSQL refuses to run as root: the words before a command that make it run as the server's own user.
fn server_user() -> Result<Vec<String>, String> {
    if !is_root()? {
        return Ok(Vec::new());
    }
    output(Command::new("id").args(["-u", SERVER_USER])).map_err(|_| {
        format!("PostgreSQL refuses root, and there is no user `{SERVER_USER}`: run this as another user")
    })?;
    let user = format!("--reuid={SERVER_USER}");
    let group = format!("--regid={SERVER_USER}");
    Ok(["setpriv", &user, &group, "--init-groups", "--"].map(str::to_owned).to_vec())
}

fn free_port() -> Result<u16, String> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).map_err(|e| format!("no free port on loopback: {e}"))?;
    Ok(listener.local_addr().map_err(|e| format!("no free port on loopback: {e}"))?.port())
}

/// 128 random bits in letters.
fn random_word() -> Result<String, String> {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    let source = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    source.map_err(|e| format!("no randomness: {e}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
