//! The commit that is checked out, from git's files: no git is needed, and nothing fails without one.

use std::fs;
use std::path::{Path, PathBuf};

/// What was found, and in which files: when one of them changes, so may the commit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its hash in hexadecimal digits.
    pub(crate) commit: String,
    /// The files that told it.
    pub(crate) read: Vec<PathBuf>,
}

/// The commit that is checked out at this folder or one above it.
pub(crate) fn of(folder: &Path) -> Option<Found> {
    let git = folder.ancestors().map(|folder| folder.join(".git")).find(|git| git.exists())?;
    let own = match fs::read_to_string(&git) {
        // A work tree of its own, or a submodule: one line says where its files are.
        Ok(text) => git.parent()?.join(text.trim().strip_prefix("gitdir:")?.trim()),
        Err(_) => git,
    };
    let common = match fs::read_to_string(own.join("commondir")) {
        Ok(text) => own.join(text.trim()),
        Err(_) => own.clone(),
    };
    let head = own.join("HEAD");
    let text = fs::read_to_string(&head).ok()?;
    // The log of HEAD grows with each commit, also when that moves a name from one file to another.
    let mut read: Vec<_> = [own.join("logs/HEAD")].into_iter().filter(|log| log.exists()).collect();
    read.push(head);
    let Some(name) = text.trim().strip_prefix("ref:").map(str::trim) else {
        return Some(Found { commit: hash(text.trim())?, read });
    };
    for loose in [own.join(name), common.join(name)] {
        if let Some(commit) = fs::read_to_string(&loose).ok().and_then(|text| hash(text.trim())) {
            read.push(loose);
            return Some(Found { commit, read });
        }
    }
    let packed = common.join("packed-refs");
    let text = fs::read_to_string(&packed).ok()?;
    let commit = text.lines().find_map(|line| hash(line.strip_suffix(name)?.strip_suffix(' ')?))?;
    read.push(packed);
    Some(Found { commit, read })
}

/// A whole hash, of either length.
fn hash(text: &str) -> Option<String> {
    let is_hash = [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.to_owned())
}
