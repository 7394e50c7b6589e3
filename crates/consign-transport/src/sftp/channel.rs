//! The SFTP channel of a session: many requests under way at once, each with its own answer. One task writes, so that
//! requests stay whole; one reads, within limits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::session::Session;
use super::wire::{self, Reply, Request};
use super::{SftpFault, SftpWhy};

/// Requests that wait for the writer; more wait for their turn.
const QUEUE: usize = 128;
/// Small requests leave together, up to so many bytes.
const TOGETHER_BYTES: usize = 64 << 10;
/// Data that is shorter is copied behind its request, so that both are one packet.
const UNCOPIED_BYTES_MIN: usize = 32 << 10;
/// A server that does not answer a request for so long is gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The version that all servers speak.
const VERSION: u32 = 3;

/// An open channel. Dropping it ends the session.
pub(super) struct Channel {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Outgoing>,
    pub(super) session: Arc<Session>,
    /// What the server offers beyond version 3.
    pub(super) extensions: Vec<(String, String)>,
    _tasks: JoinSet<()>,
}

/// A request as it goes out: its own bytes, and data behind them that is not copied for it.
struct Outgoing {
    head: Bytes,
    data: Bytes,
}

struct Shared {
    waiting: Mutex<HashMap<u32, oneshot::Sender<Reply>>>,
    next: AtomicU32,
    /// Why it is over.
    over: watch::Sender<Option<Arc<SftpFault>>>,
}

impl Shared {
    fn end(&self, fault: SftpFault) {
        self.over.send_if_modified(|over| {
            let first = over.is_none();
            if first {
                *over = Some(Arc::new(fault));
            }
            first
        });
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn fault(&self) -> SftpFault {
        match &*self.over.borrow() {
            Some(fault) => again(fault),
            None => SftpFault::lost("The server ended the session."),
        }
    }
}

/// The same end, told once more.
fn again(fault: &SftpFault) -> SftpFault {
    let why = match fault.why {
        SftpWhy::Misbehaved => SftpWhy::Misbehaved,
        SftpWhy::NewKeys => SftpWhy::NewKeys,
        _ => SftpWhy::Lost,
    };
    SftpFault::new(why, fault.detail.clone())
}

impl Channel {
    /// Opens the channel and exchanges versions.
    pub(super) async fn open(session: Arc<Session>) -> Result<Self, SftpFault> {
        let opened = session.handle.channel_open_session().await;
        let mut channel = opened.map_err(|_| SftpFault::lost("The server opens no channel."))?;
        let asked = channel.request_subsystem(true, "sftp").await;
        asked.map_err(|_| SftpFault::lost("The server ended the session."))?;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                Some(ChannelMsg::Failure) | None => {
                    return Err(SftpFault::lost("The server offers no SFTP."));
                }
                Some(_) => return Err(SftpFault::misbehaved("The server offers no SFTP.")),
            }
        }
        let (reader, writer) = channel.split();
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            next: AtomicU32::new(1),
            over: watch::Sender::new(None),
        });
        let (queue, queued) = mpsc::channel(QUEUE);
        let (hello, version) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(write(writer, queued, session.clone(), shared.clone()));
        tasks.spawn(read(reader, hello, shared.clone()));
        let (watched, told) = (session.clone(), shared.clone());
        tasks.spawn(async move { told.end(watched.watch_keys().await) });
        let mut channel = Self { shared, queue, session, extensions: Vec::new(), _tasks: tasks };
        let hello = Outgoing { head: wire::init(), data: Bytes::new() };
        channel.queue.send(hello).await.map_err(|_| channel.shared.fault())?;
        let mut over = channel.shared.over.subscribe();
        let (version, extensions) = tokio::select! {
            biased;
            said = version => said.map_err(|_| channel.shared.fault())?,
            _ = over.wait_for(Option::is_some) => return Err(channel.shared.fault()),
        };
        if version < VERSION {
            return Err(SftpFault::lost(format!(
                "The server speaks version {version} of SFTP. It must be 3."
            )));
        }
        channel.extensions = extensions;
        Ok(channel)
    }

    /// Whether it still answers, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.shared.over.borrow().is_none()
    }

    /// Whether the server offers an extension.
    pub(super) fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|(name, _)| name == extension)
    }

    /// Sends a request; the answer comes later. Waits only where too much is queued.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Answer, SftpFault> {
        self.send_with(request, Bytes::new()).await
    }

    /// The same with data of the request behind it.
    pub(super) async fn send_with(&self, request: &Request<'_>, data: Bytes) -> Result<Answer, SftpFault> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let answer = Answer { id, receiver, shared: self.shared.clone() };
        let mut over = self.shared.over.subscribe();
        let queued = self.queue.send(Outgoing { head: wire::encode(id, request, data.len()), data });
        // The end comes first: whoever is entered behind it is told nothing any more.
        tokio::select! {
            biased;
            _ = over.wait_for(Option::is_some) => return Err(self.shared.fault()),
            sent = queued => sent.map_err(|_| self.shared.fault())?,
        }
        Ok(answer)
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Result<Reply, SftpFault> {
        self.send(request).await?.reply().await
    }
}

/// An answer that is under way. Dropping it lets the answer come for nobody.
pub(super) struct Answer {
    id: u32,
    receiver: oneshot::Receiver<Reply>,
    shared: Arc<Shared>,
}

impl Answer {
    pub(super) async fn reply(mut self) -> Result<Reply, SftpFault> {
        match timeout(ANSWER_TIMEOUT, &mut self.receiver).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Err(self.shared.fault()),
            Err(_) => {
                let fault = SftpFault::lost("The server did not answer within 60 s.");
                self.shared.end(SftpFault::lost(fault.detail.clone()));
                Err(fault)
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Sends what is queued, small requests together. While the server has new keys to prove, nothing more is sent to it.
async fn write(
    writer: ChannelWriteHalf<Msg>,
    mut queued: mpsc::Receiver<Outgoing>,
    session: Arc<Session>,
    shared: Arc<Shared>,
) {
    while let Some(mut next) = queued.recv().await {
        if next.data.is_empty() && !queued.is_empty() {
            let mut together = BytesMut::from(next.head);
            while together.len() < TOGETHER_BYTES {
                let Ok(more) = queued.try_recv() else { break };
                together.extend_from_slice(&more.head);
                if more.data.len() >= UNCOPIED_BYTES_MIN {
                    next.data = more.data;
                    break;
                }
                together.extend_from_slice(&more.data);
            }
            next.head = together.freeze();
        }
        session.has_proven().await;
        let sent = async {
            writer.data_bytes(next.head).await?;
            writer.data_bytes(next.data).await
        };
        if sent.await.is_err() {
            return shared.end(SftpFault::lost("The server ended the session."));
        }
    }
}

type Hello = oneshot::Sender<(u32, Vec<(String, String)>)>;

/// Hands each answer to whoever asked.
async fn read(mut reader: ChannelReadHalf, hello: Hello, shared: Arc<Shared>) {
    let mut hello = Some(hello);
    let mut buffer = BytesMut::new();
    while let Some(message) = reader.wait().await {
        match message {
            ChannelMsg::Data { data } => buffer.extend_from_slice(&data),
            ChannelMsg::Eof | ChannelMsg::Close => break,
            _ => continue,
        }
        if let Err(fault) = take_packets(&mut buffer, &mut hello, &shared) {
            return shared.end(fault);
        }
    }
    shared.end(SftpFault::lost("The server ended the session."));
}

fn take_packets(buffer: &mut BytesMut, hello: &mut Option<Hello>, shared: &Shared) -> Result<(), SftpFault> {
    let nonsense = || SftpFault::misbehaved("The server sent something that is not SFTP.");
    while let Some(length) = buffer.first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| nonsense())?;
        if !(1..=wire::REPLY_BYTES_MAX).contains(&length) {
            return Err(nonsense());
        }
        if buffer.len() < 4 + length {
            return Ok(());
        }
        buffer.advance(4);
        let packet = buffer.split_to(length).freeze();
        if let Some(hello) = hello.take() {
            let said = wire::version(&packet).ok_or_else(nonsense)?;
            let _ = hello.send(said);
            continue;
        }
        let (id, reply) = wire::decode(&packet).ok_or_else(nonsense)?;
        let asked = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        // An answer that nobody waits for any more is no harm.
        if let Some(asked) = asked {
            let _ = asked.send(reply);
        }
    }
    Ok(())
}
