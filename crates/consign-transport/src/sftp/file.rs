//! What can be done with files and folders, and the server's refusals in words.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Mutex, OnceCell, Semaphore, SemaphorePermit};
use tokio::time::timeout_at;

use super::channel::{Answer, Channel};
use super::session::Session;
use super::wire::{self, Attributes, Reply, Request};
use super::{Listed, SftpFault, SftpWhy};
use crate::now;

/// What every server takes in one request (draft-ietf-secsh-filexfer-02 section 3).
const WRITE_BYTES: usize = 32 << 10;
/// What none is sent more of at once.
const WRITE_BYTES_MAX: usize = 255 << 10;
/// So many names of a folder are kept, and no more.
const NAMES_MAX: usize = 1_000;
/// So many pages of a folder are read: servers put about a hundred names on one, and one that lies does not come to its end.
const PAGES_MAX: usize = 20_000;
/// A disk with less room than this is full.
const SPACE_BYTES_MIN: u64 = 1 << 20;
/// Words of a server that are shown.
const WORDS_MAX: usize = 200;
/// More files are not open at once: servers have limits, and few say which.
const HANDLES_MAX: usize = 64;
/// Many files that go into one folder ask for it once, and soon again.
const FOLDER_KNOWN_FOR: Duration = Duration::from_secs(1);
/// A session knows no more folders at once.
const FOLDERS_MAX: usize = 64;

/// Why a server refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SftpStatus {
    /// There is no such file or folder.
    NotThere,
    /// The account may not.
    NotAllowed,
    /// The server does not know how.
    NotSupported,
    /// It does not say why.
    Failure,
}

/// A channel with what is known about its limits.
pub(super) struct Files {
    pub(super) channel: Channel,
    write_bytes: OnceCell<usize>,
    /// What folders turned out to be called, and when.
    folders: Mutex<HashMap<String, (String, Instant)>>,
    /// Files that may be open.
    handles: Semaphore,
    /// It does not take the requests of one file behind each other without a wait for the answers.
    one_by_one: AtomicBool,
}

impl Files {
    /// Opens SFTP in a session that lets us in. Some servers do and fall silent then.
    ///
    /// # Errors
    /// When it is refused, or not there in time.
    pub(super) async fn open(session: Session, deadline: Instant) -> Result<Self, SftpFault> {
        match timeout_at(deadline.into(), Channel::open(Arc::new(session))).await {
            Ok(opened) => Ok(Self::new(opened?)),
            Err(_) => Err(SftpFault::lost("The server let us in and did not open SFTP in time.")),
        }
    }

    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            write_bytes: OnceCell::new(),
            folders: Mutex::default(),
            handles: Semaphore::new(HANDLES_MAX),
            one_by_one: AtomicBool::new(false),
        }
    }

    /// A place among the files that are open, as soon as there is one.
    pub(super) async fn handle(&self) -> Result<SemaphorePermit<'_>, SftpFault> {
        self.handles.acquire().await.map_err(|_| SftpFault::lost("The session is over."))
    }

    /// Whether the server waits for the answers of one file.
    pub(super) fn goes_one_by_one(&self) -> bool {
        self.one_by_one.load(Ordering::Relaxed)
    }

    /// From now on every request of a file waits for the answer to the one before.
    pub(super) fn go_one_by_one(&self) {
        self.one_by_one.store(true, Ordering::Relaxed);
    }

    /// How much one request may carry: what the server says, within reason.
    pub(super) async fn write_bytes(&self) -> usize {
        *self.write_bytes.get_or_init(|| self.ask_write_bytes()).await
    }

    async fn ask_write_bytes(&self) -> usize {
        if !self.channel.offers(wire::LIMITS) {
            return WRITE_BYTES;
        }
        let Ok(Reply::Extended(limits)) = self.channel.ask(&Request::Limits).await else {
            return WRITE_BYTES;
        };
        let Some([_, _, write, _]) = wire::numbers::<4>(&limits) else { return WRITE_BYTES };
        // 0 is "no limit that I would know of".
        let write = usize::try_from(write).unwrap_or(0);
        if write == 0 { WRITE_BYTES } else { write.clamp(1 << 10, WRITE_BYTES_MAX) }
    }

    /// The absolute path of a folder that is there, or was a moment ago.
    pub(super) async fn folder(&self, path: &str) -> Result<String, SftpFault> {
        let mut folders = self.folders.lock().await;
        folders.retain(|_, (_, at)| now().saturating_duration_since(*at) < FOLDER_KNOWN_FOR);
        if let Some((resolved, _)) = folders.get(path) {
            return Ok(resolved.clone());
        }
        let resolved = self.find_folder(path).await?;
        if folders.len() < FOLDERS_MAX {
            folders.insert(path.to_owned(), (resolved.clone(), now()));
        }
        Ok(resolved)
    }

    /// Something in the folder is not as it was: it is looked for anew.
    pub(super) async fn folder_anew(&self, path: &str) -> Result<String, SftpFault> {
        self.folders.lock().await.remove(path);
        self.folder(path).await
    }

    async fn find_folder(&self, path: &str) -> Result<String, SftpFault> {
        let resolved = match self.channel.ask(&Request::RealPath(path)).await? {
            Reply::Names(names) if names.len() == 1 => names.into_iter().next().map(|name| name.name),
            other => return Err(refusal(&other, "find the folder")),
        };
        let resolved = resolved.filter(|path| path.starts_with('/') && !path.chars().any(char::is_control));
        let resolved =
            resolved.ok_or_else(|| SftpFault::misbehaved("The server gave no path of the folder."))?;
        match self.channel.ask(&Request::Stat(&resolved)).await? {
            Reply::Attributes(attributes) if attributes.is_folder() => Ok(resolved),
            Reply::Attributes(_) => {
                Err(SftpFault::new(SftpWhy::Refused(SftpStatus::NotThere), "The folder is a file."))
            }
            other => Err(refusal(&other, "find the folder")),
        }
    }

    /// What is known of a file; `None` when there is none.
    pub(super) async fn stat(&self, path: &str) -> Result<Option<Attributes>, SftpFault> {
        found(self.ask_stat(path).await?.reply().await?)
    }

    /// Asks for it; [`found`] reads the answer.
    pub(super) async fn ask_stat(&self, path: &str) -> Result<Answer, SftpFault> {
        self.channel.send(&Request::Lstat(path)).await
    }

    /// Opens a new file for writing.
    pub(super) async fn create(&self, path: &str) -> Result<Bytes, SftpFault> {
        match self.channel.ask(&Request::Create(path)).await? {
            Reply::Handle(handle) => Ok(handle),
            other => Err(refusal(&other, "create the file")),
        }
    }

    /// Opens a file that an earlier session wrote to; `None` when there is none that has so many bytes.
    pub(super) async fn reopen(&self, path: &str, bytes: u64) -> Result<Option<Bytes>, SftpFault> {
        let there = self.stat(path).await?;
        if !there.is_some_and(|there| there.is_file() && there.size.is_some_and(|size| size >= bytes)) {
            return Ok(None);
        }
        match self.channel.ask(&Request::Reopen(path)).await? {
            Reply::Handle(handle) => Ok(Some(handle)),
            other => Err(refusal(&other, "open the file again")),
        }
    }

    /// Sends bytes of a file; whether they arrived comes later.
    pub(super) async fn write(&self, handle: &[u8], offset: u64, data: Bytes) -> Result<Answer, SftpFault> {
        self.channel.send_with(&Request::Write { handle, offset }, data).await
    }

    /// Puts a file on the disk of the server where it can, closes it, and asks what is there now: one behind the other, without
    /// a wait for answers.
    pub(super) async fn ask_to_end(&self, handle: &[u8], path: &str) -> Result<Ending, SftpFault> {
        let synced = match self.channel.offers(wire::FSYNC) {
            true => Some(self.channel.send(&Request::Sync(handle)).await?),
            false => None,
        };
        let closed = self.channel.send(&Request::Close(handle)).await?;
        let there = self.ask_stat(path).await?;
        Ok(Ending { synced, closed, there })
    }

    pub(super) async fn close(&self, handle: &[u8]) -> Result<(), SftpFault> {
        let reply = self.channel.ask(&Request::Close(handle)).await?;
        done(&reply, "close the file")
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), SftpFault> {
        let reply = self.channel.ask(&Request::Remove(path)).await?;
        done(&reply, "delete the file")
    }

    /// Gives a file its name; what has that name is refused, or replaced at the same moment. The answer is what the server
    /// said right behind it of the new name, where it said something.
    pub(super) async fn rename(
        &self,
        from: &str,
        to: &str,
        replace: bool,
    ) -> Result<Option<Attributes>, Unnamed> {
        let atomic = replace && self.channel.offers(wire::POSIX_RENAME);
        let request = if atomic { Request::PosixRename(from, to) } else { Request::Rename(from, to) };
        // From here on it may have its name, until the server says no.
        let renamed = self.channel.send(&request).await.map_err(Unnamed::in_doubt)?;
        let there = self.ask_stat(to).await.map_err(Unnamed::in_doubt)?;
        let reply = renamed.reply().await.map_err(Unnamed::in_doubt)?;
        if replace && !atomic && matches!(reply, Reply::Status { code, .. } if code != OK) {
            // Without the extension a name that is taken has to be freed first; one that is not was refused for itself.
            if self.stat(to).await.map_err(Unnamed::refused)?.is_none() {
                return named(&reply).map(|()| None);
            }
            self.remove(to).await.map_err(Unnamed::refused)?;
            let reply = self.channel.ask(&request).await.map_err(Unnamed::in_doubt)?;
            return named(&reply).map(|()| None);
        }
        named(&reply)?;
        // It has its name; that it cannot be looked at afterwards leaves its size in doubt.
        let there = there.reply().await.map_err(Unnamed::in_doubt)?;
        Ok(found(there).unwrap_or_default())
    }

    /// Those names in a folder that are wanted, up to a limit: of a folder with millions of others they are all found.
    pub(super) async fn list(
        &self,
        folder: &str,
        wanted: impl Fn(&wire::Name) -> bool,
    ) -> Result<(Vec<wire::Name>, bool), SftpFault> {
        let handle = match self.channel.ask(&Request::OpenFolder(folder)).await? {
            Reply::Handle(handle) => handle,
            other => return Err(refusal(&other, "read the folder")),
        };
        let mut names = Vec::new();
        let mut pages = 0;
        let more = loop {
            match self.channel.ask(&Request::ReadFolder(&handle)).await? {
                Reply::Names(some) if some.is_empty() => break false,
                Reply::Names(some) => names.extend(some.into_iter().filter(&wanted)),
                Reply::Status { code: EOF, .. } => break false,
                other => return Err(refusal(&other, "read the folder")),
            }
            pages += 1;
            if names.len() > NAMES_MAX || pages == PAGES_MAX {
                names.truncate(NAMES_MAX);
                break true;
            }
        };
        self.close(&handle).await?;
        Ok((names, more))
    }

    /// How many names a folder has.
    pub(super) async fn count(&self, folder: &str) -> Result<Listed, SftpFault> {
        let (names, more) = self.list(folder, |name| name.name != "." && name.name != "..").await?;
        Ok(Listed { names: names.len(), more })
    }

    /// The fault of a write that was refused: many servers do not say that their disk is full, so it is asked.
    pub(super) async fn refused_write(&self, reply: &Reply, folder: &str) -> SftpFault {
        if let Reply::Status { code: FAILURE, .. } = reply
            && self.channel.offers(wire::STATVFS)
            && let Ok(Reply::Extended(space)) = self.channel.ask(&Request::Space(folder)).await
            && let Some([_, fragment, _, _, free]) = wire::numbers::<5>(&space)
            && free.saturating_mul(fragment) < SPACE_BYTES_MIN
        {
            return no_space();
        }
        refusal(reply, "write the file")
    }
}

/// A file that has not got its name, as far as is known.
#[derive(Clone, Debug)]
pub struct Unnamed {
    /// Why.
    pub fault: SftpFault,
    /// It may have it all the same: no answer came, or none that says so.
    pub in_doubt: bool,
}

impl Unnamed {
    pub(super) fn in_doubt(fault: SftpFault) -> Self {
        Self { fault, in_doubt: true }
    }

    pub(super) fn refused(fault: SftpFault) -> Self {
        Self { fault, in_doubt: false }
    }
}

/// The end of a file that is under way.
pub(super) struct Ending {
    synced: Option<Answer>,
    closed: Answer,
    there: Answer,
}

impl Ending {
    /// Whether it is on the disk of the server, and what is there.
    pub(super) async fn reply(self) -> Result<(bool, Attributes), SftpFault> {
        let synced = match self.synced {
            None => false,
            Some(synced) => match synced.reply().await? {
                // Some file systems cannot; that is no failure of the file.
                Reply::Status { code: OP_UNSUPPORTED, .. } => false,
                reply => done(&reply, "put the file on its disk").map(|()| true)?,
            },
        };
        done(&self.closed.reply().await?, "close the file")?;
        let there = found(self.there.reply().await?)?;
        let there =
            there.ok_or_else(|| SftpFault::lost("The server does not have the file that was written."))?;
        Ok((synced, there))
    }
}

/// What the answer to a look at a file says; `None` when there is none.
pub(super) fn found(reply: Reply) -> Result<Option<Attributes>, SftpFault> {
    match reply {
        Reply::Attributes(attributes) => Ok(Some(attributes)),
        Reply::Status { code: NO_SUCH_FILE, .. } => Ok(None),
        other => Err(refusal(&other, "look for the file")),
    }
}

const OK: u32 = 0;
const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;
const FAILURE: u32 = 4;
const OP_UNSUPPORTED: u32 = 8;
/// Of later versions; some servers use them all the same.
const FILE_ALREADY_EXISTS: u32 = 11;
const NO_SPACE: u32 = 14;
const QUOTA_EXCEEDED: u32 = 15;

fn done(reply: &Reply, what: &str) -> Result<(), SftpFault> {
    if is_ok(reply) { Ok(()) } else { Err(refusal(reply, what)) }
}

/// What the answer to a new name means. Only a status says no.
fn named(reply: &Reply) -> Result<(), Unnamed> {
    let says_no = matches!(reply, Reply::Status { .. });
    done(reply, "rename the file").map_err(|fault| Unnamed { fault, in_doubt: !says_no })
}

/// Whether a write arrived.
pub(super) fn is_ok(reply: &Reply) -> bool {
    matches!(reply, Reply::Status { code: OK, .. })
}

fn no_space() -> SftpFault {
    SftpFault::new(SftpWhy::NoSpace, "The server has no space left.")
}

fn refusal(reply: &Reply, what: &str) -> SftpFault {
    let Reply::Status { code, message } = reply else {
        return SftpFault::misbehaved(format!(
            "The server answered with something else when asked to {what}."
        ));
    };
    let said: String = message.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
    let said = said.trim().trim_end_matches('.');
    match *code {
        NO_SPACE => no_space(),
        QUOTA_EXCEEDED => SftpFault::new(SftpWhy::NoSpace, "The account's quota on the server is used up."),
        FILE_ALREADY_EXISTS => SftpFault::new(SftpWhy::Exists, "A file of that name exists already."),
        NO_SUCH_FILE => SftpFault::new(
            SftpWhy::Refused(SftpStatus::NotThere),
            format!("The server cannot {what}: no such file or folder."),
        ),
        PERMISSION_DENIED => SftpFault::new(
            SftpWhy::Refused(SftpStatus::NotAllowed),
            format!("The server cannot {what}: permission denied."),
        ),
        OP_UNSUPPORTED => SftpFault::new(
            SftpWhy::Refused(SftpStatus::NotSupported),
            format!("The server cannot {what}: it does not know how."),
        ),
        _ if said.is_empty() || said.eq_ignore_ascii_case("failure") => SftpFault::new(
            SftpWhy::Refused(SftpStatus::Failure),
            format!("The server cannot {what} and does not say why."),
        ),
        _ => SftpFault::new(
            SftpWhy::Refused(SftpStatus::Failure),
            format!("The server cannot {what}: {said}."),
        ),
    }
}
