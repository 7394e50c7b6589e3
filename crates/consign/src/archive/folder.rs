//! The folder of backups: what is in it, files that are there whole or not at all, and old ones that go.

use std::fs::{DirBuilder, DirEntry, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use consign_core::id::RequestId;
use consign_core::time::Timestamp;

/// In front of what is under way; removed by a later backup when the program did not survive it.
const UNDER_WAY: &str = ".consign-";
/// Nothing is under way for so long: what is older was left by a crash.
const UNDER_WAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const BEGINNING: &str = "consign-";
const END: &str = ".tar.zst";
/// Digits of a name: `20261126T030000Z`, and three of milliseconds.
const DIGITS: usize = 17;

/// The name of a backup that is in the folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// The name of a backup that is made now: names sort by time.
    pub fn of(made_at: Timestamp) -> Self {
        let time = jiff::Timestamp::from_millisecond(made_at.millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let text = time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%dT%H%M%S").to_string();
        Self(format!("{BEGINNING}{text}{:03}Z{END}", made_at.millis().rem_euclid(1_000)))
    }

    /// Reads a name; nothing that leads out of the folder is one.
    pub fn parse(text: &str) -> Option<Self> {
        let middle = text.strip_prefix(BEGINNING)?.strip_suffix(END)?.strip_suffix('Z')?;
        let digits = middle.bytes().filter(u8::is_ascii_digit).count();
        let plain = middle.bytes().all(|byte| byte.is_ascii_digit() || byte == b'T');
        (plain && digits == DIGITS && middle.len() == DIGITS + 1).then(|| Self(text.to_owned()))
    }

    /// As it stands in the folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The backups of a folder, the newest first.
///
/// # Errors
/// When the folder cannot be read; one that is not there yet is empty.
pub fn names(folder: &Path) -> io::Result<Vec<Name>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().to_str().and_then(Name::parse));
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// What is older than the newest so many. The one that was just made stays, also when the clock went back and others have
/// later names.
///
/// # Errors
/// When the folder cannot be read.
pub fn old(folder: &Path, keep: usize, made: &Name) -> io::Result<Vec<Name>> {
    let others = names(folder)?.into_iter().filter(|name| name != made);
    Ok(others.skip(keep.saturating_sub(1)).collect())
}

/// Creates the folder, for its owner alone, and removes what a crash left unfinished long ago. Checks of other files
/// may be under way beside it.
///
/// # Errors
/// When it cannot be created or written.
pub fn prepare(folder: &Path, now: Timestamp) -> io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    remove_left(folder, |entry| is_left(entry, now))
}

/// Removes all that a crash left unfinished in a folder in which nothing is under way.
///
/// # Errors
/// When the folder cannot be read or written; one that is not there holds nothing.
pub fn sweep(folder: &Path) -> io::Result<()> {
    if folder.is_dir() { remove_left(folder, |_| true) } else { Ok(()) }
}

fn remove_left(folder: &Path, is_left: impl Fn(&DirEntry) -> bool) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(UNDER_WAY)) && is_left(&entry) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether nobody can be writing it any more. One that is gone by now is nobody's concern.
fn is_left(entry: &DirEntry, now: Timestamp) -> bool {
    let changed = entry.metadata().and_then(|data| data.modified()).ok();
    let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let millis = changed.and_then(|since| i64::try_from(since.as_millis()).ok());
    millis.is_some_and(|millis| now.since(Timestamp::from_millis(millis)) > UNDER_WAY_MAX)
}

/// A file under way, for its owner alone. Dropped, it is gone.
pub struct Draft {
    path: PathBuf,
    file: Option<File>,
}

impl Draft {
    /// A new file in a folder.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(folder: &Path, now: Timestamp) -> io::Result<Self> {
        let path = folder.join(format!("{UNDER_WAY}{}", RequestId::new(now)));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file: Some(file) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, once.
    pub fn take_file(&mut self) -> File {
        self.file.take().expect("the file of a draft is taken once")
    }

    /// Gives it its name, which a crash does not take back.
    ///
    /// # Errors
    /// When the folder cannot be written; the file is gone then.
    pub fn keep(self, to: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, to)?;
        let folder = to.parent().unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `keep` there is none.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
