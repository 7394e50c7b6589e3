//! Host keys: what is pinned must be shown, or nothing is offered to the server.

use consign_core::pin::KeyType;

use super::openssh::*;
use super::*;

const SERVERS: [(KeyType, &str, &str, &[&str]); 5] = [
    (KeyType::Rsa, RSA, RSA_PUB, &["rsa", "-b", "2048"]),
    (KeyType::EcdsaP256, P256, P256_PUB, &["ecdsa", "-b", "256"]),
    (KeyType::EcdsaP384, P384, P384_PUB, &["ecdsa", "-b", "384"]),
    (KeyType::EcdsaP521, P521, P521_PUB, &["ecdsa", "-b", "521"]),
    (KeyType::Ed25519, ED25519, ED25519_PUB, &["ed25519"]),
];

fn login() -> SshLogin {
    by_key(&user(), P256, None)
}

/// Every form that a pin has, for one key.
fn forms(line: &str, port: u16) -> Vec<String> {
    let print = print(line);
    let mut words = line.split_whitespace();
    let (kind, key) = (words.next().unwrap(), words.next().unwrap());
    let mut forms = vec![
        print.clone(),
        format!("{print}="),
        format!("{kind} {print}"),
        line.trim().to_owned(),
        format!("[127.0.0.1]:{port} {kind} {key}"),
    ];
    if kind == "ssh-rsa" {
        forms.push(format!("rsa-sha2-256 {print}"));
    }
    forms
}

#[tokio::test]
async fn every_form_of_a_pin_finds_its_key_on_a_server_with_five() {
    let sshd = Sshd::start(&Setup::default());
    for (family, _, line, _) in SERVERS {
        for pin in forms(line, sshd.port) {
            let network = network();
            let probe =
                network.probe_sftp(&access(sshd.port, &pin, login()), Default::default(), &|_| {}).await;
            assert!(probe.failure.is_none(), "{pin}: {:?}", probe.failure);
            let facts = probe.facts.unwrap();
            assert_eq!(facts.host_key.key_type, family, "{pin}");
            assert_eq!(facts.host_key.fingerprint().to_string(), print(line), "{pin}");
            assert_eq!(probe.signed_in.as_deref(), Some("publickey"));
            assert_eq!(facts.cipher, "aes256-gcm@openssh.com");
        }
    }
}

#[tokio::test]
async fn every_form_of_a_pin_finds_its_key_on_a_server_with_that_one() {
    for (family, key, line, _) in SERVERS {
        let sshd = Sshd::start(&Setup { host_keys: &[key], ..Setup::default() });
        for pin in forms(line, sshd.port) {
            let probe =
                network().probe_sftp(&access(sshd.port, &pin, login()), Default::default(), &|_| {}).await;
            assert!(probe.failure.is_none(), "{pin}: {:?}", probe.failure);
            assert_eq!(probe.facts.unwrap().host_key.key_type, family, "{pin}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_of_the_right_type_gets_no_sign_in() {
    for (family, key, _, kind) in SERVERS {
        let sshd = Sshd::start(&Setup { host_keys: &[key], ..Setup::default() });
        let (_, other) = generate(kind);
        for pin in forms(&other, sshd.port) {
            let probe =
                network().probe_sftp(&access(sshd.port, &pin, login()), Default::default(), &|_| {}).await;
            let fault = probe.failure.unwrap();
            let SftpWhy::HostKey { shown: Some(shown) } = &fault.why else { panic!("{pin}: {fault:?}") };
            assert_eq!(shown.key_type, family);
            let sentence =
                "The server showed another host key than the pinned one. Nothing was sent. Compare keys.";
            assert_eq!(fault.detail, sentence);
            assert!(probe.facts.is_none() && probe.signed_in.is_none());
        }
        sshd.saw_no_sign_in();
    }
}

#[tokio::test]
async fn a_key_of_another_type_gets_no_sign_in() {
    for (family, key, _, _) in SERVERS {
        let sshd = Sshd::start(&Setup { host_keys: &[key], ..Setup::default() });
        for (other, _, line, _) in SERVERS {
            if other == family {
                continue;
            }
            for pin in forms(line, sshd.port) {
                let fault = network().sftp(&access(sshd.port, &pin, login())).await.unwrap_err();
                is_host_key(&fault);
                assert!(fault.detail.contains("Nothing was sent. Compare keys."), "{}", fault.detail);
            }
        }
        sshd.saw_no_sign_in();
    }
}

#[tokio::test]
async fn one_of_several_pins_is_enough() {
    let sshd = Sshd::start(&Setup { host_keys: &[P384], ..Setup::default() });
    let (_, other) = generate(&["ed25519"]);
    let pins = format!("{other}\n{P384_PUB}\n{}", print(RSA_PUB));
    assert!(network().sftp(&access(sshd.port, &pins, login())).await.is_ok());
}

#[tokio::test]
async fn a_family_is_searched_for_once() {
    let sshd = Sshd::start(&Setup::default());
    let network = network();
    let access = |user: &str| {
        let login = by_key(user, P256, None);
        let mut access = access(sshd.port, &print(ED25519_PUB), login);
        access.shared_by = user.to_owned();
        access
    };
    let first = network.sftp(&access(&user())).await.unwrap();
    let connections = sshd.logged("Connection from");
    assert!(connections > 1, "RSA is offered first, and it is another key");
    drop(first);
    // Another session of the same server knows the family.
    let second = network.probe_sftp(&access(&user()), Default::default(), &|_| {}).await;
    assert!(second.failure.is_none());
    assert_eq!(sshd.logged("Connection from"), connections + 1);
}

#[tokio::test]
async fn sha_1_and_other_old_algorithms_are_refused() {
    let sha1 = "This server can only prove itself with SHA-1, which is not accepted.";
    let kex = "The server has no key exchange that is accepted. It offers diffie-hellman-group14-sha1";
    let cipher = "The server has no cipher that is accepted. It offers aes128-cbc, 3des-cbc.";
    let mac = "The server has no message authentication that is accepted. It offers hmac-sha1.";
    for (lines, sentence) in [
        ("HostKeyAlgorithms ssh-rsa\n", sha1),
        ("KexAlgorithms diffie-hellman-group14-sha1,diffie-hellman-group1-sha1\n", kex),
        ("Ciphers aes128-cbc,3des-cbc\n", cipher),
        ("Ciphers aes128-ctr\nMACs hmac-sha1\n", mac),
    ] {
        let sshd = Sshd::start(&Setup { lines, ..Setup::default() });
        let fault = network().sftp(&access(sshd.port, RSA_PUB, login())).await.unwrap_err();
        assert!(matches!(fault.why, SftpWhy::Unreachable(_)), "{lines}: {fault:?}");
        assert!(fault.detail.starts_with(sentence), "{lines}: {}", fault.detail);
        sshd.saw_no_sign_in();
    }
}

#[tokio::test]
async fn a_host_key_that_is_too_short_is_refused_though_its_fingerprint_matches() {
    let sshd = Sshd::start(&Setup { host_keys: &[WEAK_RSA], ..Setup::default() });
    let found = network().scan_host_keys(&address(sshd.port)).await.unwrap();
    assert_eq!(found.iter().map(|one| one.key.bits).collect::<Vec<_>>(), [1_024]);
    let print = found[0].key.fingerprint();
    assert!(Pins::parse(WEAK_RSA_PUB, None).is_err(), "a whole key tells its length");
    for pin in [print.to_string(), format!("rsa-sha2-512 {print}")] {
        let fault = network().sftp(&access(sshd.port, &pin, login())).await.unwrap_err();
        assert!(matches!(fault.why, SftpWhy::Unreachable(_)), "{pin}: {fault:?}");
        assert_eq!(fault.detail, "The server's host key has 1024 bits. It must have 2048 or more.");
    }
    sshd.saw_no_sign_in();
}

#[tokio::test]
async fn places_of_sessions_that_are_over_are_left() {
    let network = network();
    let nowhere = free_port();
    for save in ["crd_1/1", "crd_1/2", "crd_1/3"] {
        let mut access = access(nowhere, RSA_PUB, login());
        access.shared_by = save.to_owned();
        assert!(network.sftp(&access).await.is_err());
    }
    assert_eq!(network.sessions.lock().unwrap().len(), 1, "the last one");
    let sshd = Sshd::start(&Setup::default());
    let kept = network.sftp(&access(sshd.port, RSA_PUB, login())).await.unwrap();
    let mut other = access(sshd.port, RSA_PUB, login());
    other.shared_by = "crd_2/1".to_owned();
    let beside = network.sftp(&other).await.unwrap();
    assert_eq!(network.sessions.lock().unwrap().len(), 2);
    let _again = network.sftp(&access(sshd.port, RSA_PUB, login())).await.unwrap();
    assert_eq!(sshd.logged("Accepted publickey"), 2, "both were kept");
    assert!(kept.is_open() && beside.is_open());
}

#[tokio::test]
async fn every_accepted_algorithm_works_with_openssh() {
    let kex = [
        "curve25519-sha256",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group14-sha256",
    ];
    let kex = kex.map(|name| format!("KexAlgorithms {name}\n"));
    let ciphers = ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"];
    let ciphers = ciphers.map(|name| format!("Ciphers {name}\n"));
    let macs =
        ["hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512", "hmac-sha2-256"];
    let macs = macs.map(|name| format!("Ciphers aes256-ctr,aes192-ctr,aes128-ctr\nMACs {name}\n"));
    let keys = ["rsa-sha2-512", "rsa-sha2-256"].map(|name| format!("HostKeyAlgorithms {name}\n"));
    for lines in kex.iter().chain(&ciphers).chain(&macs).chain(&keys) {
        let sshd = Sshd::start(&Setup { lines, ..Setup::default() });
        let probe =
            network().probe_sftp(&access(sshd.port, RSA_PUB, login()), Default::default(), &|_| {}).await;
        assert!(probe.failure.is_none(), "{lines}: {:?}", probe.failure);
    }
}

#[tokio::test]
async fn a_host_certificate_is_no_pin() {
    let folder = Folder::new("ca");
    let (authority, _) = generate(&["ed25519"]);
    let authority = folder.write("ca", &authority);
    let public = folder.write("host.pub", P256_PUB);
    let signed = std::process::Command::new("ssh-keygen");
    let mut signed = signed;
    signed.args(["-q", "-h", "-I", "host", "-n", "127.0.0.1", "-s"]).arg(&authority).arg(&public);
    assert!(signed.status().unwrap().success());
    let certificate = folder.path().join("host-cert.pub");
    // The certificate holds the key of the pin. It is not asked for, so the plain key is shown.
    let lines = format!("HostCertificate {}\n", certificate.display());
    let sshd = Sshd::start(&Setup { host_keys: &[P256], lines: &lines, ..Setup::default() });
    assert!(network().sftp(&access(sshd.port, P256_PUB, login())).await.is_ok());
    let only = format!("{lines}HostKeyAlgorithms ecdsa-sha2-nistp256-cert-v01@openssh.com\n");
    let sshd = Sshd::start(&Setup { host_keys: &[P256], lines: &only, ..Setup::default() });
    assert!(network().sftp(&access(sshd.port, P256_PUB, login())).await.is_err());
    sshd.saw_no_sign_in();
}

#[tokio::test]
async fn a_scan_reads_a_key_of_each_family_and_signs_in_nowhere() {
    let sshd = Sshd::start(&Setup::default());
    let found = network().scan_host_keys(&address(sshd.port)).await.unwrap();
    let found: Vec<_> =
        found.iter().map(|one| (one.key.key_type, one.key.bits, one.key.fingerprint().to_string())).collect();
    let bits = [2_048, 256, 384, 521, 256];
    let all: Vec<_> =
        SERVERS.iter().zip(bits).map(|((family, _, line, _), bits)| (*family, bits, print(line))).collect();
    assert_eq!(found, all);
    sshd.saw_no_sign_in();
    let sshd = Sshd::start(&Setup { host_keys: &[P521], ..Setup::default() });
    let found = network().scan_host_keys(&address(sshd.port)).await.unwrap();
    assert_eq!(found.len(), 1);
    let sshd = Sshd::start(&Setup { lines: "HostKeyAlgorithms ssh-rsa\n", ..Setup::default() });
    let fault = network().scan_host_keys(&address(sshd.port)).await.unwrap_err();
    assert_eq!(fault.detail, "This server can only prove itself with SHA-1, which is not accepted.");
    let fault = network().scan_host_keys(&address(free_port())).await.unwrap_err();
    assert!(matches!(fault.why, SftpWhy::Unreachable(_)), "{fault:?}");
}
