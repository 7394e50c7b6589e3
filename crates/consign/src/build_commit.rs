//! What the build script reads, tried on every way in which git writes down what is checked out.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../build/commit.rs"]
mod commit;

const ONE: &str = "85dc4a0f7f6c0d5b1f8a1b2c3d4e5f60718293a4";
const TWO: &str = "00dc4a0f7f6c0d5b1f8a1b2c3d4e5f60718293a4";

fn files(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("consign-commit-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[track_caller]
fn check(name: &str, tree: &[(&str, &str)], at: &str, expected: Option<&str>) {
    let folder = files(name, tree);
    fs::create_dir_all(folder.join(at)).unwrap();
    let found = commit::of(&folder.join(at));
    assert_eq!(found.as_ref().map(|found| found.commit.as_str()), expected, "{name}");
    for read in found.iter().flat_map(|found| &found.read) {
        assert!(read.exists(), "{}", read.display());
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_commit_is_read_from_the_files_of_git() {
    let branch = (".git/HEAD", "ref: refs/heads/main\n");
    let loose = (".git/refs/heads/main", "85dc4a0f7f6c0d5b1f8a1b2c3d4e5f60718293a4\n");
    check("branch", &[branch, loose], "crates/consign", Some(ONE));
    let packed = format!("# pack-refs with: peeled\n{TWO} refs/heads/other/main\n{ONE} refs/heads/main\n");
    check("packed", &[branch, (".git/packed-refs", &packed)], "", Some(ONE));
    check("loose first", &[branch, loose, (".git/packed-refs", &packed.replace(ONE, TWO))], "", Some(ONE));
    check("detached", &[(".git/HEAD", ONE)], "", Some(ONE));
    let tree = [
        ("tree/.git", "gitdir: ../main/.git/worktrees/tree\n"),
        ("main/.git/worktrees/tree/HEAD", "ref: refs/heads/side\n"),
        ("main/.git/worktrees/tree/commondir", "../..\n"),
        ("main/.git/refs/heads/side", ONE),
    ];
    check("work tree", &tree, "tree/crates", Some(ONE));
}

#[test]
fn without_git_there_is_none() {
    let branch = (".git/HEAD", "ref: refs/heads/main\n");
    check("unborn", &[branch], "", None);
    check("damaged", &[branch, (".git/refs/heads/main", "85dc")], "", None);
    check("strange", &[(".git", "here is no git")], "", None);
    assert_eq!(commit::of(Path::new("/")), None);
}
