//! The file of a backup: a tar archive (POSIX ustar, with GNU's form of large sizes), compressed with Zstandard (RFC
//! 8878). In it is first `manifest.json`, then `consign.db`. `tar --zstd -xf` opens it, too.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aws_lc_rs::digest;
use consign_core::hex::hex;
use consign_core::time::Timestamp;
use consign_store::backup::Contents;
use serde_json::{Value, json};

pub use examine::{Examined, examine};
pub use folder::{Draft, Name, names, old, prepare, sweep};
pub use room::Room;

mod examine;
mod folder;
mod room;

const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "consign.db";
/// Tells what can read it: raised when an older program must not.
const FORMAT: u64 = 1;
const BLOCK: usize = 512;
/// A manifest counts the rows of some thirty tables.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
const PIECE_BYTES: usize = 256 << 10;
/// What is sealed does not become smaller: more effort would be spent for little.
const LEVEL: i32 = 3;
/// How Zstandard begins (RFC 8878 section 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const NO_BEGINNING: &str =
    "it begins like a backup, and its first part does not unpack, so that nobody can tell when it was made";
const NO_MANIFEST: &str = "its manifest cannot be read, so that nobody can tell when it was made";
/// The largest size that stands in a header of ustar in octal digits.
const OCTAL_SIZE_MAX: u64 = 0o77_777_777_777;

/// What a backup says about itself.
#[derive(Clone, Debug)]
pub struct Manifest(Value);

/// Why a file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is something else.
    #[error("it is not a backup of Consign")]
    Other,
    /// It is one, but not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A newer program wrote it.
    #[error("a newer Consign wrote it (format {0}): use that one")]
    Newer(u64),
    /// It cannot be read, or what is in it cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Manifest {
    /// The manifest of a copy of the database.
    pub fn new(contents: &Contents, made_at: Timestamp, database: &'static str) -> Self {
        Self(json!({
            "format": FORMAT,
            "made_at": made_at,
            "version": env!("CARGO_PKG_VERSION"),
            "database": database,
            "schema": contents.schema,
            "installation": contents.installation,
            "encryption_keys": contents.keys,
            "counts": contents.counts,
        }))
    }

    /// As it is shown.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The ids of the encryption keys that its values need.
    pub fn keys(&self) -> Vec<&str> {
        self.0["encryption_keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether this is what a copy holds.
    pub fn fits(&self, contents: &Contents) -> bool {
        self.0["schema"] == json!(contents.schema)
            && self.0["installation"] == json!(contents.installation)
            && self.0["encryption_keys"] == json!(contents.keys)
            && self.0["counts"] == json!(contents.counts)
    }

    /// The size of the database in the archive.
    pub fn database_bytes(&self) -> u64 {
        self.0["database_bytes"].as_u64().unwrap_or(0)
    }

    fn read(text: &[u8]) -> Result<Self, ArchiveError> {
        // Its entry stands where ours does, so that what cannot be read was changed.
        let value: Value = serde_json::from_slice(text).map_err(|_| ArchiveError::Damaged(NO_MANIFEST))?;
        match value["format"].as_u64() {
            Some(FORMAT) => Ok(Self(value)),
            Some(newer) if newer > FORMAT => Err(ArchiveError::Newer(newer)),
            _ if value["encryption_keys"].is_array() => Err(ArchiveError::Damaged(NO_MANIFEST)),
            Some(_) | None => Err(ArchiveError::Other),
        }
    }
}

/// How far an archive is, and whether it is still wanted.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes of the database that are in it.
    pub packed: AtomicU64,
    /// Nobody wants it any more.
    pub stopped: AtomicBool,
}

/// A reader that tells how far it is, and that ends with an error when it is stopped.
struct Paced<'a, R> {
    from: R,
    pace: &'a Pace,
}

impl<R: Read> Read for Paced<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.pace.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("it was stopped"));
        }
        let read = self.from.read(into)?;
        self.pace.packed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Writes an archive of a copy of the database, and gives the manifest with its size and hash. What is written is on
/// disk when this returns.
///
/// # Errors
/// When the copy cannot be read, the archive not be written, or it was stopped.
pub fn write(mut manifest: Manifest, database: &Path, to: File, pace: &Pace) -> io::Result<Manifest> {
    let mut copy = File::open(database)?;
    let (bytes, hash) = hashed(&mut copy)?;
    manifest.0["database_bytes"] = json!(bytes);
    manifest.0["database_sha256"] = json!(hash);
    let mut text = serde_json::to_vec_pretty(&manifest.0).map_err(io::Error::other)?;
    text.push(b'\n');
    let made_at = manifest.0["made_at"].as_str().and_then(Timestamp::parse_rfc3339);
    let seconds = made_at.map_or(0, |at| u64::try_from(at.seconds()).unwrap_or(0));
    let mut packed = zstd::Encoder::new(BufWriter::new(to), LEVEL)?;
    packed.include_checksum(true)?;
    let manifest_bytes = text.len() as u64;
    entry(&mut packed, MANIFEST, manifest_bytes, seconds, &mut text.as_slice())?;
    let mut copied = Paced { from: File::open(database)?, pace };
    entry(&mut packed, DATABASE, bytes, seconds, &mut copied)?;
    packed.write_all(&[0; 2 * BLOCK])?;
    let file = packed.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(manifest)
}

fn entry(to: &mut impl Write, name: &str, bytes: u64, seconds: u64, from: &mut impl Read) -> io::Result<()> {
    to.write_all(&header(name, bytes, seconds))?;
    let copied = io::copy(&mut from.take(bytes), to)?;
    if copied != bytes {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the copy became shorter"));
    }
    to.write_all(&[0; BLOCK][..padding(bytes)])
}

fn padding(bytes: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from((block - bytes % block) % block).expect("less than a block")
}

/// A header of ustar: fields of fixed places, numbers in octal digits.
fn header(name: &str, bytes: u64, seconds: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    if bytes <= OCTAL_SIZE_MAX {
        put(124, &format!("{bytes:011o}\0"));
    }
    put(136, &format!("{:011o}\0", seconds.min(OCTAL_SIZE_MAX)));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    if bytes > OCTAL_SIZE_MAX {
        header[124] = 0x80;
        header[128..136].copy_from_slice(&bytes.to_be_bytes());
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// An archive that is read from its beginning.
pub struct Archive {
    from: zstd::Decoder<'static, BufReader<File>>,
    manifest: Manifest,
}

impl Archive {
    /// Reads its manifest.
    ///
    /// # Errors
    /// When it is no backup, or a damaged one.
    pub fn open(mut file: File) -> Result<Self, ArchiveError> {
        let begins_like_ours = begins_with(&mut file, &MAGIC)?;
        let mut from = zstd::Decoder::new(file).map_err(|_| ArchiveError::Other)?;
        let mut block = [0; BLOCK];
        if from.read_exact(&mut block).is_err() {
            return Err(if begins_like_ours {
                ArchiveError::Damaged(NO_BEGINNING)
            } else {
                ArchiveError::Other
            });
        }
        let bytes = match next(&mut block.as_slice(), MANIFEST) {
            Ok(bytes) if bytes <= MANIFEST_BYTES_MAX => bytes,
            _ if is_nearly_ours(&block) => return Err(ArchiveError::Damaged(NO_BEGINNING)),
            // It unpacks, to something else.
            _ => return Err(ArchiveError::Other),
        };
        let mut text = vec![0; usize::try_from(bytes).expect("a megabyte at most")];
        from.read_exact(&mut text).map_err(cut)?;
        skip(&mut from, padding(bytes))?;
        Ok(Self { from, manifest: Manifest::read(&text)? })
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes the database out of it, to its last byte, and holds it against size and hash of the manifest.
    ///
    /// # Errors
    /// When it is damaged, or the file cannot be written.
    pub fn extract(mut self, to: &mut impl Write) -> Result<Manifest, ArchiveError> {
        let bytes = next(&mut self.from, DATABASE)?;
        if bytes != self.manifest.database_bytes() {
            return Err(ArchiveError::Damaged("the database has another size than its manifest says"));
        }
        let mut digest = digest::Context::new(&digest::SHA256);
        let mut left = bytes;
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let read = self.from.read(&mut piece[..most]).map_err(cut)?;
            if read == 0 {
                return Err(ArchiveError::Damaged("it breaks off"));
            }
            digest.update(&piece[..read]);
            to.write_all(&piece[..read])?;
            left -= read as u64;
        }
        skip(&mut self.from, padding(bytes) + 2 * BLOCK)?;
        // To the end, where the checksum of the whole stands.
        match self.from.read(&mut piece[..1]) {
            Ok(0) => {}
            Ok(_) => return Err(ArchiveError::Damaged("something stands behind its end")),
            Err(error) => return Err(cut(error)),
        }
        if self.manifest.0["database_sha256"] != json!(hex(digest.finish().as_ref())) {
            return Err(ArchiveError::Damaged("the database is not the one of its manifest"));
        }
        to.flush()?;
        Ok(self.manifest)
    }
}

/// Whether a file begins with these bytes; it is read from its beginning after that.
fn begins_with(file: &mut File, bytes: &[u8]) -> io::Result<bool> {
    let mut first = Vec::with_capacity(bytes.len());
    file.seek(SeekFrom::Start(0))?;
    file.take(bytes.len() as u64).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(first == bytes)
}

/// Whether a block was the head of our manifest before something changed it.
fn is_nearly_ours(block: &[u8; BLOCK]) -> bool {
    let expected = header(MANIFEST, 0, 0);
    let same = |from: usize, to: usize| (from..to).filter(|at| block[*at] == expected[*at]).count();
    let fixed = (100, 124);
    let of = MANIFEST.len() + (fixed.1 - fixed.0) + 8;
    same(0, MANIFEST.len()) + same(fixed.0, fixed.1) + same(257, 265) >= of - of / 5
}

/// The size of the next entry, which must be this one.
fn next(from: &mut impl Read, name: &'static str) -> Result<u64, ArchiveError> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block).map_err(cut)?;
    let mut blank = block;
    blank[148..156].fill(b' ');
    let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
    let said = octal(&block[148..154]);
    if said != Some(u64::from(sum)) || !block.starts_with(name.as_bytes()) || block[name.len()] != 0 {
        return Err(ArchiveError::Damaged("an entry is not where it should be"));
    }
    let size = if block[124] == 0x80 {
        Some(u64::from_be_bytes(block[128..136].try_into().expect("eight bytes")))
    } else {
        octal(&block[124..135])
    };
    size.ok_or(ArchiveError::Damaged("an entry has no size"))
}

fn octal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?.trim(), 8).ok()
}

fn skip(from: &mut impl Read, bytes: usize) -> Result<(), ArchiveError> {
    let mut blank = vec![0; bytes];
    from.read_exact(&mut blank).map_err(cut)?;
    if blank.iter().any(|byte| *byte != 0) {
        return Err(ArchiveError::Damaged("something stands between its entries"));
    }
    Ok(())
}

/// What the decoder says of bytes that are not those that were written. (The file itself was opened.)
fn cut(error: io::Error) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Damaged("it breaks off"),
        _ => ArchiveError::Damaged("it does not unpack"),
    }
}

/// Size and SHA-256 of a file.
fn hashed(file: &mut File) -> io::Result<(u64, String)> {
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((bytes, hex(digest.finish().as_ref())));
        }
        digest.update(&piece[..read]);
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests;
