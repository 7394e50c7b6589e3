use super::*;

const ED25519: &str = include_str!("../ssh_key/keys/ed25519.pub");
const P256: &str = include_str!("../ssh_key/keys/p256.pub");
const P384: &str = include_str!("../ssh_key/keys/p384.pub");
const P521: &str = include_str!("../ssh_key/keys/p521.pub");
const RSA: &str = include_str!("../ssh_key/keys/rsa.pub");
const ALL: [&str; 5] = [ED25519, P256, P384, P521, RSA];

fn address(text: &str) -> SftpAddress {
    SftpAddress::parse(text).unwrap()
}

fn read(text: &str) -> Result<Pins, Fault> {
    Pins::parse(text, Some(&address("sftp://sftp.example.org:2222/")))
}

fn one(text: &str) -> HostKeyPin {
    let pins = read(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    assert_eq!(pins.0.len(), 1, "{text}");
    pins.0.into_iter().next().unwrap()
}

fn parts(line: &str) -> (&str, &str) {
    let mut words = line.split_whitespace();
    (words.next().unwrap(), words.next().unwrap())
}

fn print(line: &str) -> String {
    Fingerprint::of(&BASE64_STANDARD.decode(parts(line).1).unwrap()).to_string()
}

#[track_caller]
fn refused(text: &str, code: &'static str, sentence: &str) {
    assert_eq!(read(text), Err(Fault::new(code, sentence)), "{text}");
}

#[test]
fn fingerprints_agree_with_openssh() {
    // Written by `ssh-keygen -lf` for the keys beside.
    for (line, said) in ALL.iter().zip([
        "SHA256:E70tgGSsWsWi1PbNnlXAJV23kfsBkAx3HspPnr4HUws",
        "SHA256:A9FVK7BphBebUPeXWWSrQ/TBddcFzdAKiJSH3eKr5Is",
        "SHA256:/xRX0r1a1S6aNPrpp5VW1oPaFSKjSk32sP02rqLRyPc",
        "SHA256:tqJXkFodB1wrIqiH9NAE88+/aBv1uldYz3+nxZA9nIs",
        "SHA256:+AlJz1lLe6TtQqDTqFfrLwlVSSKIcudphHgVk8fAWwo",
    ]) {
        assert_eq!(print(line), said);
    }
}

#[test]
fn every_form_of_every_type_is_the_same_pin() {
    let families =
        [KeyType::Ed25519, KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::EcdsaP521, KeyType::Rsa];
    let listed = [
        "256 @ (ED25519)",
        "256 @ no comment (ECDSA)",
        "384 @ a@b (ECDSA)",
        "521 @ x y (ECDSA)",
        "2048 @ c (RSA)",
    ];
    for ((line, family), listed) in ALL.into_iter().zip(families).zip(listed) {
        let (kind, key) = parts(line);
        let print = print(line);
        let forms = [
            (format!("{kind} {print}"), false),
            (format!("{} {print}", family.kind()), false),
            (format!("  {kind}   {print}=  "), false),
            (listed.replacen("@", &print, 1), false),
            (format!("{kind} {key}"), true),
            (format!("{kind} {key} root@sftp and more"), true),
            (format!("[sftp.example.org]:2222 {kind} {key}"), true),
            (format!("other,[SFTP.example.org]:2222,[192.0.2.1]:2222 {kind} {key} comment"), true),
        ];
        for (form, whole) in forms {
            let pin = one(&form);
            assert_eq!((pin.key_type, pin.fingerprint.to_string()), (Some(family), print.clone()), "{form}");
            assert_eq!(pin.key.is_some(), whole, "{form}");
            assert_eq!(one(&pin.to_string()), pin, "{form}");
        }
        assert_eq!((one(&print).key_type, one(&print).to_string()), (None, print.clone()));
        assert_eq!(one(&format!("{print}=")).to_string(), print);
    }
    let (_, key) = parts(RSA);
    for kind in ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] {
        assert_eq!(one(&format!("{kind} {}", print(RSA))).key_type, Some(KeyType::Rsa));
        let whole = one(&format!("{kind} {key}"));
        assert_eq!(whole.to_string(), format!("ssh-rsa {key}"));
    }
}

#[test]
fn the_fingerprints_of_the_reference_are_read() {
    for (kind, print) in [
        ("ecdsa-sha2-nistp256", "SHA256:i3fgDrGL8ULtmkX/ljk7xuyOF44ADwPCbxOp8WUemOo"),
        ("ecdsa-sha2-nistp384", "SHA256:djukm3ZwwZNMVzWaNjhMZF+Iv3kJz77WQ8ftd0m8uiI"),
        ("ecdsa-sha2-nistp521", "SHA256:xFI/HSzeMm6nwqCWd/7L69fwe00t8zHdkOFpKEQ3MtU"),
    ] {
        let line = format!("{kind} {print}");
        assert_eq!(one(&line).to_string(), line);
    }
}

#[test]
fn a_line_of_known_hosts_is_for_one_server() {
    let (kind, key) = parts(P256);
    let line = |hosts: &str| format!("{hosts} {kind} {key}");
    // Written by `ssh-keygen -H` for [sftp.example.org]:2222.
    let hashed = "|1|X161qeIcuMNQYPLAO1aBIqkQXqg=|Mu4ZRP9WgmZuBO1e7yK2CplJlng=";
    assert_eq!(one(&line(hashed)).key_type, Some(KeyType::EcdsaP256));
    let other = "This line is for another host, not for sftp.example.org";
    let at_22 = Pins::parse(&line(hashed), Some(&address("sftp://sftp.example.org:22/")));
    assert_eq!(at_22, Err(Fault::new("other_host", other)));
    for (hosts, theirs) in [
        ("sftp.example.org", "sftp.example.org"),
        ("[sftp.example.org]:22", "[sftp.example.org]:22"),
        ("other.example,[other.example]:2222", "other.example,[other.example]:2222"),
        ("*", "*"),
        ("|1|nonsense|", "another host"),
    ] {
        refused(
            &line(hosts),
            "other_host",
            &format!("This line is for {theirs}, not for [sftp.example.org]:2222"),
        );
    }
    let bare = Pins::parse(&line("sftp.example.org"), Some(&address("sftp://sftp.example.org:22/")));
    assert!(bare.is_ok());
}

#[test]
fn what_is_no_pin_says_why() {
    let md5 = "This is an MD5 fingerprint, which can be forged. Enter a SHA256 fingerprint";
    for text in [
        "da:47:93:b4:3a:90:5b:50:1f:20:a8:f9:b7:a1:d0:e1",
        "DA:47:93:B4:3A:90:5B:50:1F:20:A8:F9:B7:A1:D0:E1",
        "MD5:da:47:93:b4:3a:90:5b:50:1f:20:a8:f9:b7:a1:d0:e1",
        "md5:da47",
        "da4793b43a905b501f20a8f9b7a1d0e1",
        "2048 MD5:da:47:93:b4:3a:90:5b:50:1f:20:a8:f9:b7:a1:d0:e1 root@h (RSA)",
        "ssh-rsa da:47:93:b4:3a:90:5b:50:1f:20:a8:f9:b7:a1:d0:e1",
    ] {
        refused(text, "md5_fingerprint", md5);
    }
    let form = "SFTP server fingerprint must start with SHA256: or be a public key line";
    let print = print(P256);
    let (kind, key) = parts(P256);
    for text in [
        "hello",
        "SHA1:9c1185a5c5e9fc54612808977ee8f548b2258d31",
        "9c1185a5c5e9fc54612808977ee8f548b2258d31",
        "SHA512:MJ7MSJwS1utMxA9QyQLytNDtd+5RGnx6m808qG1M2G+YndNbxf9JlnDaNCVbRbDP2DDoH2Bdz33FVC6TrpzXbw",
        &print.to_lowercase(),
        &format!("{print} {print}"),
        &format!("hello {print}"),
        &print.replacen("SHA256:", "SHA256: ", 1),
        &format!("256 {print} (WHAT"),
        &format!("300 {print} (ECDSA)"),
        &format!("{kind} {}", &key[..key.len() - 8]),
        &format!("{kind} hello"),
        key,
    ] {
        assert_eq!(read(text).unwrap_err().message, form, "{text}");
    }
    let length = "SHA256 fingerprint must have 43 characters after SHA256:";
    refused(&print[..print.len() - 1], "bad_length", length);
    refused(&format!("{print}A"), "bad_length", length);
    refused(&format!("{print}=="), "bad_length", length);
    // Another alphabet, and a last character with bits that are not there.
    refused("SHA256:i3fgDrGL8ULtmkX-ljk7xuyOF44ADwPCbxOp8WUemOo", "bad_form", form);
    refused("SHA256:i3fgDrGL8ULtmkX/ljk7xuyOF44ADwPCbxOp8WUemOp", "bad_form", form);
    let hex = "8b77e00eb18bf142ed9a45ff96393bc6ec8e178e000f03c26f13a9f1651e98ea";
    let converted =
        "This is a SHA-256 value in hex. Enter it as SHA256:i3fgDrGL8ULtmkX/ljk7xuyOF44ADwPCbxOp8WUemOo";
    refused(hex, "bad_form", converted);
    refused(&hex.to_uppercase(), "bad_form", converted);
    let pairs: Vec<_> = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    refused(&pairs.join(":"), "bad_form", converted);
    refused(
        &format!("ssh-ed25519 {key}"),
        "not_matching",
        "The key says ecdsa-sha2-nistp256, the line says ssh-ed25519",
    );
    for text in [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
        "PuTTY-User-Key-File-3: ssh-rsa",
        "x -----BEGIN RSA PRIVATE KEY-----",
    ] {
        refused(
            text,
            "private_key_given",
            "This is a private key. Remove it from here and treat it as exposed",
        );
    }
}

#[test]
fn kinds_that_are_not_accepted_are_named() {
    let print = print(P256);
    let (_, rsa1024) = parts(include_str!("../ssh_key/keys/rsa1024.pub"));
    for (text, kind) in [
        (format!("ssh-dss {print}"), "ssh-dss"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACB".to_owned(), "ssh-dss"),
        ("ssh-rsa-cert-v01@openssh.com AAAA".to_owned(), "ssh-rsa-cert-v01@openssh.com"),
        (format!("sk-ssh-ed25519@openssh.com {print}"), "sk-ssh-ed25519@openssh.com"),
        ("sk-ecdsa-sha2-nistp256@openssh.com AAAA".to_owned(), "sk-ecdsa-sha2-nistp256@openssh.com"),
        ("@cert-authority * ssh-rsa AAAA".to_owned(), "@cert-authority"),
        ("@revoked * ssh-rsa AAAA".to_owned(), "@revoked"),
        (format!("1024 {print} x (DSA)"), "DSA"),
        (format!("256 {print} x (ED25519-CERT)"), "ED25519-CERT"),
        (format!("256 {print} x (ED25519-SK)"), "ED25519-SK"),
        (format!("1024 {print} x (RSA)"), "RSA 1024-bit"),
        (format!("ssh-rsa {rsa1024}"), "RSA 1024-bit"),
        (format!("ssh-ed448 {print}"), "ssh-ed448"),
    ] {
        refused(&text, "unsupported", &format!("{kind} keys are not supported"));
    }
}

#[test]
fn one_to_four_keys_are_pinned() {
    let missing = "Enter the SFTP server fingerprint or read it from the server";
    refused("", "missing", missing);
    refused("\n  \n# a comment\n", "missing", missing);
    let four = format!("# h:22 SSH-2.0-OpenSSH_9.2\n{ED25519}\n{}\r\n\n{P384}{P521}", print(P256));
    let pins = read(&four).unwrap();
    assert_eq!(pins.lines().len(), 4);
    refused(&format!("{four}\n{RSA}"), "too_many", "Add 4 host keys or fewer");
    // Twice the same is once, and the form that says more stays.
    let twice = read(&format!("{}\n{P256}", print(P256))).unwrap();
    assert_eq!(twice.lines(), [P256.trim()]);
}

#[test]
fn the_families_of_the_pins_are_offered_and_no_others() {
    let offer = |text: &str| read(text).unwrap().key_types();
    assert_eq!(offer(ED25519), [KeyType::Ed25519]);
    assert_eq!(offer(&format!("{ED25519}\n{RSA}")), [KeyType::Rsa, KeyType::Ed25519]);
    assert_eq!(offer(&print(RSA)), KeyType::ALL);
    assert!(read(&print(RSA)).unwrap().has_unknown_type() && !read(RSA).unwrap().has_unknown_type());
}

#[test]
fn the_binding_is_of_the_keys_and_not_of_their_form_or_order() {
    let binding = |text: &str| read(text).unwrap().binding();
    let lines = binding(&format!("{ED25519}\n{RSA}"));
    assert_eq!(lines, binding(&format!("{}\nssh-ed25519 {}", print(RSA), print(ED25519))));
    assert_ne!(lines, binding(ED25519));
    assert_ne!(binding(RSA), binding(ED25519));
}

#[test]
fn who_pinned_a_key_stays_with_it() {
    let now = Confirmed { by: "Ana".to_owned(), at: 1, compared_with: "ticket 7".to_owned() };
    let mut first = read(ED25519).unwrap();
    first.confirm(None, &now);
    let stored = Pins::from_stored(&first.to_stored()).unwrap();
    assert_eq!(stored, first);
    assert_eq!(stored.0[0].confirmed.as_ref(), Some(&now));
    let later = Confirmed { by: "Ben".to_owned(), at: 2, compared_with: String::new() };
    let mut second = read(&format!("{}\n{P256}", print(ED25519))).unwrap();
    second.confirm(Some(&stored), &later);
    assert_eq!(second.0[0].confirmed, Some(now));
    assert_eq!(second.0[0].key_type, Some(KeyType::Ed25519), "what was known of it stays known");
    assert_eq!(second.0[1].confirmed, Some(later));
    assert_eq!(Pins::from_stored("[]"), None);
    assert_eq!(Pins::from_stored("nothing"), None);
}

#[test]
fn a_family_is_learned_once() {
    let mut pins = read(&print(P384)).unwrap();
    let (print, binding) = (pins.0[0].fingerprint, pins.binding());
    assert!(pins.learn(print, KeyType::EcdsaP384));
    assert!(!pins.learn(print, KeyType::EcdsaP384));
    assert!(!pins.learn(Fingerprint::of(b"another"), KeyType::Rsa));
    assert_eq!((pins.key_types(), pins.binding()), (vec![KeyType::EcdsaP384], binding));
}

#[test]
fn a_short_key_is_worth_a_word() {
    let said = read(RSA).unwrap().warning().unwrap();
    assert!(said.starts_with("The RSA host key has 2048 bits. Keys of today have 3072 or more"), "{said}");
    for fine in [ED25519, P256, &print(RSA)] {
        assert_eq!(read(fine).unwrap().warning(), None, "{fine}");
    }
}
