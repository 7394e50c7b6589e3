//! Files, whole or not at all, at OpenSSH.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use consign_core::target::{FileName, Folder};
use tokio::sync::mpsc;

use super::openssh::*;
use super::*;
use crate::sftp::{Body, IfExists, Part, SftpSession, SftpStatus, Upload, Uploaded};

/// Bytes that do not repeat.
fn content(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    let bytes = (0..length).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    bytes.collect()
}

async fn session(sshd: &Sshd) -> SftpSession {
    network().sftp(&access(sshd.port, ED25519_PUB, by_key(&user(), P256, None))).await.unwrap()
}

fn folder(path: &Path) -> Folder {
    Folder::parse("Folder", path.to_str().unwrap()).unwrap()
}

async fn upload(
    session: &SftpSession,
    to: &Path,
    name: &str,
    if_exists: IfExists,
    body: Body,
) -> Result<Uploaded, SftpFault> {
    let name = FileName::parse("File name", name).unwrap();
    let to = folder(to);
    session
        .upload(
            &Upload {
                folder: &to,
                name: &name,
                run: "run_1",
                if_exists,
                progress: None,
                arrived: 0,
                hash: true,
                step_by_step: false,
            },
            body,
        )
        .await
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_of_every_size_arrive_whole() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    for length in [0, 1, 4_096, 32_768, 255 << 10, (255 << 10) + 1, 1 << 20, 9_000_001] {
        let bytes = content(length);
        let name = format!("f{length}.csv");
        let uploaded =
            upload(&session, &inbox, &name, IfExists::Fail, Body::Whole(bytes.clone())).await.unwrap();
        assert_eq!(std::fs::read(inbox.join(&name)).unwrap(), bytes, "{length}");
        assert_eq!(uploaded.bytes, length as u64);
        assert_eq!(uploaded.sha256.unwrap(), digest::digest(&digest::SHA256, &bytes).as_ref());
        assert!(uploaded.synced, "OpenSSH has fsync@openssh.com");
    }
    assert!(names(&inbox).iter().all(|name| !name.ends_with(".part")), "{:?}", names(&inbox));
}

#[tokio::test]
async fn a_written_file_has_no_name_until_it_is_given_one() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    let (name, to) = (FileName::parse("File name", "list.csv").unwrap(), folder(&inbox));
    let upload = |run| Upload {
        folder: &to,
        name: &name,
        run,
        if_exists: IfExists::Fail,
        progress: None,
        arrived: 0,
        hash: true,
        step_by_step: false,
    };
    let body = || Body::Whole(content(4_096));
    let first = session.write_part(&upload("run_1.1"), body()).await.unwrap();
    assert_eq!(names(&inbox), [".list.csv.run_1.1.part"]);
    let modified = std::fs::metadata(inbox.join(".list.csv.run_1.1.part")).unwrap().modified().unwrap();
    let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(first.modified_seconds.map(u64::from), Some(seconds));
    // Another attempt has a part of its own, and one name is given.
    let second = session.write_part(&upload("run_1.2"), body()).await.unwrap();
    session.give_name(&second).await.unwrap();
    let late = session.give_name(&first).await.unwrap_err();
    assert!(matches!(late.fault.why, SftpWhy::Exists) && !late.in_doubt, "{late:?}");
    assert_eq!(names(&inbox), ["list.csv"]);
    // A part that was taken away names nothing, however late its attempt comes.
    let other = FileName::parse("File name", "other.csv").unwrap();
    let lost = Upload { name: &other, ..upload("run_2.1") };
    let lost = session.write_part(&lost, body()).await.unwrap();
    session.remove_part(&to, &other, "run_2.1").await.unwrap();
    session.remove_part(&to, &other, "run_2.1").await.expect("it is gone already");
    assert!(!session.give_name(&lost).await.unwrap_err().in_doubt, "the server said no");
    assert_eq!(names(&inbox), ["list.csv"]);
    let kept = session.find(&to, &name).await.unwrap().unwrap();
    assert_eq!((kept.size, kept.modified_seconds), (Some(4_096), second.modified_seconds));
}

#[tokio::test]
async fn a_stream_arrives_when_it_ends_and_not_when_it_is_cut() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    let bytes = content(3_000_000);
    for end in [true, false] {
        let (sender, receiver) = mpsc::channel(4);
        let parts = bytes.clone();
        tokio::spawn(async move {
            for chunk in parts.chunks(70_001) {
                sender.send(Part::Bytes(Bytes::copy_from_slice(chunk))).await.unwrap();
            }
            if end {
                sender.send(Part::End).await.unwrap();
            }
        });
        let name = if end { "whole.csv" } else { "cut.csv" };
        let uploaded = upload(&session, &inbox, name, IfExists::Fail, Body::Stream(receiver)).await;
        match (end, uploaded) {
            (true, Ok(uploaded)) => assert_eq!(uploaded.bytes, 3_000_000),
            (false, Err(fault)) => assert!(matches!(fault.why, SftpWhy::SourceEnded), "{fault:?}"),
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!(names(&inbox), ["whole.csv"]);
    assert_eq!(std::fs::read(inbox.join("whole.csv")).unwrap(), bytes);
}

#[tokio::test]
async fn a_taken_name_is_left_or_replaced() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    std::fs::write(inbox.join("a.csv"), "old").unwrap();
    let new = || Body::Whole(Bytes::from_static(b"new"));
    let fault = upload(&session, &inbox, "a.csv", IfExists::Fail, new()).await.unwrap_err();
    assert!(matches!(fault.why, SftpWhy::Exists), "{fault:?}");
    assert_eq!(std::fs::read(inbox.join("a.csv")).unwrap(), b"old");
    upload(&session, &inbox, "a.csv", IfExists::Replace, new()).await.unwrap();
    assert_eq!(std::fs::read(inbox.join("a.csv")).unwrap(), b"new");
    assert_eq!(names(&inbox), ["a.csv"]);
}

#[tokio::test]
async fn a_server_without_posix_rename_replaces_what_is_there_and_says_its_own_refusal() {
    let plain = "Subsystem sftp internal-sftp -P posix-rename\n";
    let sshd = Sshd::start(&Setup { lines: plain, ..Setup::default() });
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    for text in ["first", "second"] {
        let body = Body::Whole(Bytes::from_static(text.as_bytes()));
        upload(&session, &inbox, "f.csv", IfExists::Replace, body).await.unwrap();
        assert_eq!(std::fs::read_to_string(inbox.join("f.csv")).unwrap(), text);
    }
    assert_eq!(names(&inbox), ["f.csv"]);
    let sealed = "Subsystem sftp internal-sftp -P posix-rename,rename\n";
    let sshd = Sshd::start(&Setup { lines: sealed, ..Setup::default() });
    let (inbox, session) = (sshd.inbox(), self::session(&sshd).await);
    let body = Body::Whole(Bytes::from_static(b"first"));
    let fault = upload(&session, &inbox, "f.csv", IfExists::Replace, body).await.unwrap_err();
    assert_eq!(fault.detail, "The server cannot rename the file: permission denied.");
    assert!(names(&inbox).is_empty(), "{:?}", names(&inbox));
}

#[tokio::test]
async fn what_an_earlier_attempt_left_is_no_hindrance_and_never_followed() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    let precious = sshd.folder.write("precious", "precious");
    std::os::unix::fs::symlink(&precious, inbox.join(".a.csv.run_1.part")).unwrap();
    std::fs::write(inbox.join(".b.csv.run_1.part"), "half").unwrap();
    for name in ["a.csv", "b.csv"] {
        upload(&session, &inbox, name, IfExists::Fail, Body::Whole(Bytes::from_static(b"new")))
            .await
            .unwrap();
        assert_eq!(std::fs::read(inbox.join(name)).unwrap(), b"new");
    }
    assert_eq!(std::fs::read(precious).unwrap(), b"precious");
    assert_eq!(names(&inbox), ["a.csv", "b.csv"]);
}

#[tokio::test]
async fn refusals_are_said_in_words() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    let body = || Body::Whole(Bytes::from_static(b"x"));
    let nowhere = sshd.folder.path().join("nowhere");
    let fault = upload(&session, &nowhere, "a.csv", IfExists::Fail, body()).await.unwrap_err();
    assert!(matches!(fault.why, SftpWhy::Refused(SftpStatus::NotThere)), "{fault:?}");
    assert_eq!(fault.detail, "The server cannot find the folder: no such file or folder.");
    let file = sshd.folder.write("file", "");
    let fault = upload(&session, &file, "a.csv", IfExists::Fail, body()).await.unwrap_err();
    assert_eq!(fault.detail, "The folder is a file.");
    // The kernel refuses even root here.
    let fault = upload(&session, Path::new("/proc/1"), "a.csv", IfExists::Fail, body()).await.unwrap_err();
    assert!(matches!(fault.why, SftpWhy::Refused(_)), "{fault:?}");
    assert!(names(&inbox).is_empty());
}

#[tokio::test]
async fn many_files_are_under_way_at_once() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    let progress = Arc::new(AtomicU64::new(0));
    let uploads = (0..200).map(|number| {
        let (session, to, progress) = (session.clone(), folder(&inbox), progress.clone());
        tokio::spawn(async move {
            let name = FileName::parse("File name", &format!("f{number}.csv")).unwrap();
            let upload = Upload {
                folder: &to,
                name: &name,
                run: "run_1",
                if_exists: IfExists::Fail,
                progress: Some(&progress),
                arrived: 0,
                hash: true,
                step_by_step: false,
            };
            session.upload(&upload, Body::Whole(content(4_096))).await.unwrap()
        })
    });
    for upload in uploads.collect::<Vec<_>>() {
        upload.await.unwrap();
    }
    assert_eq!(names(&inbox).len(), 200);
    assert_eq!(progress.load(Ordering::Relaxed), 200 * 4_096);
    assert_eq!(sshd.logged("Accepted publickey"), 1);
}

#[tokio::test]
async fn old_parts_of_ours_are_removed_and_no_others() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    for name in [".a.csv.run_1.part", ".a.csv.run_2.part", ".b.csv.run_1.part", "a.part", ".a.csv"] {
        std::fs::write(inbox.join(name), "").unwrap();
    }
    let to = folder(&inbox);
    // Among more names than are kept of a folder.
    let others: Vec<_> = (0..1_500).map(|number| inbox.join(format!("x{number}"))).collect();
    others.iter().for_each(|other| std::fs::write(other, "").unwrap());
    assert!(session.find_parts(&to, 1_000).await.unwrap().is_empty(), "they are young");
    let mut found = session.find_parts(&to, u32::MAX).await.unwrap();
    found.sort();
    assert_eq!(found, [".a.csv.run_1.part", ".a.csv.run_2.part", ".b.csv.run_1.part"]);
    assert_eq!(session.remove_parts(&to, &found[..2]).await.unwrap(), 2);
    others.iter().for_each(|other| std::fs::remove_file(other).unwrap());
    assert_eq!(names(&inbox), [".a.csv", ".b.csv.run_1.part", "a.part"]);
    let name = FileName::parse("File name", "a.part").unwrap();
    let found = session.find(&to, &name).await.unwrap().unwrap();
    assert_eq!(found.size, Some(0));
    assert!(found.modified_seconds.is_some());
}

/// It keeps its connection, so that only a limit of our own ends the wait.
#[tokio::test]
async fn a_server_that_falls_silent_behind_the_sign_in_is_named() {
    let sshd = Sshd::start(&Setup { lines: "Subsystem sftp /bin/sleep 100\n", ..Setup::default() });
    let access = access(sshd.port, ED25519_PUB, by_key(&user(), P256, None));
    let probe = network().probe_sftp(&access, Default::default(), &|_| {}).await;
    assert!(probe.signed_in.is_some(), "{probe:?}");
    let fault = probe.failure.unwrap();
    assert_eq!(fault.detail, "The server let us in and did not open SFTP in time.");
}

/// Before the rename, which some servers let replace.
#[tokio::test]
async fn what_came_while_a_file_was_written_stays() {
    let sshd = Sshd::start(&Setup::default());
    let (inbox, session) = (sshd.inbox(), session(&sshd).await);
    let (to, progress) = (folder(&inbox), AtomicU64::new(0));
    let name = FileName::parse("File name", "a.csv").unwrap();
    let upload = Upload {
        folder: &to,
        name: &name,
        run: "run_1",
        if_exists: IfExists::Fail,
        progress: Some(&progress),
        arrived: 0,
        hash: true,
        step_by_step: false,
    };
    let (parts, body) = mpsc::channel(1);
    let come = async {
        // More than is ever under way, so that some of it has arrived.
        parts.send(Part::Bytes(content(4 << 20))).await.unwrap();
        while progress.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        std::fs::write(inbox.join("a.csv"), "theirs").unwrap();
        parts.send(Part::End).await.unwrap();
    };
    let (written, ()) = tokio::join!(session.write_part(&upload, Body::Stream(body)), come);
    assert!(matches!(written.unwrap_err().why, SftpWhy::Exists));
    assert_eq!(names(&inbox), ["a.csv"], "the part is removed");
    assert_eq!(std::fs::read_to_string(inbox.join("a.csv")).unwrap(), "theirs");
}

#[tokio::test]
async fn a_test_looks_into_the_folder_and_leaves_nothing() {
    let sshd = Sshd::start(&Setup::default());
    let inbox = sshd.inbox();
    std::fs::write(inbox.join("a"), "").unwrap();
    let to = folder(&inbox);
    let wanted = crate::sftp::ProbeFolder { folder: Some(&to), write: true };
    let probe = network()
        .probe_sftp(&access(sshd.port, ED25519_PUB, by_key(&user(), P256, None)), wanted, &|_| {})
        .await;
    assert!(probe.failure.is_none(), "{:?}", probe.failure);
    assert_eq!(probe.listed.map(|listed| (listed.names, listed.more)), Some((1, false)));
    assert!(probe.written);
    assert_eq!(names(&inbox), ["a"]);
}
