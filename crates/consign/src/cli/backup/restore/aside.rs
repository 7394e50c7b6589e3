//! The database that was there before a restore, under another name: a log must never meet another database.

use std::io;
use std::path::{Path, PathBuf};

use consign_core::time::Timestamp;

use crate::cli::failure::Failure;

/// The files of a SQLite database, itself last: until its logs are away it is not touched.
const PARTS: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// What was moved.
pub(super) struct Aside {
    /// The name that the database has now.
    kept: PathBuf,
    /// Whether there was one, and not just what a lost one left.
    whole: bool,
    /// From and to.
    moved: Vec<(PathBuf, PathBuf)>,
}

impl Aside {
    /// Moves every part that is there. When one cannot be moved, the others are where they were.
    pub(super) fn put(database: &Path, now: Timestamp) -> io::Result<Self> {
        let with = |path: &Path, end: &str| PathBuf::from(format!("{}{end}", path.display()));
        let kept = with(database, &format!(".replaced-{}", now.seconds()));
        let mut aside = Self { whole: database.exists(), kept, moved: Vec::new() };
        for part in PARTS {
            let (from, to) = (with(database, part), with(&aside.kept, part));
            if !from.exists() {
                continue;
            }
            if let Err(error) = std::fs::rename(&from, &to) {
                return match aside.undo() {
                    Ok(()) => Err(error),
                    Err(stuck) => Err(io::Error::new(stuck.kind(), format!("{error}, and then: {stuck}"))),
                };
            }
            aside.moved.push((from, to));
        }
        Ok(aside)
    }

    /// Where it is now; nothing when nothing was there.
    pub(super) fn told(&self) -> Option<String> {
        let (_, first) = self.moved.first()?;
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

    /// The database first, its logs behind it.
    fn undo(&self) -> io::Result<()> {
        self.moved.iter().rev().try_for_each(|(from, to)| std::fs::rename(to, from))
    }
}

#[cfg(test)]
mod tests;
