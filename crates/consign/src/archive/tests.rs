//! What is written is read, by us and by tar; what was changed, cut or made up is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use consign_core::id::RequestId;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let id = RequestId::new(Timestamp::from_millis(0));
        let folder = std::env::temp_dir().join(format!("consign-archive-{id}"));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn contents() -> Contents {
    Contents {
        schema: 7,
        installation: Some("ins".to_owned()),
        keys: vec!["k-0000000a".to_owned(), "k-0000000b".to_owned()],
        counts: BTreeMap::from([("credential".to_owned(), 3)]),
    }
}

fn manifest() -> Manifest {
    Manifest::new(&contents(), Timestamp::from_millis(1_795_748_400_007), "sqlite")
}

/// An archive of these bytes as a database.
fn archive(folder: &Folder, database: &[u8]) -> Vec<u8> {
    let (from, to) = (folder.0.join("copy"), folder.0.join("backup.tar.zst"));
    std::fs::write(&from, database).unwrap();
    let pace = Pace::default();
    write(manifest(), &from, File::create(&to).unwrap(), &pace).unwrap();
    assert_eq!(pace.packed.into_inner(), database.len() as u64);
    std::fs::read(to).unwrap()
}

fn read(folder: &Folder, archive: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let file = folder.0.join("read.tar.zst");
    std::fs::write(&file, archive).unwrap();
    let out = folder.0.join("out.db");
    let manifest = Archive::open(File::open(file)?)?.extract(&mut File::create(&out)?)?;
    assert!(manifest.fits(&contents()));
    assert_eq!(manifest.keys(), ["k-0000000a", "k-0000000b"]);
    Ok(std::fs::read(out).unwrap())
}

#[test]
fn what_is_written_is_read() {
    let folder = Folder::new();
    let long: Vec<u8> = (0..700_001_u32).flat_map(u32::to_be_bytes).collect();
    for database in [b"".as_slice(), b"x", &[7; BLOCK], &long] {
        assert_eq!(read(&folder, &archive(&folder, database)).unwrap(), database);
    }
}

#[test]
fn tar_opens_it_too() {
    let folder = Folder::new();
    let packed = archive(&folder, b"the database");
    let tar = zstd::decode_all(packed.as_slice()).unwrap();
    let mut command = std::process::Command::new("tar");
    command.args(["-x", "-f", "-", "-C"]).arg(&folder.0).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&tar).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read(folder.0.join(DATABASE)).unwrap(), b"the database");
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.0.join(MANIFEST)).unwrap()).unwrap();
    assert_eq!(manifest["made_at"], "2026-11-27T03:00:00.007Z");
}

#[test]
fn what_was_cut_or_changed_is_refused() {
    let folder = Folder::new();
    let database: Vec<u8> =
        (0..40_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let whole = archive(&folder, &database);
    for end in [0, 3, 100, whole.len() / 2, whole.len() - 4, whole.len() - 1] {
        assert!(read(&folder, &whole[..end]).is_err(), "cut at {end}");
    }
    for place in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[place] ^= 0x10;
        assert!(read(&folder, &changed).is_err(), "changed at {place}");
    }
    // Whatever was changed behind the first four bytes: it is one of ours, and it is damaged.
    for place in 4..600 {
        for bit in [0x01, 0x10, 0x80] {
            let mut changed = whole.clone();
            changed[place] ^= bit;
            match read(&folder, &changed) {
                // A bit without a meaning, or the size of a window (RFC 8878 section 3.1.1.1).
                Ok(found) => assert!(found == database && place < 6, "{bit} changed at {place}"),
                Err(refused) => assert!(
                    matches!(refused, ArchiveError::Damaged(_) | ArchiveError::Newer(_)),
                    "{bit} changed at {place}: {refused}"
                ),
            }
        }
    }
    assert!(matches!(read(&folder, &whole[..40]), Err(ArchiveError::Damaged(_))));
    let other = zstd::encode_all(
        &b"something else, and long enough for a block of five hundred and twelve".repeat(9)[..],
        3,
    );
    assert!(matches!(read(&folder, &other.unwrap()), Err(ArchiveError::Other)));
    let more = [whole.as_slice(), b"more"].concat();
    assert!(read(&folder, &more).is_err());
    assert!(matches!(read(&folder, b"PK\x03\x04 something else"), Err(ArchiveError::Other)));
}

#[test]
fn another_database_than_that_of_the_manifest_is_refused() {
    let folder = Folder::new();
    let mut tar = zstd::decode_all(archive(&folder, b"the database").as_slice()).unwrap();
    let at = tar.windows(12).position(|bytes| bytes == b"the database").unwrap();
    tar[at] = b'T';
    let packed = zstd::encode_all(tar.as_slice(), LEVEL).unwrap();
    let refused = read(&folder, &packed).unwrap_err().to_string();
    assert_eq!(refused, "it is damaged: the database is not the one of its manifest");
}

#[test]
fn a_newer_form_is_named() {
    let folder = Folder::new();
    let from = folder.0.join("copy");
    std::fs::write(&from, "x").unwrap();
    let mut newer = manifest();
    newer.0["format"] = json!(2);
    let mut to =
        File::options().read(true).write(true).create(true).truncate(true).open(folder.0.join("b")).unwrap();
    write(newer, &from, to.try_clone().unwrap(), &Pace::default()).unwrap();
    to.seek(SeekFrom::Start(0)).unwrap();
    assert!(matches!(Archive::open(to), Err(ArchiveError::Newer(2))));
}

#[test]
fn sizes_beyond_eight_gibibytes_stand_in_a_header() {
    for bytes in [0, 1, OCTAL_SIZE_MAX, OCTAL_SIZE_MAX + 1, 1 << 45] {
        let block = header(DATABASE, bytes, 0);
        assert_eq!(next(&mut block.as_slice(), DATABASE).unwrap(), bytes);
    }
}

#[test]
fn one_that_is_stopped_is_no_archive() {
    let folder = Folder::new();
    let from = folder.0.join("copy");
    std::fs::write(&from, "x").unwrap();
    let pace = Pace::default();
    pace.stopped.store(true, Ordering::Relaxed);
    assert!(write(manifest(), &from, File::create(folder.0.join("b")).unwrap(), &pace).is_err());
}
