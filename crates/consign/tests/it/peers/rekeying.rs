//! A file server that takes new keys again and again and never proves that they are its own: SSH of the library, and the
//! `sftp-server` of OpenSSH behind it.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{self, Auth, Msg, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::sshd::KeyPair;

/// Where systems keep it.
const PROGRAMS: [&str; 3] =
    ["/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server"];

/// It lets in anyone with a password.
pub(crate) struct Rekeying {
    port: u16,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Rekeying {
    /// Takes new keys after so many bytes of a client.
    pub(crate) async fn start(host: &KeyPair, bytes: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let config = Arc::new(server::Config {
            methods: MethodSet::from(&[MethodKind::Password][..]),
            keys: vec![PrivateKey::from_openssh(&host.private).unwrap()],
            auth_rejection_time: Duration::ZERO,
            limits: russh::Limits { rekey_read_limit: bytes, ..russh::Limits::default() },
            ..server::Config::default()
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let config = config.clone();
                tokio::spawn(async move {
                    if let Ok(session) = server::run_stream(config, stream, Peer::default()).await {
                        // Its client ends it.
                        let _ = session.await;
                    }
                });
            }
        });
        Self { port, connections, accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Rekeying {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Default)]
struct Peer {
    files: Option<Files>,
}

/// It ends with the session.
struct Files {
    process: Child,
    requests: ChildStdin,
}

impl Drop for Files {
    fn drop(&mut self) {
        // One that has ended already has nothing left to end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl server::Handler for Peer {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let program = PROGRAMS.iter().find(|path| std::path::Path::new(path).exists());
        let mut files = Command::new(program.expect("sftp-server comes with openssh-server"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to_files, mut from_files) = (files.stdin.take().unwrap(), files.stdout.take().unwrap());
        self.files = Some(Files { process: files, requests: to_files });
        session.channel_success(channel)?;
        let (handle, runtime) = (session.handle(), Handle::current());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 32 << 10];
            while let Ok(read @ 1..) = from_files.read(&mut buffer) {
                if runtime.block_on(handle.data(channel, buffer[..read].to_vec())).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        let files = self.files.as_mut().expect("SFTP was asked for");
        Ok(files.requests.write_all(data)?)
    }
}
