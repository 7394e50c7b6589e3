//! What has another name, what comes back, and what a start finds after each step.

use consign_store::{DatabaseUrl, Store, backup, installation};

use super::*;
use crate::cli::failure::Code;

const NOW: Timestamp = Timestamp::from_millis(7_000);

fn folder() -> PathBuf {
    let id = consign_core::id::RequestId::new(consign_store::local_now());
    let folder = std::env::temp_dir().join(format!("consign-aside-{id}"));
    fs::create_dir(&folder).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn draft(folder: &Path, from: &Path) -> Draft {
    let draft = Draft::new(folder, NOW).unwrap();
    fs::copy(from, draft.path()).unwrap();
    draft
}

async fn open(database: &Path) -> Store {
    Store::open(&DatabaseUrl::sqlite(database), 1).await.unwrap()
}

/// A database that says which one it is; the store is open, and has written that into its log alone.
async fn saying(database: &Path, which: &str) -> Store {
    let store = open(database).await;
    let mut tx = store.begin().await.unwrap();
    installation::put(&mut tx, "which", which).await.unwrap();
    tx.commit().await.unwrap();
    store
}

/// What a server finds that starts on this database.
async fn started(database: &Path) -> Option<String> {
    forget_second_names(database);
    let store = open(database).await;
    let which = store.installation("which").await.unwrap();
    store.close().await;
    which
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_a_restore_one_whole_database_is_there() {
    let from = folder();
    let (live, new) = (from.join("live.db"), from.join("new.db"));
    saying(&new, "new").await.close().await;
    let server = saying(&live, "old").await;
    let mut found = Vec::new();
    for end in 0.. {
        let folder = folder();
        let database = folder.join("consign.db");
        // As a server leaves them that was killed.
        for part in ["", "-wal"] {
            fs::copy(with(&live, part), with(&database, part)).unwrap();
        }
        assert!(fs::metadata(with(&database, "-wal")).unwrap().len() > 0, "it stands in the log");
        let draft = draft(&folder, &new);
        let mut aside = Aside::of(&database, NOW);
        let mut steps = Vec::new();
        if end > 0 {
            assert!(backup::settle(&database).await.unwrap());
            // What another program may leave.
            fs::write(with(&database, "-shm"), "").unwrap();
            steps = aside.steps();
        }
        let all = end > steps.len() + 1;
        for step in steps.into_iter().take(end.saturating_sub(1)) {
            aside.take(step).unwrap();
        }
        if all {
            draft.keep(&database).unwrap();
        } else {
            // It was killed, and cleared nothing away.
            std::mem::forget(draft);
        }
        found.push(started(&database).await.expect("never an empty one"));
        if all {
            assert_eq!(started(&aside.kept).await.as_deref(), Some("old"));
        } else {
            assert!(!aside.kept.exists(), "one database has one name");
        }
        fs::remove_dir_all(&folder).unwrap();
        if all {
            break;
        }
    }
    server.close().await;
    assert_eq!(found.pop().as_deref(), Some("new"));
    assert!(found.len() > 5 && found.iter().all(|which| which == "old"), "{found:?}");
    fs::remove_dir_all(&from).unwrap();
}

#[test]
fn logs_go_also_where_their_database_is_gone() {
    let folder = folder();
    for part in ["-wal", "-shm"] {
        fs::write(folder.join(format!("consign.db{part}")), "left").unwrap();
    }
    let database = folder.join("consign.db");
    fs::write(folder.join("other"), "new").unwrap();
    let mut aside = Aside::of(&database, NOW);
    aside.exchange(draft(&folder, &folder.join("other"))).unwrap();
    let expected = ["consign.db", "consign.db.replaced-7-shm", "consign.db.replaced-7-wal", "other"];
    assert_eq!(names(&folder), expected);
    assert!(aside.told().unwrap().starts_with("What a database had left there is now"));
    fs::remove_file(&database).unwrap();
    let mut nothing = Aside::of(&database, Timestamp::from_millis(8_000));
    nothing.exchange(draft(&folder, &folder.join("other"))).unwrap();
    assert_eq!(nothing.told(), None);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_cannot_be_exchanged_stays_as_it_was() {
    let folder = folder();
    let database = folder.join("consign.db");
    for part in parts() {
        fs::write(with(&database, part), part).unwrap();
    }
    fs::write(folder.join("other"), "new").unwrap();
    let all = names(&folder);
    // Names that somebody has already are left to them, whichever they are.
    for end in ["", "-wal", "-journal"] {
        let mut aside = Aside::of(&database, NOW);
        let in_the_way = folder.join(format!("consign.db.replaced-7{end}"));
        fs::write(&in_the_way, "theirs").unwrap();
        assert_eq!(Aside::of(&database, NOW).kept, folder.join("consign.db.replaced-7-2"));
        assert!(aside.exchange(draft(&folder, &folder.join("other"))).is_err());
        assert_eq!(aside.undone(Failure::new(Code::Failed, "x")).lines[1], "Nothing was changed");
        assert_eq!(fs::read_to_string(&in_the_way).unwrap(), "theirs");
        fs::remove_file(&in_the_way).unwrap();
        assert_eq!(names(&folder), all);
    }
    // Also when the new one was in place, and nobody could tell whether that is on disk.
    let mut aside = Aside::of(&database, NOW);
    aside.exchange(draft(&folder, &folder.join("other"))).unwrap();
    assert_eq!(fs::read_to_string(&database).unwrap(), "new");
    let lost = aside.named(Failure::new(Code::Failed, "x"));
    assert!(lost.lines[1].ends_with("consign.db.replaced-7"), "{lost:?}");
    assert_eq!(aside.undone(Failure::new(Code::Failed, "x")).lines[1], "Nothing was changed");
    assert_eq!(names(&folder), all);
    for part in ["", "-wal"] {
        assert_eq!(fs::read_to_string(with(&database, part)).unwrap(), part);
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_copy_does_where_a_file_can_have_one_name_only() {
    let folder = folder();
    let (from, to) = (folder.join("from"), folder.join("to"));
    fs::write(&from, "whole").unwrap();
    copy_whole(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "whole");
    assert!(copy_whole(&from, &to).is_err(), "what is there stays");
    assert!(copy_whole(&folder.join("missing"), &folder.join("half")).is_err());
    assert!(!folder.join("half").exists());
    fs::remove_dir_all(&folder).unwrap();
}
