//! A file server that refuses every password, and counts them: SSH of the library.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{self, Auth};
use russh::{MethodKind, MethodSet};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::sshd::KeyPair;

pub(crate) struct Refusing {
    port: u16,
    passwords: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Refusing {
    pub(crate) async fn start(host: &KeyPair) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::new(server::Config {
            methods: MethodSet::from(&[MethodKind::Password][..]),
            keys: vec![PrivateKey::from_openssh(&host.private).unwrap()],
            auth_rejection_time: Duration::from_millis(20),
            ..server::Config::default()
        });
        let passwords = Arc::new(AtomicUsize::new(0));
        let counted = passwords.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (config, peer) = (config.clone(), Peer(counted.clone()));
                tokio::spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, peer).await {
                        // Its client ends it.
                        let _ = session.await;
                    }
                });
            }
        });
        Self { port, passwords, accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many were offered.
    pub(crate) fn passwords(&self) -> usize {
        self.passwords.load(Ordering::Relaxed)
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Peer(Arc<AtomicUsize>);

impl server::Handler for Peer {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, Self::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Auth::reject())
    }
}
