//! What is written is read with its passphrase, and with no other.

use super::*;

fn passphrase(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn ids(ring: &KeyRing) -> Vec<&str> {
    ring.keys().iter().map(RingKey::id).collect()
}

#[test]
fn a_ring_comes_back_with_its_passphrase_and_with_no_other() {
    let lines = [RingKey::generate(), RingKey::generate()].map(|key| key.line().as_str().to_owned());
    let ring = KeyRing::parse(&lines.join("\n")).unwrap();
    let file = write(&ring, &passphrase("correct horse battery")).unwrap();
    let text = file.expose();
    // Behind prefix and id: the key, whose letters may hold the sign between the parts.
    assert!(!lines.iter().any(|line| text.contains(&line["csgkey1_k-00000000_".len()..][..20])));
    let read_back = read(text, &passphrase("correct horse battery")).unwrap();
    assert_eq!(ids(&read_back), ids(&ring));
    let indented = format!("Kept by Ana\r\n{}", text.replace('\n', "\r\n  "));
    assert_eq!(ids(&read(&indented, &passphrase("correct horse battery")).unwrap()), ids(&ring));
    assert_eq!(read(text, &passphrase("correct horse")).unwrap_err(), RecoveryError::Passphrase);
    let again = write(&ring, &passphrase("correct horse battery")).unwrap();
    assert_ne!(again.expose(), text, "each has a salt of its own");
}

#[test]
fn what_is_cut_or_changed_does_not_open() {
    let file = write(&KeyRing::generate(), &passphrase("correct horse battery")).unwrap();
    let text = file.expose();
    let open = |text: &str| read(text, &passphrase("correct horse battery")).map(drop);
    for cut in ["", "x", FIRST, &text[..text.len() - 30]] {
        assert_eq!(open(cut), Err(RecoveryError::NotOne), "{cut}");
    }
    let at = text.len() / 2;
    let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
    assert!(open(&changed).is_err());
    assert!(open(&format!("{FIRST}\nAAAA\n{LAST}")).is_err());
}
