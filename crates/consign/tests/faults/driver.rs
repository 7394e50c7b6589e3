//! Posts events with known ids from threads of its own, and writes an id into its log only after it read 202.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// Together about 200 events a second.
const THREADS: usize = 4;
const PAUSE: Duration = Duration::from_millis(15);
/// A server that is away comes back soon.
const AWAY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// The running driver.
pub(crate) struct Driver {
    running: Arc<AtomicBool>,
    /// Each tells how many ids it made.
    threads: Vec<JoinHandle<usize>>,
    log: PathBuf,
}

/// What was posted.
pub(crate) struct Posted {
    /// Ids that were answered 202.
    pub(crate) acknowledged: Vec<String>,
    /// How many ids each thread made, acknowledged or not.
    pub(crate) made: Vec<usize>,
}

/// The name of an event.
pub(crate) fn id(thread: usize, number: usize) -> String {
    format!("{thread}-{number}")
}

impl Driver {
    pub(crate) fn start(address: SocketAddr, key: &str, log: PathBuf) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let file = Arc::new(File::create(&log).unwrap());
        let threads = (0..THREADS).map(|thread| {
            let (running, file, key) = (running.clone(), file.clone(), key.to_owned());
            spawn(move || {
                let mut number = 0;
                while running.load(Ordering::Relaxed) {
                    number += 1;
                    let id = id(thread, number);
                    // What was not answered is sent again, as senders do: it may have been accepted.
                    while !acknowledged(address, &key, &id) {
                        if !running.load(Ordering::Relaxed) {
                            return number;
                        }
                        sleep(AWAY);
                    }
                    (&*file).write_all(format!("{id}\n").as_bytes()).unwrap();
                    sleep(PAUSE);
                }
                number
            })
        });
        let threads = threads.collect();
        Self { running, threads, log }
    }

    pub(crate) fn stop(self) -> Posted {
        self.running.store(false, Ordering::Relaxed);
        let made = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let acknowledged = std::fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect();
        Posted { acknowledged, made }
    }
}

fn acknowledged(address: SocketAddr, key: &str, id: &str) -> bool {
    let body = format!("{{\"type\":\"load\",\"source\":\"driver\",\"id\":\"{id}\",\"data\":\"{id}\"}}");
    call(address, key, "POST", "/api/v1/events", &body).is_some_and(|(status, _)| status == 202)
}

/// One request; `None` when no whole answer came.
#[expect(clippy::disallowed_methods, reason = "the driver dials the product, not a third party")]
pub(crate) fn call(
    address: SocketAddr,
    key: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\nif-match: *\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
