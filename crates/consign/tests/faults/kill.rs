//! `kill -9`, at random moments under load.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::driver::{Driver, call};
use crate::oracle::{Run, integrity, judge};
use crate::sink::Sink;

/// A slice of the gate: as many cycles as fit, and no more than this.
const BUDGET: Duration = Duration::from_secs(120);
const KILLS_MAX: usize = 100;
/// After the server answered, it lives so much longer.
const LIFE_MIN: Duration = Duration::from_millis(5);
const LIFE_MAX: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
const CONCURRENCY: usize = 8;
const TOKEN: &str = "token-Zq7Vn4Xw81Ks0TbG";

const PROGRAM: &str = env!("CARGO_BIN_EXE_consign");

struct Server {
    folder: PathBuf,
    address: SocketAddr,
    authority: PathBuf,
}

impl Server {
    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().current_dir(&self.folder).env("CONSIGN_DATA_DIR", self.folder.join("data"));
        command
            .env("CONSIGN_SERVER_LISTEN", self.address.to_string())
            .env("CONSIGN_SERVER_METRICS_LISTEN", "");
        command.env("CONSIGN_EGRESS_ALLOW", "127.0.0.1:*").env("CONSIGN_EGRESS_ALLOW_LOOPBACK", "true");
        command.env("CONSIGN_EGRESS_CA_FILE", &self.authority).env("CONSIGN_LOG_LEVEL", "info");
        command
    }

    /// Starts it and waits until it answers.
    fn start(&self) -> Child {
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(self.folder.join("log")).unwrap();
        let mut command = self.command();
        command.arg("serve").stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        wait("the server to answer", || {
            call(self.address, "", "GET", "/healthz", "").filter(|(status, _)| *status == 200)
        });
        child
    }

    fn ask(&self, key: &str, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = call(self.address, key, method, path, &body).expect("an answer");
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        serde_json::from_str(&answer).unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a budget and a patience need a clock")]
fn clock() -> Instant {
    Instant::now()
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = clock();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(clock().duration_since(start) < PATIENCE, "waited in vain for {what}");
        sleep(LOOK);
    }
}

/// A small generator of numbers: the same run of lives each time.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn killed_under_load_it_loses_nothing_that_was_acknowledged() {
    let folder = std::env::temp_dir().join(format!("consign-faults-{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let sink = Sink::start();
    let authority = folder.join("ca.pem");
    std::fs::write(&authority, &sink.authority).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = Server { folder: folder.clone(), address: listener.local_addr().unwrap(), authority };
    drop(listener);
    let key =
        server.command().args(["admin", "api-key", "--name", "driver", "--scope", "admin"]).output().unwrap();
    let key = String::from_utf8(key.stdout).unwrap().trim().to_owned();

    let mut child = server.start();
    set_up(&server, &key, sink.address);
    let driver = Driver::start(server.address, &key, folder.join("acknowledged"));
    let (start, mut kills, mut seed) = (clock(), 0, 0x9e37_79b9_7f4a_7c15);
    while kills < KILLS_MAX && clock().duration_since(start) < BUDGET {
        let spread = (LIFE_MAX - LIFE_MIN).as_micros();
        let life = LIFE_MIN + Duration::from_micros(next(&mut seed) % u64::try_from(spread).unwrap());
        sleep(life);
        // SIGKILL: nothing in the process hears of it.
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        child = server.start();
    }
    let posted = driver.stop();
    drain(&server, &key);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success(), "a clean stop at the end");

    let arrivals = sink.arrivals();
    let authorization = format!("Bearer {TOKEN}");
    let run = Run {
        posted: &posted,
        arrivals: &arrivals,
        kills,
        in_flight_max: CONCURRENCY,
        authorization: &authorization,
    };
    let mut faults = judge(&run);
    let database = folder.join("data/consign.db");
    let said = integrity(&database);
    if said != "ok" {
        faults.push(format!("the database file: {said}"));
    }
    faults.extend(leaks(&folder));
    println!("{kills} kills, {} acknowledged, {} requests", posted.acknowledged.len(), arrivals.len());
    assert!(faults.is_empty(), "{kills} kills\n{}", faults.join("\n"));
    assert!(posted.acknowledged.len() > kills, "there was load");
    std::fs::remove_dir_all(&folder).unwrap();
}

fn set_up(server: &Server, key: &str, sink: SocketAddr) {
    let credential = json!({ "name": "sink", "protocol": "https", "url_address": format!("https://{sink}/"),
                             "authorization_type": "bearer", "token": TOKEN });
    server.ask(key, "POST", "/api/v1/credentials", &credential);
    let webhook = json!({ "name": "sink", "credential": "sink", "path": "/in", "event_types": ["*"],
                          "max_concurrency": CONCURRENCY, "retry_schedule_seconds": vec![1; 20] });
    server.ask(key, "POST", "/api/v1/webhooks", &webhook);
}

/// Waits until everything ended. What waits for a person because of the crashes is sent again, as a person would.
fn drain(server: &Server, key: &str) {
    wait("the queue to be empty", || {
        let held = server.ask(key, "GET", "/api/v1/deliveries?state=held&limit=200", &Value::Null);
        for delivery in held["items"].as_array().unwrap() {
            assert_eq!(delivery["hold_reason"], "repeated_crash", "{delivery}");
            let path = format!("/api/v1/deliveries/{}/resolution", delivery["id"].as_str().unwrap());
            server.ask(key, "POST", &path, &json!({ "as": "send_again" }));
        }
        let pending = server.ask(key, "GET", "/api/v1/deliveries?state=pending&limit=1", &Value::Null);
        let idle =
            pending["items"].as_array().unwrap().is_empty() && held["items"].as_array().unwrap().is_empty();
        idle.then_some(())
    });
}

/// The token must be in no file that is left.
fn leaks(folder: &Path) -> Vec<String> {
    let files = [folder.to_owned(), folder.join("data")]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = files.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let leaking = paths.filter(|path| {
        let content = std::fs::read(path).unwrap();
        content.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes())
    });
    leaking.map(|path| format!("leaked: the token in {}", path.display())).collect()
}
