use serde_json::{Value, json};

use super::super::{Change, Mode};
use crate::auth::SSH_PUBLIC_KEY;
use crate::credential::tests::{later, parse, refused, seal_again, shown, stored, typed, with};

const ED25519: &str = include_str!("../../../ssh_key/keys/ed25519.pub");
const P256: &str = include_str!("../../../ssh_key/keys/p256.pub");
const KEY: &str = include_str!("../../../ssh_key/keys/rsa");
const PUBLIC: &str = include_str!("../../../ssh_key/keys/rsa.pub");

#[track_caller]
fn check(kind: &str, changes: Value, field: &str, code: &str, sentence: &str) {
    let found = refused(with(&typed(kind), &changes), Mode::Create);
    assert_eq!(found, [(field.to_owned(), code, sentence.to_owned())]);
}

#[test]
fn a_server_has_an_address_and_pins() {
    check("password", json!({ "hostname": null }), "hostname", "missing", "Enter the hostname");
    let port = "Hostname must include the port. Most servers use 22: sftp://sftp.example.org:22/";
    check("password", json!({ "hostname": "sftp://sftp.example.org/" }), "hostname", "port_needed", port);
    let missing = "Enter the SFTP server fingerprint or read it from the server";
    for none in [json!(null), json!(""), json!([]), json!([""])] {
        check(
            "password",
            json!({ "sftp_server_fingerprint": none }),
            "sftp_server_fingerprint",
            "missing",
            missing,
        );
    }
    let form = "SFTP server fingerprint must be a list of texts";
    for bad in [json!(7), json!([7]), json!({ "set": true })] {
        check(
            "password",
            json!({ "sftp_server_fingerprint": bad }),
            "sftp_server_fingerprint",
            "bad_form",
            form,
        );
    }
    let lines = format!("{ED25519}\n{P256}");
    for several in [json!([ED25519, P256]), json!(lines)] {
        let draft =
            parse(with(&typed("password"), &json!({ "sftp_server_fingerprint": several })), Mode::Create);
        let host = draft.unwrap().target.sftp().unwrap().clone();
        assert_eq!(host.pins.lines(), [ED25519.trim(), P256.trim()]);
        assert_eq!(host.address.to_string(), "sftp://sftp.example.org:2222/");
    }
}

#[test]
fn protocols_have_keys_and_types_of_their_own() {
    let of = |kind: &str| {
        format!("“{kind}” is not an authorization type for SFTP. Choose one of password, ssh_key")
    };
    let found = refused(with(&typed("password"), &json!({ "authorization_type": "basic" })), Mode::Create);
    assert_eq!(found[0], ("authorization_type".to_owned(), "unknown", of("basic")));
    let belongs = "“url_address” does not belong to SFTP";
    check(
        "password",
        json!({ "url_address": "https://a.example/" }),
        "url_address",
        "unknown_field",
        belongs,
    );
    let belongs = "“custom_headers” does not belong to SFTP";
    check("ssh_key", json!({ "custom_headers": [] }), "custom_headers", "unknown_field", belongs);
    let belongs = "“hostname” does not belong to HTTPS";
    check("basic", json!({ "hostname": "sftp://a.example:22/" }), "hostname", "unknown_field", belongs);
    let belongs = "“passphrase” does not belong to Basic";
    check("password", json!({ "passphrase": "x" }), "passphrase", "unknown_field", belongs);
}

#[test]
fn a_test_looks_into_a_folder() {
    let draft = parse(with(&typed("password"), &json!({ "test_path": "/in box/" })), Mode::Create).unwrap();
    assert_eq!(draft.test_path.as_deref(), Some("/in box"));
    let slash = "Test path must start with /";
    check("password", json!({ "test_path": "in" }), "test_path", "slash_needed", slash);
    let up = "Test path must not include ..";
    check("password", json!({ "test_path": "/in/../out" }), "test_path", "bad_characters", up);
}

#[test]
fn another_destination_asks_for_every_secret_again() {
    let current = stored("ssh_key");
    let wanted = |sentence: &str| {
        ["ssh_key", "passphrase", "password"].map(|key| {
            let what = match key {
                "ssh_key" => "SSH key",
                other => other,
            };
            (
                key.to_owned(),
                "secret_needed_for_new_destination",
                format!("Enter the {what} again. {sentence}"),
            )
        })
    };
    for (changes, sentence) in [
        (
            json!({ "hostname": "sftp://sftp.example.org:2223/" }),
            "You changed the address, so saved secrets are not sent to the new one",
        ),
        (
            json!({ "hostname": "sftp://other.example:2222/" }),
            "You changed the address, so saved secrets are not sent to the new one",
        ),
        (json!({ "username": "ben" }), "You changed the username, so the saved one is not used with it"),
        (
            json!({ "sftp_server_fingerprint": [ED25519] }),
            "You changed the host keys, so the saved one is not used with it",
        ),
        (
            json!({ "sftp_server_fingerprint": [P256, ED25519] }),
            "You changed the host keys, so the saved one is not used with it",
        ),
    ] {
        let mut found = refused(changes.clone(), Mode::Patch(&current));
        let mut wanted = wanted(sentence);
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{changes}");
        let typed_again = json!({ "ssh_key": KEY, "passphrase": null, "password": null });
        assert!(parse(with(&changes, &typed_again), Mode::Patch(&current)).is_ok(), "{changes}");
    }
    // Another form of the same key is the same key.
    let print = current.target.sftp().unwrap().pins.iter().next().unwrap().fingerprint;
    for same in
        [print.to_string(), format!("ecdsa-sha2-nistp256 {print}"), format!("[sftp.example.org]:2222 {P256}")]
    {
        let draft = parse(json!({ "sftp_server_fingerprint": [same] }), Mode::Patch(&current)).unwrap();
        let saved = seal_again(draft, &current);
        assert_eq!(saved.binding(), current.binding());
        assert_eq!(saved.target, current.target, "what was known of the key stays known");
    }
}

#[test]
fn a_key_and_its_passphrase_are_changed_together() {
    let current = stored("ssh_key");
    let again = [("ssh_key".to_owned(), "missing", "Enter the SSH key".to_owned())];
    assert_eq!(refused(json!({ "passphrase": "other" }), Mode::Patch(&current)), again);
    assert_eq!(refused(json!({ "passphrase": null }), Mode::Patch(&current)), again);
    // A key without a passphrase takes the old one away.
    let draft = parse(json!({ "ssh_key": KEY }), Mode::Patch(&current)).unwrap();
    assert!(!draft.secrets.contains_key("passphrase"));
    assert!(matches!(draft.secrets["password"], Change::Keep));
    assert_eq!(draft.plain[SSH_PUBLIC_KEY], PUBLIC.trim());
    let needs = refused(json!({ "ssh_key": typed("ssh_key")["ssh_key"] }), Mode::Patch(&current));
    assert_eq!(needs[0].2, "This SSH key needs a passphrase");
    // The password beside it is free.
    let draft = parse(json!({ "password": null }), Mode::Patch(&current)).unwrap();
    assert!(!draft.secrets.contains_key("password") && matches!(draft.secrets["ssh_key"], Change::Keep));
    assert_eq!(draft.plain.get(SSH_PUBLIC_KEY), current.plain.get(SSH_PUBLIC_KEY));
}

#[test]
fn who_brought_a_host_key_is_kept() {
    let current = stored("password");
    let pin = |credential: &crate::credential::Credential, at: usize| {
        credential.target.sftp().unwrap().pins.iter().nth(at).unwrap().confirmed.clone().unwrap()
    };
    assert_eq!((pin(&current, 0).by.as_str(), pin(&current, 0).compared_with.as_str()), ("Ana Silva", ""));
    let changes = json!({
        "sftp_server_fingerprint": [P256, ED25519], "password": "again", "host_keys_compared_with": " ticket 7 ",
    });
    let saved = seal_again(parse(changes, Mode::Patch(&current)).unwrap(), &current);
    assert_eq!(pin(&saved, 0), pin(&current, 0));
    assert_eq!((pin(&saved, 1).by.as_str(), pin(&saved, 1).compared_with.as_str()), ("ci", "ticket 7"));
    assert_eq!(pin(&saved, 1).time(), later());
    let long = "x".repeat(201);
    let sentence = "Compared with must be 200 characters or fewer";
    check(
        "password",
        json!({ "host_keys_compared_with": long }),
        "host_keys_compared_with",
        "too_long",
        sentence,
    );
    let back = parse(shown(&saved), Mode::Replace(&saved)).unwrap();
    assert_eq!(back.target.sftp().unwrap().pins.lines(), saved.target.sftp().unwrap().pins.lines());
}
