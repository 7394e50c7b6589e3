//! Another server: ProFTPD with mod_sftp, whose users are its own.

use std::process::{Child, Command, Stdio};

use consign_core::target::{FileName, Folder as RemoteFolder};

use super::openssh::{ANA, Folder, PASSWORD, free_port, listens, variable};
use super::*;
use crate::sftp::{Body, IfExists, Upload};

struct Proftpd {
    child: Child,
    folder: Folder,
    port: u16,
}

impl Proftpd {
    fn start(methods: &str) -> Self {
        let folder = Folder::new("proftpd");
        let here = folder.path().display().to_string();
        std::fs::create_dir_all(folder.path().join("home")).unwrap();
        folder.write("rsa", RSA);
        folder.write("p256", P256);
        let said = |program: &str, arguments: &[&str]| {
            let said = Command::new(program).args(arguments).output().unwrap();
            String::from_utf8(said.stdout).unwrap().trim().to_owned()
        };
        let hash = said("openssl", &["passwd", "-6", PASSWORD]);
        let (user, group) = (said("id", &["-u"]), said("id", &["-g"]));
        folder.write("passwd", &format!("{ANA}:{hash}:{user}:{group}::{here}/home:/bin/sh\n"));
        folder.write("group", &format!("{ANA}:x:{group}:\n"));
        let public = folder.write("public", P256_PUB);
        let keys = said("ssh-keygen", &["-e", "-m", "RFC4716", "-f", public.to_str().unwrap()]);
        folder.write("keys", &format!("{keys}\n"));
        let port = free_port();
        let (owner, team) = (said("id", &["-un"]), said("id", &["-gn"]));
        let config = format!(
            "ServerType standalone\nServerName test\nUseIPv6 off\nDefaultAddress 127.0.0.1\nSocketBindTight on\n\
             Port {port}\nUser {owner}\nGroup {team}\nPidFile {here}/pid\nScoreboardFile none\nDelayEngine off\n\
             WtmpLog off\nTransferLog none\nSystemLog {here}/system.log\nModulePath /usr/lib/proftpd\n\
             LoadModule mod_sftp.c\nRequireValidShell off\nRootLogin on\nAuthOrder mod_auth_file.c\n\
             AuthUserFile {here}/passwd\nAuthGroupFile {here}/group\nSFTPEngine on\nSFTPLog {here}/log\n\
             SFTPHostKey {here}/rsa\nSFTPHostKey {here}/p256\nSFTPAuthorizedUserKeys file:{here}/keys\n\
             SFTPAuthMethods {methods}\nAllowOverwrite on\n"
        );
        let config = folder.write("proftpd.conf", &config);
        let program = variable("CONSIGN_TEST_PROFTPD", "/usr/sbin/proftpd");
        let mut command = Command::new(program);
        command
            .args(["-n", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("ProFTPD is installed: cargo xtask test --only peers");
        let server = Self { child, folder, port };
        for _ in 0..400 {
            if listens(port) {
                return server;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("ProFTPD does not listen: {}", server.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Proftpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn proftpd_lets_in_by_password_and_by_key_and_takes_files() {
    for (methods, login, how) in [
        ("password", by_password(ANA, PASSWORD), "password"),
        ("publickey", by_key(ANA, P256, None), "publickey"),
        (
            "publickey+password",
            SshLogin { password: Some(secret(PASSWORD)), ..by_key(ANA, P256, None) },
            "publickey, password",
        ),
    ] {
        let server = Proftpd::start(methods);
        for pin in [RSA_PUB, P256_PUB] {
            let login = SshLogin {
                username: login.username.clone(),
                key: login.key.as_ref().map(|_| SshKey { text: secret(P256), passphrase: None }),
                password: login.password.as_ref().map(|password| secret(password.expose())),
            };
            let probe =
                network().probe_sftp(&access(server.port, pin, login), Default::default(), &|_| {}).await;
            assert!(probe.failure.is_none(), "{methods}: {:?}\n{}", probe.failure, server.log());
            assert_eq!(probe.signed_in.as_deref(), Some(how));
        }
        let session = network().sftp(&access(server.port, RSA_PUB, login)).await.unwrap();
        let folder = RemoteFolder::parse("Folder", "").unwrap();
        let name = FileName::parse("File name", "a.csv").unwrap();
        for (content, if_exists) in [("first", IfExists::Fail), ("second", IfExists::Replace)] {
            let upload = Upload {
                folder: &folder,
                name: &name,
                run: "run_1",
                if_exists,
                progress: None,
                arrived: 0,
                hash: true,
                step_by_step: if_exists == IfExists::Replace,
            };
            let body = Bytes::from(content.repeat(100_000));
            let uploaded = session.upload(&upload, Body::Whole(body.clone())).await;
            let uploaded = uploaded.unwrap_or_else(|fault| panic!("{methods}: {fault:?}\n{}", server.log()));
            assert_eq!(uploaded.bytes, body.len() as u64);
            assert_eq!(std::fs::read(server.folder.path().join("home/a.csv")).unwrap(), body);
        }
        let upload = Upload {
            folder: &folder,
            name: &name,
            run: "run_2",
            if_exists: IfExists::Fail,
            progress: None,
            arrived: 0,
            hash: true,
            step_by_step: false,
        };
        let fault = session.upload(&upload, Body::Whole(Bytes::new())).await.unwrap_err();
        assert!(matches!(fault.why, SftpWhy::Exists), "{fault:?}");
        let left = std::fs::read_dir(server.folder.path().join("home")).unwrap().count();
        assert_eq!(left, 1);
    }
}

#[tokio::test]
async fn proftpd_with_another_key_sees_no_sign_in() {
    let server = Proftpd::start("password");
    let (_, other) = openssh::generate(&["rsa", "-b", "2048"]);
    let fault = network().sftp(&access(server.port, &other, by_password(ANA, PASSWORD))).await.unwrap_err();
    is_host_key(&fault);
    assert!(!server.log().contains("authenticat"), "{}", server.log());
    let fault = network().sftp(&access(server.port, RSA_PUB, by_password(ANA, "wrong"))).await.unwrap_err();
    is_sign_in(&fault, SignInWhy::Refused);
}
