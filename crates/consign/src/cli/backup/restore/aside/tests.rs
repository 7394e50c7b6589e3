//! What is moved, and what comes back.

use super::*;
use crate::cli::failure::Code;

const NOW: Timestamp = Timestamp::from_millis(7_000);

fn folder() -> PathBuf {
    let id = consign_core::id::RequestId::new(consign_store::local_now());
    let folder = std::env::temp_dir().join(format!("consign-aside-{id}"));
    std::fs::create_dir(&folder).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn logs_go_also_where_their_database_is_gone() {
    let folder = folder();
    for part in ["-wal", "-shm"] {
        std::fs::write(folder.join(format!("consign.db{part}")), "left").unwrap();
    }
    let aside = Aside::put(&folder.join("consign.db"), NOW).unwrap();
    assert_eq!(names(&folder), ["consign.db.replaced-7-shm", "consign.db.replaced-7-wal"]);
    assert!(aside.told().unwrap().starts_with("What a database had left there is now"));
    let nothing = Aside::put(&folder.join("consign.db"), NOW).unwrap();
    assert_eq!(nothing.told(), None);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_cannot_be_moved_whole_stays_whole() {
    let folder = folder();
    let database = folder.join("consign.db");
    for part in PARTS {
        std::fs::write(format!("{}{part}", database.display()), part).unwrap();
    }
    let all = names(&folder);
    // A folder with something in it cannot be replaced by a file.
    let in_the_way = folder.join("consign.db.replaced-7");
    std::fs::create_dir(&in_the_way).unwrap();
    std::fs::write(in_the_way.join("x"), "x").unwrap();
    assert!(Aside::put(&database, NOW).is_err());
    std::fs::remove_dir_all(&in_the_way).unwrap();
    assert_eq!(names(&folder), all);

    let aside = Aside::put(&database, NOW).unwrap();
    let lost = aside.named(Failure::new(Code::Failed, "x"));
    assert!(lost.lines[1].ends_with("consign.db.replaced-7"), "{lost:?}");
    assert_eq!(aside.undone(Failure::new(Code::Failed, "x")).lines[1], "Nothing was changed");
    assert_eq!(names(&folder), all);
    assert_eq!(std::fs::read_to_string(folder.join("consign.db-wal")).unwrap(), "-wal");
    std::fs::remove_dir_all(&folder).unwrap();
}
