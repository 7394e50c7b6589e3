use super::*;

const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SECONDS: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn known() -> WebhookKey {
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    WebhookKey::read(Signing::Hmac, &secret).unwrap()
}

fn made(signing: Signing) -> WebhookKey {
    WebhookKey::read(signing, &generate()).unwrap()
}

fn checked(keys: &[WebhookKey], signature: &str, body: &[u8]) -> Checked {
    let received = Received { id: ID, timestamp: "1614265330", signature, body };
    check(keys, &received, SECONDS + 7)
}

#[test]
fn the_vector_of_standard_webhooks() {
    assert_eq!(header(&[known()], ID, SECONDS, BODY), SIGNED);
    assert_eq!(checked(&[known()], SIGNED, BODY), Checked::Right { by_newest: true, age_seconds: 7 });
}

#[test]
fn keys_are_made_for_each_kind() {
    let text = generate();
    assert_ne!(text.expose(), generate().expose());
    let encoded = text.expose().strip_prefix("whsec_").unwrap().to_owned();
    assert_eq!(BASE64_STANDARD.decode(encoded).unwrap().len(), 32);
    assert!(WebhookKey::read(Signing::Off, &text).is_none());
    assert!(WebhookKey::read(Signing::Hmac, &text).unwrap().public().is_none());
    let pair = WebhookKey::read(Signing::Ed25519, &text).unwrap();
    let public = pair.public().unwrap();
    let public = BASE64_STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
    let signed = header(&[pair], ID, SECONDS, BODY);
    let signature = BASE64_STANDARD.decode(signed.strip_prefix("v1a,").unwrap()).unwrap();
    let content = [ID.as_bytes(), b".1614265330.", BODY].concat();
    let of = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public);
    of.verify(&content, &signature).unwrap();
    assert!(
        WebhookKey::read(Signing::Hmac, &Secret::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()))
            .is_none()
    );
}

#[test]
fn during_a_change_both_keys_sign_and_either_is_enough() {
    let keys = [made(Signing::Ed25519), known()];
    let both = header(&keys, ID, SECONDS, BODY);
    assert!(both.starts_with("v1a,") && both.ends_with(&format!(" {SIGNED}")), "{both}");
    assert_eq!(checked(&keys, SIGNED, BODY), Checked::Right { by_newest: false, age_seconds: 7 });
    assert_eq!(checked(&keys, &both, BODY), Checked::Right { by_newest: true, age_seconds: 7 });
    assert_eq!(checked(&[known()], &both, BODY), Checked::Right { by_newest: true, age_seconds: 7 });
}

#[test]
fn what_was_cut_or_changed_is_told_apart() {
    let keys = [known()];
    let form = |signature: &str| match checked(&keys, signature, BODY) {
        Checked::NotReadable(part, _) => part,
        other => panic!("{signature}: {other:?}"),
    };
    for signature in
        ["", "v1", "v2,AAAA", &SIGNED[..SIGNED.len() - 4], "v1,AAAA", &format!("{SIGNED} v1,AAAA")]
    {
        assert_eq!(form(signature), "webhook-signature");
    }
    assert_eq!(form(&format!("{}AAAA{}", &SIGNED[..43], &SIGNED[43..])), "webhook-signature");
    assert_eq!(checked(&keys, SIGNED, &[BODY, b"\n"].concat()), Checked::LineBreak);
    assert_eq!(checked(&keys, &header(&keys, ID, SECONDS, b"{}\n"), b"{}\r\n"), Checked::LineBreak);
    assert_eq!(checked(&keys, &header(&keys, ID, SECONDS, b"{\r\n}"), b"{\n}"), Checked::LineBreak);
    let many = vec![SIGNED; 17].join(" ");
    assert_eq!(form(&many), "webhook-signature");
    let compact = header(&keys, ID, SECONDS, br#"{"b":1,"a":[1,2]}"#);
    assert_eq!(checked(&keys, &compact, b"{ \"b\": 1,\n \"a\": [1, 2] }"), Checked::Reformatted);
    assert_eq!(checked(&keys, SIGNED, br#"{"test": 2432232315}"#), Checked::Wrong);
    assert_eq!(checked(&[made(Signing::Hmac)], SIGNED, BODY), Checked::Wrong);
    assert_eq!(checked(&[made(Signing::Ed25519)], SIGNED, BODY), Checked::Wrong);
    let part = |id: &str, timestamp: &str| {
        let received = Received { id, timestamp, signature: SIGNED, body: BODY };
        check(&keys, &received, SECONDS)
    };
    assert_eq!(part("msg_other", "1614265330"), Checked::Wrong);
    assert_eq!(part(ID, "1614265331"), Checked::Wrong);
    assert!(matches!(part("", "1614265330"), Checked::NotReadable("webhook-id", _)));
    assert!(matches!(part(ID, "yesterday"), Checked::NotReadable("webhook-timestamp", _)));
}
