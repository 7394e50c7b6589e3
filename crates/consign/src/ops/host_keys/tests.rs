use consign_core::catalog::Invalid;

use super::*;

const P256: &str = include_str!("../../../../consign-core/src/ssh_key/keys/p256.pub");
const P384: &str = include_str!("../../../../consign-core/src/ssh_key/keys/p384.pub");
const ED25519: &str = include_str!("../../../../consign-core/src/ssh_key/keys/ed25519.pub");

fn refused(sent: Value) -> Vec<(String, &'static str)> {
    let Value::Object(sent) = sent else { panic!("no object") };
    match read(sent) {
        Err(OpError::Invalid(invalid)) => {
            invalid.into_iter().map(|Invalid { field, code, .. }| (field, code)).collect()
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("this was accepted"),
    }
}

#[test]
fn an_address_is_needed_and_pins_are_not() {
    assert_eq!(refused(json!({})), [("hostname".to_owned(), "missing")]);
    let address = "sftp://h.example:22/";
    let md5 = json!({ "hostname": address, "sftp_server_fingerprint": "MD5:00" });
    assert_eq!(refused(md5), [("sftp_server_fingerprint".to_owned(), "md5_fingerprint")]);
    let unknown = json!({ "hostname": address, "hostnames": 1 });
    assert_eq!(refused(unknown), [("hostnames".to_owned(), "unknown_field")]);
    for pins in [json!(null), json!(""), json!([]), json!([P256, P384])] {
        let Value::Object(sent) = json!({ "hostname": address, "sftp_server_fingerprint": pins }) else {
            panic!("no object")
        };
        assert!(read(sent).is_ok());
    }
}

#[test]
fn keys_are_compared_with_the_pins() {
    let key = |line: &str| {
        let pins = Pins::parse(line, None).unwrap();
        HostKey::parse(pins.iter().next().unwrap().key.as_ref().unwrap()).unwrap()
    };
    let other = "ecdsa-sha2-nistp384 SHA256:i3fgDrGL8ULtmkX/ljk7xuyOF44ADwPCbxOp8WUemOo";
    let pins = Pins::parse(&format!("{P256}\n{other}"), None).unwrap();
    let compared = |line: &str, pins: Option<&Pins>| show(&key(line), pins)["compared_label"].clone();
    assert_eq!(compared(P256, Some(&pins)), "same as pinned");
    assert_eq!(compared(P384, Some(&pins)), "differs from the pinned key");
    assert_eq!(compared(ED25519, Some(&pins)), "new");
    assert_eq!(compared(P256, None), "new");
    let shown = show(&key(P384), None);
    assert_eq!((shown["type"].as_str(), shown["bits"].as_u64()), (Some("ecdsa-sha2-nistp384"), Some(384)));
    assert_eq!(shown["line"], P384.trim());
}
