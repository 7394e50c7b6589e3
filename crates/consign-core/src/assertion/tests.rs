use super::*;
use crate::secret::Secret;
use crate::sign;

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_999);

fn ids() -> Ids {
    Ids::of(format!("_{}", "0a".repeat(16)), format!("_{}", "0b".repeat(16)))
}

fn plain() -> Assertion {
    Assertion {
        issuer: "https://consign.example".to_owned(),
        name_id: "ana.silva".to_owned(),
        name_id_format: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified".to_owned(),
        name_qualifier: String::new(),
        recipient: "https://tool.example/token".to_owned(),
        audience: "tool".to_owned(),
        authn_context: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified".to_owned(),
        attributes: Vec::new(),
        lifetime: Duration::from_secs(300),
        certificate: None,
    }
}

#[test]
fn it_is_written_in_canonical_form() {
    let expected = "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" \
        ID=\"_0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\" IssueInstant=\"2026-11-22T14:02:00Z\" Version=\"2.0\">\
        <saml:Issuer>https://consign.example</saml:Issuer>\
        <saml:Subject><saml:NameID Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified\">ana.silva</saml:NameID>\
        <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
        <saml:SubjectConfirmationData NotOnOrAfter=\"2026-11-22T14:07:00Z\" Recipient=\"https://tool.example/token\">\
        </saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>\
        <saml:Conditions NotBefore=\"2026-11-22T14:01:00Z\" NotOnOrAfter=\"2026-11-22T14:07:00Z\">\
        <saml:AudienceRestriction><saml:Audience>tool</saml:Audience></saml:AudienceRestriction></saml:Conditions>\
        <saml:AuthnStatement AuthnInstant=\"2026-11-22T14:02:00Z\" SessionIndex=\"_0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\">\
        <saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified\
        </saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement></saml:Assertion>";
    assert_eq!(plain().unsigned(&ids(), NOW), expected);
}

#[test]
fn every_text_is_escaped_for_where_it_stands() {
    let text = "a&b<c>d\"e'f\tg\nh\ri]]>";
    let assertion = Assertion {
        name_qualifier: text.to_owned(),
        issuer: text.to_owned(),
        attributes: vec![(text.to_owned(), vec![text.to_owned(), String::new()])],
        ..plain()
    };
    let xml = assertion.unsigned(&ids(), NOW);
    let inside = "a&amp;b&lt;c&gt;d\"e'f\tg\nh&#xD;i]]&gt;";
    let quoted = "a&amp;b&lt;c>d&quot;e'f&#x9;g&#xA;h&#xD;i]]>";
    assert!(xml.contains(&format!("<saml:Issuer>{inside}</saml:Issuer>")), "{xml}");
    assert!(xml.contains(&format!(" NameQualifier=\"{quoted}\">")), "{xml}");
    assert!(xml.contains(&format!("<saml:Attribute Name=\"{quoted}\" NameFormat=")), "{xml}");
    let value = "<saml:AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                 xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:string\">";
    assert!(
        xml.contains(&format!("{value}{inside}</saml:AttributeValue>{value}</saml:AttributeValue>")),
        "{xml}"
    );
}

#[test]
fn what_xml_cannot_hold_is_refused() {
    for c in
        (0_u32..=0xa0).chain([0x2028, 0xd7ff, 0xe000, 0xfffd, 0xfffe, 0xffff, 0x1_0000, 0x1_fffe, 0x10_ffff])
    {
        let c = char::from_u32(c).unwrap();
        let refused = c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
        let judged = judge("Issuer", &format!("a{c}b"));
        assert_eq!(judged.is_err(), refused, "{c:?}");
        if let Err(fault) = judged {
            assert_eq!(fault, Fault::new("bad_characters", "Issuer must not include control characters"));
        }
    }
}

/// The signature stands right after the issuer, and taking it away leaves what was digested.
#[test]
fn the_signature_is_enveloped_and_covers_the_rest() {
    let (certificate, key) = sign::create("x", sign::KeySize::Rsa2048, 1, NOW).unwrap();
    let key = SigningKey::stored(&key).unwrap();
    for (attributes, prefixes) in [(Vec::new(), false), (vec![("a".to_owned(), vec!["b".to_owned()])], true)]
    {
        let assertion = Assertion { attributes, certificate: Some(certificate.base64()), ..plain() };
        let signed = assertion.signed(&ids(), NOW, &key).unwrap();
        let (before, rest) = signed.split_once("<ds:Signature ").unwrap();
        let (signature, after) = rest.split_once("</ds:Signature>").unwrap();
        assert!(before.ends_with("</saml:Issuer>"));
        let unsigned = assertion.unsigned(&ids(), NOW);
        assert_eq!(format!("{before}{after}"), unsigned);
        let digest = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, unsigned.as_bytes()));
        assert!(signature.contains(&format!("<ds:DigestValue>{digest}</ds:DigestValue>")));
        assert!(signature.contains(&format!("URI=\"#_{}\"", "0a".repeat(16))));
        assert_eq!(signature.contains("PrefixList=\"xs\""), prefixes);
        assert!(signature.contains(&certificate.base64()));
    }
    let without = plain().signed(&ids(), NOW, &key).unwrap();
    assert!(!without.contains("KeyInfo"));
    assert!(SigningKey::stored(&Secret::new("no key".to_owned())).is_err());
}

#[test]
fn two_are_never_the_same() {
    let (one, other) = (Ids::random(), Ids::random());
    assert_ne!(one, other);
    assert_ne!(one.assertion, one.session);
    let form = |id: &str| id.len() == 33 && id.starts_with('_');
    assert!(form(&one.assertion) && form(&one.session));
}

#[test]
fn the_signature_of_a_signed_one_is_found() {
    let key =
        SigningKey::stored(&Secret::new(include_str!("../sign/tests/rsa.pkcs8.pem").to_owned())).unwrap();
    let signed = plain().signed(&ids(), NOW, &key).unwrap();
    let value = signature_value(&signed).unwrap();
    assert_eq!(BASE64_STANDARD.decode(value).unwrap().len(), 256);
    assert_eq!(signature_value(&plain().unsigned(&ids(), NOW)), None);
}
