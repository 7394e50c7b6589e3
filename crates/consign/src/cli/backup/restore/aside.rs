//! The database that was there before a restore, under another name: a log must never meet another database, and under
//! the name of the database there is one at every moment, the old one or the new one.

use std::fs::{self, File};
use std::io;
use std::iter;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use consign_core::time::Timestamp;

use crate::archive::Draft;
use crate::cli::failure::Failure;

/// What SQLite keeps beside a database. Of one that was settled they hold nothing.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];
/// Between the name of a database and the time at which another one took its place.
const REPLACED: &str = ".replaced-";

/// What has another name.
pub(super) struct Aside {
    database: PathBuf,
    /// The name that the old database has now.
    kept: PathBuf,
    /// Whether there was one, and not just what a lost one left.
    whole: bool,
    /// Names that were there, and those that were made for the same files.
    named: Vec<(PathBuf, PathBuf)>,
}

/// One change of the folder. Whatever ends the program between two of them, the next start finds the old database.
enum Step {
    /// The same file under a second name.
    Name(PathBuf, PathBuf),
    /// Whatever was done before is on disk.
    Sync(PathBuf),
    /// A log that has its second name goes.
    Remove(PathBuf),
}

impl Aside {
    /// What a restore will keep of what is there now; nothing is changed yet.
    pub(super) fn of(database: &Path, now: Timestamp) -> Self {
        let at = with(database, &format!("{REPLACED}{}", now.seconds()));
        let others = (2..).map(|number| with(&at, &format!("-{number}")));
        let is_free = |kept: &PathBuf| parts().all(|part| !is_there(&with(kept, part)));
        let kept = iter::once(at.clone()).chain(others).find(is_free).expect("there are numbers enough");
        Self { database: database.to_owned(), kept, whole: database.exists(), named: Vec::new() }
    }

    /// Gives every part a second name, takes the logs from beside the database, and puts the new one in its place.
    pub(super) fn exchange(&mut self, draft: Draft) -> io::Result<()> {
        for step in self.steps() {
            self.take(step)?;
        }
        draft.keep(&self.database)
    }

    fn steps(&self) -> Vec<Step> {
        let there: Vec<_> = parts().filter(|part| is_there(&with(&self.database, part))).collect();
        let name = |part: &&str| Step::Name(with(&self.database, part), with(&self.kept, part));
        let logs = there.iter().filter(|part| !part.is_empty());
        let folder = || Step::Sync(folder_of(&self.database).to_owned());
        let mut steps: Vec<_> = there.iter().map(name).collect();
        steps.push(folder());
        steps.extend(logs.map(|part| Step::Remove(with(&self.database, part))));
        steps.push(folder());
        steps
    }

    fn take(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Name(from, to) => {
                fs::hard_link(&from, &to).or_else(|error| match error.kind() {
                    // A file system without second names.
                    io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => copy_whole(&from, &to),
                    _ => Err(error),
                })?;
                self.named.push((from, to));
                Ok(())
            }
            Step::Sync(folder) => File::open(folder)?.sync_all(),
            Step::Remove(log) => fs::remove_file(log),
        }
    }

    /// Where it is now; nothing when nothing was there.
    pub(super) fn told(&self) -> Option<String> {
        let (_, first) = self.named.first()?;
        Some(match self.whole {
            true => format!("The database that was there is now {}", self.kept.display()),
            false => format!("What a database had left there is now {}", first.display()),
        })
    }

    /// A failure after the exchange, with where the old database is.
    pub(super) fn named(&self, failure: Failure) -> Failure {
        match self.told() {
            Some(place) => failure.and(&place),
            None => failure,
        }
    }

    /// A failure before the exchange: everything goes back.
    pub(super) fn undone(&self, failure: Failure) -> Failure {
        match self.undo() {
            Ok(()) => failure.and("Nothing was changed"),
            Err(error) => self.named(failure.and(&format!("It could not be put back: {error}"))),
        }
    }

    /// The database first, its logs behind it. Of a file that has both names only the first stays.
    fn undo(&self) -> io::Result<()> {
        for (from, to) in &self.named {
            fs::rename(to, from)?;
            if is_there(to) {
                fs::remove_file(to)?;
            }
        }
        Ok(())
    }
}

/// Takes the second names from a database that a restore gave it before it was cut off: SQLite must find a database under
/// one name only. Call it while no restore can be under way.
pub(crate) fn forget_second_names(database: &Path) {
    let Ok(own) = fs::symlink_metadata(database) else { return };
    let Some(beginning) = with(database, REPLACED).file_name().map(ToOwned::to_owned) else { return };
    for entry in fs::read_dir(folder_of(database)).into_iter().flatten().flatten() {
        let begins = entry.file_name().as_encoded_bytes().starts_with(beginning.as_encoded_bytes());
        let same = entry.metadata().is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()));
        if !(begins && same) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => tracing::info!("a restore was cut off before it changed the database"),
            Err(error) => tracing::warn!(%error, "a second name of the database could not be removed"),
        }
    }
}

/// What is put behind the name of a database for each of its files, itself first.
fn parts() -> impl Iterator<Item = &'static str> {
    iter::once("").chain(LOGS)
}

fn copy_whole(from: &Path, to: &Path) -> io::Result<()> {
    if is_there(to) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let copied = fs::copy(from, to).and_then(|_| File::open(to)?.sync_all());
    if copied.is_err() {
        // Half of it is no copy.
        let _ = fs::remove_file(to);
    }
    copied
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Also when it leads nowhere.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn folder_of(database: &Path) -> &Path {
    database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests;
