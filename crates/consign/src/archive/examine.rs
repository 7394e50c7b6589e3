//! Whether a file is a backup that can be restored: unpacked beside, looked through, held against what it says of itself.

use std::fs::File;
use std::io;
use std::path::Path;

use consign_core::time::Timestamp;
use consign_store::StoreError;
use consign_store::backup::{Inspected, inspect};

use super::{Archive, ArchiveError, Draft, Manifest};

/// What stays free beside an unpacked database.
const LEFT_FREE_BYTES: u64 = 64 << 20;

/// What came of it.
pub enum Examined {
    /// A whole backup: its manifest, and the database out of it, which goes when it is dropped.
    Whole(Manifest, Draft),
    /// No backup, or one that cannot be restored. A sentence without its full stop.
    Refused(String),
}

/// Unpacks a file into a folder and looks at all of it.
///
/// # Errors
/// When the folder cannot be written or has no room for the database.
pub async fn examine(file: File, folder: &Path, now: Timestamp) -> io::Result<Examined> {
    let folder = folder.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || unpack(file, &folder, now));
    let (manifest, draft) = match unpacked.await.map_err(io::Error::other)? {
        Ok(unpacked) => unpacked,
        Err(ArchiveError::Io(error)) => return Err(error),
        Err(refused) => return Ok(Examined::Refused(refused.to_string())),
    };
    Ok(match inspect(draft.path()).await {
        Ok(Inspected::Whole(contents)) if manifest.fits(&contents) => Examined::Whole(manifest, draft),
        Ok(Inspected::Whole(_)) => {
            Examined::Refused("it is damaged: the database does not hold what its manifest says".to_owned())
        }
        Ok(Inspected::Damaged(words)) => {
            Examined::Refused(format!("it is damaged: the database is not whole ({words})"))
        }
        Err(StoreError::Full) => return Err(io::ErrorKind::StorageFull.into()),
        Err(error) => return Err(io::Error::other(error)),
    })
}

fn unpack(file: File, folder: &Path, now: Timestamp) -> Result<(Manifest, Draft), ArchiveError> {
    let archive = Archive::open(file)?;
    let needed = archive.manifest().database_bytes().saturating_add(LEFT_FREE_BYTES);
    if free_bytes(folder)? < needed {
        return Err(io::Error::from(io::ErrorKind::StorageFull).into());
    }
    let mut draft = Draft::new(folder, now)?;
    let manifest = archive.extract(&mut draft.take_file())?;
    Ok((manifest, draft))
}

/// The room on the disk of a folder.
fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
