//! One SSH session: dialled by the guard, proven by a pinned host key, then handed to the sign-in.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use consign_core::pin::{HostKey, KeyType, Pins, RSA_BITS_MIN};
use consign_core::target::SftpAddress;
use russh::client::{self, ChannelOpenHandle, Handle, Handler, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{AlgorithmKind, Channel, Disconnect, Names, SshId};
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use super::leash::{Leash, leash};
use super::{OPEN_TIMEOUT, SftpFault, SftpWhy, SshFacts, algorithms};
use crate::guard::OnTheWay;
use crate::{Network, NothingSent, Timing, guard, phase, words};

/// A session that says nothing for so long is asked whether it is still there, three times.
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVES_MAX: usize = 3;
/// What the server may send before we read it.
const WINDOW_BYTES: u32 = 2 << 20;
/// The largest packet of a channel that is taken.
const PACKET_BYTES: u32 = 32 << 10;
/// The server must prove within this that its new keys are its own.
const PROOF_TIMEOUT: Duration = Duration::from_secs(10);
/// What is sent before new keys are agreed on: far below what AES allows, and more than the largest file.
const REKEY_BYTES: usize = 16 << 30;

/// What the server must show.
pub(super) enum Expect<'a> {
    /// One of these keys.
    Pins(&'a Pins),
    /// Any: it is looked at, and the session ends there.
    Look,
}

/// Where a session leads to, and how long it may take to get there.
pub(super) struct Way<'a> {
    pub(super) network: &'a Network,
    pub(super) address: &'a SftpAddress,
    pub(super) deadline: Instant,
    pub(super) on_the_way: OnTheWay<'a>,
}

/// A session whose server proved itself. Dropping it ends the connection.
pub(super) struct Session {
    pub(super) handle: Handle<Watcher>,
    seen: Arc<Seen>,
    rekeys: watch::Receiver<u64>,
    /// For how many of them the server proved itself.
    proven: watch::Sender<u64>,
    _leash: Leash,
}

/// Why a handshake failed, and what was seen before.
pub(super) struct Shaken {
    pub(super) fault: SftpFault,
    /// The key that the server showed, if it came to that.
    pub(super) shown: Option<HostKey>,
    pub(super) address: Option<IpAddr>,
}

impl From<SftpFault> for Shaken {
    fn from(fault: SftpFault) -> Self {
        Self { fault, shown: None, address: None }
    }
}

impl Session {
    /// Dials, exchanges keys and judges the host key, of one of these families.
    pub(super) async fn open(
        way: &Way<'_>,
        families: &[KeyType],
        expect: Expect<'_>,
        timing: &mut Timing,
    ) -> Result<(Self, IpAddr), Shaken> {
        let (host, port) = (way.address.host(), way.address.port());
        let limit = way.network.connect_timeout;
        let (guard, waits) = (&way.network.sftp_guard, (limit, way.deadline));
        let stream = guard::dial_watched(guard, (host, port), waits, timing, way.on_the_way).await;
        let stream = stream.map_err(|fault| SftpFault::from(NothingSent::from(fault)))?;
        let peer = stream.peer_addr().map_err(|_| SftpFault::unreachable(ended(way.address)))?.ip();
        let (leash, stream) = leash(stream);
        let seen = Arc::new(Seen::default());
        let (rekey, rekeys) = watch::channel(0);
        let pins = match expect {
            Expect::Pins(pins) => Some(pins.clone()),
            Expect::Look => None,
        };
        let watcher = Watcher { pins, seen: seen.clone(), rekey, exchanged: false };
        let (end, length) = phase(OPEN_TIMEOUT, way.deadline);
        let shaken =
            timeout_at(end, client::connect_stream(Arc::new(config(families)), stream, watcher)).await;
        let failed = match shaken {
            Ok(Ok(handle)) => {
                let proven = watch::Sender::new(0);
                return Ok((Self { handle, seen, rekeys, proven, _leash: leash }, peer));
            }
            Ok(Err(failed)) => failed,
            Err(_) => {
                let sentence = format!("{host}:{port} did not answer within {}.", words(length));
                Failed::Ours(SftpFault::unreachable(sentence))
            }
        };
        let shown = seen.shown().map(|shown| shown.key);
        Err(Shaken { fault: explained(failed, way.address, families), shown, address: Some(peer) })
    }

    /// What was negotiated.
    pub(super) fn facts(&self) -> Option<SshFacts> {
        let shown = self.seen.shown()?;
        let [signature, cipher, key_exchange] = shown.names?;
        Some(SshFacts { host_key: shown.key, signature, cipher, key_exchange })
    }

    /// From here on the server may take new keys.
    pub(super) fn signed_in(&self) {
        self.seen.signed_in.store(true, Ordering::Release);
    }

    /// Lets the server prove, whenever it takes new keys, that its host key is still the pinned one: the library shows
    /// us the host key of the first exchange only. Returns when that proof is missing, or the session over.
    pub(super) async fn watch_keys(&self) -> SftpFault {
        let mut rekeys = self.rekeys.clone();
        while rekeys.changed().await.is_ok() {
            let taken = *rekeys.borrow_and_update();
            let Some(shown) = self.seen.shown() else { return unproven() };
            let proof = timeout(PROOF_TIMEOUT, self.handle.hostkeys_prove(vec![shown.public])).await;
            if !matches!(proof, Ok(Ok(()))) {
                return unproven();
            }
            self.proven.send_replace(taken);
        }
        SftpFault::lost("The server ended the session.")
    }

    /// Waits while there are new keys that the server has not proven to be its own.
    pub(super) async fn has_proven(&self) {
        let taken = *self.rekeys.borrow();
        let mut proven = self.proven.subscribe();
        // The sender is part of this session.
        let _ = proven.wait_for(|proven| *proven >= taken).await;
    }

    /// Says goodbye.
    pub(super) async fn close(&self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
    }
}

/// What a handshake showed.
#[derive(Default)]
struct Seen {
    shown: Mutex<Option<Shown>>,
    signed_in: AtomicBool,
}

#[derive(Clone)]
struct Shown {
    key: HostKey,
    public: russh::keys::PublicKey,
    /// Signature, cipher and key exchange.
    names: Option<[String; 3]>,
}

impl Seen {
    fn shown(&self) -> Option<Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }
}

/// Judges what the server shows while the session lasts.
pub(super) struct Watcher {
    pins: Option<Pins>,
    seen: Arc<Seen>,
    rekey: watch::Sender<u64>,
    exchanged: bool,
}

/// Why a session ended: by the library's word, or by ours.
#[derive(Debug)]
pub(super) enum Failed {
    Ssh(russh::Error),
    Ours(SftpFault),
}

impl From<russh::Error> for Failed {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Handler for Watcher {
    type Error = Failed;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failed> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let wire = key.to_bytes().ok();
        let Some(host_key) = wire.and_then(|wire| HostKey::parse(&wire)) else { return Ok(false) };
        let (fingerprint, weak, bits) = (host_key.fingerprint(), host_key.is_weak(), host_key.bits);
        self.seen.show(Shown { key: host_key, public: key.clone(), names: None });
        let pinned = self.pins.as_ref().is_some_and(|pins| pins.matching(fingerprint).is_some());
        // A bare fingerprint does not tell how long the key is.
        if pinned && weak {
            let detail =
                format!("The server's host key has {bits} bits. It must have {RSA_BITS_MIN} or more.");
            return Err(Failed::Ours(SftpFault::unreachable(detail)));
        }
        Ok(pinned)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        if self.exchanged {
            if !self.seen.signed_in.load(Ordering::Acquire) {
                let detail = "The server took new keys before the sign-in. Nothing was sent.";
                return Err(Failed::Ours(SftpFault::misbehaved(detail)));
            }
            self.rekey.send_modify(|count| *count += 1);
            return Ok(());
        }
        self.exchanged = true;
        algorithms::judge(names).map_err(Failed::Ours)?;
        if let Some(shown) = self.seen.shown() {
            let of = |name: &str| name.to_owned();
            let names = [names.key.to_string(), of(names.cipher.as_ref()), of(names.kex.as_ref())];
            self.seen.show(Shown { names: Some(names), ..shown });
        }
        Ok(())
    }

    // A server opens nothing towards us: dropping the reply says no.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), Failed> {
        Ok(())
    }
}

fn config(families: &[KeyType]) -> client::Config {
    client::Config {
        client_id: SshId::Standard("SSH-2.0-Consign".into()),
        limits: russh::Limits { rekey_write_limit: REKEY_BYTES, ..russh::Limits::default() },
        window_size: WINDOW_BYTES,
        maximum_packet_size: PACKET_BYTES,
        preferred: algorithms::offer(families),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MAX,
        nodelay: true,
        ..client::Config::default()
    }
}

/// What the end of a handshake means.
fn explained(failed: Failed, address: &SftpAddress, families: &[KeyType]) -> SftpFault {
    let error = match failed {
        Failed::Ours(fault) => return fault,
        Failed::Ssh(error) => error,
    };
    let host = address.host();
    match error {
        russh::Error::UnknownKey => {
            let detail =
                "The server showed another host key than the pinned one. Nothing was sent. Compare keys.";
            SftpFault::new(SftpWhy::HostKey { shown: None }, detail)
        }
        russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. } => {
            no_key_in_common(&theirs, families)
        }
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let what = match kind {
                AlgorithmKind::Kex => "key exchange",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Mac => "message authentication",
                AlgorithmKind::Key | AlgorithmKind::Compression => "compression",
            };
            let theirs = shown_names(&theirs);
            SftpFault::unreachable(format!("The server has no {what} that is accepted. It offers {theirs}."))
        }
        russh::Error::WrongServerSig => {
            SftpFault::unreachable(format!("{host} could not prove that its host key is its own."))
        }
        russh::Error::Version => {
            SftpFault::unreachable(format!("{host}:{} is no SSH server.", address.port()))
        }
        _ => SftpFault::unreachable(ended(address)),
    }
}

/// The server has none of the families that were asked for.
fn no_key_in_common(theirs: &[String], families: &[KeyType]) -> SftpFault {
    let known = |name: &String| KeyType::find(name).is_some() && name != KeyType::Rsa.key_kind();
    if !theirs.iter().any(known) {
        let detail = "This server can only prove itself with SHA-1, which is not accepted.";
        return SftpFault::unreachable(detail);
    }
    let wanted: Vec<_> = families.iter().map(|family| family.kind()).collect();
    let detail = format!(
        "The server has no host key of the pinned kind ({}). It offers {}. Nothing was sent. Compare keys.",
        wanted.join(", "),
        shown_names(theirs)
    );
    SftpFault::new(SftpWhy::HostKey { shown: None }, detail)
}

/// Names by a stranger, short and without control characters.
fn shown_names(names: &[String]) -> String {
    let names = names.join(", ");
    names.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect()
}

fn ended(address: &SftpAddress) -> String {
    format!("{}:{} ended the connection before the sign-in.", address.host(), address.port())
}

fn unproven() -> SftpFault {
    let detail = "The server took new keys and did not prove that they are its own.";
    SftpFault::new(SftpWhy::NewKeys, detail)
}
