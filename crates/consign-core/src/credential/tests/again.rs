//! A file that is applied again: every secret is sent, and those that are the same are kept.

use super::*;
use crate::auth::AUTHORIZATION_TYPES;

/// The draft of `sent` with the secrets kept that are the ones of `current`.
fn applied(sent: Value, current: &Credential) -> Credential {
    let mut draft = parse(sent, Mode::Replace(current)).unwrap();
    draft.keep_made_pair(current);
    let same: Vec<_> = draft
        .sent_again(current)
        .into_iter()
        .filter(|(key, secret)| open(current, key).unwrap().expose() == secret.expose())
        .map(|(key, _)| key.to_owned())
        .collect();
    draft.keep(&same);
    seal_again(draft, current)
}

#[test]
fn the_same_values_are_the_same_credential_of_every_type() {
    for kind in AUTHORIZATION_TYPES.iter().map(|entry| entry.kind) {
        let current = stored(kind);
        assert!(!current.secrets.is_empty(), "{kind}");
        let again = applied(typed(kind), &current);
        assert!(again.is_saved_like(&current), "{kind}");
        assert!(again.signs_in_like(&current), "{kind}");
        let other = applied(with(&typed(kind), &json!({ "max_concurrency": 2 })), &current);
        assert!(!other.is_saved_like(&current) && other.signs_in_like(&current), "{kind}");
    }
}

#[test]
fn another_secret_is_sealed_and_the_rest_is_kept() {
    let current = stored("basic");
    let again = applied(with(&typed("basic"), &json!({ "password": "another" })), &current);
    assert!(!again.is_saved_like(&current));
    let generations: Vec<_> =
        again.secrets.iter().map(|(key, secret)| (key.as_str(), secret.generation)).collect();
    assert_eq!(generations, [("custom_headers/x-api-key", 1), ("password", 2)]);
}

#[test]
fn at_another_destination_nothing_is_compared() {
    let current = stored("basic");
    let draft = parse(with(&typed("basic"), &json!({ "username": "bob" })), Mode::Replace(&current)).unwrap();
    assert!(draft.sent_again(&current).is_empty());
}

#[test]
fn a_key_pair_that_is_asked_for_again_stays() {
    let mut asked = typed("oauth2_saml_bearer");
    asked.as_object_mut().unwrap().retain(|key, _| !["certificate", "private_key"].contains(&key.as_str()));
    let asked = with(&asked, &json!({ "key_pair": "generate", "key_pair_bits": 2048 }));
    let save = Save { now: now(), by: "ci" };
    let made =
        parse(asked.clone(), Mode::Create).unwrap().seal(&VAULT, &save, CredentialId::new(now()), None);
    assert!(applied(asked.clone(), &made).is_saved_like(&made));
    // A key pair belongs to its destination.
    let moved = applied(with(&asked, &json!({ "recipient": "https://other.example/token" })), &made);
    assert_ne!(moved.plain["certificate"], made.plain["certificate"]);
    // Who names no length takes the one that is there.
    let mut any = asked.clone();
    any.as_object_mut().unwrap().remove("key_pair_bits");
    assert!(applied(any, &made).is_saved_like(&made));
    // Another length is another pair.
    let longer = applied(with(&asked, &json!({ "key_pair_bits": 3072 })), &made);
    assert_ne!(longer.plain["certificate"], made.plain["certificate"]);
}

#[test]
fn a_key_pair_that_somebody_brought_along_makes_room_for_one_that_is_asked_for() {
    let mut asked = typed("oauth2_saml_bearer");
    asked.as_object_mut().unwrap().retain(|key, _| !["certificate", "private_key"].contains(&key.as_str()));
    let asked = with(&asked, &json!({ "key_pair": "generate", "key_pair_bits": 2048 }));
    let brought = stored("oauth2_saml_bearer");
    let made = applied(asked.clone(), &brought);
    assert_ne!(made.plain["certificate"], brought.plain["certificate"]);
    assert!(applied(asked, &made).is_saved_like(&made));
}
