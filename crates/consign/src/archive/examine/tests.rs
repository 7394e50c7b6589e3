//! A small file that becomes a large one ends when the room does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use consign_core::id::RequestId;
use consign_store::backup::Contents;

use super::*;
use crate::archive::{Pace, write};

/// What is free at first, and what unpacks to.
const FREE: u64 = 200 << 20;
const LARGE: u64 = 160 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_unpacks_to_more_than_there_is_room_for_is_ended() {
    static LEFT: AtomicU64 = AtomicU64::new(FREE);
    let folder =
        std::env::temp_dir().join(format!("consign-room-{}", RequestId::new(Timestamp::from_millis(0))));
    std::fs::create_dir(&folder).unwrap();
    let (zeros, packed) = (folder.join("zeros"), folder.join("packed"));
    File::create(&zeros).unwrap().set_len(LARGE).unwrap();
    let contents = Contents { schema: 1, installation: None, keys: Vec::new(), counts: BTreeMap::new() };
    let manifest = Manifest::new(&contents, Timestamp::from_millis(0), "sqlite");
    write(manifest, &zeros, File::create(&packed).unwrap(), &Pace::default()).unwrap();
    assert!(std::fs::metadata(&packed).unwrap().len() < 1 << 20, "it is small");
    std::fs::remove_file(&zeros).unwrap();

    // Others write at the same time: at each look 32 MiB are gone.
    let shrinking = |_: &Path| {
        let left = LEFT.load(Ordering::Relaxed);
        LEFT.store(left.saturating_sub(32 << 20), Ordering::Relaxed);
        Ok(left)
    };
    let room = Room::leaving(&folder, 1 << 20, shrinking);
    let examined = examine(File::open(&packed).unwrap(), room, Timestamp::from_millis(0)).await;
    assert_eq!(examined.err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    assert!(LEFT.load(Ordering::Relaxed) < FREE / 2, "it was looked at again");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "what was unpacked is gone");
    // Too large by its own word.
    let small = Room::leaving(&folder, 1 << 20, |_| Ok(LARGE));
    let examined = examine(File::open(&packed).unwrap(), small, Timestamp::from_millis(0)).await;
    assert_eq!(examined.err().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    std::fs::remove_dir_all(folder).unwrap();
}
