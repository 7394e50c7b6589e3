use consign_core::assertion::{Assertion, Ids};
use consign_core::sign::{KeySize, SigningKey, create};

use super::*;

const ADDRESS: &str = "https://127.0.0.1:8422/token";

#[test]
fn an_assertion_is_taken_once_and_only_as_it_was_signed() {
    let folder = std::env::temp_dir().join(format!("consign-demo-assertions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let verifier = Verifier::find(folder.clone()).expect("the gate installs xmlsec1");
    let now = consign_store::local_now();
    let (certificate, key) = create("x", KeySize::Rsa2048, 1, now).unwrap();
    let key = SigningKey::stored(&key).unwrap();
    let said = Assertion {
        issuer: "consign".to_owned(),
        name_id: "demo".to_owned(),
        name_id_format: "urn:x".to_owned(),
        name_qualifier: String::new(),
        recipient: ADDRESS.to_owned(),
        audience: ADDRESS.to_owned(),
        authn_context: "urn:y".to_owned(),
        attributes: Vec::new(),
        lifetime: std::time::Duration::from_secs(60),
        certificate: None,
    };
    let sent =
        |said: &Assertion| BASE64_URL_SAFE_NO_PAD.encode(said.signed(&Ids::random(), now, &key).unwrap());
    assert_eq!(verifier.judge(&sent(&said), now), Err("no issuer is registered"));
    let trusted = Trusted {
        certificate: certificate.pem(),
        issuer: "consign".to_owned(),
        name_id: "demo".to_owned(),
        address: ADDRESS.to_owned(),
    };
    verifier.trust(trusted.clone());
    let good = sent(&said);
    assert_eq!(verifier.judge(&good, now), Ok(()));
    assert_eq!(verifier.judge(&good, now), Err("the assertion was used before"));
    let other = |change: fn(&mut Assertion)| {
        let mut other = said.clone();
        change(&mut other);
        sent(&other)
    };
    let check = |sent: &str, expected| assert_eq!(verifier.judge(sent, now), Err(expected));
    check(&other(|said| said.issuer.push('x')), "the issuer is not known");
    check(&other(|said| said.audience.push('x')), "the audience is another one");
    check(&other(|said| said.recipient.push('x')), "the recipient is another one");
    check(&other(|said| said.name_id.push('x')), "the user is not known");
    check("no assertion", "the assertion is no base64url");
    check(&BASE64_URL_SAFE_NO_PAD.encode("<a></a>"), "the signature is not valid");
    let late = now.plus(std::time::Duration::from_secs(60));
    assert_eq!(verifier.judge(&sent(&said), late), Err("the assertion is expired or not yet valid"));
    let (another, _) = create("x", KeySize::Rsa2048, 1, now).unwrap();
    verifier.trust(Trusted { certificate: another.pem(), ..trusted });
    check(&sent(&said), "the signature is not valid");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "no file stays");
    std::fs::remove_dir(&folder).unwrap();
}
