use super::*;

fn binding(host: &str) -> Binding {
    Binding::of(&[("origin", host)])
}

fn place(binding: &Binding) -> Place<'_> {
    Place { table: "credential", record: "crd_1", field: "password", generation: 3, binding }
}

fn vault() -> Vault {
    Vault::new(&KeyRing::generate(), "installation")
}

#[test]
fn a_value_opens_only_at_its_place_and_destination() {
    let vault = vault();
    let here = binding("https://a.example/");
    let elsewhere = binding("https://b.example/");
    let sealed = vault.seal(&place(&here), &Secret::new("open sesame".to_owned()));
    assert_eq!(vault.open(&place(&here), &sealed).unwrap().expose(), "open sesame");

    let moved: [Place<'_>; 5] = [
        place(&elsewhere),
        Place { table: "connector", ..place(&here) },
        Place { record: "crd_2", ..place(&here) },
        Place { field: "token", ..place(&here) },
        Place { generation: 2, ..place(&here) },
    ];
    for place in &moved {
        assert_eq!(vault.open(place, &sealed).unwrap_err(), OpenError::Misplaced);
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    let vault = vault();
    let here = binding("https://a.example/");
    let sealed = vault.seal(&place(&here), &Secret::new("s".to_owned()));
    for index in 3..sealed.0.len() {
        let mut bytes = sealed.0.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = Sealed(String::from_utf8(bytes).unwrap());
        // The last character of a Base64 text may hold bits that mean nothing; the decoder refuses those.
        assert!(vault.open(&place(&here), &changed).is_err(), "position {index}");
    }
}

#[test]
fn another_installation_or_key_opens_nothing() {
    let ring = KeyRing::generate();
    let vault = Vault::new(&ring, "one");
    let here = binding("https://a.example/");
    let sealed = vault.seal(&place(&here), &Secret::new("s".to_owned()));
    assert_eq!(Vault::new(&ring, "two").open(&place(&here), &sealed).unwrap_err(), OpenError::Misplaced);
    let missing = self::vault().open(&place(&here), &sealed).unwrap_err();
    assert_eq!(missing, OpenError::NoKey(ring.sealing().id().to_owned()));
}

#[test]
fn rewrapping_moves_the_data_key_and_leaves_the_ciphertext() {
    let old = KeyRing::generate();
    let new_key = RingKey::generate();
    let text = format!("{}\n{}\n", new_key.line().as_str(), old.sealing().line().as_str());
    let both = Vault::new(&KeyRing::parse(&text).unwrap(), "i");
    let here = binding("https://a.example/");
    let sealed = Vault::new(&old, "i").seal(&place(&here), &Secret::new("kept".to_owned()));

    let moved = both.rewrap(&place(&here), &sealed).unwrap().unwrap();
    assert_eq!(moved.key_id(), Some(new_key.id()));
    assert_eq!(moved.0.rsplit('.').next(), sealed.0.rsplit('.').next());
    assert_eq!(both.open(&place(&here), &moved).unwrap().expose(), "kept");
    assert_eq!(both.rewrap(&place(&here), &moved).unwrap(), None);
}

#[test]
fn another_ring_seals_from_now_on() {
    let old = KeyRing::generate();
    let vault = Vault::new(&old, "i");
    let here = binding("https://a.example/");
    let sealed = vault.seal(&place(&here), &Secret::new("kept".to_owned()));
    let new_key = RingKey::generate();
    let text = format!("{}\n{}\n", new_key.line().as_str(), old.sealing().line().as_str());
    vault.take(&KeyRing::parse(&text).unwrap());
    assert_eq!(vault.key_ids(), [new_key.id(), old.sealing().id()]);
    assert_eq!(vault.seal(&place(&here), &Secret::new("x".to_owned())).key_id(), Some(new_key.id()));
    assert_eq!(vault.open(&place(&here), &sealed).unwrap().expose(), "kept");
}

#[test]
fn a_ring_names_the_line_that_is_wrong() {
    let key = RingKey::generate();
    let line = key.line();
    let good = format!("# made today\n\n{}\n", line.as_str());
    assert_eq!(KeyRing::parse(&good).unwrap().sealing().id(), key.id());
    assert_eq!(KeyRing::parse("\n# nothing\n").unwrap_err(), RingError::Empty);
    assert_eq!(KeyRing::parse("hello").unwrap_err(), RingError::NotAKey(1));
    assert_eq!(KeyRing::parse(&line[..line.len() - 3]).unwrap_err(), RingError::Damaged(1));
    let twice = format!("{}\n{}", line.as_str(), line.as_str());
    assert_eq!(KeyRing::parse(&twice).unwrap_err(), RingError::Repeated(2));
    assert!(!format!("{key:?}").contains(&line.as_str()[20..40]));
}

#[test]
fn derived_keys_are_stable_and_bound_to_their_context() {
    let vault = vault();
    let here = binding("none");
    let (key, sealed) = vault.create_key(&place(&here));
    let again = vault.open_key(&place(&here), &sealed).unwrap();
    let payload = key.encrypt("evt_1", b"{}");
    assert_eq!(again.decrypt("evt_1", &payload).unwrap(), b"{}");
    assert_eq!(again.decrypt("evt_2", &payload).unwrap_err(), OpenError::Misplaced);
    let mut whole = payload.clone();
    let place = again.decrypt_in_place("evt_1", &mut whole).unwrap();
    assert_eq!(&whole[place], b"{}");
    for broken in [&payload[..payload.len() - 1], &payload[1..], &payload[..5], b""] {
        let opened = again.decrypt_in_place("evt_1", &mut broken.to_vec());
        assert_eq!(opened.unwrap_err(), OpenError::Misplaced);
    }
    let mut elsewhere = payload;
    assert!(again.decrypt_in_place("evt_2", &mut elsewhere).is_err());
    assert_eq!(key.authenticate(b"x"), again.authenticate(b"x"));
    assert_ne!(key.authenticate(b"x"), key.authenticate(b"y"));
}
