//! File servers: SSH (RFC 4251 to 4254) with a pinned host key, and files over it (draft-ietf-secsh-filexfer-02 with the
//! extensions of OpenSSH's PROTOCOL). Nothing is offered to a server before it proved itself with a pinned key.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use consign_core::credential::SftpAccess;
use consign_core::delivery::Unreached;
use consign_core::pin::{Fingerprint, HostKey, KeyType};
use consign_core::ssh_key::KeyFault;
use consign_core::target::{Folder, SftpAddress};

use crate::{Network, NothingSent, Timing};

pub use file::{SftpStatus, Unnamed};
pub use pool::SftpSession;
pub use upload::{Body, IfExists, Part, RemoteFile, Upload, Uploaded, Written, part_name};

pub(crate) use pool::{Sessions, close};

mod algorithms;
mod channel;
mod file;
mod leash;
mod pool;
mod prove;
mod scan;
mod session;
mod sign_in;
mod trial;
mod upload;
mod wire;

/// From dialling to a signed-in session.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a file server did not do what was asked.
#[derive(Clone, Debug)]
pub struct SftpFault {
    /// What kind of reason.
    pub why: SftpWhy,
    /// In words for people: no secret, no path.
    pub detail: String,
}

/// The kinds of reasons, by what follows from them.
#[derive(Clone, Debug)]
pub enum SftpWhy {
    /// The egress rules, or that the server is this one.
    Blocked,
    /// No session came to be: name, network or handshake.
    Unreachable(Unreached),
    /// The server has no key among the pinned ones. Nothing was offered to it.
    HostKey {
        /// What it showed instead, when it showed one.
        shown: Option<HostKey>,
    },
    /// The stored key does not open.
    Key(KeyFault),
    /// The server knows the account, or not, and does not let it in.
    SignIn(SignInWhy),
    /// A request that the server refused.
    Refused(SftpStatus),
    /// The disk or the account's share of it is full.
    NoSpace,
    /// The name is taken, and the rule says to leave it.
    Exists,
    /// The session ended, or an answer did not come.
    Lost,
    /// It was ended, because the server took new keys and did not prove that they are its own. A new one may go on.
    NewKeys,
    /// Something that no server says.
    Misbehaved,
    /// What was to be sent ended before its end.
    SourceEnded,
}

/// Why a sign-in did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInWhy {
    /// What was offered was refused.
    Refused,
    /// It was accepted, and the server wants a password as well.
    PasswordToo,
    /// It was accepted, and the server wants a key as well.
    KeyToo,
    /// The server takes none of what the credential has.
    NoMethod,
    /// The server asks for more than one answer.
    Questions,
}

impl SftpFault {
    fn new(why: SftpWhy, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into() }
    }

    fn lost(detail: impl Into<String>) -> Self {
        Self::new(SftpWhy::Lost, detail)
    }

    fn misbehaved(detail: impl Into<String>) -> Self {
        Self::new(SftpWhy::Misbehaved, detail)
    }

    fn unreachable(detail: impl Into<String>) -> Self {
        Self::new(SftpWhy::Unreachable(Unreached::Connect), detail)
    }
}

impl fmt::Display for SftpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<NothingSent> for SftpFault {
    fn from(nothing: NothingSent) -> Self {
        use consign_core::delivery::Outcome;
        let why = match nothing.outcome {
            Outcome::Unreachable { reason } => SftpWhy::Unreachable(reason),
            Outcome::Accepted { .. }
            | Outcome::Rejected { .. }
            | Outcome::Unanswered { .. }
            | Outcome::Refused { .. }
            | Outcome::File { .. } => SftpWhy::Blocked,
        };
        Self::new(why, nothing.detail)
    }
}

/// What was negotiated for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshFacts {
    /// The host key, and the signature it proved itself with.
    pub host_key: HostKey,
    /// `rsa-sha2-512`.
    pub signature: String,
    /// `aes256-gcm@openssh.com`.
    pub cipher: String,
    /// `mlkem768x25519-sha256`.
    pub key_exchange: String,
}

/// A host key that a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedKey {
    /// The key.
    pub key: HostKey,
    /// The address that answered.
    pub address: IpAddr,
}

/// What a connection test of a file server saw, step by step.
#[derive(Debug, Default)]
pub struct SftpProbe {
    /// The address that was connected to.
    pub address: Option<IpAddr>,
    /// What was negotiated, once the host key matched.
    pub facts: Option<SshFacts>,
    /// How it was let in, such as `publickey, password`.
    pub signed_in: Option<String>,
    /// What the folder holds.
    pub listed: Option<Listed>,
    /// A file was written, renamed and deleted.
    pub written: bool,
    /// How long each step took.
    pub timing: ProbeTiming,
    /// Why it ended early.
    pub failure: Option<SftpFault>,
}

/// What was read of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// So many names.
    pub names: usize,
    /// There are more.
    pub more: bool,
}

/// How long each step of a test took; `None` for steps that did not happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeTiming {
    /// Name and network.
    pub network: Timing,
    /// The key exchange with the host key.
    pub host_key: Option<Duration>,
    /// The sign-in.
    pub sign_in: Option<Duration>,
    /// The look into the folder.
    pub folder: Option<Duration>,
    /// The file.
    pub write: Option<Duration>,
}

/// What a test does beyond signing in.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeFolder<'a> {
    /// The folder to look into.
    pub folder: Option<&'a Folder>,
    /// Write a small file there, rename it and delete it.
    pub write: bool,
}

/// The families that bare fingerprints turned out to be of. It spares the search for them.
pub(crate) type Learned = std::sync::Mutex<std::collections::HashMap<Fingerprint, KeyType>>;

impl Network {
    /// A signed-in session: a kept one, or a new one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn sftp(&self, access: &SftpAccess) -> Result<SftpSession, SftpFault> {
        pool::take(self, access).await
    }

    /// Connects, signs in, looks into a folder, and says what it saw. For a connection test; keeps nothing. `seen` is told
    /// what it saw so far with each step.
    pub async fn probe_sftp(
        &self,
        access: &SftpAccess,
        folder: ProbeFolder<'_>,
        seen: &(dyn Fn(&SftpProbe) + Sync),
    ) -> SftpProbe {
        trial::run(self, access, folder, trial::WORK_TIMEOUT, seen).await
    }

    /// The same with another limit for the work in the folder.
    #[cfg(test)]
    pub(crate) async fn probe_sftp_within(
        &self,
        access: &SftpAccess,
        folder: ProbeFolder<'_>,
        limit: Duration,
    ) -> SftpProbe {
        trial::run(self, access, folder, limit, &|_| {}).await
    }

    /// Reads the host keys of a server, one of each family, without signing in. Anyone between may have answered.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn scan_host_keys(&self, address: &SftpAddress) -> Result<Vec<ScannedKey>, SftpFault> {
        scan::run(self, address).await
    }
}
