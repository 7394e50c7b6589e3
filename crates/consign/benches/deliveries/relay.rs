//! A relay that stands for a distance: it passes everything on, each byte later by the same time in both directions.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Half of the round trip.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(10);
const PIECE_BYTES: usize = 64 << 10;
/// More than fits into any window of the peers on the way.
const PIECES_MAX: usize = 4_096;

/// It passes on as long as the program runs; connections end with their peers.
pub(crate) struct Relay {
    port: u16,
}

impl Relay {
    /// Starts it before a port of loopback.
    pub(crate) fn start(to: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            for client in listener.incoming() {
                // A peer that is gone ends its own connection and no other.
                let _ = client.and_then(|client| connect(client, to));
            }
        });
        Ok(Self { port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn connect(client: TcpStream, to: u16) -> std::io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    pass(client.try_clone()?, server.try_clone()?);
    pass(server, client);
    Ok(())
}

/// One direction: one thread reads, one writes what is old enough.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let (sender, pieces) = mpsc::sync_channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + ONE_WAY, buffer[..read].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // The other side may have gone first.
        let _ = to.shutdown(Shutdown::Write);
    });
}
