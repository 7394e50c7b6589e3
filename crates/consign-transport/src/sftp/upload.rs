//! A file, whole or not at all: written under a temporary name in its own folder, put on the disk, measured, and only then
//! given its name. A reader who looks at final names never sees a part of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use consign_core::target::{FileName, Folder};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::fill::{File, IN_FLIGHT_BYTES};
use super::file::{Files, SftpStatus, Unnamed, found};
use super::wire::Name;
use super::{SftpFault, SftpSession, SftpWhy};

mod fill;

/// Cleaning up after a failure may take so long.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is sent: bytes at hand, or parts that come one by one.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// Part by part. A stream that ends without [`Part::End`] was cut, and its file does not come to be.
    Stream(mpsc::Receiver<Part>),
}

/// A part of what is sent.
#[derive(Debug)]
pub enum Part {
    /// Some bytes.
    Bytes(Bytes),
    /// That was all.
    End,
}

/// What happens where the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// It stays as it is, and the upload fails.
    Fail,
    /// It is replaced, at one moment where the server can.
    Replace,
}

/// Where a file goes.
#[derive(Debug)]
pub struct Upload<'a> {
    /// The folder; it must be there.
    pub folder: &'a Folder,
    /// The final name.
    pub name: &'a FileName,
    /// What makes the temporary name one of its own: the run, and which attempt it is.
    pub run: &'a str,
    /// Where the name is taken.
    pub if_exists: IfExists,
    /// Bytes that arrived so far, for whoever watches.
    pub progress: Option<&'a AtomicU64>,
    /// So many bytes of the part arrived over an earlier session, and `progress` has them. The body has them all the same; they
    /// are not sent again.
    pub arrived: u64,
    /// Whether the SHA-256 of what is sent is to be found out; for a file whose own is known it need not.
    pub hash: bool,
    /// Whether little is sent at a time, and the next only when the server has it: slower, and more of it is known to have
    /// arrived when a session ends.
    pub step_by_step: bool,
}

/// A file that is whole on the server under its temporary name: on the disk where the server can, and measured.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its size, and what was sent.
    pub uploaded: Uploaded,
    /// When the server wrote it, in seconds since 1970, where it says so. It keeps that with its name.
    pub modified_seconds: Option<u32>,
    part: String,
    target: String,
    if_exists: IfExists,
}

/// A file that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of what was sent, where it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// The server put it on its disk before it got its name.
    pub synced: bool,
}

/// A file that is on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its size, where the server says it.
    pub size: Option<u64>,
    /// When it was last written, in seconds since 1970, where the server says it.
    pub modified_seconds: Option<u32>,
}

impl SftpSession {
    /// Uploads a file: [`SftpSession::write_part`], and then [`SftpSession::give_name`].
    ///
    /// # Errors
    /// Why it did not arrive; then nothing has its final name, or what had it before still does.
    pub async fn upload(&self, upload: &Upload<'_>, body: Body) -> Result<Uploaded, SftpFault> {
        let written = self.write_part(upload, body).await?;
        self.give_name(&written).await.map_err(|unnamed| unnamed.fault)?;
        Ok(written.uploaded)
    }

    /// Writes a file under its temporary name. Several may be under way in one session.
    ///
    /// # Errors
    /// Why it is not whole; then it is removed.
    pub async fn write_part(&self, upload: &Upload<'_>, body: Body) -> Result<Written, SftpFault> {
        let files = self.files();
        match body {
            // What is small leaves at once, with all that is asked behind it: requests on one file are done in their order
            // (draft-ietf-secsh-filexfer-02 section 6.1). A server that does not keep to it gets them one by one.
            Body::Whole(bytes)
                if bytes.len() <= IN_FLIGHT_BYTES
                    && upload.arrived == 0
                    && !upload.step_by_step
                    && !files.goes_one_by_one() =>
            {
                let again = bytes.clone();
                match write(files, upload, Content::AtOnce(bytes)).await {
                    Err(fault) if may_be_the_order(&fault) && files.channel.is_open() => {
                        let written = write(files, upload, Content::Body(Body::Whole(again))).await;
                        if written.is_ok() {
                            files.go_one_by_one();
                        }
                        written
                    }
                    written => written,
                }
            }
            body => write(files, upload, Content::Body(body)).await,
        }
    }

    /// Gives a written file its final name.
    ///
    /// # Errors
    /// Why it has not got it, and whether it may have it all the same.
    pub async fn give_name(&self, written: &Written) -> Result<(), Unnamed> {
        let files = self.files();
        let Written { part, target, if_exists, uploaded, .. } = written;
        let named = give_name(files, part, target, *if_exists, uploaded.bytes).await;
        if named.is_err() && files.channel.is_open() {
            self.discard(written).await;
        }
        named
    }

    /// Removes a written file that shall not have its name. What stays is removed by a later run.
    pub async fn discard(&self, written: &Written) {
        let _ = timeout(CLEAN_UP_TIMEOUT, self.files().remove(&written.part)).await;
    }

    /// Looks for a file; `None` when there is none.
    ///
    /// # Errors
    /// When the folder is not there or the server does not answer.
    pub async fn find(&self, folder: &Folder, name: &FileName) -> Result<Option<RemoteFile>, SftpFault> {
        let files = self.files();
        let folder = files.folder(folder.as_sent()).await?;
        let found = files.stat(&format!("{}/{}", folder.trim_end_matches('/'), name.as_str())).await?;
        Ok(found.map(|found| RemoteFile { size: found.size, modified_seconds: found.modified_seconds }))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When the folder is not there, or the server refuses or does not answer.
    pub async fn remove_file(&self, folder: &Folder, name: &FileName) -> Result<(), SftpFault> {
        let files = self.files();
        let folder = files.folder(folder.as_sent()).await?;
        files.remove(&format!("{}/{}", folder.trim_end_matches('/'), name.as_str())).await
    }

    /// Removes the part of one attempt, if it is there.
    ///
    /// # Errors
    /// When the folder is not there or the server does not answer.
    pub async fn remove_part(&self, folder: &Folder, name: &FileName, run: &str) -> Result<(), SftpFault> {
        let files = self.files();
        let folder = files.folder(folder.as_sent()).await?;
        let part = format!("{}/{}", folder.trim_end_matches('/'), part_name(name, run));
        match files.remove(&part).await {
            Err(fault) if matches!(fault.why, SftpWhy::Refused(_)) => Ok(()),
            removed => removed,
        }
    }

    /// The names of parts that earlier uploads left behind: to which nothing was written since `before`, in seconds since 1970.
    /// They are found among any number of other names.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn find_parts(&self, folder: &Folder, before: u32) -> Result<Vec<String>, SftpFault> {
        let files = self.files();
        let folder = files.folder(folder.as_sent()).await?;
        let old = |part: &Name| {
            let name = &part.name;
            let is_part = name.starts_with('.') && name.ends_with(".part") && !name.contains('/');
            is_part && part.attributes.modified_seconds.is_some_and(|at| at < before)
        };
        let (parts, _) = files.list(&folder, old).await?;
        Ok(parts.into_iter().map(|part| part.name).collect())
    }

    /// Removes parts that were found, as far as the server lets us, and tells how many.
    ///
    /// # Errors
    /// When the folder is not there.
    pub async fn remove_parts(&self, folder: &Folder, parts: &[String]) -> Result<usize, SftpFault> {
        let files = self.files();
        let folder = files.folder(folder.as_sent()).await?;
        let mut removed = 0;
        for name in parts {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            removed += usize::from(files.remove(&path).await.is_ok());
        }
        Ok(removed)
    }
}

/// What goes into a part, and how.
enum Content {
    /// All of it, and the end of the file behind it, without a wait.
    AtOnce(Bytes),
    /// As it comes; the end of the file waits until all of it has arrived.
    Body(Body),
}

/// Whether a server may have done requests on one file in another order than they came.
fn may_be_the_order(fault: &SftpFault) -> bool {
    matches!(fault.why, SftpWhy::Refused(SftpStatus::Failure | SftpStatus::NotThere) | SftpWhy::Lost)
}

async fn write(files: &Files, upload: &Upload<'_>, content: Content) -> Result<Written, SftpFault> {
    let _place = files.handle().await?;
    let mut folder = files.folder(upload.folder.as_sent()).await?;
    let at = |folder: &str, name: &str| format!("{}/{name}", folder.trim_end_matches('/'));
    let part_name = part_name(upload.name, upload.run);
    let again = match upload.arrived {
        0 => None,
        arrived => files.reopen(&at(&folder, &part_name), arrived).await?,
    };
    let arrived = if again.is_some() { upload.arrived } else { 0 };
    if let Some(progress) = upload.progress {
        // What is not there any more did not arrive.
        progress.fetch_sub(upload.arrived - arrived, Ordering::Relaxed);
    }
    let mut begun = match again {
        Some(handle) => Ok(handle),
        None => begin(files, &at(&folder, &part_name), &at(&folder, upload.name.as_str()), upload).await,
    };
    if matches!(&begun, Err(fault) if matches!(fault.why, SftpWhy::Refused(SftpStatus::NotThere))) {
        folder = files.folder_anew(upload.folder.as_sent()).await?;
        begun = begin(files, &at(&folder, &part_name), &at(&folder, upload.name.as_str()), upload).await;
    }
    let handle = begun?;
    let (part, target) = (at(&folder, &part_name), at(&folder, upload.name.as_str()));
    let file =
        File { files, folder: &folder, part: &part, target: &target, handle: &handle, arrived, upload };
    let mut open = true;
    let filled = file.fill(content, &mut open).await;
    if filled.is_err() && files.channel.is_open() {
        let clean_up = async {
            if open {
                let _ = files.close(&handle).await;
            }
            files.remove(&part).await
        };
        // What stays is removed by a later run.
        let _ = timeout(CLEAN_UP_TIMEOUT, clean_up).await;
    }
    let (uploaded, modified_seconds) = filled?;
    Ok(Written { uploaded, modified_seconds, part, target, if_exists: upload.if_exists })
}

/// Opens the part where the final name is free; both are asked at once.
async fn begin(files: &Files, part: &str, target: &str, upload: &Upload<'_>) -> Result<Bytes, SftpFault> {
    let taken = match upload.if_exists {
        IfExists::Fail => Some(files.ask_stat(target).await?),
        IfExists::Replace => None,
    };
    let created = create(files, part).await;
    let free = match taken {
        None => Ok(()),
        Some(taken) => match taken.reply().await.and_then(found) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(exists()),
            Err(fault) => Err(fault),
        },
    };
    if let (Err(_), Ok(handle)) = (&free, &created) {
        let clean_up = async {
            let _ = files.close(handle).await;
            files.remove(part).await
        };
        let _ = timeout(CLEAN_UP_TIMEOUT, clean_up).await;
    }
    free.and(created)
}

/// The temporary name beside the final one.
pub fn part_name(name: &FileName, run: &str) -> String {
    format!(".{}.{run}.part", name.as_str())
}

/// Opens the part as a new file; one that an earlier attempt left behind goes first. What is there is never followed.
async fn create(files: &Files, part: &str) -> Result<Bytes, SftpFault> {
    match files.create(part).await {
        Err(fault) if matches!(fault.why, SftpWhy::Refused(_) | SftpWhy::Exists) => {
            if files.stat(part).await?.is_none() {
                return Err(fault);
            }
            files.remove(part).await?;
            files.create(part).await
        }
        created => created,
    }
}

async fn give_name(
    files: &Files,
    part: &str,
    target: &str,
    if_exists: IfExists,
    bytes: u64,
) -> Result<(), Unnamed> {
    match files.rename(part, target, if_exists == IfExists::Replace).await {
        // Servers say "failure" where the name is taken.
        Err(Unnamed { fault, in_doubt: false })
            if if_exists == IfExists::Fail && matches!(fault.why, SftpWhy::Refused(_)) =>
        {
            let taken = files.stat(target).await.map_err(Unnamed::refused)?.is_some();
            Err(Unnamed::refused(if taken { exists() } else { fault }))
        }
        Err(unnamed) => Err(unnamed),
        Ok(Some(there)) if there.size == Some(bytes) => Ok(()),
        // It may have been looked at before it had its name.
        Ok(_) => {
            let there = files.stat(target).await.map_err(Unnamed::in_doubt)?;
            same_size(there.and_then(|found| found.size), bytes).map_err(Unnamed::in_doubt)
        }
    }
}

fn same_size(found: Option<u64>, bytes: u64) -> Result<(), SftpFault> {
    match found {
        // A server that does not say sizes is believed.
        None => Ok(()),
        Some(found) if found == bytes => Ok(()),
        Some(found) => {
            let detail = format!("The server has {found} bytes of the file, {bytes} were sent.");
            Err(SftpFault::lost(detail))
        }
    }
}

fn exists() -> SftpFault {
    SftpFault::new(SftpWhy::Exists, "A file of that name exists already.")
}
