//! Names, and which files go.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(0);

fn folder() -> PathBuf {
    let id = RequestId::new(Timestamp::from_millis(0));
    std::env::temp_dir().join(format!("consign-backups-{id}"))
}

#[test]
fn names_sort_by_time_and_lead_nowhere() {
    let first = Name::of(Timestamp::from_millis(1_795_748_400_007));
    assert_eq!(first.as_str(), "consign-20261127T030000007Z.tar.zst");
    assert!(first < Name::of(Timestamp::from_millis(1_795_748_400_008)));
    assert_eq!(Name::parse(first.as_str()), Some(first.clone()));
    for other in ["", "keys", "../keys", "consign-.tar.zst", "consign-20261127T030000007Z.tar.zst/x"] {
        assert_eq!(Name::parse(other), None, "{other}");
    }
    assert_eq!(Name::parse("consign-../../../../../keysZ.tar.zst"), None);
}

#[test]
fn what_is_old_is_named_and_what_is_left_goes() {
    let folder = folder();
    prepare(&folder, NOW).unwrap();
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for second in 0..5 {
        let name = Name::of(Timestamp::from_millis(second * 1_000));
        std::fs::write(folder.join(name.as_str()), "x").unwrap();
    }
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let at = |seconds: i64| Name::of(Timestamp::from_millis(seconds * 1_000));
    assert_eq!(old(&folder, 2, &at(4)).unwrap(), [at(2), at(1), at(0)]);
    assert!(old(&folder, 9, &at(4)).unwrap().is_empty());
    // The clock went back: the one that was just made sorts last, and stays.
    assert_eq!(old(&folder, 2, &at(0)).unwrap(), [at(3), at(2), at(1)]);
    assert_eq!(old(&folder, 1, &at(2)).unwrap(), [at(4), at(3), at(1), at(0)]);
    assert_eq!(names(&folder).unwrap().len(), 5);
    // Whatever a crash left in a folder in which nothing is under way.
    std::mem::forget(Draft::new(&folder, NOW).unwrap());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 7);
    sweep(&folder).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 6);
    assert!(folder.join("notes.txt").exists());
    sweep(&folder.join("missing")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(names(&folder).unwrap().is_empty());
}

#[test]
fn a_draft_is_private_and_leaves_nothing_unless_it_is_kept() {
    let folder = folder();
    prepare(&folder, NOW).unwrap();
    let dropped = Draft::new(&folder, Timestamp::from_millis(0)).unwrap();
    assert_eq!(std::fs::metadata(dropped.path()).unwrap().permissions().mode() & 0o777, 0o600);
    drop(dropped);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    let left = Draft::new(&folder, Timestamp::from_millis(0)).unwrap();
    std::mem::forget(left);
    prepare(&folder, consign_store::local_now()).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "a check beside it goes on");
    let later = consign_store::local_now().plus(UNDER_WAY_MAX + Duration::from_secs(1));
    prepare(&folder, later).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "what a crash left goes after a day");
    let kept = Draft::new(&folder, Timestamp::from_millis(0)).unwrap();
    kept.keep(&folder.join("kept")).unwrap();
    assert!(folder.join("kept").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}
