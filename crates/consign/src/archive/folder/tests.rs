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
fn the_newest_stay_and_other_files_too() {
    let folder = folder();
    prepare(&folder, NOW).unwrap();
    assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for second in 0..5 {
        let name = Name::of(Timestamp::from_millis(second * 1_000));
        std::fs::write(folder.join(name.as_str()), "x").unwrap();
    }
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let newest = Name::of(Timestamp::from_millis(4_000));
    let gone = prune(&folder, 2, &newest).unwrap();
    assert_eq!(gone.len(), 3);
    let left = names(&folder).unwrap();
    let expected = [4_000, 3_000].map(|at| Name::of(Timestamp::from_millis(at)));
    assert_eq!(left, expected);
    assert!(folder.join("notes.txt").exists());
    assert!(prune(&folder, 9, &newest).unwrap().is_empty());
    // The clock went back: the one that was just made sorts last, and stays.
    let made = Name::of(Timestamp::from_millis(2_000));
    std::fs::write(folder.join(made.as_str()), "x").unwrap();
    assert_eq!(prune(&folder, 2, &made).unwrap(), [Name::of(Timestamp::from_millis(3_000))]);
    assert_eq!(names(&folder).unwrap(), [newest, made.clone()]);
    assert_eq!(prune(&folder, 1, &made).unwrap().len(), 1);
    assert_eq!(names(&folder).unwrap(), [made]);
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
