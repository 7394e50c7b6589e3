//! A file server that shows another host key when it takes new keys, and from then on: SSH written by hand (RFC 4253, RFC 5647,
//! RFC 8731), as no library changes its host key within a session.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const DISCONNECT: u8 = 1;
const SERVICE_REQUEST: u8 = 5;
const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const ECDH_INIT: u8 = 30;
const USERAUTH_REQUEST: u8 = 50;
pub(crate) const GLOBAL_REQUEST: u8 = 80;
const CHANNEL_OPEN: u8 = 90;
const CHANNEL_DATA: u8 = 94;
const CHANNEL_REQUEST: u8 = 98;
const OWN_VERSION: &[u8] = b"SSH-2.0-Turncoat";

/// It shows one host key until it takes new keys, and the other one ever after.
pub(crate) struct Turncoat {
    port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    keys: [Ed25519KeyPair; 2],
    seen: Mutex<Seen>,
}

/// What clients did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Which of its keys the server shows now.
    pub(crate) shown: usize,
    /// Connections that came as far as to its host key.
    pub(crate) connections: usize,
    /// Sign-ins with a password.
    pub(crate) passwords: usize,
    /// The messages that came under the newest keys of a session, and the names of global requests.
    pub(crate) afterwards: Vec<(u8, String)>,
}

impl Turncoat {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let keys = [(); 2].map(|()| Ed25519KeyPair::generate().unwrap());
        let state = Arc::new(State { keys, seen: Mutex::default() });
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client may leave at any point.
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { port, state, accepting }
    }

    /// `sftp://127.0.0.1:port/`.
    pub(crate) fn hostname(&self) -> String {
        format!("sftp://127.0.0.1:{}/", self.port)
    }

    /// A line with the public half of one of its keys.
    pub(crate) fn public(&self, key: usize) -> String {
        format!("ssh-ed25519 {}", BASE64_STANDARD.encode(blob(&self.state.keys[key])))
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state.seen.lock().unwrap().clone()
    }
}

impl Drop for Turncoat {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Lets in whoever has a password, offers SFTP, and takes new keys instead of answering the first request.
async fn serve(stream: TcpStream, state: Arc<State>) -> Option<()> {
    let (from, to) = stream.into_split();
    let mut wire = Wire { from: BufReader::new(from), to, incoming: None, outgoing: None };
    wire.to.write_all(&[OWN_VERSION, b"\r\n"].concat()).await.ok()?;
    let client_version = wire.line().await?;
    let mut kex = Kex { client_version, session: Vec::new() };
    let shown = state.seen.lock().unwrap().shown;
    let mine = wire.begin_kex().await?;
    let theirs = wire.read().await?;
    state.seen.lock().unwrap().connections += 1;
    wire.exchange(&mut kex, &mine, &theirs, &state.keys[shown]).await?;
    // The number that the client gave its channel, and that of its first request; the server calls the channel the same.
    let (mut channel, mut request) = ([0; 4], [0; 4]);
    loop {
        let message = wire.read().await?;
        match message[0] {
            SERVICE_REQUEST => wire.write(&[&[6], &string(b"ssh-userauth")]).await?,
            USERAUTH_REQUEST if has(&message, b"\0\0\0\x08password") => {
                state.seen.lock().unwrap().passwords += 1;
                wire.write(&[&[52]]).await?;
            }
            USERAUTH_REQUEST => wire.write(&[&[51], &string(b"password"), &[0]]).await?,
            CHANNEL_OPEN => {
                let kind = string(b"session");
                channel.copy_from_slice(&message[1 + kind.len()..][..4]);
                let [window, packet] = [1_u32 << 20, 1 << 15].map(u32::to_be_bytes);
                wire.write(&[&[91], &channel, &channel, &window, &packet]).await?;
            }
            CHANNEL_REQUEST => wire.write(&[&[99], &channel]).await?,
            // The version of SFTP, both ways.
            CHANNEL_DATA if has(&message, &[0, 0, 0, 5, 1]) => {
                let version = string(&[0, 0, 0, 5, 2, 0, 0, 0, 3]);
                wire.write(&[&[94], &channel, &version]).await?;
            }
            CHANNEL_DATA => {
                request.copy_from_slice(&message[14..18]);
                break;
            }
            _ => {}
        }
    }
    state.seen.lock().unwrap().shown = 1;
    let mine = wire.begin_kex().await?;
    let theirs = loop {
        let message = wire.read().await?;
        // What was sent before the client knew of the exchange.
        if message[0] == KEXINIT {
            break message;
        }
    };
    wire.exchange(&mut kex, &mine, &theirs, &state.keys[1]).await?;
    state.seen.lock().unwrap().afterwards.clear();
    loop {
        let message = wire.read().await?;
        let name = if message[0] == GLOBAL_REQUEST { named(&message) } else { String::new() };
        state.seen.lock().unwrap().afterwards.push((message[0], name));
        match message[0] {
            DISCONNECT => return Some(()),
            // A proof of the key that was shown first, with the one that it has now.
            GLOBAL_REQUEST => {
                let first = string(&blob(&state.keys[shown]));
                let proven = [string(b"hostkeys-prove-00@openssh.com"), string(&kex.session), first];
                let proof = signed(&state.keys[1], &proven.concat());
                wire.write(&[&[81], &string(&proof)]).await?;
                if shown == 1 {
                    // The proof is good: now the first request is answered, with a failure.
                    let answer = [&[101][..], &request, &[0, 0, 0, 4], &string(b""), &string(b"")].concat();
                    wire.write(&[&[94], &channel, &string(&string(&answer))]).await?;
                }
            }
            _ => {}
        }
    }
}

/// What all exchanges of a session share.
struct Kex {
    client_version: Vec<u8>,
    /// The hash of the first one.
    session: Vec<u8>,
}

struct Wire {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    incoming: Option<Cipher>,
    outgoing: Option<Cipher>,
}

impl Wire {
    async fn line(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        loop {
            match self.from.read_u8().await.ok()? {
                b'\n' => return Some(line),
                b'\r' => {}
                byte => line.push(byte),
            }
        }
    }

    async fn read(&mut self) -> Option<Vec<u8>> {
        let length = self.from.read_u32().await.ok()?;
        let mut packet = vec![0; usize::try_from(length).unwrap()];
        self.from.read_exact(&mut packet).await.ok()?;
        if let Some(cipher) = &mut self.incoming {
            let mut tag = [0; 16];
            self.from.read_exact(&mut tag).await.ok()?;
            packet.extend(tag);
            let aad = Aad::from(length.to_be_bytes());
            cipher
                .key
                .open_in_place(next_nonce(&mut cipher.nonce), aad, &mut packet)
                .expect("it is authentic");
            packet.truncate(packet.len() - 16);
        }
        let padding = usize::from(packet[0]);
        Some(packet[1..packet.len() - padding].to_vec())
    }

    async fn write(&mut self, parts: &[&[u8]]) -> Option<()> {
        let payload = parts.concat();
        // The length itself is padded too where it is encrypted with the rest, as it is without a cipher.
        let (block, counted) = if self.outgoing.is_some() { (16, 1) } else { (8, 5) };
        let padding = 4 + (block - (counted + payload.len() + 4) % block) % block;
        let mut packet = vec![u8::try_from(padding).unwrap()];
        packet.extend(payload);
        packet.resize(packet.len() + padding, 0);
        let length = u32::try_from(packet.len()).unwrap().to_be_bytes();
        if let Some(cipher) = &mut self.outgoing {
            let nonce = next_nonce(&mut cipher.nonce);
            cipher.key.seal_in_place_append_tag(nonce, Aad::from(length), &mut packet).unwrap();
        }
        self.to.write_all(&[&length, packet.as_slice()].concat()).await.ok()
    }

    /// Offers what Consign offers too. The answer is what was said.
    async fn begin_kex(&mut self) -> Option<Vec<u8>> {
        let mut message = vec![KEXINIT];
        message.extend([7; 16]);
        let cipher = "aes256-gcm@openssh.com";
        let lists = ["curve25519-sha256", "ssh-ed25519", cipher, cipher, "hmac-sha2-256", "hmac-sha2-256"];
        lists
            .iter()
            .chain(&["none", "none", "", ""])
            .for_each(|list| message.extend(string(list.as_bytes())));
        message.extend([0; 5]);
        self.write(&[&message]).await?;
        Some(message)
    }

    /// From both offers to the new keys.
    async fn exchange(
        &mut self,
        kex: &mut Kex,
        mine: &[u8],
        theirs: &[u8],
        host: &Ed25519KeyPair,
    ) -> Option<()> {
        let init = self.read().await?;
        assert_eq!(init[0], ECDH_INIT);
        let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).unwrap();
        let own_public = own.compute_public_key().unwrap();
        let their_public = UnparsedPublicKey::new(&X25519, &init[5..]);
        let secret = agree_ephemeral(own, their_public, (), |secret| Ok(positive(secret))).unwrap();
        let hashed = [
            string(&kex.client_version),
            string(OWN_VERSION),
            string(theirs),
            string(mine),
            string(&blob(host)),
            init[1..].to_vec(),
            string(own_public.as_ref()),
            secret.clone(),
        ];
        let hash = sha256(&hashed.concat());
        if kex.session.is_empty() {
            kex.session.clone_from(&hash);
        }
        let (host_blob, proof) = (string(&blob(host)), string(&signed(host, &hash)));
        self.write(&[&[31], &host_blob, &string(own_public.as_ref()), &proof]).await?;
        self.write(&[&[NEWKEYS]]).await?;
        let derived =
            |letter: u8| sha256(&[&secret[..], &hash[..], &[letter][..], &kex.session[..]].concat());
        self.outgoing = Some(Cipher::new(&derived(b'D'), &derived(b'B')));
        loop {
            let message = self.read().await?;
            if message[0] == NEWKEYS {
                break;
            }
        }
        self.incoming = Some(Cipher::new(&derived(b'C'), &derived(b'A')));
        Some(())
    }
}

struct Cipher {
    key: LessSafeKey,
    nonce: [u8; 12],
}

impl Cipher {
    fn new(key: &[u8], first_nonce: &[u8]) -> Self {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
        Self { key, nonce: first_nonce[..12].try_into().unwrap() }
    }
}

/// Its last eight bytes count (RFC 5647 section 7.1).
fn next_nonce(nonce: &mut [u8; 12]) -> Nonce {
    let now = *nonce;
    let count = u64::from_be_bytes(nonce[4..].try_into().unwrap()).wrapping_add(1);
    nonce[4..].copy_from_slice(&count.to_be_bytes());
    Nonce::assume_unique_for_key(now)
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// An `mpint` that is not negative.
fn positive(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let sign: &[u8] = if digits.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    string(&[sign, &digits].concat())
}

/// A public key as it stands on the wire.
fn blob(key: &Ed25519KeyPair) -> Vec<u8> {
    [string(b"ssh-ed25519"), string(key.public_key().as_ref())].concat()
}

fn signed(key: &Ed25519KeyPair, message: &[u8]) -> Vec<u8> {
    [string(b"ssh-ed25519"), string(key.sign(message).as_ref())].concat()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn has(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

/// The name in a global request.
fn named(message: &[u8]) -> String {
    let length = usize::try_from(u32::from_be_bytes(message[1..5].try_into().unwrap())).unwrap();
    String::from_utf8(message[5..5 + length].to_vec()).unwrap()
}
