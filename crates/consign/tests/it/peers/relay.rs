//! A relay before a server: it passes on, slowly where asked, and cuts connections.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Relay {
    port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// Bytes from clients that were passed on over the connection under way.
    passed: AtomicU64,
    /// So many more bytes pass before a connection is cut; zero: any number.
    cut_in: AtomicU64,
    /// Between two pieces.
    wait_us: AtomicU64,
    cuts: AtomicUsize,
}

impl Relay {
    /// One before a port of this machine.
    #[expect(clippy::disallowed_methods, reason = "a relay of a test")]
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { continue };
                tokio::spawn(pass(client, server, shared.clone()));
            }
        });
        Self { port, state, accepting }
    }

    /// Its own port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Once so many more bytes came from the client, its connection is cut.
    pub(crate) fn cut_in(&self, bytes: u64) {
        self.state.cut_in.store(bytes, Ordering::Relaxed);
    }

    /// Waits so long between two pieces of 16 KiB.
    pub(crate) fn slow_down(&self, wait: Duration) {
        self.state.wait_us.store(u64::try_from(wait.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// Bytes from the client over the newest connection.
    pub(crate) fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::Relaxed)
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    state.passed.store(0, Ordering::Relaxed);
    let (mut passed, mut buffer) = (0, vec![0; 16 << 10]);
    loop {
        let left = match state.cut_in.load(Ordering::Relaxed) {
            0 => u64::MAX,
            left => left,
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Ok(read @ 1..) = from_client.read(&mut buffer[..most]).await else { break };
        if to_server.write_all(&buffer[..read]).await.is_err() {
            break;
        }
        passed += u64::try_from(read).unwrap();
        state.passed.store(passed, Ordering::Relaxed);
        if left != u64::MAX {
            let left = left - u64::try_from(read).unwrap();
            state.cut_in.store(left, Ordering::Relaxed);
            if left == 0 {
                state.cuts.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        let wait = state.wait_us.load(Ordering::Relaxed);
        if wait > 0 {
            tokio::time::sleep(Duration::from_micros(wait)).await;
        }
    }
    down.abort();
}
