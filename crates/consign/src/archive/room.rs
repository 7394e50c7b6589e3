//! What must stay free on a disk while a file grows on it: somebody else may have said how large it becomes.

use std::io;
use std::path::{Path, PathBuf};

/// What stays free where nothing but the command at hand needs room.
const ALONE_BYTES: u64 = 64 << 20;
/// What stays free at least on the disk of a server: it goes on accepting meanwhile.
const SHARED_BYTES_MIN: u64 = 1 << 30;
/// And so much of what was free at the beginning.
const SHARED_PART: u64 = 10;
/// It is looked at again after so many bytes.
const LOOK_EVERY_BYTES: u64 = 16 << 20;

/// The room of a folder for a file that grows.
#[derive(Clone, Debug)]
pub struct Room {
    folder: PathBuf,
    left_free: u64,
    unseen: u64,
    free: fn(&Path) -> io::Result<u64>,
}

impl Room {
    /// For a command that is alone.
    pub fn alone(folder: &Path) -> Self {
        Self::leaving(folder, ALONE_BYTES, free_bytes)
    }

    /// Beside a server that goes on, which calls a disk low at so many bytes.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn shared(folder: &Path, low_bytes: u64) -> io::Result<Self> {
        let left_free = left_free(free_bytes(folder)?, low_bytes);
        Ok(Self::leaving(folder, left_free, free_bytes))
    }

    pub(super) fn leaving(folder: &Path, left_free: u64, free: fn(&Path) -> io::Result<u64>) -> Self {
        Self { folder: folder.to_owned(), left_free, unseen: 0, free }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether so many bytes fit in.
    ///
    /// # Errors
    /// When they do not.
    pub fn require(&self, bytes: u64) -> io::Result<()> {
        match (self.free)(&self.folder)? < bytes.saturating_add(self.left_free) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    /// Takes so many bytes, whatever was said before; others may take of it, too.
    ///
    /// # Errors
    /// When there is no room any more.
    pub fn take(&mut self, bytes: u64) -> io::Result<()> {
        self.unseen = self.unseen.saturating_add(bytes);
        if self.unseen < LOOK_EVERY_BYTES {
            return Ok(());
        }
        self.unseen = 0;
        self.require(LOOK_EVERY_BYTES)
    }
}

fn left_free(free: u64, low_bytes: u64) -> u64 {
    (free / SHARED_PART).max(low_bytes).max(SHARED_BYTES_MIN)
}

/// The room on the disk of a folder.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests;
