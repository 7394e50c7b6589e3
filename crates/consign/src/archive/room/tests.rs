//! How much is left, and when it is looked at.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn a_server_keeps_room_for_what_it_accepts() {
    const GIB: u64 = 1 << 30;
    for (free, low, left) in [
        (0, 0, GIB),
        (5 * GIB, 512 << 20, GIB),
        (5 * GIB, 3 * GIB, 3 * GIB),
        (400 * GIB, 512 << 20, 40 * GIB),
        (400 * GIB, 50 * GIB, 50 * GIB),
    ] {
        assert_eq!(left_free(free, low), left, "{free} free, low at {low}");
    }
}

#[test]
fn it_is_looked_at_again_while_a_file_grows() {
    static FREE: AtomicU64 = AtomicU64::new(100 << 20);
    let free = |_: &Path| Ok(FREE.load(Ordering::Relaxed));
    let mut room = Room::leaving(Path::new("x"), 10 << 20, free);
    room.require(90 << 20).unwrap();
    assert_eq!(room.require((90 << 20) + 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
    room.take(20 << 20).unwrap();
    // Others took it.
    FREE.store(20 << 20, Ordering::Relaxed);
    for _ in 0..15 {
        room.take(1 << 20).unwrap();
    }
    assert_eq!(room.take(1 << 20).unwrap_err().kind(), io::ErrorKind::StorageFull);
}
