//! Which keys the kept backups need. Where that cannot be told, no key is offered to be taken out of the ring.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::App;
use crate::archive::{self, Archive, Name};
use crate::ops::OpError;

/// The keys that the kept backups need, as far as they can be read.
#[derive(Default)]
pub(super) struct Kept {
    /// Each as often as there are backups that need it.
    pub(super) keys: Vec<String>,
    /// Why there may be more of them, in a sentence.
    pub(super) unknown: Option<String>,
}

/// Reads what each backup of the folder says of itself.
pub(super) async fn keys_of_kept(app: &App) -> Result<Kept, OpError> {
    // Asked before the folder is read: one that is done meanwhile may have come too late to be in it.
    let being_made = app.backups.is_making();
    let Some(folder) = app.config.backup.dir.clone() else { return Ok(Kept::default()) };
    let read = tokio::task::spawn_blocking(move || read(&folder));
    let mut kept = read.await.map_err(|error| OpError::Internal(error.into()))?;
    if being_made {
        let sentence = "A backup is being made, and may need it: look again when that is done";
        kept.unknown = Some(sentence.to_owned());
    }
    Ok(kept)
}

fn read(folder: &Path) -> Kept {
    let mut kept = Kept::default();
    let Ok(names) = archive::names(folder) else {
        let sentence = "The folder of backups cannot be read, and one of them may need it";
        kept.unknown = Some(sentence.to_owned());
        return kept;
    };
    for name in &names {
        match keys_of(folder, name) {
            Ok(keys) => kept.keys.extend(keys),
            Err(_) => {
                kept.unknown = Some(format!(
                    "The backup {} cannot be read, and may need it: mend or delete that one",
                    name.as_str()
                ));
            }
        }
    }
    kept
}

/// The keys that one backup needs; none when it went meanwhile.
fn keys_of(folder: &Path, name: &Name) -> io::Result<Vec<String>> {
    let file = match File::open(folder.join(name.as_str())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let archive = Archive::open(file).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(archive.manifest().keys().into_iter().map(str::to_owned).collect())
}
