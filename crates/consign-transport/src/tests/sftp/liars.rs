//! Servers that say something else than the truth about a file, or nothing: what has a final name is whole, and where nobody
//! knows, that is what is said.

use std::net::Ipv4Addr;
use std::sync::Mutex;

use bytes::{Buf as _, BufMut as _, BytesMut};
use consign_core::target::{FileName, Folder};
use russh::keys::PrivateKey;
use russh::server::{self, Auth, Msg, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::net::TcpListener;

use super::*;
use crate::sftp::{Body, IfExists, ProbeFolder, Unnamed, Upload};

/// What it does with a file, which it takes with good words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Says that it has a byte less than was sent.
    Loses,
    /// Ends the connection in place of an answer to the rename.
    HangsUp,
    /// Renames, and shows nothing from then on.
    Hides,
    /// Refuses the new name.
    Refuses,
    /// Renames, and says nothing of it.
    KeepsQuiet,
    /// Takes its time, and has one name on every page of a folder, without an end.
    GoesOn,
}

/// The time that it takes: more than the limit of a test, long before the last page that is read.
const PAGE_TAKES: Duration = Duration::from_millis(5);

/// What it was told to do, in order.
type Told = Arc<Mutex<Vec<String>>>;

struct Liar {
    lie: Lie,
    told: Told,
    unread: BytesMut,
    bytes: u64,
    renamed: bool,
}

impl server::Handler for Liar {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.unread.extend_from_slice(data);
        while self.unread.len() >= 4 {
            let length = usize::try_from((&self.unread[..]).get_u32()).unwrap();
            if self.unread.len() < 4 + length {
                break;
            }
            let mut packet = self.unread.split_to(4 + length).split_off(4);
            if self.lie == Lie::GoesOn {
                tokio::time::sleep(PAGE_TAKES).await;
            }
            let answer = self.answer(&mut packet).ok_or(russh::Error::Disconnect)?;
            if answer.is_empty() {
                continue;
            }
            session
                .data(channel, [&u32::try_from(answer.len()).unwrap().to_be_bytes(), &answer[..]].concat())?;
        }
        Ok(())
    }
}

impl Liar {
    /// Of version 3 of SFTP, as much as uploads and tests need. `None`: the end.
    fn answer(&mut self, packet: &mut BytesMut) -> Option<Vec<u8>> {
        let kind = packet.get_u8();
        if kind == 1 {
            return Some(vec![2, 0, 0, 0, 3]);
        }
        let id = packet.get_u32();
        let mut text = || {
            let length = usize::try_from(packet.get_u32()).unwrap();
            String::from_utf8(packet.split_to(length).to_vec()).unwrap()
        };
        let status = |code: u32| [&[101][..], &id.to_be_bytes(), &code.to_be_bytes(), &[0; 8]].concat();
        let (done, not_there, denied) = (status(0), status(2), status(3));
        let mut attributes = vec![105];
        attributes.put_u32(id);
        // Size and permissions.
        attributes.put_u32(5);
        Some(match kind {
            // Open, a file or a folder, for which any handle does; close.
            3 | 11 => {
                self.bytes = 0;
                [&[102][..], &id.to_be_bytes(), &[0, 0, 0, 1, b'h']].concat()
            }
            4 => done,
            // Write: handle, offset, data.
            6 => {
                drop(text());
                packet.advance(8);
                self.bytes += u64::from(packet.get_u32());
                done
            }
            // Look at a name: of a part, and of what has its final name.
            7 => {
                let is_part = text().ends_with(".part");
                if self.renamed && self.lie == Lie::Hides {
                    denied
                } else if is_part || self.renamed {
                    attributes.put_u64(self.bytes - u64::from(self.lie == Lie::Loses));
                    attributes.put_u32(0o100_644);
                    attributes
                } else {
                    not_there
                }
            }
            // A page of the folder.
            12 if self.lie != Lie::GoesOn => status(1),
            12 => [&[104][..], &id.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 1, b'.'], &[0; 8]].concat(),
            // Remove.
            13 => {
                self.told.lock().unwrap().push(format!("remove {}", text()));
                done
            }
            // The real path, which is what was said.
            16 => {
                let path = text();
                let length = u32::try_from(path.len()).unwrap().to_be_bytes();
                [&[104][..], &id.to_be_bytes(), &[0, 0, 0, 1], &length, path.as_bytes(), &[0; 8]].concat()
            }
            // The folder.
            17 => {
                attributes.put_u64(0);
                attributes.put_u32(0o040_755);
                attributes
            }
            18 => {
                let (_, to) = (text(), text());
                self.told.lock().unwrap().push(format!("rename to {to}"));
                match self.lie {
                    Lie::HangsUp => return None,
                    Lie::Refuses => denied,
                    Lie::KeepsQuiet => Vec::new(),
                    Lie::Loses | Lie::Hides | Lie::GoesOn => {
                        self.renamed = true;
                        done
                    }
                }
            }
            _ => status(8),
        })
    }
}

async fn start(lie: Lie) -> (u16, Told) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(server::Config {
        methods: MethodSet::from(&[MethodKind::Password][..]),
        keys: vec![PrivateKey::from_openssh(ED25519).unwrap()],
        ..server::Config::default()
    });
    let told = Told::default();
    let heard = told.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let liar = Liar { lie, told: heard.clone(), unread: BytesMut::new(), bytes: 0, renamed: false };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, stream, liar).await {
                    // It ends as it will.
                    let _ = session.await;
                }
            });
        }
    });
    (port, told)
}

/// What becomes of a file of a few bytes, and what the server was told.
async fn sent(lie: Lie) -> (Result<(), Result<Unnamed, SftpFault>>, Vec<String>) {
    let (port, told) = start(lie).await;
    let session =
        network().sftp(&access(port, ED25519_PUB, by_password("ana", "open sesame"))).await.unwrap();
    let (folder, name) = (Folder::parse("Folder", "/in").unwrap(), FileName::parse("Name", "a.csv").unwrap());
    let upload = Upload {
        folder: &folder,
        name: &name,
        run: "run_1.1",
        if_exists: IfExists::Fail,
        progress: None,
        arrived: 0,
        hash: true,
        step_by_step: false,
    };
    let sent = match session.write_part(&upload, Body::Whole(Bytes::from_static(b"n\n1\n"))).await {
        Ok(written) => session.give_name(&written).await.map_err(Ok),
        Err(fault) => Err(Err(fault)),
    };
    let told = told.lock().unwrap().clone();
    (sent, told)
}

#[tokio::test]
async fn a_file_of_another_size_gets_no_name() {
    let (sent, told) = sent(Lie::Loses).await;
    let Err(Err(fault)) = sent else { panic!("{sent:?}") };
    assert_eq!(fault.detail, "The server has 3 bytes of the file, 4 were sent.");
    // It is tried again, one request after the other: the server may have done them in another order.
    assert_eq!(told, ["remove /in/.a.csv.run_1.1.part"; 2], "nothing is renamed, and nothing is left");
}

#[tokio::test]
async fn a_name_is_in_doubt_until_the_server_says_no() {
    for (lie, in_doubt) in [(Lie::HangsUp, true), (Lie::Hides, true), (Lie::Refuses, false)] {
        let (sent, told) = sent(lie).await;
        let Err(Ok(unnamed)) = sent else { panic!("{lie:?}: {sent:?}") };
        assert_eq!(unnamed.in_doubt, in_doubt, "{lie:?}: {unnamed:?}");
        assert_eq!(told[0], "rename to /in/a.csv", "{lie:?}");
    }
}

/// What a test finds that may work in the folder for so long.
async fn tested(lie: Lie, write: bool, limit: Duration) -> (SftpFault, Vec<String>) {
    let (port, told) = start(lie).await;
    let to = Folder::parse("Folder", "/in").unwrap();
    let (access, network) = (access(port, ED25519_PUB, by_password("ana", "open sesame")), network());
    let folder = ProbeFolder { folder: Some(&to), write };
    let probe = network.probe_sftp_within(&access, folder, limit);
    let probe = tokio::time::timeout(Duration::from_secs(20), probe).await.expect("it ends by itself");
    let told = told.lock().unwrap().clone();
    (probe.failure.expect("it did not come to its end"), told)
}

#[tokio::test]
async fn a_folder_without_an_end_does_not_keep_a_test() {
    let (fault, _) = tested(Lie::GoesOn, false, Duration::from_millis(300)).await;
    assert_eq!(fault.detail, "The server let us in and did not finish what was asked of it within 300 ms.");
}

#[tokio::test]
async fn a_test_without_an_answer_leaves_a_file_under_neither_name() {
    let (fault, told) = tested(Lie::KeepsQuiet, true, Duration::from_millis(300)).await;
    assert_eq!(fault.detail, "The server let us in and did not finish what was asked of it within 300 ms.");
    let [renamed, part, whole] = told.as_slice() else { panic!("{told:?}") };
    assert!(renamed.starts_with("rename to /in/consign-connection-test."), "{told:?}");
    assert!(part.starts_with("remove /in/.consign-connection-test.") && part.ends_with(".part"), "{told:?}");
    assert_eq!(whole.strip_prefix("remove "), renamed.strip_prefix("rename to "), "{told:?}");
}
