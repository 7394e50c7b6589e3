use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, signature};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use super::*;
use crate::secret::Secret;
use crate::time::Timestamp;

const ISSUER: &str = "https://id.acme.example";
const NOW_SECONDS: i64 = 1_800_000_000;
const EXPECTED: Expected<'static> = Expected { issuer: ISSUER, client_id: "consign", nonce: "n-0S6_WzA2Mj" };

fn now() -> Timestamp {
    Timestamp::from_millis(NOW_SECONDS * 1_000)
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

struct Signer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
}

impl Signer {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    fn rsa_row(&self) -> Value {
        // PKCS#1, RFC 8017 appendix A.1.1: nine bytes of framing before a modulus of 2,048 bits.
        let key = self.rsa.public_key().as_ref();
        json!({ "kty": "RSA", "kid": "r", "use": "sig", "n": text(&key[9..265]), "e": text([1, 0, 1]) })
    }

    fn p256_row(&self, kid: &str) -> Value {
        let point = self.p256.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256",
                "x": text(&point[1..33]), "y": text(&point[33..]) })
    }

    fn keys(&self) -> Keys {
        read(&json!([self.rsa_row(), self.p256_row("e")]))
    }

    fn es256(&self, header: &Value, content: &str) -> String {
        let message = format!("{}.{}", text(header.to_string()), text(content));
        let signed = self.p256.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", text(signed))
    }

    fn rsa(&self, header: &Value, with: &'static dyn signature::RsaEncoding, content: &str) -> String {
        let message = format!("{}.{}", text(header.to_string()), text(content));
        let mut signed = vec![0; self.rsa.public_modulus_len()];
        self.rsa.sign(with, &SystemRandom::new(), message.as_bytes(), &mut signed).unwrap();
        format!("{message}.{}", text(signed))
    }
}

fn read(rows: &Value) -> Keys {
    Keys::read(json!({ "keys": rows }).to_string().as_bytes()).unwrap()
}

fn good() -> Value {
    json!({ "iss": ISSUER, "aud": "consign", "sub": "ana", "nonce": "n-0S6_WzA2Mj",
            "iat": NOW_SECONDS - 2, "exp": NOW_SECONDS + 300,
            "email": "ana@acme.example", "email_verified": true, "name": "Ana Silva", "groups": ["it"] })
}

fn but(changes: &Value) -> String {
    let mut content = good();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            content.as_object_mut().unwrap().remove(key);
        } else {
            content[key] = value.clone();
        }
    }
    content.to_string()
}

fn judge(token: &str, keys: &Keys) -> Result<Claims, NotBelieved> {
    Claims::of_token(token, keys, &EXPECTED, now())
}

#[test]
fn a_good_token_is_believed_whichever_listed_way_it_is_signed() {
    let signer = Signer::new();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let point = p384.public_key().as_ref();
    let keys = read(&json!([
        signer.rsa_row(), signer.p256_row("e"),
        { "kty": "EC", "crv": "P-384", "kid": "e3", "x": text(&point[1..49]), "y": text(&point[49..]) },
        { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": text(ed.public_key()) },
    ]));
    let content = good().to_string();
    let message = |header: &Value| format!("{}.{}", text(header.to_string()), text(&content));
    let es384 = message(&json!({ "alg": "ES384", "kid": "e3" }));
    let eddsa = message(&json!({ "alg": "EdDSA", "kid": "ed" }));
    let tokens = [
        signer.es256(&json!({ "alg": "ES256", "kid": "e", "typ": "JWT" }), &content),
        // Without the name of a key, those of its kind are tried.
        signer.es256(&json!({ "alg": "ES256" }), &content),
        signer.rsa(&json!({ "alg": "RS256", "kid": "r" }), &RSA_PKCS1_SHA256, &content),
        signer.rsa(&json!({ "alg": "PS256", "kid": "r" }), &RSA_PSS_SHA256, &content),
        format!("{es384}.{}", text(p384.sign(&SystemRandom::new(), es384.as_bytes()).unwrap())),
        format!("{eddsa}.{}", text(ed.sign(eddsa.as_bytes()))),
    ];
    for token in tokens {
        let claims = judge(&token, &keys).unwrap();
        assert_eq!((claims.subject.as_str(), claims.verified_email()), ("ana", Some("ana@acme.example")));
        assert!(claims.is_in("it") && !claims.is_in("admins"));
    }
}

#[test]
fn what_a_token_says_is_judged_claim_by_claim() {
    let signer = Signer::new();
    let keys = signer.keys();
    let check = |changes: Value, expected: Result<(), NotBelieved>| {
        let token = signer.es256(&json!({ "alg": "ES256", "kid": "e" }), &but(&changes));
        assert_eq!(judge(&token, &keys).map(drop), expected, "{changes}");
    };
    for issuer in [json!("https://id.acme.example/"), json!("https://evil.example"), json!(null), json!(7)] {
        check(json!({ "iss": issuer }), Err(NotBelieved::Issuer));
    }
    for aud in [json!("other"), json!(["other"]), json!([]), json!(null), json!(1), json!("consign ")] {
        check(json!({ "aud": aud }), Err(NotBelieved::Audience));
    }
    check(json!({ "aud": ["consign"] }), Ok(()));
    check(json!({ "aud": ["consign", "other"] }), Err(NotBelieved::Audience));
    check(json!({ "aud": ["consign", "other"], "azp": "consign" }), Ok(()));
    check(json!({ "azp": "other" }), Err(NotBelieved::Audience));
    check(json!({ "azp": 1 }), Err(NotBelieved::Audience));
    for nonce in [json!("another"), json!(""), json!(null), json!(["n-0S6_WzA2Mj"])] {
        check(json!({ "nonce": nonce }), Err(NotBelieved::Nonce));
    }
    check(json!({ "exp": NOW_SECONDS - 59 }), Ok(()));
    check(json!({ "exp": NOW_SECONDS - 60 }), Err(NotBelieved::Clock));
    check(json!({ "iat": NOW_SECONDS + 59 }), Ok(()));
    check(json!({ "iat": NOW_SECONDS + 60 }), Err(NotBelieved::Clock));
    check(json!({ "nbf": NOW_SECONDS + 60 }), Err(NotBelieved::Clock));
    check(json!({ "nbf": NOW_SECONDS }), Ok(()));
    check(json!({ "nbf": "soon" }), Err(NotBelieved::Form("does not say when it begins")));
    for key in ["exp", "iat"] {
        check(json!({ key: null }), Err(NotBelieved::Form("does not say when it ends")));
        check(json!({ key: "never" }), Err(NotBelieved::Form("does not say when it ends")));
    }
    for subject in [json!(null), json!(""), json!(7), json!("x".repeat(256)), json!("a\u{7}")] {
        check(json!({ "sub": subject }), Err(NotBelieved::Subject));
    }
}

#[test]
fn a_token_that_somebody_else_made_is_not_believed() {
    let signer = Signer::new();
    let keys = signer.keys();
    let content = good().to_string();
    let token = |header: Value| signer.es256(&header, &content);
    for alg in ["none", "None", "HS256", "HS512", "ES256K", "RS1", ""] {
        assert_eq!(
            judge(&token(json!({ "alg": alg, "kid": "e" })), &keys),
            Err(NotBelieved::Algorithm),
            "{alg}"
        );
    }
    let unsigned = format!("{}.{}.", text(json!({ "alg": "none" }).to_string()), text(&content));
    assert_eq!(judge(&unsigned, &keys), Err(NotBelieved::Algorithm));
    // The public key of the provider as a shared secret.
    let public = signer.p256.public_key().as_ref();
    let message = format!("{}.{}", text(json!({ "alg": "HS256", "kid": "e" }).to_string()), text(&content));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public), message.as_bytes());
    assert_eq!(judge(&format!("{message}.{}", text(tag)), &keys), Err(NotBelieved::Algorithm));

    assert_eq!(judge(&token(json!({ "alg": "ES256", "kid": "new" })), &keys), Err(NotBelieved::UnknownKey));
    // The algorithm of another kind of key.
    assert_eq!(judge(&token(json!({ "alg": "RS256", "kid": "e" })), &keys), Err(NotBelieved::UnknownKey));
    let other = Signer::new().es256(&json!({ "alg": "ES256", "kid": "e" }), &content);
    assert_eq!(judge(&other, &keys), Err(NotBelieved::Signature));
    let right = token(json!({ "alg": "ES256", "kid": "e" }));
    let (rest, signature) = right.rsplit_once('.').unwrap();
    let (header, _) = rest.split_once('.').unwrap();
    let changed = format!("{header}.{}.{signature}", text(but(&json!({ "sub": "bo" }))));
    assert_eq!(judge(&changed, &keys), Err(NotBelieved::Signature));
    assert_eq!(judge(&format!("{rest}."), &keys), Err(NotBelieved::Signature));

    let another_kind = NotBelieved::Form("is of another kind");
    assert_eq!(judge(&token(json!({ "alg": "ES256", "kid": "e", "crit": ["x"] })), &keys), Err(another_kind));
    assert_eq!(
        judge(&token(json!({ "alg": "ES256", "kid": "e", "typ": "at+jwt" })), &keys),
        Err(another_kind)
    );
    for junk in ["", "a", "a.b", "a.b.c", "..", "e30.e30.e30", &"x".repeat((64 << 10) + 1)] {
        assert!(judge(junk, &keys).is_err(), "{junk}");
    }
    // Two readings of one object.
    let twice = format!("{},\"sub\":\"bo\"}}", content.trim_end_matches('}'));
    let twice = signer.es256(&json!({ "alg": "ES256", "kid": "e" }), &twice);
    assert_eq!(judge(&twice, &keys), Err(NotBelieved::Form("has a member twice")));
}

#[test]
fn keys_that_do_not_sign_or_are_too_small_verify_nothing() {
    let signer = Signer::new();
    let right = signer.es256(&json!({ "alg": "ES256", "kid": "e" }), &good().to_string());
    let check = |changes: Value| {
        let mut row = signer.p256_row("e");
        row.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        assert_eq!(judge(&right, &read(&json!([row]))), Err(NotBelieved::UnknownKey), "{changes}");
    };
    check(json!({ "use": "enc" }));
    check(json!({ "alg": "ES384" }));
    check(json!({ "alg": "HS256" }));
    check(json!({ "crv": "P-384" }));
    check(json!({ "x": "AA" }));
    check(json!({ "kty": "oct" }));
    let mut small = signer.rsa_row();
    small["n"] = json!(text([0xC1; 128]));
    let token = signer.rsa(&json!({ "alg": "RS256", "kid": "r" }), &RSA_PKCS1_SHA256, &good().to_string());
    assert_eq!(judge(&token, &read(&json!([small]))), Err(NotBelieved::Signature));
    for junk in ["", "{}", "[]", "{\"keys\":1}", "{\"keys\":[],\"keys\":[]}"] {
        Keys::read(junk.as_bytes()).unwrap_err();
    }
    assert_eq!(judge(&right, &read(&json!([]))), Err(NotBelieved::UnknownKey));
}

#[test]
fn an_address_counts_only_when_the_provider_made_sure_of_it() {
    let signer = Signer::new();
    let claims = |changes: &Value| {
        judge(&signer.es256(&json!({ "alg": "ES256" }), &but(changes)), &signer.keys()).unwrap()
    };
    for unsure in [json!(false), json!(null), json!("true"), json!(1)] {
        assert_eq!(claims(&json!({ "email_verified": unsure })).verified_email(), None, "{unsure}");
    }
    let bare = claims(&json!({ "email": null, "email_verified": null, "groups": null }));
    let more = json!({ "sub": "ana", "email": "a@b.example", "email_verified": true, "groups": "admins" });
    let whole = bare.clone().with_user_info(more.to_string().as_bytes()).unwrap();
    assert_eq!((whole.verified_email(), whole.is_in("admins")), (Some("a@b.example"), true));
    let foreign = json!({ "sub": "bo", "email": "bo@b.example", "email_verified": true });
    assert_eq!(bare.with_user_info(foreign.to_string().as_bytes()), Err(NotBelieved::Subject));
    // The token's own word is not made better by another one.
    let unsure = claims(&json!({ "email_verified": false }));
    let better = json!({ "sub": "ana", "email": "ana@acme.example", "email_verified": true });
    assert_eq!(unsure.with_user_info(better.to_string().as_bytes()).unwrap().verified_email(), None);
}

fn described() -> Value {
    json!({ "issuer": ISSUER, "authorization_endpoint": "https://id.acme.example/auth?tenant=1",
            "token_endpoint": "https://id.acme.example/token", "jwks_uri": "https://keys.acme.example/k" })
}

#[test]
fn a_provider_is_read_as_it_describes_itself() {
    let check = |changes: Value, expected: Result<(), ProviderFault>| {
        let mut whole = described();
        whole.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let read = Provider::read(ISSUER, whole.to_string().as_bytes()).map(drop);
        assert_eq!(read, expected, "{changes}");
    };
    check(json!({}), Ok(()));
    let other = "https://id.acme.example/";
    check(json!({ "issuer": other }), Err(ProviderFault::OtherIssuer(other.to_owned())));
    check(json!({ "issuer": 1 }), Err(ProviderFault::Form("does not name its issuer")));
    for key in ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"] {
        for bad in
            ["http://id.acme.example/x", "", "/x", "https://u:p@id.acme.example/x", "javascript:alert(1)"]
        {
            check(json!({ key: bad }), Err(ProviderFault::Address(key)));
        }
    }
    check(json!({ "code_challenge_methods_supported": ["S256", "plain"] }), Ok(()));
    let no_proof = ProviderFault::Lacks("proof keys with S256 (PKCE)");
    check(json!({ "code_challenge_methods_supported": ["plain"] }), Err(no_proof));
    check(
        json!({ "response_types_supported": ["id_token"] }),
        Err(ProviderFault::Lacks("the response type code")),
    );
    assert_eq!(Provider::read(ISSUER, b"<html>").map(drop), Err(ProviderFault::Form("is not JSON")));
    for bad in ["http://id.acme.example", "id.acme.example", "https://a@b.example", "https://b.example/?x=1"]
    {
        discovery(bad).unwrap_err();
    }
    let found = discovery("https://id.acme.example/realms/it/").unwrap();
    assert_eq!(found.tail_with("").expose(), "/realms/it/.well-known/openid-configuration");
}

/// RFC 7636 appendix B.
#[test]
fn a_person_is_sent_out_with_the_hash_of_the_proof_key() {
    let mut whole = described();
    whole["scopes_supported"] = json!(["openid", "groups"]);
    let provider = Provider::read(ISSUER, whole.to_string().as_bytes()).unwrap();
    let ask = Ask {
        client_id: "consign",
        redirect_url: "https://consign.acme.example/sign-in/oidc/callback",
        state: "s",
        nonce: "n",
        verifier: &Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()),
        groups: true,
    };
    assert_eq!(
        provider.departure(&ask),
        "https://id.acme.example/auth?tenant=1&response_type=code&client_id=consign\
         &redirect_uri=https%3A%2F%2Fconsign.acme.example%2Fsign-in%2Foidc%2Fcallback\
         &scope=openid+email+profile+groups&state=s&nonce=n\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
    );
    assert!(provider.departure(&Ask { groups: false, ..ask }).contains("&scope=openid+email+profile&"));
}
