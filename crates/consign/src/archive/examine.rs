//! Whether a file is a backup that can be restored: unpacked beside, looked through, held against what it says of itself.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use consign_core::time::Timestamp;
use consign_store::StoreError;
use consign_store::backup::{Inspected, inspect};

use super::{Archive, ArchiveError, Draft, Manifest, Room};

/// What came of it.
pub enum Examined {
    /// A whole backup: its manifest, and the database out of it, which goes when it is dropped.
    Whole(Manifest, Draft),
    /// No backup, or one that cannot be restored. A sentence without its full stop.
    Refused(String),
}

/// Dropped, it ends what nobody waits for any more.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A file that takes what is written into it until nobody waits for that any more, and while there is room.
struct Awaited {
    file: File,
    room: Room,
    over: Arc<AtomicBool>,
}

impl Write for Awaited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.over.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for it"));
        }
        self.room.take(bytes.len() as u64)?;
        self.file.write(bytes)
    }

    /// What was written is on disk when this returns.
    fn flush(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Unpacks a file where there is room and looks at all of it. Dropped, that ends.
///
/// # Errors
/// When the folder cannot be written or has no room for the database.
pub async fn examine(file: File, room: Room, now: Timestamp) -> io::Result<Examined> {
    let over = Over::default();
    let flag = over.0.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack(file, room, now, flag));
    let (manifest, draft) = match unpacked.await.map_err(io::Error::other)? {
        Ok(unpacked) => unpacked,
        Err(ArchiveError::Io(error)) => return Err(error),
        Err(refused) => return Ok(Examined::Refused(refused.to_string())),
    };
    if let Some(why) = newer(&manifest) {
        return Ok(Examined::Refused(why));
    }
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

/// Tables that this program does not know cannot be judged.
fn newer(manifest: &Manifest) -> Option<String> {
    let newer =
        manifest.json()["schema"].as_i64().is_some_and(|schema| schema > consign_store::schema_known());
    let version = manifest.json()["version"].as_str().unwrap_or_default();
    newer.then(|| {
        format!(
            "it was made by Consign {version}, which knows a newer database than this one: use that version, or a newer \
             one"
        )
    })
}

fn unpack(
    file: File,
    room: Room,
    now: Timestamp,
    over: Arc<AtomicBool>,
) -> Result<(Manifest, Draft), ArchiveError> {
    let archive = Archive::open(file)?;
    room.require(archive.manifest().database_bytes())?;
    let mut draft = Draft::new(room.folder(), now)?;
    let manifest = archive.extract(&mut Awaited { file: draft.take_file(), room, over })?;
    Ok((manifest, draft))
}

#[cfg(test)]
mod tests;
