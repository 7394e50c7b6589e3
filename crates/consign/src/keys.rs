//! Where the key ring comes from: a file, the service manager's credential, the environment, or a new one over
//! an empty database. And what keeps keys inside the process: no core dumps, no foreign eyes, quiet panics.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use consign_core::secret::Secret;
use consign_core::vault::{KeyRing, RingError, RingKey};
use rustix::process::{Resource, Rlimit};

use crate::config::{Config, variable};

pub mod recovery;

/// The name of the credential that the service manager hands over.
const CREDENTIAL: &str = "consign-keys";
/// The largest key ring: some hundred keys, far more than rotations leave.
const RING_BYTES_MAX: u64 = 64 << 10;
/// What a new ring is called until it takes the place of the one before: this after the id of its first key.
const LEFT_END: &str = ".new";
/// Hexadecimal digits in the id of a key.
const KEY_ID_DIGITS: usize = 8;

/// A key ring and where it was found.
#[derive(Debug)]
pub struct Found {
    /// The ring.
    pub ring: KeyRing,
    /// Its place.
    pub place: Place,
}

/// Where a key ring was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of the operator or in the data folder.
    File(PathBuf),
    /// The service manager's credential.
    Credential(PathBuf),
    /// The environment, which other programs of the same user can read.
    Environment,
    /// It was just created here.
    Created(PathBuf),
}

impl Place {
    /// The file that this program may change.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) | Self::Created(path) => Some(path),
            Self::Credential(_) | Self::Environment => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Credential(path) | Self::Created(path) => {
                write!(f, "{}", path.display())
            }
            Self::Environment => f.write_str("the environment"),
        }
    }
}

/// Why there is no key ring.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is none, and the database is not empty.
    #[error("there is no encryption key at {}", .0.display())]
    Missing(PathBuf),
    /// Others can read it.
    #[error(
        "other users of this machine can read the encryption key {} (mode {mode:04o}); run: chmod 600 {}",
        path.display(),
        path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("the encryption key {0} belongs to another user; run: chown {user} {0}", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// The number of the user that runs Consign.
        user: u32,
    },
    /// It cannot be read or written.
    #[error("the encryption key {} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not come from a file that this program may change.
    #[error("the key ring comes from {0}")]
    NotAFile(Place),
    /// It is a link to where somebody else keeps it.
    #[error("the key ring {} is a link; put a new key into the file that it leads to, and restart", .0.display())]
    Link(PathBuf),
    /// Somebody changed it since it was loaded.
    #[error("the key ring {} was changed since it was loaded; restart first", .0.display())]
    Changed(PathBuf),
    /// It was replaced, and the disk did not confirm it.
    #[error(
        "the key ring {} was replaced, and the disk did not confirm it: nothing is sealed with the new key; look at the \
         disk, and restart",
        path.display()
    )]
    NotOnDisk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a key ring.
    #[error("{place}: {source}")]
    Ring {
        /// Where.
        place: Place,
        /// Which line.
        source: RingError,
    },
}

/// Finds the key ring. Where there is none it is created, but only for a database that is empty.
///
/// # Errors
/// When it is missing, can be read by others, or is damaged.
pub fn load(config: &Config, database_is_empty: bool) -> Result<Found, KeysError> {
    let credentials = variable("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    load_with(config, credentials.as_deref(), database_is_empty)
}

/// Where the key ring is looked for.
pub fn place(config: &Config) -> Place {
    let credentials = variable("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    match source(config, credentials.as_deref()) {
        Source::Named(path) => Place::File(path.to_owned()),
        Source::Environment(_) => Place::Environment,
        Source::Credential(path) => Place::Credential(path),
        Source::Own(path) => Place::File(path),
    }
}

/// Where the key ring comes from, as the configuration says.
enum Source<'a> {
    /// A file that the operator named.
    Named(&'a Path),
    /// The text itself.
    Environment(&'a Secret),
    /// What the service manager hands over.
    Credential(PathBuf),
    /// The file in the data folder, which may have to be created.
    Own(PathBuf),
}

fn source<'a>(config: &'a Config, credentials: Option<&Path>) -> Source<'a> {
    if let Some(path) = &config.encryption.keys_file {
        return Source::Named(path);
    }
    if let Some(text) = &config.encryption.keys {
        return Source::Environment(text);
    }
    let credential = credentials.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists());
    credential.map_or_else(|| Source::Own(config.own_keys_file()), Source::Credential)
}

fn load_with(
    config: &Config,
    credentials: Option<&Path>,
    database_is_empty: bool,
) -> Result<Found, KeysError> {
    match source(config, credentials) {
        Source::Named(path) => read_confirmed(path, put_on_disk),
        Source::Environment(text) => {
            tracing::warn!(
                "the key ring comes from the environment, where other programs of this user can read it"
            );
            // Lines do not survive every platform; commas do.
            parse(&Secret::new(text.expose().replace(',', "\n")), Place::Environment)
        }
        Source::Credential(path) => {
            let text = read(&path, |_| Ok(()))?;
            parse(&text, Place::Credential(path))
        }
        Source::Own(path) if database_is_empty && !path.exists() => create(&path),
        Source::Own(path) => read_confirmed(&path, put_on_disk),
    }
}

/// A ring with a new key first, which is not in its file yet.
pub struct NewFirst {
    path: PathBuf,
    before: Secret,
    lines: Secret,
    ring: KeyRing,
}

impl NewFirst {
    /// A new key before those of a ring whose keys are `loaded`. Nothing is written.
    ///
    /// # Errors
    /// When the ring is not in a file of its own, or is not the loaded one.
    pub fn prepare(place: &Place, loaded: &[String]) -> Result<Self, KeysError> {
        let path = place.file().ok_or_else(|| KeysError::NotAFile(place.clone()))?;
        if path.is_symlink() {
            return Err(KeysError::Link(path.to_owned()));
        }
        let before = read(path, |file| judge(path, file))?;
        let found = parse(&before, place.clone())?;
        if !found.ring.keys().iter().map(RingKey::id).eq(loaded.iter().map(String::as_str)) {
            return Err(KeysError::Changed(path.to_owned()));
        }
        let key = RingKey::generate();
        let lines = Secret::new(format!("{}\n{}", key.line().as_str(), before.expose()));
        let ring = parse(&lines, place.clone())?.ring;
        Ok(Self { path: path.to_owned(), before, lines, ring })
    }

    /// The ring with the new key.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Replaces the file at once: whoever reads it finds the ring before or the new one. When this returns, the new one
    /// is on disk.
    ///
    /// # Errors
    /// When it cannot be written; it is then as it was. `NotOnDisk`, when that cannot be told.
    pub fn put(&self) -> Result<(), KeysError> {
        self.put_with(put_on_disk)
    }

    /// What the disk did not confirm is taken back: else the next start would seal with a key that no entry knows.
    fn put_with(&self, put_on_disk: impl Fn(&Path) -> io::Result<()>) -> Result<(), KeysError> {
        match self.replace(&self.lines, &put_on_disk) {
            Err(KeysError::NotOnDisk { path, source }) => match self.replace(&self.before, &put_on_disk) {
                Ok(()) => Err(KeysError::Io { path, source }),
                Err(_) => Err(KeysError::NotOnDisk { path, source }),
            },
            put => put,
        }
    }

    /// Puts the ring back that was there before: nothing was sealed with the new key.
    ///
    /// # Errors
    /// As [`NewFirst::put`].
    pub fn take_back(&self) -> Result<(), KeysError> {
        self.replace(&self.before, put_on_disk)
    }

    fn replace(
        &self,
        lines: &Secret,
        put_on_disk: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), KeysError> {
        let path = &self.path;
        // A name that nothing else has: what stands beside the ring is somebody's.
        let beside = with_end(path, &format!(".{}{LEFT_END}", self.ring.sealing().id()));
        let written = write_new(&beside, lines.expose()).and_then(|()| std::fs::rename(&beside, path));
        if let Err(source) = written {
            // Our own; should it stay, the next start removes it.
            let _ = std::fs::remove_file(&beside);
            return Err(KeysError::Io { path: path.clone(), source });
        }
        // Should the machine fail now, the ring may be the one before: nothing may be sealed with the new key.
        put_on_disk(folder_of(path)).map_err(|source| KeysError::NotOnDisk { path: path.clone(), source })
    }
}

/// A file, or the names in a folder.
fn put_on_disk(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Removes what a rotation left beside the ring that the machine or the process did not survive: each such file holds
/// the whole ring, also keys that were taken out since. Ask when no other process rotates.
pub fn remove_left(place: &Place) {
    let Some(path) = place.file() else { return };
    let (Ok(entries), Some(ring)) = (std::fs::read_dir(folder_of(path)), path.file_name()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().zip(ring.to_str()).is_some_and(|(name, ring)| is_left(name, ring));
        if !is_ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        match std::fs::remove_file(&path) {
            Ok(()) => {
                tracing::warn!(path = %path.display(), "removed a copy of the key ring: a rotation had been cut off");
            }
            Err(error) => tracing::error!(
                %error, path = %path.display(),
                "a copy of the key ring is left from a rotation that was cut off: remove it"
            ),
        }
    }
}

/// Whether a name is one that a rotation of this ring uses.
fn is_left(name: &str, ring: &str) -> bool {
    let id = name.strip_prefix(ring).and_then(|rest| rest.strip_prefix(".k-"));
    let id = id.and_then(|rest| rest.strip_suffix(LEFT_END));
    id.is_some_and(|id| id.len() == KEY_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Puts a ring where there is none.
///
/// # Errors
/// When there is a file, or it cannot be written.
pub fn import(ring: &KeyRing, path: &Path) -> io::Result<()> {
    let lines: Vec<_> = ring.keys().iter().map(RingKey::line).collect();
    let lines = Secret::new(lines.iter().map(|line| format!("{}\n", line.as_str())).collect());
    create_folder(folder_of(path))?;
    write_new(path, lines.expose())?;
    File::open(folder_of(path))?.sync_all()
}

/// A file for the owner alone, on disk.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn read_file(path: &Path) -> Result<Found, KeysError> {
    let text = read(path, |file| judge(path, file))?;
    parse(&text, Place::File(path.to_owned()))
}

/// A ring that this program may have replaced, on disk before anything is sealed with it: what a rotation put there may
/// not have been confirmed, and the ring before would come back with the next loss of power.
fn read_confirmed(path: &Path, put_on_disk: impl Fn(&Path) -> io::Result<()>) -> Result<Found, KeysError> {
    let found = read_file(path)?;
    let confirmed = put_on_disk(path).and_then(|()| match put_on_disk(folder_of(path)) {
        // Where it cannot look or write, it has replaced nothing.
        Err(error) if is_foreign(&error) => Ok(()),
        confirmed => confirmed,
    });
    confirmed.map_err(|source| KeysError::Io { path: path.to_owned(), source })?;
    Ok(found)
}

fn is_foreign(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Judges and reads the same open file: nobody can put another one in between.
fn read(path: &Path, judge: impl Fn(&File) -> Result<(), KeysError>) -> Result<Secret, KeysError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeysError::Missing(path.to_owned()),
        _ => KeysError::Io { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(unreadable)?;
    judge(&file)?;
    let mut text = String::new();
    file.take(RING_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(Secret::new(text))
}

fn judge(path: &Path, file: &File) -> Result<(), KeysError> {
    let metadata = file.metadata().map_err(|source| KeysError::Io { path: path.to_owned(), source })?;
    let mode = metadata.mode() & 0o7777;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user && metadata.uid() != 0 {
        return Err(KeysError::Owner { path: path.to_owned(), user });
    }
    if mode & 0o077 != 0 {
        return Err(KeysError::Mode { path: path.to_owned(), mode });
    }
    Ok(())
}

fn parse(text: &Secret, place: Place) -> Result<Found, KeysError> {
    match KeyRing::parse(text.expose()) {
        Ok(ring) => Ok(Found { ring, place }),
        Err(source) => Err(KeysError::Ring { place, source }),
    }
}

/// A new ring, on disk before anything is sealed with it.
fn create(path: &Path) -> Result<Found, KeysError> {
    let ring = KeyRing::generate();
    let written = || -> io::Result<()> {
        let folder = folder_of(path);
        create_folder(folder)?;
        let mut line = ring.sealing().line();
        line.push('\n');
        write_new(path, &line)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|source| KeysError::Io { path: path.to_owned(), source })?;
    Ok(Found { ring, place: Place::Created(path.to_owned()) })
}

/// Creates the data folder, for its owner alone.
///
/// # Errors
/// When it is not there and cannot be created.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Keeps the memory of this process to itself: no core dumps, and no other program of this user looks in.
pub fn harden() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = rustix::process::setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be switched off");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "memory of this process could not be closed to others");
    }
}

/// Memory in ordinary pages: a program this small would hold several times of what it uses in huge ones.
pub fn small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages could not be declined");
    }
}

/// A panic tells its place; its text may hold a value that is nobody's business.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a part of Consign stopped unexpectedly; what it was doing is not shown");
    }));
}

#[cfg(test)]
mod tests;
