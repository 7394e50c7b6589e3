//! The client certificate: read with its key, kept, moved, shown to the connections it is meant for.

use super::*;
use crate::auth::AUTHORIZATION_TYPES;
use crate::catalog::Protocol;
use crate::client_certificate::{CERTIFICATE_KEY, PASSPHRASE, PRIVATE_KEY as KEY, SENT_WITH_KEY};

const RENEWED: &str = include_str!("../../sign/tests/renewed.certificate.pem");
const OTHER: &str = include_str!("../../sign/tests/p256.certificate.pem");
const OTHER_KEY: &str = include_str!("../../sign/tests/p256.sec1.pem");

fn web() -> impl Iterator<Item = &'static str> {
    AUTHORIZATION_TYPES.iter().filter(|entry| entry.protocol == Protocol::Https).map(|entry| entry.kind)
}

fn showing(kind: &str) -> Value {
    with(&typed(kind), &json!({ CERTIFICATE_KEY: CERTIFICATE, KEY: PRIVATE_KEY }))
}

fn stored_showing(sent: Value) -> Credential {
    let draft = parse(sent, Mode::Create).unwrap();
    draft.seal(&VAULT, &Save { now: now(), by: "Ana Silva" }, CredentialId::new(now()), None)
}

fn opened(credential: &Credential) -> Fields {
    let secrets = credential.secrets.keys().map(|key| (key.clone(), open(credential, key).unwrap()));
    Fields { plain: credential.plain.clone(), secrets: secrets.collect() }
}

/// What API requests and token requests show: the number of certificates.
fn shown_to(credential: &Credential) -> (usize, usize) {
    let fields = opened(credential);
    let count = |requests| {
        let found = client_certificate::identity(&fields, credential.left_out_of(requests)).unwrap();
        found.map_or(0, |identity| identity.chain.len())
    };
    (count(SentWith::ApiRequest), count(SentWith::TokenRequest))
}

#[test]
fn every_type_of_the_web_takes_one_and_those_of_file_servers_do_not() {
    for kind in web() {
        let credential = stored_showing(showing(kind));
        assert!(credential.secrets.contains_key(KEY), "{kind}");
        assert_eq!(shown_to(&credential).0, 1, "{kind}");
        // What is read can be sent back.
        let again = shown(&credential);
        let saved = seal_again(parse(again, Mode::Replace(&credential)).unwrap(), &credential);
        assert_eq!(saved.plain, credential.plain, "{kind}");
        assert_eq!(shown_to(&saved), shown_to(&credential), "{kind}");
    }
    for kind in ["password", "ssh_key"] {
        let invalid = refused(with(&typed(kind), &json!({ CERTIFICATE_KEY: CERTIFICATE })), Mode::Create);
        assert_eq!(invalid.len(), 1);
        assert_eq!((invalid[0].0.as_str(), invalid[0].1), (CERTIFICATE_KEY, "unknown_field"));
    }
}

#[test]
fn certificate_and_key_belong_together() {
    let one = |changes: Value| {
        let invalid = refused(with(&showing("basic"), &changes), Mode::Create);
        assert_eq!(invalid.len(), 1, "{invalid:?}");
        invalid.into_iter().next().unwrap()
    };
    let at = |field: &str, code: &'static str, sentence: &str| (field.to_owned(), code, sentence.to_owned());
    let missing = "Add the private key that belongs to this certificate";
    assert_eq!(one(json!({ KEY: "" })), at(KEY, "missing", missing));
    let missing = "Add the certificate that belongs to this key";
    assert_eq!(one(json!({ CERTIFICATE_KEY: "" })), at(CERTIFICATE_KEY, "missing", missing));
    let mismatch = "The private key does not belong to this certificate";
    assert_eq!(one(json!({ KEY: OTHER_KEY })), at(KEY, "key_mismatch", mismatch));
    // An authority first, and ours behind it.
    let chain = format!("{OTHER}{CERTIFICATE}");
    assert_eq!(one(json!({ CERTIFICATE_KEY: chain })), at(KEY, "key_mismatch", mismatch));
    let bundle = format!("{CERTIFICATE}{PRIVATE_KEY}");
    let inside = "There is a private key among the certificates. Put it into its own field";
    assert_eq!(one(json!({ CERTIFICATE_KEY: bundle })), at(CERTIFICATE_KEY, "private_key_given", inside));
    let no_form = "Certificate must be an X.509 certificate in PEM or DER form";
    assert_eq!(one(json!({ CERTIFICATE_KEY: "abc" })), at(CERTIFICATE_KEY, "bad_form", no_form));
    let broken = format!("{CERTIFICATE}{}", OTHER.replace("MI", "AA"));
    let each = "Each block behind the client certificate must be an X.509 certificate in PEM form";
    assert_eq!(one(json!({ CERTIFICATE_KEY: broken })), at(CERTIFICATE_KEY, "bad_form", each));
    let many = CERTIFICATE.repeat(11);
    let most = "Add 10 certificates or fewer";
    assert_eq!(one(json!({ CERTIFICATE_KEY: many })), at(CERTIFICATE_KEY, "too_many", most));
    let of_tokens = "“client_certificate_sent_with” does not belong to Basic";
    assert_eq!(one(json!({ SENT_WITH_KEY: "both" })), at(SENT_WITH_KEY, "unknown_field", of_tokens));
    let sealed = include_str!("../../sign/tests/rsa.aes256.pem");
    assert_eq!(one(json!({ KEY: sealed })).0, PASSPHRASE);
    let opened = json!({ KEY: sealed, PASSPHRASE: "open-sesame" });
    let credential = stored_showing(with(&showing("basic"), &opened));
    assert!(!credential.plain.contains_key(PASSPHRASE) && !credential.secrets.contains_key(PASSPHRASE));
}

#[test]
fn a_file_of_both_is_taken_apart() {
    let bundle = format!("Bag\n{CERTIFICATE}{PRIVATE_KEY}friendly: us\n{OTHER}");
    let (rest, key) = Chain::without_private_keys(&bundle);
    assert_eq!(rest.replace('\n', ""), format!("Bag{CERTIFICATE}friendly: us{OTHER}").replace('\n', ""));
    assert_eq!(key.expose().trim(), PRIVATE_KEY.trim());
    let (rest, key) = Chain::without_private_keys(CERTIFICATE);
    assert_eq!((rest.as_str(), key.expose()), (CERTIFICATE, ""));
}

#[test]
fn a_chain_is_kept_in_its_order() {
    let chain = format!("Subject: us\n{CERTIFICATE}\nIssuer:\r\n{OTHER}");
    let credential = stored_showing(with(&showing("bearer"), &json!({ CERTIFICATE_KEY: chain })));
    assert_eq!(credential.plain[CERTIFICATE_KEY], format!("{CERTIFICATE}{OTHER}"));
    assert_eq!(shown_to(&credential).0, 2);
}

#[test]
fn it_is_shown_to_the_connections_it_is_meant_for() {
    for (sent_with, expected) in [("both", (1, 1)), ("api_request", (1, 0)), ("token_request", (0, 1))] {
        let sent = with(&showing("oauth2_client_credentials"), &json!({ SENT_WITH_KEY: sent_with }));
        let credential = stored_showing(sent);
        assert_eq!(shown_to(&credential), expected, "{sent_with}");
        let fields = opened(&credential);
        let access = Access::join(&credential, Proof::default(), &fields).unwrap();
        assert_eq!(access.identity.is_some(), expected.0 == 1, "{sent_with}");
        let step = (credential.authorization_type.parse)(&fields).unwrap().step(None, now());
        let auth::Step::Fetch { exchange, .. } = step else { panic!("no token request") };
        let access = Access::join_exchange(&credential, &exchange, &fields).unwrap();
        assert_eq!(access.identity.is_some(), expected.1 == 1, "{sent_with}");
    }
    assert_eq!(shown_to(&stored("oauth2_client_credentials")), (0, 0));
}

#[test]
fn connections_of_the_same_certificate_are_the_same() {
    let id = |certificate: &str| {
        let credential = stored_showing(with(&showing("basic"), &json!({ CERTIFICATE_KEY: certificate })));
        client_certificate::identity(&opened(&credential), None).unwrap().unwrap().id
    };
    assert_eq!(id(CERTIFICATE), id(CERTIFICATE));
    assert_ne!(id(CERTIFICATE), id(RENEWED));
}

#[test]
fn a_renewed_certificate_of_the_same_key_keeps_the_key() {
    let credential = stored_showing(showing("bearer"));
    let renewed = parse(json!({ CERTIFICATE_KEY: RENEWED }), Mode::Patch(&credential)).unwrap();
    let renewed = seal_again(renewed, &credential);
    assert_eq!(renewed.plain[CERTIFICATE_KEY], RENEWED);
    assert_eq!(renewed.secrets[KEY].generation, credential.secrets[KEY].generation);
    assert!(!renewed.signs_in_like(&credential), "what was said to the old one says nothing of the new one");
    let other = refused(json!({ CERTIFICATE_KEY: OTHER }), Mode::Patch(&credential));
    assert_eq!((other[0].0.as_str(), other[0].1), (KEY, "missing"));
    let both = json!({ CERTIFICATE_KEY: OTHER, KEY: OTHER_KEY });
    assert!(parse(both, Mode::Patch(&credential)).is_ok());
    let gone =
        seal_again(parse(json!({ CERTIFICATE_KEY: null }), Mode::Patch(&credential)).unwrap(), &credential);
    assert!(!gone.plain.contains_key(CERTIFICATE_KEY) && !gone.secrets.contains_key(KEY));
}

#[test]
fn its_key_goes_nowhere_new() {
    for kind in web() {
        let credential = stored_showing(showing(kind));
        let mut moved = json!({ "url_address": "https://other.example/" });
        for (key, value) in typed(kind).as_object().unwrap() {
            let field = credential.authorization_type.fields.iter().find(|field| field.key == key);
            if field.is_some_and(crate::catalog::Field::is_secret) || key == "custom_headers" {
                moved[key] = value.clone();
            }
        }
        moved["url_address"] = match kind {
            "none" => json!("https://other.example/services/T1"),
            _ => json!("https://other.example/"),
        };
        let rows = credential.plain.get("oauth_token_requests");
        if rows.is_some() {
            moved["oauth_token_requests"] = json!([]);
        }
        let invalid = refused(moved, Mode::Patch(&credential));
        let sentence = "Enter the client certificate key again. You changed the address, so saved secrets are not sent to the new one";
        assert_eq!(invalid, [(KEY.to_owned(), MOVED, sentence.to_owned())], "{kind}");
    }
    // Another type is another destination; the certificate itself stays.
    let credential = stored_showing(showing("basic"));
    let change = json!({ "authorization_type": "bearer", "token": "t", "custom_headers": [] });
    let sentence = "Enter the client certificate key again. You changed the authorization type, so the saved one is not used with it";
    let invalid = refused(change.clone(), Mode::Patch(&credential));
    assert_eq!(invalid, [(KEY.to_owned(), MOVED, sentence.to_owned())]);
    let again = parse(with(&change, &json!({ KEY: PRIVATE_KEY })), Mode::Patch(&credential)).unwrap();
    assert_eq!(again.plain[CERTIFICATE_KEY], CERTIFICATE);
    // So do the connections that show it.
    let token = json!({ SENT_WITH_KEY: "token_request" });
    let credential = stored_showing(with(&showing("oauth2_client_credentials"), &token));
    let change = with(&typed("oauth2_authorization_code"), &json!({ KEY: PRIVATE_KEY }));
    let again = parse(change, Mode::Patch(&credential)).unwrap();
    assert_eq!(again.plain[SENT_WITH_KEY], "token_request");
}

#[test]
fn a_client_that_is_proven_by_it_needs_no_secret() {
    let base = json!({ "client_secret": null, "authentication_information": "tls_client_auth" });
    for kind in ["oauth2_client_credentials", "oauth2_authorization_code", "oauth2_saml_bearer"] {
        let credential = stored_showing(with(&showing(kind), &base));
        assert!(!credential.secrets.contains_key("client_secret"), "{kind}");
        let without = refused(with(&typed(kind), &base), Mode::Create);
        let missing = "Add a client certificate".to_owned();
        assert_eq!(without, [(CERTIFICATE_KEY.to_owned(), "missing", missing)], "{kind}");
        let elsewhere = with(&showing(kind), &with(&base, &json!({ SENT_WITH_KEY: "api_request" })));
        let elsewhere = refused(elsewhere, Mode::Create);
        assert_eq!((elsewhere[0].0.as_str(), elsewhere[0].1), (SENT_WITH_KEY, "not_sent"), "{kind}");
    }
    // RFC 8705 section 2: the request names the client and proves nothing itself.
    let sent = with(&showing("oauth2_client_credentials"), &base);
    let credential = stored_showing(with(&sent, &json!({ "oauth_token_requests": [] })));
    let step = (credential.authorization_type.parse)(&opened(&credential)).unwrap().step(None, now());
    let auth::Step::Fetch { exchange, .. } = step else { panic!("no token request") };
    assert!(exchange.headers.is_empty());
    assert_eq!(exchange.body.expose(), "grant_type=client_credentials&scope=read&client_id=client");
    // A secret that was saved goes with the choice, and is asked for with the next one.
    let before = stored("oauth2_client_credentials");
    let change = json!({
        "authentication_information": "tls_client_auth", CERTIFICATE_KEY: CERTIFICATE, KEY: PRIVATE_KEY,
    });
    let after = seal_again(parse(change, Mode::Patch(&before)).unwrap(), &before);
    assert!(!after.secrets.contains_key("client_secret"));
    let back = refused(json!({ "authentication_information": "header" }), Mode::Patch(&after));
    assert_eq!((back[0].0.as_str(), back[0].1), ("client_secret", "missing"));
}

#[test]
fn its_end_is_an_end_of_the_credential() {
    let credential = stored_showing(with(&showing("basic"), &json!({ CERTIFICATE_KEY: RENEWED })));
    let ends = credential.ends_at().unwrap();
    assert_eq!(ends.day(), "2100-01-01");
    let before = Timestamp::parse_rfc3339("2099-12-25T12:00:00Z").unwrap();
    let status = credential.status(before);
    assert_eq!(status.code, StatusCode::EndsSoon);
    assert!(status.reason.starts_with("the client certificate ends"), "{}", status.reason);
    let reminder = credential.reminder(before).unwrap();
    let sentence = reminder.sentence(&credential);
    assert!(sentence.starts_with("The client certificate of “ServiceNow production” ends"), "{sentence}");
    assert_eq!(reminder.data(&credential, "")["ends"], "client_certificate");
    // One that has ended is no reason to refuse a save that leaves it.
    let later = Timestamp::parse_rfc3339("2100-06-01T12:00:00Z").unwrap();
    let Value::Object(rename) = json!({ "name": "Other" }) else { unreachable!() };
    assert!(Draft::parse(rename, Mode::Patch(&credential), later).is_ok());
    let Value::Object(new) = with(&showing("basic"), &json!({ CERTIFICATE_KEY: RENEWED })) else {
        unreachable!()
    };
    let invalid = Draft::parse(new, Mode::Create, later).unwrap_err();
    assert_eq!((invalid[0].field.as_str(), invalid[0].code), (CERTIFICATE_KEY, "ended"));
}
